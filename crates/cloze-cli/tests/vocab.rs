//! `cloze vocab` and `cloze vocab extend`.

mod common;

use std::fs;

use common::{World, keys};
use serde_json::json;

/// A text of many different words, some of which come often.
fn many_words() -> String {
    let mut text = String::new();
    for number in 0u64..60_000 {
        let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for _ in 0..7 {
            text.push((b'a' + (state % 26) as u8) as char);
            state /= 26;
        }
        text.push_str(if number % 11 == 0 { " the cat sleeps.\n" } else { " " });
    }
    text
}

#[test]
fn the_answer_tells_of_the_text_and_of_the_vocabulary() {
    let world = World::new();
    world.write("dev.txt", "the cat runs. żaba\n");
    let train = "vocab --input corpus.txt --output vocab --size 40 --min-frequency 1 --token Zebra --unused 2";
    let answer = world.run(&format!("{train} --json")).ok().answer();
    assert_eq!(keys(&answer), ["tokens", "output", "text", "coverage", "dead_tokens"]);
    let text = json!({
        "words": 720, "different_words": 9, "characters": 16, "left_out_characters": 0,
        "left_out_characters_share": 0.0, "too_long_words": 0, "left_out_words": 0, "left_out_share": 0.0
    });
    assert_eq!(answer["text"], text);
    assert_eq!(answer["coverage"]["measured_on"], "input");
    assert_eq!(answer["coverage"]["unknown_rate"], 0.0);
    let dead = &answer["dead_tokens"];
    assert!(dead["first"].as_array().unwrap().contains(&json!("zebra")), "{dead}");
    let vocabulary = String::from_utf8(world.read("vocab/vocab.txt")).unwrap();
    assert!(
        vocabulary.starts_with("[PAD]\n[unused0]\n[unused1]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nzebra\n"),
        "{vocabulary}"
    );

    let answer = world.run(&format!("{train} --dev dev.txt --overwrite --json")).ok().answer();
    assert_eq!(answer["coverage"]["measured_on"], "dev");
    assert_eq!((&answer["coverage"]["words"], &answer["coverage"]["unknown_rate"]), (&json!(5), &json!(0.2)));
    let readable = world.run(&format!("{train} --dev dev.txt --overwrite")).ok().stdout;
    for part in ["40 tokens in vocab", "720 words, 9 different", "unknown words: 20.00 %", "latin", "zebra"] {
        assert!(readable.contains(part), "{part}: {readable}");
    }
}

#[test]
fn bounded_memory_and_any_number_of_threads_give_the_same() {
    let world = World::new();
    world.write("many.txt", many_words());
    let vocab = |output: &str, more: &str| {
        let answer = world
            .run(&format!("vocab --input many.txt --size 900 --output {output} --overwrite --json {more}"))
            .ok()
            .answer();
        let mut names: Vec<_> =
            fs::read_dir(world.path(output)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let expected =
            ["cloze.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
        assert_eq!(names, expected, "no temporary files");
        (answer["text"].clone(), world.read(&format!("{output}/vocab.txt")))
    };
    let (text, whole) = vocab("whole", "");
    assert_eq!(text["left_out_words"], 0);
    assert!(whole == vocab("much", "--max-memory 64M --threads 2").1);
    let (text, one) = vocab("little", "--max-memory 16M --threads 1");
    assert!(text["left_out_words"].as_u64().unwrap() > 1000, "{text}");
    assert_eq!(text["words"], whole_words(&world));
    assert!(one == vocab("little", "--max-memory 16M --threads 2").1);
    let readable =
        world.run("vocab --input many.txt --size 900 --output little --overwrite --max-memory 16M").ok().stdout;
    assert!(readable.contains("not trained on for want of memory"), "{readable}");
}

fn whole_words(world: &World) -> serde_json::Value {
    let text = String::from_utf8(world.read("many.txt")).unwrap();
    json!(text.split_whitespace().count() + text.matches('.').count())
}

#[test]
fn the_likelihood_score_makes_another_vocabulary() {
    let world = World::new();
    let run = |score: &str| {
        world.run(&format!("vocab --input corpus.txt --size 45 --score {score} --output {score}")).ok();
        world.read(&format!("{score}/vocab.txt"))
    };
    assert!(run("count") != run("likelihood"));
    world.run("vocab --input corpus.txt --output o --score best").fails(2, &["possible values: count, likelihood"]);
}

#[test]
fn what_no_vocabulary_can_be_made_of() {
    let world = World::new();
    world.write("space.txt", " \n\n");
    world.write("file", "");
    let train = "vocab --input corpus.txt --size 40";
    world.run("vocab --input space.txt --output o").fails(1, &["no words"]);
    world.run(&format!("{train} --output o --token cat Cat")).fails(1, &["\"Cat\"", "twice"]);
    world
        .run_with(&format!("{train} --output o --token"), &["new york"])
        .fails(1, &["\"new york\"", "split into words"]);
    world.run(&format!("{train} --output o --unused 40")).fails(1, &["40 tokens is too small", "45"]);
    let most = u64::MAX;
    world.run(&format!("{train} --output o --unused {most}")).fails(1, &["too small", &most.to_string()]);
    world
        .run(&format!("vocab --input corpus.txt --output o --size {most} --unused {}", most - 9))
        .fails(1, &["too large", "16777216"]);
    world.run(&format!("{train} --output o --max-memory 1M")).fails(2, &["at least 16M"]);
    world.run(&format!("{train} --output o --max-memory lots")).fails(2, &["such as 512M"]);
    world.run(&format!("{train} --output o --dev none.txt")).fails(1, &["none.txt"]);
    world.run(&format!("{train} --output file")).fails(1, &["file", "--output"]);
    world.run("vocab").fails(2, &["--input", "--output"]);
    world.run("vocab --input corpus.txt").fails(2, &["--output"]);
    world.run("vocab extend --model m --input corpus.txt --add 3").fails(2, &["--output"]);
    world.run("vocab extend --input corpus.txt --add 3 --output o").fails(2, &["--model"]);
}

#[test]
fn words_of_a_text_are_added_to_a_tokenizer() {
    let world = World::new();
    world.write("vocab2.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nb\n##a\n##b\nc\n##c\n.\n");
    world.write("domain.txt", "The baba. The baba bac, bac.\ncab bac bab.\n");
    let extend = "vocab extend --tokenizer vocab2.txt --input domain.txt --output extended";
    let answer = world.run(&format!("{extend} --add 2 --json")).ok().answer();
    assert_eq!(keys(&answer), ["output", "tokens", "added", "before", "after"]);
    assert_eq!(
        answer["added"],
        json!([
            { "word": "baba", "id": 12, "count": 2, "pieces": ["b", "##a", "##b", "##a"] },
            { "word": "bac", "id": 13, "count": 3, "pieces": ["b", "##a", "##c"] },
        ])
    );
    // Of 13 words the comma is unknown; baba takes 4 tokens, bac, cab and bab take 3.
    assert_eq!((&answer["before"]["tokens"], &answer["after"]["tokens"]), (&json!(29), &json!(17)));
    let old = String::from_utf8(world.read("vocab2.txt")).unwrap();
    assert_eq!(String::from_utf8(world.read("extended/vocab.txt")).unwrap(), format!("{old}baba\nbac\n"));
    let tokens = world.run_with("tokenize --tokenizer extended --json", &["--text", "the Baba cab"]).ok().answer();
    assert_eq!(tokens["tokens"], json!(["[CLS]", "the", "baba", "c", "##a", "##b", "[SEP]"]));
    world.run(&format!("{extend} --add 1")).fails(1, &["extended already holds a vocabulary", "--overwrite"]);
    let readable = world.run(&format!("{extend} --add 1 --overwrite")).ok().stdout;
    assert!(readable.contains("baba, 2 times, before b ##a ##b ##a"), "{readable}");

    let rare = format!("{extend} --add 2 --min-frequency 9 --overwrite");
    world.run(&rare).fails(1, &["no word to add", "--min-frequency"]);
    world.write("space.txt", " \n");
    world.run("vocab extend --tokenizer vocab2.txt --input space.txt --output e --add 1").fails(1, &["no words"]);
}

#[test]
fn words_of_a_text_are_added_to_a_model() {
    let world = World::new();
    world.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\nblue\ncat\ndog\nruns\nsleeps\nthe\n##cat\n.\n");
    world.pretrain("model", "").ok();
    let before = world.snapshot("model");
    world.write("domain.txt", "the redcat runs. the redcat sleeps.\n");
    let extend = "vocab extend --model model --input domain.txt --add 5";
    let answer = world.run(&format!("{extend} --output larger --json")).ok().answer();
    assert_eq!((&answer["tokens"], &answer["added"][0]["word"]), (&json!(15), &json!("redcat")));
    assert_eq!(world.json("larger/config.json")["vocab_size"], 15);
    assert!(before == world.snapshot("model"), "the model itself stays");

    let embed =
        |model: &str| world.run_with(&format!("embed --model {model} --json"), &["--text", "the red dog runs."]).ok();
    assert_eq!(embed("model").stdout, embed("larger").stdout, "a text without new words means the same to the bit");
    world.run_with("fill --model larger", &["--text", "the redcat [MASK]."]).ok();

    world.run(&format!("{extend} --output larger")).fails(1, &["larger already holds a model", "--overwrite"]);
    world.run(&format!("{extend} --output larger --overwrite")).ok();
    world.run(&format!("{extend} --output model --overwrite")).fails(1, &["is the model itself"]);
    world.run("quantize --model model --output int8").ok();
    world.run("vocab extend --model int8 --input domain.txt --add 5 --output o").fails(1, &["int8", "quantized from"]);
    assert!(!world.path("o").exists());
    world.run("vocab extend --tokenizer model --input domain.txt --add 5 --output model").fails(1, &["holds a model"]);
}
