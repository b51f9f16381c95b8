//! `cloze prepare`, and pre-training on what it leaves.

mod common;

use std::fs;

use common::World;

/// The corpus of the world, more documents in another file, and a file that is none.
fn texts(world: &World) {
    fs::create_dir(world.path("texts")).unwrap();
    world.write("texts/1.txt", world.read("corpus.txt"));
    world.write("texts/2.txt", "a cat and a dog\n\nthe blue dog\nthe red cat");
    world.write("texts/3.csv", "not,read\n");
}

const PRETRAIN: &str = "--config config.json --steps 8 --batch-size 4 --max-seq-length 16 --eval-steps 4";

#[test]
fn a_run_on_a_store_is_the_run_on_its_text() {
    let world = World::new();
    texts(&world);
    let ran = world.run("prepare --input texts --tokenizer vocab.txt --output store --max-seq-length 16 --json").ok();
    assert!(ran.stderr.contains("3.csv"), "{}", ran.stderr);
    let answer = ran.answer();
    assert_eq!((&answer["documents"], &answer["files"], &answer["duplicates"]), (&26.into(), &2.into(), &0.into()));
    assert!(answer["tokens"].as_u64().unwrap() > 500 && answer["words"] == answer["tokens"], "{answer}");
    let examples = answer["instances"]["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 3);
    assert!(
        examples
            .iter()
            .all(|example| example["tokens"][0] == "[CLS]" && !example["labels"].as_array().unwrap().is_empty())
    );

    // The vocabulary comes with the store.
    let on_store = world.run(&format!("pretrain --input store {PRETRAIN} --output on-store")).ok();
    assert!(on_store.stderr.contains("report.html"), "{}", on_store.stderr);
    world.run(&format!("pretrain --input texts --tokenizer vocab.txt {PRETRAIN} --output on-text")).ok();
    assert!(world.weights("on-store") == world.weights("on-text"));
    assert!(!world.path("on-text/corpus").exists(), "what was prepared for the run is gone with its end");
    assert!(world.path("store/store.json").exists());

    let evaluated = world.run("evaluate --model on-store --input store --json").ok();
    assert_eq!(evaluated.stdout, world.run("evaluate --model on-store --input texts --json").ok().stdout);
    assert!(
        world.run("evaluate --model on-store --input texts").ok().stderr.contains("3.csv"),
        "what is not read is said"
    );

    let page = String::from_utf8(world.read("on-store/report.html")).unwrap();
    for part in ["<h1>Pre-training", "Masked words: loss over time", "predicted again and again", "8 of 8 steps"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    fs::remove_file(world.path("on-store/report.html")).unwrap();
    assert_eq!(world.run("report on-store").ok().stdout, "on-store/report.html\n");
    assert!(page == String::from_utf8(world.read("on-store/report.html")).unwrap());

    // Prepared already: the same answer at once.
    let again = world.run("prepare --input texts --tokenizer vocab.txt --output store --max-seq-length 16 --json").ok();
    assert_eq!(again.stdout, ran.stdout);
    let readable = world.run("prepare --input texts --tokenizer vocab.txt --output store").ok().stdout;
    assert!(readable.starts_with("26 documents, ") && readable.contains("An instance ("), "{readable}");
}

#[test]
fn wrong_use_of_a_store_is_told() {
    let world = World::new();
    texts(&world);
    world.run("prepare --input texts --tokenizer vocab.txt --output store --sentences line").ok();
    let before = world.read("store/store.json");
    for (command, message) in [
        ("prepare --input texts --tokenizer vocab.txt --output store", "other options for documents and sentences"),
        ("prepare --input texts/1.txt --tokenizer vocab.txt --output store --sentences line", "begun with 2 files"),
        ("prepare --input texts --tokenizer vocab.txt --output texts", "the folder holds other files"),
        ("prepare --input none.txt --tokenizer vocab.txt --output new", "cannot read none.txt"),
        (
            &format!("pretrain --input store texts --tokenizer vocab.txt {PRETRAIN} --output run"),
            "goes with no other input",
        ),
        (&format!("pretrain --input store {PRETRAIN} --document file --output run"), "prepared with other options"),
    ] {
        world.run(command).fails(1, &[message]);
    }
    assert_eq!(world.read("store/store.json"), before);

    let mut tokens = world.read("store/shard-00000.tokens");
    tokens[3] ^= 4;
    world.write("store/shard-00000.tokens", &tokens);
    let damaged = world.run(&format!("pretrain --input store {PRETRAIN} --output run"));
    damaged.fails(1, &["shard-00000.tokens: the file is damaged or missing"]);
    let ran = world.run("prepare --input texts --tokenizer vocab.txt --output store --sentences line").ok();
    assert!(ran.stderr.contains("shard-00000.tokens was damaged or missing"), "{}", ran.stderr);
    world.run(&format!("pretrain --input store {PRETRAIN} --output run")).ok();
}

#[test]
fn a_model_goes_on_with_another_vocabulary() {
    let world = World::new();
    texts(&world);
    world.run("vocab --input texts/1.txt --output other --size 40").ok();
    let pretrain = PRETRAIN.replace("--config config.json", "");
    world.run(&format!("pretrain --input texts --tokenizer vocab.txt {PRETRAIN} --output first")).ok();
    let go_on = format!("pretrain --input texts --model first {pretrain}");
    let ran = world.run(&format!("{go_on} --tokenizer other --output second")).ok();
    assert!(
        ran.stderr.contains("the vocabulary is not the model's") && ran.stderr.contains("keep their rows"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        world.json("second/config.json")["vocab_size"],
        world.read("other/vocab.txt").iter().filter(|&&byte| byte == b'\n').count()
    );
    world.run("fill --model second --text [MASK]").ok();
    // The model's own, given or not, changes nothing.
    let ran = world.run(&format!("{go_on} --output own")).ok();
    assert!(!ran.stderr.contains("not the model's"), "{}", ran.stderr);
    world.run(&format!("{go_on} --tokenizer first --output given")).ok();
    assert!(world.weights("own") == world.weights("given"));
}

#[test]
fn the_record_of_a_run_has_the_options_of_its_store() {
    let world = World::new();
    texts(&world);
    let options = "--document file --sentences line --drop-duplicates";
    world.run(&format!("prepare --input texts --tokenizer vocab.txt --output store {options}")).ok();
    let train = format!("pretrain --input store {PRETRAIN} --output model");
    world.run(&train).ok();
    let settings = world.json("model/cloze.json")["run"]["settings"]["pretrain"].clone();
    let found = ["document", "sentences", "drop_duplicates"].map(|name| settings[name].to_string());
    assert_eq!(found, ["\"file\"", "\"line\"", "true"]);
    // The same command again finds the run finished, and so does one that names the options.
    world.run(&train).ok();
    world.run(&format!("{train} {options}")).ok();
    world.run(&format!("{train} --sentences line")).fails(1, &["document"]);
}
