//! Fine-tuning without `--dev`: a tenth of the training examples is held out, or nothing of fewer than fifty texts.

mod common;

use common::World;
use serde_json::{Value, json};

const FLAGS: &str = "--config config.json --tokenizer vocab.txt --batch-size 8 --learning-rate 1e-2 --epochs 2 \
    --max-seq-length 24";

/// A text of its own for every number.
fn text(number: usize) -> String {
    let words = ["cat", "dog", "runs", "sleeps", "the", "a", "."];
    let mut rest = number;
    let mut text = ["red", "blue"][number % 2].to_string();
    for _ in 0..4 {
        text = format!("{text} {}", words[rest % 7]);
        rest /= 7;
    }
    text
}

/// Questions in the format of SQuAD 2.0: two on each context, one of which has no answer.
fn questions(contexts: usize) -> String {
    let paragraph = |at: usize| {
        let colour = ["red", "blue"][at % 2];
        json!({ "context": text(at), "qas": [
            { "id": format!("q{at}"), "question": "the", "is_impossible": false,
              "answers": [{ "text": colour, "answer_start": 0 }] },
            { "id": format!("n{at}"), "question": "a runs", "is_impossible": true, "answers": [] },
        ]})
    };
    let paragraphs: Vec<Value> = (0..contexts).map(paragraph).collect();
    json!({ "version": "v2.0", "data": [{ "title": "t", "paragraphs": paragraphs }] }).to_string()
}

/// Writes a file for every task, with so many groups; gives for each its task, name, kind of group, and examples.
fn data(world: &World, groups: usize) -> Vec<(&'static str, &'static str, &'static str, usize)> {
    let table = |header: &str, row: &dyn Fn(usize) -> String| {
        (0..groups).fold(format!("{header}\n"), |table, number| table + &row(number) + "\n")
    };
    let colour = |number: usize| ["red", "blue"][number % 2];
    world.write("texts.tsv", table("text\tlabel", &|number| format!("{}\t{}", text(number), colour(number))));
    // Each first text comes with two second ones.
    let pair = |number: usize, second: usize| {
        format!("{}\t{}\t{}", text(number), text(2 * number + second + 1_000), colour(number))
    };
    let pairs = table("text\ttext_b\tlabel", &|number| format!("{}\n{}", pair(number, 0), pair(number, 1)));
    world.write("pairs.tsv", pairs);
    let labels = |number: usize| ["red", "blue", "red,cat", ""][number % 4];
    world.write("several.csv", table("text,label", &|number| format!("{},\"{}\"", text(number), labels(number))));
    world.write("values.tsv", table("text\tlabel", &|number| format!("{}\t{}", text(number), number as f64 / 10.0)));
    let words = |number: usize| {
        let text = text(number);
        let label = |word: &str| if ["red", "blue"].contains(&word) { "B-colour" } else { "O" };
        text.split(' ').map(|word| format!("{word}\t{}\n", label(word))).collect::<String>()
    };
    world.write("words.conll", table("", &words));
    // Two sentences to a document.
    let document = |number: usize| format!("-DOCSTART-\tO\n\n{}\n{}", words(number), words(number + 1));
    world.write("documents.conll", table("", &document));
    world.write("questions.json", questions(groups));
    vec![
        ("classification", "texts.tsv", "text", groups),
        ("classification", "pairs.tsv", "text", 2 * groups),
        ("multi-label", "several.csv", "text", groups),
        ("regression", "values.tsv", "text", groups),
        ("tokens", "words.conll", "sentence", groups),
        ("tokens", "documents.conll", "document", 2 * groups),
        ("qa", "questions.json", "context", 2 * groups),
    ]
}

fn command(task: &str, data: &str, more: &str) -> String {
    let query = if task == "qa" { "--max-query-length 4" } else { "" };
    format!("finetune --task {task} --train {data} {FLAGS} {query} --output model --overwrite {more}")
}

#[test]
fn a_tenth_is_held_out_for_every_task() {
    let world = World::new();
    for (task, file, shared, examples) in data(&world, 60) {
        let ran = world.run(&command(task, file, "--json")).ok();
        let held_out = examples / 10;
        let note = format!("note: {held_out} of {examples} examples of {file} are held out");
        assert!(ran.stderr.contains(&note), "{note}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("no {shared} is in both parts; give --dev FILE")), "{}", ran.stderr);
        let evaluation = world.json("model/evaluation.json");
        assert_eq!(evaluation["examples"], held_out, "{file}");
        let stored = world.json("model/cloze.json");
        assert_eq!(stored["metrics"], evaluation["metrics"], "{file}");
        assert_eq!(stored["run"]["settings"]["finetune"]["dev"], Value::Null);
        assert_eq!(stored["thresholds"].is_array(), task == "multi-label");
        let last = ran.json().pop().unwrap();
        assert!(last["metrics"]["loss"].is_number() && last["verdict"]["has_learnt"].is_boolean(), "{last}");
        let (card, report) = (world.read("model/README.md"), world.read("model/report.html"));
        let (card, report) = (String::from_utf8(card).unwrap(), String::from_utf8(report).unwrap());
        assert!(card.contains(&format!("- Measured on {held_out} examples that were held out of them")), "{card}");
        assert!(report.contains(&format!("measured on {held_out} examples of it that were held out")), "{file}");
    }
    world.run(&command("classification", "texts.tsv", "")).ok();
    let classes = &world.json("model/evaluation.json")["classes"];
    assert_eq!((&classes["red"]["support"], &classes["blue"]["support"]), (&json!(3), &json!(3)), "{classes}");
}

#[test]
fn below_fifty_groups_every_task_keeps_its_last_weights() {
    let world = World::new();
    for (task, file, shared, examples) in data(&world, 49) {
        let groups = match file {
            "pairs.tsv" => "49 groups of pairs without a common text".to_string(),
            _ => format!("49 different {shared}s"),
        };
        let ran = world.run(&command(task, file, "--patience 1 --eval-steps 2 --calibrate --json")).ok();
        let note = format!("nothing is held out: {file} has {groups}, and fewer than 50");
        assert!(ran.stderr.contains(&note), "{note}: {}", ran.stderr);
        let without = "without effect, as there is nothing to measure with: --eval-steps, --patience, --calibrate";
        assert!(ran.stderr.contains(without), "{}", ran.stderr);
        let steps = 2 * examples.div_ceil(8);
        let last = ran.json().pop().unwrap();
        assert_eq!((&last["step"], &last["metrics"]), (&json!(steps), &json!({})), "{last}");
        assert_eq!(last["verdict"]["has_learnt"], Value::Null);
        assert!(last["verdict"]["advice"].as_str().unwrap().contains("--dev FILE"), "{last}");
        let stored = world.json("model/cloze.json");
        assert!(stored["metrics"].is_null() && stored["thresholds"].is_null() && stored["temperature"].is_null());
        assert_eq!(stored["questions"]["null_threshold"], if task == "qa" { json!(0.0) } else { Value::Null });
        assert!(!world.path("model/evaluation.json").exists());
        let checkpoint = world.read(&format!("model/checkpoint-{steps}/model.safetensors"));
        assert!(world.weights("model") == checkpoint, "{file}: the last weights");
        assert!(String::from_utf8(world.read("model/README.md")).unwrap().contains("Nothing was held out"));
        world.run("report model").ok();
        let report = String::from_utf8(world.read("model/report.html")).unwrap();
        assert!(report.contains(": not measured</h1>"), "{report}");
        world.run(&format!("evaluate --model model --input {file}")).ok();
        world.run(&command(task, file, "--patience 1 --eval-steps 2 --calibrate").replace("--overwrite", "")).ok();
        let words = ["--text", "the red cat", "--text-b", "a dog"];
        world
            .run_with("predict --model model", if file == "pairs.tsv" || task == "qa" { &words } else { &words[..2] })
            .ok();
    }
}

/// The same rows are held out when a training is resumed, and with every seed.
#[test]
fn a_resumed_run_and_every_seed_hold_out_the_same_rows() {
    let world = World::new();
    for (groups, file) in [(60, "texts.tsv"), (49, "texts.tsv"), (60, "documents.conll")] {
        data(&world, groups);
        let task = if file == "texts.tsv" { "classification" } else { "tokens" };
        let again = command(task, file, "--save-steps 1").replace("--overwrite", "");
        world.run(&format!("{again} --overwrite")).ok();
        let (weights, stored) = (world.weights("model"), world.json("model/cloze.json"));
        // As it was when the last step had not been made.
        let last = world.json("model/trainer_state.json")["global_step"].as_u64().unwrap();
        std::fs::remove_dir_all(world.path(&format!("model/checkpoint-{last}"))).unwrap();
        std::fs::remove_file(world.path("model/model.safetensors")).unwrap();
        let mut unfinished = stored.clone();
        unfinished["run"]["finished"] = json!(false);
        world.write("model/cloze.json", unfinished.to_string());
        let ran = world.run(&format!("{again} --threads 1")).ok();
        assert!(ran.stderr.contains("of them done before"), "{}", ran.stderr);
        assert!(world.weights("model") == weights, "{groups} {file}: other weights after a resume");
        assert_eq!(world.json("model/cloze.json"), stored, "{groups} {file}");
        // Other settings, and other rows, are refused.
        world.run(&format!("{again} --dev {file}")).fails(1, &["dev = not given"]);
        world.write("model/cloze.json", unfinished.to_string());
        let rows = String::from_utf8(world.read(file)).unwrap();
        world.write(file, rows.replacen("runs", "sleeps", 1));
        world.run(&again).fails(1, &["data that has changed"]);
        std::fs::remove_dir_all(world.path("model")).unwrap();
    }
    data(&world, 60);
    let seeds = "finetune --task classification --train texts.tsv --seeds 3,4 --output seeds";
    world.run(&format!("{seeds} {FLAGS}")).ok();
    let stored = [3, 4].map(|seed| world.json(&format!("seeds/seed-{seed}/cloze.json")));
    // The hash is that of both parts.
    assert_eq!(stored[0]["run"]["data"], stored[1]["run"]["data"]);
    assert!(world.weights("seeds/seed-3") != world.weights("seeds/seed-4"));
    assert!(world.json("seeds/summary.json")["best"]["seed"].is_u64());
    data(&world, 49);
    let ran = world.run(&format!("{seeds} {FLAGS} --overwrite --json")).ok();
    assert_eq!(ran.json().pop().unwrap()["metrics"], json!({}));
    assert!(ran.stderr.contains("no seed is known to be the best"), "{}", ran.stderr);
    let summary = world.json("seeds/summary.json");
    assert_eq!((&summary["best"], &summary["mean"]), (&Value::Null, &json!({})), "{summary}");
    assert!(String::from_utf8(world.read("seeds/report.html")).unwrap().contains("2 seeds: not measured"));
    world.run(&format!("{seeds} {FLAGS}")).ok();
}
