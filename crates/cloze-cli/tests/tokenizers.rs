//! Settings in the files of a tokenizer, in the commands that read them.

mod common;

use std::fs;

use common::World;
use serde_json::{Value, json};

/// Changes a JSON file.
fn edit(world: &World, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value = world.json(name);
    change(&mut value);
    world.write(name, value.to_string());
}

#[test]
fn the_side_that_the_files_name_is_cut() {
    let world = World::new();
    world.pretrain("model", "").ok();
    let ids = |text: &str| {
        let ran = world.run_with("tokenize --tokenizer model --max-length 6 --json", &["--text", text]).ok();
        ran.answer()["tokens"].clone()
    };
    let embed =
        |text: &str| world.run_with("embed --model model --max-length 6 --json", &["--text", text]).ok().answer();
    let (long, last) = ("the red cat runs a blue dog .", "a blue dog .");
    assert_eq!(ids(long), json!(["[CLS]", "the", "red", "cat", "runs", "[SEP]"]));
    edit(&world, "model/tokenizer_config.json", |json| json["truncation_side"] = json!("left"));
    assert_eq!(ids(long), ids(last));
    let (whole, cut) = (embed(last), embed(long));
    assert_eq!(whole["embedding"], cut["embedding"]);
    assert_eq!((&whole["truncated"], &cut["truncated"]), (&json!(0), &json!(4)));
}

#[test]
fn a_model_says_how_much_it_reads() {
    let world = World::new();
    world.pretrain("model", "").ok();
    assert_eq!(world.json("model/tokenizer_config.json")["model_max_length"], 32);
    // The limit of the model that a tokenizer comes from is none of another model.
    edit(&world, "model/tokenizer_config.json", |json| json["model_max_length"] = json!(16));
    world.run(&format!("{} --output other", common::PRETRAIN.replace("vocab.txt", "model"))).ok();
    assert_eq!(world.json("other/tokenizer_config.json")["model_max_length"], 32);
    world.run("quantize --model model --output int8").ok();
    assert_eq!(world.json("int8/tokenizer_config.json")["model_max_length"], 16);
    world.run("vocab --input corpus.txt --size 40 --output vocab").ok();
    assert_eq!(world.json("vocab/tokenizer_config.json")["model_max_length"], json!(null));
}

#[test]
fn contradicting_files_are_refused_until_one_is_chosen() {
    let world = World::new();
    world.pretrain("model", "").ok();
    edit(&world, "model/tokenizer.json", |json| json["normalizer"]["strip_accents"] = json!(false));
    edit(&world, "model/tokenizer_config.json", |json| drop(json.as_object_mut().unwrap().remove("strip_accents")));
    let message = ["strip_accents is not set, which means true", "--tokenizer-file"];
    let tokens = |more: &str| world.run_with(&format!("tokenize --json --tokenizer {more}"), &["--text", "réd"]);
    tokens("model").fails(1, &message);
    world.run_with("embed --model model", &["--text", "red"]).fails(1, &message);
    world.run("pretrain --input corpus.txt --model model --steps 1 --output more").fails(1, &message);
    for (file, expected) in [("tokenizer.json", "[UNK]"), ("tokenizer_config.json", "red"), ("vocab.txt", "red")] {
        assert_eq!(tokens(&format!("model --tokenizer-file {file}")).ok().answer()["tokens"][1], expected, "{file}");
        assert_eq!(tokens(&format!("model/{file}")).ok().answer()["tokens"][1], expected, "{file}");
        world.run_with(&format!("embed --model model --tokenizer-file {file}"), &["--text", "red"]).ok();
    }
    tokens("model --tokenizer-file merges.txt").fails(2, &["tokenizer_config.json"]);
    let more = "pretrain --input corpus.txt --model model --steps 1 --max-seq-length 24 --batch-size 8 --output more";
    world.run(&format!("{more} --tokenizer-file tokenizer.json")).ok();
    // What is written agrees.
    assert_eq!(world.json("more/tokenizer_config.json")["strip_accents"], false);
    world.run(&format!("{more}2 --tokenizer model/tokenizer.json")).ok();
}

#[test]
fn a_cased_vocabulary_is_not_lower_cased_unsaid() {
    let world = World::new();
    world.write("cased.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nThe\nthe\nCat\ncat\n.\n");
    let ran =
        |more: &str| world.run_with(&format!("tokenize --tokenizer cased.txt {more}"), &["--text", "The Cat"]).ok();
    let unsaid = ran("");
    assert!(unsaid.stdout.starts_with("[CLS] The Cat [SEP]"), "{unsaid:?}");
    assert!(unsaid.stderr.contains("\"The\": read as cased"), "{unsaid:?}");
    let said = ran("--cased");
    assert!(said.stdout == unsaid.stdout && said.stderr.is_empty(), "{said:?}");
    assert!(ran("--mode google").stderr.contains("read as cased"));
    let pretrained = world.run(&format!("{} --output model", common::PRETRAIN.replace("vocab.txt", "cased.txt")));
    assert!(pretrained.code == Some(1) || pretrained.stderr.contains("read as cased"), "{pretrained:?}");
}

#[test]
fn offsets_of_tokens_that_share_whitespace() {
    let world = World::new();
    world.run("vocab --input corpus.txt --size 40 --output vocab").ok();
    let tokens = world.json("vocab/tokenizer.json")["model"]["vocab"].as_object().unwrap().len();
    edit(&world, "vocab/tokenizer.json", |json| {
        let added = json["added_tokens"].as_array_mut().unwrap();
        added.push(json!({"id": tokens, "content": "xa", "rstrip": true, "normalized": false}));
        added.push(json!({"id": tokens + 1, "content": " xb", "normalized": false}));
        added.push(json!({"id": tokens + 2, "content": "red", "single_word": true}));
    });
    let answer = |text: &str| world.run_with("tokenize --tokenizer vocab --json", &["--text", text]).ok().answer();
    assert_eq!(answer("xa xb")["offsets"], json!([[0, 0], [0, 3], [2, 5], [0, 0]]));
    assert_eq!(answer("Red redder")["ids"][1], tokens + 2);
    assert_ne!(answer("Red redder")["ids"][2], tokens + 2);
    let config = json!({"vocab_size": tokens + 3, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 32});
    world.write("config.json", config.to_string());
    world.write("words.conll", "red B-X\ncat O\n\nblue B-X\ndog O\n\n".repeat(4));
    world
        .run(
            "finetune --task tokens --config config.json --tokenizer vocab --train words.conll --dev words.conll \
             --epochs 1 --max-seq-length 16 --output tagger",
        )
        .ok();
    let texts = b"xa xb\nred xa xb cat\nxa  xb xa\n";
    assert_eq!(world.run_on(texts, "predict --model tagger --input - --json").ok().json().len(), 3);
    world.run("predict --model tagger --text red --text-b cat").fails(1, &["second text", "--columns text=NAME"]);
}

#[test]
fn all_characters_of_a_text_are_tokens_if_they_fit() {
    let world = World::new();
    let han: String = (0x4E00..0x4E00 + 3000).filter_map(char::from_u32).collect();
    world.write("han.txt", format!("{han}\n{han}龥\n"));
    let vocab = |more: &str| world.run(&format!("vocab --input han.txt --output vocab --overwrite {more}")).ok();
    let answer = vocab("--size 4000 --json").answer();
    let text = |name: &str| answer["text"][name].clone();
    assert_eq!((text("characters"), text("left_out_characters")), (json!(3001), json!(1)));
    assert!(answer["coverage"]["unknown_rate"].as_f64().unwrap() < 0.001, "{answer}");
    let few = vocab("--size 4000 --limit-alphabet 1000").stdout;
    assert!(few.contains("2,001 of 3,001 characters are no tokens"), "{few}");
    assert!(vocab("--size 1005").stdout.contains("2,001 of 3,001 characters"));
}

#[test]
fn ids_and_rare_words_are_not_added_to_a_vocabulary() {
    let world = World::new();
    world.write("vocab2.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nc\n##a\n##b\n##c\n##1\n.\n");
    let mut mails = String::new();
    for mail in 0..12 {
        // One id and one name come in a single mail, the word in all of them.
        let single = if mail == 0 { "caaaa caaaa caaaa " } else { "" };
        mails.push_str(&format!("c1b1a1 {single}cab.\nc1b1a1\n\n"));
    }
    world.write("mails.txt", mails);
    let extend = |more: &str| {
        let command = "vocab extend --tokenizer vocab2.txt --input mails.txt --output more --overwrite --add 9 --json";
        let answer = world.run(&format!("{command} {more}")).ok().answer();
        let words = answer["added"].as_array().unwrap().iter().map(|added| added["word"].as_str().unwrap().to_string());
        words.collect::<Vec<_>>()
    };
    assert_eq!(extend(""), ["cab"]);
    assert_eq!(extend("--min-documents 1"), ["cab", "caaaa"]);
    assert_eq!(extend("--any-characters"), ["c1b1a1", "cab"]);
}

#[cfg(unix)]
#[test]
fn files_that_are_none_are_refused_at_once() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    world.pretrain("model", "").ok();
    for name in ["cloze.json", "config.json", "tokenizer.json", "tokenizer_config.json"] {
        let path = world.path(&format!("model/{name}"));
        let kept = fs::read(&path).unwrap();
        for (target, expected) in [("/dev/zero", "not a regular file"), ("nowhere", "nowhere")] {
            fs::remove_file(&path).unwrap();
            symlink(target, &path).unwrap();
            world.run_with("embed --model model", &["--text", "red"]).fails(1, &[name, expected]);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, &kept).unwrap();
        let text = String::from_utf8(kept.clone()).unwrap();
        let doubled = format!("{{\"x\": 1, \"x\": 2, {}", text.trim_start().trim_start_matches('{'));
        fs::write(&path, doubled).unwrap();
        world.run_with("embed --model model", &["--text", "red"]).fails(1, &[name, "\"x\" comes twice"]);
        fs::write(&path, kept).unwrap();
    }
    world.run_with("embed --model model", &["--text", "red"]).ok();
}
