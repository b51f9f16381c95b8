//! `cloze check`: findings with file and line, exit codes, figures.

mod common;

use common::{World, keys};

const CHECK: &str = "check --task classification --tokenizer vocab.txt --train train.tsv --dev dev.tsv";

/// A world whose files have nothing in common and no line twice.
fn clean() -> World {
    let world = World::new();
    world.write("train.tsv", "text\tlabel\nthe cat runs\tred\na dog sleeps\tblue\n");
    world.write("dev.tsv", "text\tlabel\nthe dog runs\tblue\na cat sleeps\tred\n");
    world
}

#[test]
fn good_files_are_told_in_figures() {
    let world = clean();
    let ran = world.run(&format!("{CHECK} --json --batch-size 2")).ok();
    let figures = ran.answer();
    assert_eq!(keys(&figures), ["errors", "warnings", "notes", "files", "labels", "lengths", "estimate"]);
    assert_eq!((&figures["errors"], &figures["warnings"], &figures["notes"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(figures["files"][1]["examples"], 2);
    assert_eq!(figures["labels"][0]["label"], "blue");
    assert_eq!(figures["lengths"][0]["max"], 5);
    assert_eq!(figures["lengths"][0]["cuts"][0]["max_seq_length"], 64);
    assert!(figures["estimate"].is_null());
    let ran = world.run(CHECK).ok();
    for part in ["read\n  train.tsv", "findings: 0 errors, 1 warning, 0 notes", "labels", "lengths in tokens"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.stdout.lines().any(|line| line.ends_with(' ')), "{}", ran.stdout);
}

#[test]
fn a_model_gives_an_estimate() {
    let world = clean();
    world.pretrain("pretrained", "").ok();
    let command = CHECK.replace("--tokenizer vocab.txt", "--model pretrained --max-seq-length 32 --batch-size 2");
    let figures = world.run(&format!("{command} --json")).ok().answer();
    assert_eq!(figures["estimate"]["steps"], 3);
    assert!(figures["estimate"]["gflops"].as_f64().unwrap() > 0.0);
    assert!(world.run(&command).ok().stdout.contains("estimate of the training"));
    let ran = world.run(&format!("{} --json", command.replace("-length 32", "-length 33"))).fails(1, &[]);
    assert_eq!(ran.json()[0]["kind"], "max-seq-length");
}

#[test]
fn errors_are_findings_with_lines_and_end_with_1() {
    let world = clean();
    world.write("train.tsv", "text\tlabel\nthe cat runs\tred\na dog\na dog sleeps\tblue\nthe cat runs\tblue\n");
    world.write("dev.tsv", "text\tlabel\nthe cat runs\tred\na cat\tpink\n");
    let ran = world.run(&format!("{CHECK} --json --batch-size 2"));
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let lines = ran.json();
    let (figures, findings) = lines.split_last().unwrap();
    let told: Vec<_> = findings
        .iter()
        .map(|found| {
            let text = |key: &str| found[key].as_str().unwrap().to_string();
            (text("severity"), text("kind"), text("path"), found["line"].as_u64())
        })
        .collect();
    let finding = |severity: &str, kind: &str, path: &str, line| {
        (severity.to_string(), kind.to_string(), path.to_string(), Some(line))
    };
    let expected = [
        finding("error", "data", "train.tsv", 3),
        finding("error", "unknown-label", "dev.tsv", 3),
        finding("warning", "contradiction", "train.tsv", 5),
        finding("warning", "leak", "dev.tsv", 2),
    ];
    assert_eq!(told[..4], expected);
    assert_eq!(figures["errors"], 2);
    let ran = world.run(CHECK).fails(1, &[]);
    for part in
        ["error    train.tsv:3: rows that cannot be read: 1", "warning  dev.tsv:2: examples", "line 2  `the cat runs`"]
    {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[test]
fn every_task_is_checked() {
    let world = clean();
    world.write("train.conll", "the\tO\ncat\tI-X\n\n\u{200b}\tB-X\n");
    let ran = world.run("check --task tokens --tokenizer vocab.txt --train train.conll --json").ok();
    let kinds: Vec<_> = ran.json().iter().filter_map(|line| line["kind"].as_str().map(str::to_string)).collect();
    assert!(kinds.contains(&"no-token".to_string()), "{kinds:?}");
    world.run("check --task regression --tokenizer vocab.txt --train train.tsv").fails(1, &[]);
    world.write("several.csv", "text,label\nthe cat,\"cat,red\"\nthe dog,\na red dog,red\nthe cat runs,cat\n");
    let ran = world.run("check --task multi-label --tokenizer vocab.txt --train several.csv").ok();
    assert!(ran.stdout.contains("4 examples, 1.00 labels each"), "{}", ran.stdout);
    let squad = r#"{"data": [{"paragraphs": [{"context": "the cat", "qas": [{"id": "q", "question": "who",
        "answers": [{"text": "dog", "answer_start": 4}]}]}]}]}"#;
    world.write("train.json", squad);
    let ran = world.run("check --task qa --tokenizer vocab.txt --train train.json").ok();
    assert!(ran.stdout.contains("question q: the answer is `dog`, the context has `cat` there"), "{}", ran.stdout);
}

#[test]
fn finetune_tells_the_warnings_of_the_quick_check() {
    let world = World::new();
    let ran = world.finetune("classifier", "").ok();
    assert!(
        ran.stderr.contains("note: dev.tsv:2: examples that are in the training file, too: 20 of 20"),
        "{}",
        ran.stderr
    );
}
