//! Every task from training to prediction: labels, several labels, words, answers to questions; short texts and long
//! ones; and what is stored with the model.

mod common;

use common::{World, keys};
use serde_json::{Value, json};

const FLAGS: &str = "--config config.json --tokenizer vocab.txt --batch-size 8 --learning-rate 1e-2";

/// Texts with the labels `red`, `cat`, both or none, of which `cat` is rare.
const SEVERAL: &str = "text,label\n\"the red dog\",red\n\"the blue cat\",cat\n\"a red cat\",\"red,cat\"\n\
    \"a blue dog\",\n\"the red dog runs\",red\n\"a red dog sleeps\",red\n\"the blue dog runs\",\n\"a blue dog .\",\n";

const WORDS: &str =
    "the\tO\nred\tB-colour\ncat\tB-animal\nruns\tO\n\na\tO\nblue\tB-colour\nred\tI-colour\ndog\tB-animal\n\n";

/// Questions in the format of SQuAD 2.0: which colour, and one that the text does not answer.
fn questions() -> String {
    let paragraph = |at: usize, colour: &str, animal: &str| {
        let context = format!("the {colour} {animal} sleeps.");
        json!({ "context": context, "qas": [
            { "id": format!("q{at}"), "question": format!("the {animal}"), "is_impossible": false,
              "answers": [{ "text": colour, "answer_start": 4 }] },
            { "id": format!("n{at}"), "question": "a runs", "is_impossible": true, "answers": [] },
        ]})
    };
    let paragraphs: Vec<Value> =
        (0..8).map(|at| paragraph(at, ["red", "blue"][at % 2], ["cat", "dog"][at / 2 % 2])).collect();
    json!({ "version": "v2.0", "data": [{ "title": "t", "paragraphs": paragraphs }] }).to_string()
}

/// Weights that are larger than BERT's first ones, in proportion to the small hidden size: all tasks are learnt soon.
fn world() -> World {
    let world = World::new();
    let config = r#"{"vocab_size": 14, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 32, "initializer_range": 0.2}"#;
    world.write("config.json", config);
    world
}

fn train(world: &World, task: &str, data: &str, more: &str) {
    let output = if more.contains("--output") { "" } else { "--output model" };
    let length = if more.contains("--max-seq-length") { "" } else { "--max-seq-length 32" };
    world.run(&format!("finetune --task {task} --train {data} --dev {data} {FLAGS} {output} {length} {more}")).ok();
}

fn words(count: usize) -> String {
    "the cat ".repeat(count / 2) + if count % 2 == 1 { "runs" } else { "" }
}

#[test]
fn a_text_may_have_several_labels_with_thresholds_of_their_own() {
    let world = world();
    world.write("several.csv", SEVERAL);
    train(&world, "multi-label", "several.csv", "--epochs 60 --dropout 0 --metric loss");
    let stored = world.json("model/cloze.json");
    assert_eq!(stored["thresholds"].as_array().unwrap().len(), 2, "{stored}");
    let line = world.run("evaluate --model model --input several.csv --json").ok().answer();
    assert_eq!((&line["task"], &line["f1"], &line["exact_match"]), (&json!("multi-label"), &json!(1.0), &json!(1.0)));
    assert_eq!(stored["metrics"]["f1"], line["f1"], "what is stored is what evaluate says");
    let line = world.run_with("predict --model model --json", &["--text", "a red cat"]).ok().answer();
    assert_eq!(keys(&line), ["labels", "scores", "tokens", "windows", "truncated"]);
    assert_eq!(line["labels"], json!(["cat", "red"]));
    // The same as lists of JSON; a threshold above all probabilities takes the label away.
    world.write("one.jsonl", "{\"text\": \"a red cat\", \"label\": [\"red\", \"cat\"]}\n");
    world.run("evaluate --model model --input one.jsonl --json").ok();
    let mut stored = stored;
    stored["thresholds"][0] = json!(1.1);
    world.write("model/cloze.json", stored.to_string());
    let line = world.run_with("predict --model model --json", &["--text", "a red cat"]).ok().answer();
    assert_eq!(line["labels"], json!(["red"]));
}

/// Rare labels and a slow start: at thresholds of 0.5 no text gets a label, whatever the epoch.
#[test]
fn several_labels_keep_the_epoch_with_the_best_f1_at_tuned_thresholds() {
    let world = world();
    world.write("several.csv", SEVERAL);
    world.write("other.csv", SEVERAL.replace("dog\",red", "dog\",cat"));
    for metric in ["f1", "macro_f1", "exact_match"] {
        let slow = format!("--epochs 4 --learning-rate 1e-3 --dropout 0 --metric {metric} --output {metric}");
        let ran = world.run(&format!(
            "finetune --task multi-label --train several.csv --dev several.csv --config config.json --tokenizer vocab.txt \
             --batch-size 4 --max-seq-length 32 --json {slow}"
        ));
        let line = ran.ok().json().pop().unwrap();
        let state = world.json(&format!("{metric}/trainer_state.json"));
        let (expected, values) = best_evaluation(&state, metric);
        assert_eq!(state["best_global_step"], expected["step"], "{metric}: {values:?}");
        assert_eq!(state["best_metric"], expected[format!("eval_{metric}")]);
        assert_eq!(world.json(&format!("{metric}/run_state.json"))["best_loss"], expected["eval_loss"]);
        assert!(values.iter().any(|value| *value > 0.3), "{metric}: {values:?}");
        let stored = world.json(&format!("{metric}/cloze.json"));
        assert_eq!(
            stored["metrics"][metric],
            expected[format!("eval_{metric}")],
            "the stored thresholds are the tuned ones"
        );
        assert_eq!((&stored["tuning"]["metric"], &stored["tuning"]["folds"]), (&json!(metric), &json!(5)));
        assert_eq!(line["tuning"], stored["tuning"]);
        assert_eq!(line["metrics"], stored["metrics"]);
        assert!(stored["metrics"][format!("cross_fitted_{metric}")].is_f64(), "{stored}");
        // The examples that chose the thresholds are known again, in any format; others are not.
        let own = world.run(&format!("evaluate --model {metric} --input several.csv --json")).ok();
        assert!(own.stderr.contains("these examples chose the thresholds"), "{}", own.stderr);
        let own = own.answer();
        assert_eq!(own["details"]["tuning"], stored["tuning"]);
        for (name, value) in stored["metrics"].as_object().unwrap() {
            assert_eq!(&own[name], value, "{metric}: {name}");
        }
        let ran = world.run(&format!("compare {metric} {metric} --data several.csv")).ok();
        assert!(ran.stderr.contains("chose the thresholds of the second model"), "{}", ran.stderr);
        let other = world.run(&format!("evaluate --model {metric} --input other.csv --json")).ok();
        assert!(!other.stderr.contains("chose the thresholds"), "{}", other.stderr);
        let other = other.answer();
        assert!(other.get("cross_fitted_f1").is_none() && other["details"].get("tuning").is_none(), "{other}");
    }
}

/// Each model reads its own columns, and its own examples chose its thresholds. Copies of a text are in one fold.
#[test]
fn compare_knows_the_examples_of_either_model() {
    let world = world();
    let rows = ["the red dog\tred\ta cat\tcat\n", "a red dog\tred\tthe dog\tdog\n", "the cat\tcat\tthe dog\tdog\n"];
    world.write("both.tsv", format!("text\tlabel\tother\ttags\n{}", rows.concat().repeat(3)));
    train(&world, "multi-label", "both.tsv", "--epochs 1 --output a --columns text=text,label=label");
    train(&world, "multi-label", "both.tsv", "--epochs 1 --output b --columns text=other,label=tags");
    let folds = |model: &str| world.json(&format!("{model}/cloze.json"))["tuning"]["folds"].clone();
    assert_eq!((folds("a"), folds("b")), (json!(3), json!(2)));
    let ran = world.run("compare a b --data both.tsv").ok();
    for which in ["first", "second"] {
        assert!(ran.stderr.contains(&format!("chose the thresholds of the {which} model")), "{}", ran.stderr);
    }
}

/// The evaluation that a training must keep: the greatest metric, of equal ones the lowest loss, then the first. And the
/// values of all.
fn best_evaluation(state: &Value, metric: &str) -> (Value, Vec<f64>) {
    let name = format!("eval_{metric}");
    let entries = state["log_history"].as_array().unwrap().iter().filter(|entry| entry.get("eval_loss").is_some());
    let entries: Vec<&Value> = entries.collect();
    let value = |entry: &Value| entry[&name].as_f64().unwrap();
    let loss = |entry: &Value| entry["eval_loss"].as_f64().unwrap();
    let best = entries.iter().copied().reduce(|best, entry| {
        let wins = value(entry) > value(best) || value(entry) == value(best) && loss(entry) < loss(best);
        if wins { entry } else { best }
    });
    (best.unwrap().clone(), entries.iter().map(|entry| value(entry)).collect())
}

#[test]
fn words_are_labelled_with_entities_in_the_text_as_it_is() {
    let world = world();
    world.write("words.conll", WORDS.repeat(6));
    for subtokens in ["first", "mean"] {
        train(&world, "tokens", "words.conll", &format!("--epochs 20 --subtokens {subtokens} --output {subtokens}"));
        let line = world.run(&format!("evaluate --model {subtokens} --input words.conll --json")).ok().answer();
        for key in ["accuracy", "precision", "recall", "f1", "strict_f1", "colour_f1", "animal_f1"] {
            assert_eq!(line[key], json!(1.0), "{key}: {line}");
        }
    }
    let line = world.run_with("predict --model first --json", &["--text", "  A blue, red  dog."]).ok().answer();
    assert_eq!(keys(&line), ["words", "labels", "entities", "tokens", "windows", "truncated"]);
    assert_eq!(line["words"], json!(["A", "blue", ",", "red", "dog", "."]));
    let blue = &line["entities"][0];
    assert_eq!(
        (&blue["label"], &blue["start"], &blue["end"], &blue["text"]),
        (&json!("colour"), &json!(4), &json!(8), &json!("blue"))
    );
    // Words that come split stay so.
    world.write("split.jsonl", "{\"words\": [\"the\", \"red,\", \"cat\"]}\n");
    let line = world.run("predict --model first --input split.jsonl --json").ok().answer();
    assert_eq!(line["words"], json!(["the", "red,", "cat"]));
    assert_eq!(line["labels"].as_array().unwrap().len(), 3);
    assert_eq!(world.run("predict --model first --input words.conll --json").ok().json().len(), 12);
}

/// BIOES in one spelling, BMES in another; a word of which the tokenizer leaves nothing stands within an entity.
#[test]
fn predicted_entities_are_those_that_were_measured() {
    let world = world();
    let bioes = "the\tO\nred\tB-colour\n\u{200b}\tI-colour\nblue\tE-colour\ncat\tS-animal\n\n\
        a\tO\nred\tB-colour\nred\tI-colour\nblue\tE-colour\ndog\tS-animal\n\n";
    for (spelling, data) in [
        ("bioes", bioes.to_string()),
        ("bmes", bioes.replace("I-colour", "colour_M").replace("B-colour", "colour_B").replace("E-colour", "colour_E")),
    ] {
        let data = if spelling == "bmes" { data.replace("S-animal", "animal_S") } else { data };
        world.write("words.conll", data.repeat(8));
        let trained = format!("--epochs 30 --dropout 0 --output {spelling}");
        train(&world, "tokens", "words.conll", &trained);
        let line = world.run(&format!("evaluate --model {spelling} --input words.conll --json")).ok().answer();
        assert_eq!(
            (&line["accuracy"], &line["f1"], &line["strict_f1"]),
            (&json!(1.0), &json!(1.0), &json!(1.0)),
            "{line}"
        );
        let lines = world.run(&format!("predict --model {spelling} --input words.conll --json")).ok().json();
        let entities = |line: &Value| -> Vec<(String, String)> {
            let of =
                |entity: &Value| (entity["label"].as_str().unwrap().into(), entity["text"].as_str().unwrap().into());
            line["entities"].as_array().unwrap().iter().map(of).collect()
        };
        let own = |label: &str, text: &str| (label.to_string(), text.to_string());
        assert_eq!(entities(&lines[0]), [own("colour", "red \u{200b} blue"), own("animal", "cat")], "{}", lines[0]);
        assert_eq!(entities(&lines[1]), [own("colour", "red red blue"), own("animal", "dog")], "{}", lines[1]);
    }
}

/// The tagger is perfect on one file; in the other all `N` and `V` are exchanged.
#[test]
fn one_letter_parts_of_speech_are_plain_labels() {
    let world = world();
    let tagged = "cat N\nruns V\nthe E\ndog S\n\ndog S\nruns V\nthe E\ncat N\n\n".repeat(8);
    world.write("pos.conll", &tagged);
    world.write("exchanged.conll", tagged.replace(" N", " X").replace(" V", " N").replace(" X", " V"));
    train(&world, "tokens", "pos.conll", "--epochs 30 --dropout 0");
    let line = world.run("evaluate --model model --input exchanged.conll --json").ok().answer();
    assert_eq!(
        (&line["accuracy"], &line["f1"], &line["strict_f1"]),
        (&json!(0.5), &Value::Null, &Value::Null),
        "{line}"
    );
    let run = world.run("evaluate --model model --input pos.conll --json").ok();
    assert!(run.stderr.contains("the labels mark no entities"), "{}", run.stderr);
    assert_eq!(world.json("model/cloze.json")["metrics"]["accuracy"], json!(1.0));
}

/// One text stands under both labels, so the F1 of the two differ.
#[test]
fn f1_of_two_labels_names_its_label_which_can_be_chosen() {
    let world = world();
    let texts = "the cat\tyes\na red cat\tyes\nthe dog\tno\na blue dog\tno\n".repeat(4);
    world.write("train.tsv", format!("text\tlabel\n{texts}"));
    world.write("dev.tsv", "text\tlabel\nthe cat\tyes\nthe dog\tno\na red cat\tyes\nthe cat\tno\n");
    let data = |more: &str| format!("finetune --task classification --train train.tsv --dev dev.tsv {FLAGS} {more}");
    let flags = "--epochs 20 --dropout 0 --max-seq-length 16";
    let run = world.run(&data(&format!("{flags} --output model"))).ok();
    assert!(run.stderr.contains("f1 is that of the label yes"), "{}", run.stderr);
    let f1 = |line: &Value| (line["positive_label"].clone(), (line["f1"].as_f64().unwrap() * 1e6).round() / 1e6);
    let line = world.run("evaluate --model model --input dev.tsv --json").ok().answer();
    assert_eq!(f1(&line), (json!("yes"), 0.8), "{line}");
    let line = world.run("evaluate --model model --input dev.tsv --positive-label no --json").ok().answer();
    assert_eq!(f1(&line), (json!("no"), 0.666667), "{line}");
    let text = world.run("evaluate --model model --input dev.tsv").ok().stdout;
    assert!(text.lines().any(|line| line.starts_with("f1\t0.8") && line.ends_with("of the label yes")), "{text}");
    // The choice of a training is stored with the model.
    world.run(&data(&format!("{flags} --metric f1 --positive-label no --output other"))).ok();
    assert_eq!(world.json("other/cloze.json")["positive_label"], json!("no"));
    let line = world.run("evaluate --model other --input dev.tsv --json").ok().answer();
    assert_eq!(f1(&line), (json!("no"), 0.666667), "{line}");
    assert!(String::from_utf8(world.read("other/README.md")).unwrap().contains("`f1` of `no`"));
    world.run("evaluate --model model --input dev.tsv --positive-label maybe").fails(1, &["maybe", "no, yes"]);
    world.run(&data("--positive-label maybe --output third")).fails(1, &["maybe", "no, yes"]);
}

#[test]
fn questions_are_answered_from_their_text_or_not_at_all() {
    let world = world();
    world.write("questions.json", questions());
    train(
        &world,
        "qa",
        "questions.json",
        "--epochs 60 --dropout 0 --metric loss --max-seq-length 16 --max-query-length 4",
    );
    let stored = world.json("model/cloze.json");
    assert!(stored["questions"]["null_threshold"].is_number(), "{stored}");
    let line = world.run("evaluate --model model --input questions.json --output files --json").ok().answer();
    assert_eq!((&line["task"], &line["examples"]), (&json!("qa"), &json!(16)));
    for key in ["exact_match", "f1", "HasAns_f1", "NoAns_f1", "best_f1"] {
        assert_eq!(line[key], json!(100.0), "{key}: {line}");
    }
    let predictions = world.json("files/predictions.json");
    assert_eq!(
        (&predictions["q0"], &predictions["q1"], &predictions["n0"]),
        (&json!("red"), &json!("blue"), &json!(""))
    );
    assert_eq!(world.json("files/nbest_predictions.json")["q0"][0]["text"], json!("red"));
    assert!(world.json("files/null_odds.json")["n0"].as_f64() > world.json("files/null_odds.json")["q0"].as_f64());

    let lines = world.run("predict --model model --input questions.json --output again --json").ok().json();
    assert_eq!(lines.len(), 16);
    assert_eq!(
        keys(&lines[0]),
        ["id", "answer", "score", "start", "end", "null_odds", "tokens", "windows", "truncated"]
    );
    assert_eq!((&lines[0]["start"], &lines[0]["end"]), (&json!(4), &json!(7)));
    assert_eq!(lines[1]["start"], Value::Null);
    assert_eq!(world.read("again/null_odds.json"), world.read("files/null_odds.json"));
    let pair = &["--text", "the cat", "--text-b", "the red cat sleeps."];
    assert_eq!(world.run_with("predict --model model --json", pair).ok().answer()["answer"], "red");
    world.run_with("predict --model model", &pair[..2]).fails(1, &["--text", "without the text that it is about"]);
    world.write("asked.jsonl", "{\"id\": \"x\", \"question\": \"the cat\", \"context\": \"the blue cat sleeps.\"}\n");
    let line = world.run("predict --model model --input asked.jsonl --json").ok().answer();
    assert_eq!((&line["id"], &line["answer"]), (&json!("x"), &json!("blue")));

    let all = world.run("evaluate --model model --input questions.json --null-threshold 1e9 --json").ok().answer();
    assert_eq!((&all["NoAns_f1"], &all["HasAns_f1"]), (&json!(0.0), &json!(100.0)));
    let none = world.run("predict --model model --input questions.json --null-threshold -1e9 --json").ok().json();
    assert!(none.iter().all(|line| line["answer"] == ""));
    // A model that answers questions is trained on.
    let on = "finetune --task qa --train questions.json --dev questions.json --max-seq-length 16 --max-query-length 4";
    world.run(&format!("{on} --epochs 1 --model model --output further")).ok();
    world.finetune("classifier", "").ok();
    let parts = ["labels blue, red of texts", "answers to questions", "--new-head"];
    world.run(&format!("{on} --model classifier --output other")).fails(1, &parts);

    let both = ["Google's", "Hugging Face's", "--window-advance", "--window-overlap"];
    world.run("evaluate --model model --input questions.json --doc-stride 128").fails(2, &both);
    let still = "evaluate --model model --input questions.json --window-overlap 30";
    world.run(still).fails(1, &["an overlap of 30 tokens", "never end"]);
}

#[test]
fn answers_that_are_not_in_their_text_are_told() {
    let world = world();
    world.write("moved.json", questions().replacen("\"answer_start\":4", "\"answer_start\":9", 1));
    let flags = format!("{FLAGS} --epochs 1 --max-seq-length 16 --max-query-length 4");
    let ran = world.run(&format!("finetune --task qa --train moved.json --dev moved.json {flags} --output model")).ok();
    for part in ["moved.json: question `q0`: the answer `red`", "1 questions have no answer to learn from"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    // Of many, all ids are told.
    world.write("questions.json", questions());
    let qas: Vec<Value> = (0..30)
        .map(|at| json!({ "id": format!("x{at}"), "question": "the cat", "answers": [{ "text": "blue", "answer_start": 0 }] }))
        .collect();
    let moved = json!({ "data": [{ "paragraphs": [{ "context": "the red cat", "qas": qas }] }] });
    world.write("many.json", moved.to_string());
    let ran =
        world.run(&format!("finetune --task qa --train questions.json --dev many.json {flags} --output other")).ok();
    for at in 0..30 {
        let is_told =
            |line: &str| line.contains("many.json") && line.replace(['`', ','], " ").contains(&format!(" x{at} "));
        assert!(ran.stderr.lines().any(|line| is_told(&format!("{line} "))), "x{at}: {}", ran.stderr);
    }
}

/// Lengths around that of the model, which reads 32 tokens, and one far beyond.
#[test]
fn long_input_is_cut_and_counted_or_read_in_windows() {
    let world = world();
    world.write("words.conll", WORDS.repeat(4));
    world.write("questions.json", questions());
    world.write("several.csv", SEVERAL);
    world.write("numbers.tsv", "text\tlabel\nthe cat\t0.5\na dog\t1.5\n");
    let flags = "--epochs 1 --max-seq-length 32";
    train(&world, "classification", "train.tsv", &format!("{flags} --output classification"));
    train(&world, "regression", "numbers.tsv", &format!("{flags} --output regression"));
    train(&world, "multi-label", "several.csv", &format!("{flags} --output multi-label"));
    train(&world, "tokens", "words.conll", &format!("{flags} --output tokens"));
    train(&world, "qa", "questions.json", &format!("{flags} --max-query-length 4 --output qa"));
    world.pretrain("pretrained", "").ok();
    for (task, command) in [
        ("classification", "predict"),
        ("regression", "predict"),
        ("multi-label", "predict"),
        ("tokens", "predict"),
        ("qa", "predict"),
        ("pretrained", "embed"),
    ] {
        for tokens in [31, 32, 33, 320] {
            let asked = if task == "qa" { 2 } else { 0 };
            let special = if task == "qa" { 3 } else { 2 };
            let text = words(tokens - special - asked);
            let texts = if task == "qa" { vec!["--text", "the cat", "--text-b", &text] } else { vec!["--text", &text] };
            let answer = |long: &str| {
                let flags = format!("{command} --model {task} --json --max-length 32 --long {long}");
                world.run_with(&flags, &texts).ok().answer()
            };
            let (cut, whole) = (answer("truncate"), answer("window"));
            let of = |line: &Value, key: &str| line[key].as_u64().unwrap() as usize;
            assert_eq!(of(&cut, "tokens") + of(&cut, "truncated"), tokens, "{task}: {cut}");
            assert_eq!((of(&cut, "tokens"), of(&cut, "windows")), (tokens.min(32), 1), "{task}: {cut}");
            assert_eq!((of(&whole, "tokens"), of(&whole, "truncated")), (tokens, 0), "{task}: {whole}");
            assert_eq!(of(&whole, "windows") > 1, tokens > 32, "{task}: {whole}");
            if task == "tokens" {
                assert!(whole["labels"].as_array().unwrap().iter().all(Value::is_string), "{whole}");
                let lost = cut["labels"].as_array().unwrap().iter().filter(|label| label.is_null()).count();
                assert_eq!(lost, of(&cut, "truncated"), "{cut}");
            }
        }
    }
}

#[test]
fn the_longer_text_of_a_pair_is_windowed_and_pooling_is_stored() {
    let world = world();
    let rows: String =
        (0..8).map(|row| format!("the {} cat\t{}\t{}\n", ["red", "blue"][row % 2], words(40), row % 2)).collect();
    world.write("pairs.tsv", format!("text\ttext_b\tlabel\n{rows}"));
    for pooling in ["mean", "max"] {
        let flags = format!(
            "--long window --window-pooling {pooling} --epochs 6 --metric loss --max-seq-length 16 --output {pooling}"
        );
        train(&world, "classification", "pairs.tsv", &flags);
        assert_eq!(world.json(&format!("{pooling}/cloze.json"))["window_pooling"], json!(pooling));
        let line = world.run(&format!("predict --model {pooling} --input pairs.tsv --json")).ok().json();
        assert_eq!((&line[0]["tokens"], &line[0]["truncated"]), (&json!(46), &json!(0)), "{}", line[0]);
        assert!(line[0]["windows"].as_u64().unwrap() > 3, "{}", line[0]);
    }
    assert!(world.weights("mean") != world.weights("max"));
}

#[test]
fn a_temperature_makes_probabilities_honest() {
    let world = world();
    // One label in four is wrong, so nothing can be surer than 0.75.
    let rows: String = (0..32)
        .map(|row| {
            format!("the {} cat\t{}\n", ["red", "blue"][row % 2], if row % 8 < 2 { 1 - row % 2 } else { row % 2 })
        })
        .collect();
    world.write("noisy.tsv", format!("text\tlabel\n{rows}"));
    train(&world, "classification", "train.tsv", "--epochs 8");
    train(
        &world,
        "classification",
        "noisy.tsv",
        "--epochs 40 --dropout 0 --metric loss --calibrate --output calibrated",
    );
    assert!(world.json("model/cloze.json")["temperature"].is_null());
    let temperature = world.json("calibrated/cloze.json")["temperature"].as_f64().unwrap();
    assert!(temperature > 0.0);
    let line = world.run_with("predict --model calibrated --json", &["--text", "the red cat"]).ok().answer();
    let score = line["score"].as_f64().unwrap();
    assert!((score - 0.75).abs() < 0.01, "{line}, temperature {temperature}");
}

#[test]
fn two_models_are_compared_on_the_same_examples() {
    let world = world();
    world.finetune("good", "").ok();
    train(&world, "classification", "train.tsv", "--epochs 1 --output poor");
    let same = world.run("compare good good --data dev.tsv --json").ok().answer();
    assert_eq!(keys(&same), ["task", "examples", "a", "b", "differences", "mcnemar_p"]);
    let accuracy = &same["differences"]["accuracy"];
    assert_eq!(
        (&accuracy["difference"], &accuracy["p_value"], &same["mcnemar_p"]),
        (&json!(0.0), &json!(1.0), &json!(1.0))
    );
    let other = world.run("compare good poor --data dev.tsv --json").ok().answer();
    assert!(other["differences"]["accuracy"]["difference"].as_f64().unwrap() > 0.2, "{other}");
    assert!(other["mcnemar_p"].as_f64().unwrap() < 0.05, "{other}");
    assert_eq!(other["a"]["accuracy"], json!(1.0));
    world.write("words.conll", WORDS.repeat(2));
    train(&world, "tokens", "words.conll", "--epochs 1 --output tokens");
    world.run("compare good tokens --data dev.tsv").fails(1, &["classification", "tokens"]);
    // A model that knows a third label has no F1 of two; the metrics of both are compared all the same.
    let rows = String::from_utf8(world.read("train.tsv")).unwrap() + "a cat sleeps\tnone\n";
    world.write("three.tsv", rows);
    train(&world, "classification", "three.tsv", "--epochs 1 --output three");
    let third = world.run("compare good three --data dev.tsv --json").ok().answer();
    assert_eq!(keys(&third["differences"]), ["accuracy", "macro_f1", "matthews_correlation"]);
    let differ = |name: &str| third["a"][name].as_f64().unwrap() - third["b"][name].as_f64().unwrap();
    for name in ["accuracy", "matthews_correlation"] {
        assert_eq!(third["differences"][name]["difference"].as_f64().unwrap(), differ(name), "{name}");
    }
}

/// A run that was cut off after any checkpoint ends in the same weights, whatever it learns.
#[test]
fn every_task_resumes_to_the_bit() {
    let world = world();
    world.write("words.conll", WORDS.repeat(12));
    world.write("questions.json", questions());
    world.write("several.csv", SEVERAL);
    for (task, data) in [("tokens", "words.conll"), ("qa", "questions.json"), ("multi-label", "several.csv")] {
        let command = format!(
            "finetune --task {task} --train {data} --dev {data} {FLAGS} --epochs 3 --max-seq-length 16 \
             --max-query-length 4 --eval-steps 2 --save-steps 1 --class-weights balanced --layer-decay 0.9 --output {task}"
        );
        let command = if task == "tokens" { command } else { command.replace("--class-weights balanced", "") };
        world.run(&command).ok();
        let (weights, stored) = (world.weights(task), world.json(&format!("{task}/cloze.json")));
        // As it was when the last step had not been made.
        let last = world.json(&format!("{task}/trainer_state.json"))["global_step"].as_u64().unwrap();
        std::fs::remove_dir_all(world.path(&format!("{task}/checkpoint-{last}"))).unwrap();
        std::fs::remove_file(world.path(&format!("{task}/model.safetensors"))).unwrap();
        let mut unfinished = stored.clone();
        unfinished["run"]["finished"] = json!(false);
        world.write(&format!("{task}/cloze.json"), unfinished.to_string());
        world.run(&format!("{command} --threads 1")).ok();
        assert!(world.weights(task) == weights, "{task}: other weights after a resume");
        assert_eq!(world.json(&format!("{task}/cloze.json")), stored, "{task}");
    }
}

/// What is wrong is told with file, place and remedy, and nothing is written.
#[test]
fn data_that_is_wrong_is_named() {
    let world = world();
    world.write("words.conll", WORDS);
    world.write("questions.json", questions());
    world.write("few.conll", "the\tO\nred\n");
    world.write("unseen.conll", "the\tO\nred\tB-place\n");
    world.write("one.conll", "the\tO\nred\tO\n");
    world.write("broken.jsonl", "{\"text\": \"the cat\", \"label\": \"red\"}\n{\"text\": \"the\n");
    world.write("lists.jsonl", "{\"words\": [\"the\", \"cat\"], \"labels\": [\"O\"]}\n");
    world.write("other.tsv", "title\tgrade\nthe cat\tred\n");
    world.write("none.csv", "text,label\nthe cat,\na dog,\n");
    world.write("behind.json", questions().replacen("\"answer_start\":4", "\"answer_start\":400", 1));
    world.write("twice.json", questions().replace("\"n1\"", "\"n0\""));
    world.write("cut.json", &questions()[..90]);
    world.write(
        "plain.json",
        r#"{"data": [{"paragraphs": [{"context": "the red cat", "qas": [{"id": "a",
        "question": "the cat", "answers": [{"text": "red", "answer_start": 4}]}]}]}]}"#,
    );
    world.write("speech.conll", "the\tDET\ncat\tNOUN\n");
    let finetune = |task: &str, train: &str, dev: &str| {
        format!("finetune --task {task} --train {train} --dev {dev} {FLAGS} --max-seq-length 16 --output new")
    };
    let cases: [(String, &[&str]); 16] = [
        (finetune("tokens", "few.conll", "words.conll"), &["few.conll:2", "1", "2"]),
        (finetune("tokens", "words.conll", "few.conll"), &["few.conll:2"]),
        (finetune("tokens", "words.conll", "unseen.conll"), &["unseen.conll:2", "`B-place`", "O"]),
        (finetune("tokens", "one.conll", "words.conll"), &["one.conll", "`O`", "two or more"]),
        (finetune("tokens", "lists.jsonl", "words.conll"), &["lists.jsonl:1", "2", "1"]),
        (finetune("classification", "broken.jsonl", "dev.tsv"), &["broken.jsonl:2", "JSON"]),
        (finetune("classification", "train.tsv", "other.tsv"), &["other.tsv:1", "`title`, `grade`", "--columns"]),
        (finetune("multi-label", "none.csv", "none.csv"), &["none.csv", "no example has a label"]),
        (finetune("qa", "behind.json", "questions.json"), &["behind.json", "answer_start: 400", "Unicode characters"]),
        (finetune("qa", "questions.json", "twice.json"), &["twice.json", "data[0].paragraphs[1].qas[1].id", "`n0`"]),
        (finetune("qa", "cut.json", "questions.json"), &["cut.json:1", "JSON"]),
        (finetune("qa", "train.tsv", "questions.json"), &["train.tsv"]),
        (finetune("tokens", "words.conll", "words.conll") + " --metric bleu", &["`bleu`", "strict_f1"]),
        (finetune("qa", "questions.json", "questions.json") + " --class-weights balanced", &["class weights"]),
        (
            finetune("qa", "questions.json", "plain.json").replace("--train questions", "--train plain")
                + " --metric best_f1 --max-query-length 4",
            &["`best_f1`", "all questions have answers"],
        ),
        (finetune("tokens", "speech.conll", "speech.conll") + " --metric f1", &["`f1`", "mark no entities"]),
    ];
    for (command, parts) in cases {
        world.run(&command).fails(1, parts);
        assert!(!world.path("new/model.safetensors").exists(), "{command}");
    }
}

/// What stands beside a model's weights, and absurd weights, are inputs like others.
#[test]
fn models_that_were_tampered_with_are_refused() {
    let world = world();
    world.write("words.conll", WORDS);
    world.write("questions.json", questions());
    world.write("several.csv", SEVERAL);
    let tasks = [
        ("classification", "train.tsv"),
        ("multi-label", "several.csv"),
        ("tokens", "words.conll"),
        ("qa", "questions.json"),
    ];
    for (task, data) in tasks {
        train(&world, task, data, &format!("--epochs 1 --max-query-length 4 --output {task}"));
        let evaluate = format!("evaluate --model {task} --input {data}");
        let stored = world.json(&format!("{task}/cloze.json"));
        let with = |change: &dyn Fn(&mut Value)| {
            let mut changed = stored.clone();
            change(&mut changed);
            world.write(&format!("{task}/cloze.json"), changed.to_string());
            world.run(&evaluate)
        };
        for temperature in [0.0, -1.0, 1e-320] {
            with(&|stored| stored["temperature"] = json!(temperature)).fails(1, &["cloze.json", "temperature"]);
        }
        with(&|stored| stored["thresholds"] = json!([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])).fails(1, &["6 thresholds"]);
        if task == "qa" {
            for field in ["n_best", "max_answer_length"] {
                with(&|stored| stored["questions"][field] = json!(0)).fails(1, &["must be 1 or more"]);
            }
        }
        with(&|_| ()).ok();
        // The weights of the head, at the end of the range of f32: finite, but what follows is not.
        let path = format!("{task}/model.safetensors");
        let mut file = world.weights(task);
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let tensors: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
        let name = if task == "qa" { "qa_outputs.weight" } else { "classifier.weight" };
        let at = |end: usize| 8 + header + tensors[name]["data_offsets"][end].as_u64().unwrap() as usize;
        for number in file[at(0)..at(1)].chunks_exact_mut(4) {
            number.copy_from_slice(&f32::MAX.to_le_bytes());
        }
        world.write(&path, file);
        world.run(&evaluate).fails(1, &["not a number"]);
    }
}
