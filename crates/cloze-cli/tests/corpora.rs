//! Raw text in every kind of file, in folders and by patterns.

mod common;

use std::fs;
use std::path::Path;

use common::{PRETRAIN, World};

/// The files that the library's tests read, which hold the same documents.
fn world() -> World {
    let world = World::new();
    fs::create_dir_all(world.path("texts/deep")).unwrap();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloze/tests/fixtures/documents")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), world.path(file.file_name().to_str().unwrap())).unwrap();
    }
    world
}

fn pretrain(input: &str, output: &str) -> String {
    format!("{} --output {output}", PRETRAIN.replace("--input corpus.txt", &format!("--input {input}")))
}

const KINDS: [&str; 11] = [
    "plain.txt.gz",
    "plain.txt.zst",
    "records.jsonl",
    "records.jsonl.gz",
    "records.jsonl.zst",
    "snappy.parquet",
    "gzip.parquet",
    "lz4.parquet",
    "brotli.parquet",
    "row-groups.parquet.gz",
    "row-groups.parquet.zst",
];

#[test]
fn every_kind_of_file_gives_the_same_vocabulary() {
    let world = world();
    world.run("vocab --input plain.txt --output plain --size 60").ok();
    let expected = world.read("plain/vocab.txt");
    assert!(String::from_utf8_lossy(&expected).contains("\nsleeps\n"));
    for file in KINDS {
        world.run(&format!("vocab --input {file} --output {file}-vocab --size 60")).ok();
        assert!(world.read(&format!("{file}-vocab/vocab.txt")) == expected, "{file}");
    }
}

#[test]
fn every_kind_of_file_gives_the_same_model() {
    let world = world();
    world.run(&pretrain("plain.txt", "plain")).ok();
    let expected = world.weights("plain");
    for file in ["plain.txt.gz", "records.jsonl.zst", "snappy.parquet"] {
        world.run(&pretrain(file, &format!("{file}-model"))).ok();
        assert!(world.weights(&format!("{file}-model")) == expected, "{file}");
    }
    let measured = |file: &str| world.run(&format!("evaluate --model plain --input {file} --json")).ok().answer();
    assert_eq!(measured("row-groups.parquet"), measured("plain.txt"));
}

#[test]
fn folders_and_patterns_stand_for_their_files() {
    let world = world();
    let corpus = String::from_utf8(world.read("corpus.txt")).unwrap();
    let (first, second) = corpus.split_at(corpus.find("\n\n").unwrap() + 2);
    world.write("texts/a.txt", first);
    world.write("texts/deep/b.txt", second);
    world.write("texts/notes.md", "not this");
    world.write("texts/.hidden.txt", "nor this");
    world.run(&pretrain("corpus.txt", "whole")).ok();
    let ran = world.run(&pretrain("texts", "folder")).ok();
    assert!(
        ran.stderr
            .contains("2 files read; skipped: texts/notes.md (to read: 'texts/**/*.md'); texts/.hidden.txt (hidden)"),
        "{}",
        ran.stderr
    );
    world.run(&pretrain("texts/**/*.txt", "pattern")).ok();
    assert!(world.weights("folder") == world.weights("whole") && world.weights("pattern") == world.weights("whole"));
    let ran = world.run("vocab --input texts --output vocab --size 40").ok();
    assert!(ran.stderr.contains("notes.md"), "{}", ran.stderr);
    world.run("vocab --input texts/*.csv --output vocab2").fails(1, &["texts/*.csv", "no file fits this pattern"]);
}

#[test]
fn copies_of_documents_are_dropped_on_request() {
    let world = world();
    let copied = pretrain("plain.txt records.jsonl", "model") + " --drop-duplicates";
    let ran = world.run(&copied).ok();
    assert!(ran.stderr.contains("documents left out, being copies of others"), "{}", ran.stderr);
    world.run(&(pretrain("plain.txt", "once") + " --drop-duplicates")).ok();
    assert!(world.weights("model") == world.weights("once"));
    assert_eq!(world.json("model/cloze.json")["run"]["settings"]["pretrain"]["drop_duplicates"], true);
}

#[test]
fn a_vocabulary_is_made_of_the_files_that_hold_text() {
    let world = world();
    world.write("empty.txt", "");
    world.write("blank.txt", "\n \n");
    world.run("vocab --input plain.txt --output plain --size 60").ok();
    world.run("vocab --input empty.txt plain.txt blank.txt --output vocab --size 60").ok();
    assert!(world.read("vocab/vocab.txt") == world.read("plain/vocab.txt"));
    world.run("vocab --input empty.txt blank.txt --output none").fails(1, &["empty.txt and 1 other files", "no words"]);
    let ran = world.run(&pretrain("plain.txt empty.txt", "model")).ok();
    assert!(ran.stderr.contains("1 files hold no text: empty.txt"), "{}", ran.stderr);
    world.run(&pretrain("blank.txt", "none")).fails(1, &["blank.txt", "holds no text"]);
}

#[test]
fn the_order_of_files_does_not_move_what_is_held_out() {
    let world = world();
    let corpus = String::from_utf8(world.read("corpus.txt")).unwrap();
    let (first, second) = corpus.split_at(corpus.find("\n\n").unwrap() + 2);
    world.write("1.txt", first);
    world.write("2.txt", second);
    let held_out = |input: &str, output: &str| {
        let ran = world.run(&pretrain(input, output)).ok();
        let note = ran.stderr.lines().find(|line| line.contains("held out")).map(str::to_string);
        note.expect("a note")
    };
    let note = held_out("1.txt 2.txt", "one");
    assert!(!note.contains("nothing is"), "{note}");
    assert_eq!(held_out("2.txt 1.txt", "two"), note);
}

#[test]
fn text_fields_are_chosen_and_wrong_ones_named() {
    let world = world();
    world.write("body.jsonl", "{\"title\": \"x\", \"body\": \"the cat runs the cat runs\"}\n");
    world.run("vocab --input body.jsonl --text-field body --output vocab --size 30").ok();
    for command in ["vocab --input body.jsonl --output new", &pretrain("body.jsonl", "new")] {
        world.run(command).fails(1, &["body.jsonl:1", "no field `text`", "`title`, `body`", "--text-field"]);
    }
    for command in [
        "vocab --input snappy.parquet --output new --text-field body".to_string(),
        pretrain("snappy.parquet", "new") + " --text-field body",
    ] {
        world.run(&command).fails(1, &["snappy.parquet", "no column `body`", "`id` (no strings), `text`"]);
    }
    let whole = world.read("records.jsonl.gz");
    world.write("cut.jsonl.gz", &whole[..whole.len() - 30]);
    world.run(&pretrain("cut.jsonl.gz", "new")).fails(1, &["cut.jsonl.gz:", "damaged or cut off", "gzip -t"]);
    world.write("wide.txt", b"\xFF\xFEh\0i\0\n\0");
    world.run(&pretrain("wide.txt", "new")).fails(1, &["wide.txt:1", "not UTF-8", "iconv -f UTF-16 -t UTF-8"]);
    assert!(!world.path("new/config.json").exists());
}
