//! What trainings write, and what the same command, or another one, does when it is given again.

mod common;

use common::{World, keys};
use serde_json::{Value, json};

#[test]
fn pretrain_writes_a_model_checkpoints_and_its_state() {
    let world = World::new();
    let ran = world.pretrain("model", "--save-steps 5 --json").ok();
    for file in ["config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "cloze.json", "trainer_state.json"]
    {
        assert!(world.path(&format!("model/{file}")).is_file(), "{file}");
    }
    for file in ["model.safetensors", "optimizer.safetensors", "trainer_state.json", "config.json", "vocab.txt"] {
        assert!(world.path(&format!("model/checkpoint-10/{file}")).is_file(), "{file}");
    }
    // The model is that of the last step.
    assert!(world.weights("model") == world.weights("model/checkpoint-12"));
    let state = world.json("model/trainer_state.json");
    assert_eq!((&state["global_step"], &state["max_steps"]), (&json!(12), &json!(12)));
    let last = state["log_history"].as_array().unwrap().last().unwrap();
    assert!(last["eval_mlm_loss"].is_f64() && last["eval_nsp_accuracy"].is_f64(), "{last}");

    // With --json, standard output has a line a step.
    let lines = ran.json();
    let steps: Vec<&Value> = lines.iter().filter(|line| line.get("loss").is_some()).collect();
    assert_eq!(steps.len(), 12);
    for key in ["step", "loss", "mlm_loss", "mlm_perplexity", "mlm_accuracy", "nsp_accuracy", "learning_rate"] {
        assert!(!steps[0][key].is_null(), "{key}: {}", steps[0]);
    }
    assert!(steps[0]["grad_norm"].is_f64() && steps[0]["tokens_per_second"].is_f64());
    assert_eq!(world.pretrain("silent", "").ok().stdout, "", "without it, nothing");
    // Without a terminal there is no bar.
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\r'), "{}", ran.stderr);
    assert!(ran.stderr.contains("12 steps") && ran.stderr.contains("documents"), "{}", ran.stderr);
}

#[test]
fn masked_language_modelling_alone_has_no_pooler() {
    let world = World::new();
    world.pretrain("model", "--objective mlm").ok();
    let heads = world.run("info model --json").ok().answer()["heads"].clone();
    assert_eq!(heads, json!(["masked language model"]));
    let line = world.run("evaluate --model model --input corpus.txt --json").ok().answer();
    assert!(line.get("nsp_accuracy").is_none() && line["mlm_loss"].is_f64(), "{line}");
}

#[test]
fn finetune_keeps_the_best_epoch() {
    let world = World::new();
    world.finetune("model", "").ok();
    let state = world.json("model/trainer_state.json");
    let best = state["best_model_checkpoint"].as_str().unwrap();
    assert!(world.weights("model") == world.weights(&format!("model/{best}")));
    let config = world.json("model/config.json");
    assert_eq!(config["id2label"], json!({ "0": "blue", "1": "red" }));
    let evaluations: Vec<&Value> =
        state["log_history"].as_array().unwrap().iter().filter(|entry| entry.get("eval_accuracy").is_some()).collect();
    assert_eq!(evaluations.len(), 8, "one an epoch");
}

/// At this rate accuracy stays the same, and the loss alone tells epochs apart.
#[test]
fn of_equal_epochs_the_one_with_the_lowest_loss_is_kept() {
    let world = World::new();
    let slow = common::FINETUNE.replace("1e-2 --epochs 8", "1e-5 --epochs 3");
    world.run(&format!("{slow} --dropout 0 --patience 1 --output model")).ok();
    let state = world.json("model/trainer_state.json");
    let evaluations: Vec<&Value> =
        state["log_history"].as_array().unwrap().iter().filter(|entry| entry.get("eval_accuracy").is_some()).collect();
    assert_eq!(evaluations.len(), 3, "lower losses are better: {state}");
    assert!(evaluations.iter().all(|entry| entry["eval_accuracy"] == evaluations[0]["eval_accuracy"]), "{state}");
    let loss = |entry: &&&Value| entry["eval_loss"].as_f64().unwrap();
    let lowest = evaluations.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
    assert_ne!(lowest["step"], evaluations[0]["step"], "{state}");
    assert_eq!(state["best_global_step"], lowest["step"]);
    assert_eq!(world.json("model/run_state.json")["best_loss"], lowest["eval_loss"]);
    // The answers are all the same, which has no correlation with anything: that is said.
    let ran = world.run(&format!("{slow} --dropout 0 --metric matthews_correlation --output zero --json")).ok();
    let said = "matthews_correlation was 0 or not defined after every evaluation, so the loss chose the weights";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(ran.json().pop().unwrap()["verdict"]["text"].as_str().unwrap().contains(said));
    assert_eq!(world.json("zero/trainer_state.json")["best_global_step"], lowest["step"]);
}

#[test]
fn a_head_is_continued_and_replaced_only_on_request() {
    let world = World::new();
    world.finetune("first", "").ok();
    let again = common::FINETUNE.replace("--config config.json --tokenizer vocab.txt", "--model first");
    world.run(&format!("{again} --output second")).ok();
    let green = String::from_utf8(world.read("train.tsv")).unwrap().replace("\tred", "\tgreen");
    world.write("train.tsv", &green);
    world.write("dev.tsv", &green);
    world.run(&format!("{again} --output third")).fails(1, &["blue, red", "blue, green", "--new-head"]);
    let ran = world.run(&format!("{again} --output third --new-head")).ok();
    assert!(ran.stderr.contains("replaced"), "{}", ran.stderr);
}

#[test]
fn a_finished_training_is_left_as_it_is() {
    let world = World::new();
    world.pretrain("model", "").ok();
    let before = world.snapshot("model");
    // Threads, checkpoints and the form of the answers are no settings.
    let ran = world.pretrain("model", "--threads 3 --save-steps 2 --json").ok();
    assert!(ran.stderr.contains("finished already"), "{}", ran.stderr);
    assert_eq!(ran.answer()["unchanged"], true);
    assert!(before == world.snapshot("model"));
}

#[test]
fn other_settings_are_refused_by_name_unless_overwritten() {
    let world = World::new();
    world.pretrain("model", "").ok();
    let before = world.snapshot("model");
    for (flags, name) in [
        ("--seed 2", "seed = 1, now it is 2"),
        ("--objective mlm", "objective"),
        ("--dropout 0.3", "dropout"),
        ("--weight-decay 0", "weight_decay"),
        ("--optimizer bert-adam", "kind"),
        ("--shuffle off", "shuffle"),
        ("--precision bf16", "precision = \"f32\", now it is \"bf16\""),
    ] {
        world.pretrain("model", flags).fails(1, &[name, "model", "--overwrite"]);
    }
    world.finetune("model", "").fails(1, &["--overwrite"]);
    assert!(before == world.snapshot("model"));
    world.pretrain("model", "--precision f32").ok();
    // The result is the same to the bit.
    world.pretrain("model", "--accumulate 2").ok();
    world.pretrain("model", "--seed 2 --overwrite").ok();
    assert!(before != world.snapshot("model"));
}

#[test]
fn a_model_of_another_origin_is_not_overwritten() {
    let world = World::new();
    world.finetune("model", "").ok();
    std::fs::remove_file(world.path("model/cloze.json")).unwrap();
    let before = world.snapshot("model");
    world.pretrain("model", "").fails(1, &["model", "already holds a model", "--overwrite"]);
    world.run("vocab --input corpus.txt --output model --size 40").fails(1, &["model holds a model", "--output"]);
    assert!(before == world.snapshot("model"));
}

#[test]
fn accumulated_parts_give_the_bits_of_the_whole_batch() {
    let world = World::new();
    world.pretrain("whole", "--threads 1").ok();
    world.pretrain("parts", "--accumulate 4 --threads 3").ok();
    assert!(world.weights("whole") == world.weights("parts"));
    let batches = |more: &str, output: &str| {
        world.run(&format!("{} {more} --output {output}", common::FINETUNE.replace("size 8", "size 20"))).ok();
        world.weights(output)
    };
    assert!(batches("", "fine-whole") == batches("--accumulate 3", "fine-parts"));
}

#[test]
fn the_settings_of_a_run_are_stored_with_it() {
    let world = World::new();
    world.pretrain("model", "--clip 2 --warmup 0.5 --seed 7").ok();
    let stored = world.json("model/cloze.json");
    let settings = &stored["run"]["settings"]["pretrain"];
    assert_eq!(stored["max_seq_length"], json!(24));
    assert_eq!(settings["start"], json!({ "config": "config.json" }));
    let update = &settings["update"];
    assert_eq!((&update["seed"], &update["warmup"]), (&json!(7), &json!(0.5)));
    assert_eq!((&update["optimizer"]["kind"], &update["optimizer"]["clip"]), (&json!("adamw"), &json!(2.0)));
    assert!(keys(&stored["run"]).contains(&"machine"));
    // Longer texts are cut to what the model was trained on.
    let long = world.run_with("embed --model model --json", &["--text", &"cat ".repeat(40)]).ok().answer();
    assert_eq!((&long["tokens"], &long["truncated"]), (&json!(24), &json!(18)));
}

#[test]
fn a_report_that_a_kill_has_missed_is_made_up_for() {
    let world = World::new();
    world.finetune("model", "").ok();
    let report = world.read("model/report.html");
    std::fs::remove_file(world.path("model/report.html")).unwrap();
    let again = world.finetune("model", "").ok();
    assert!(again.stderr.contains("finished already"), "{}", again.stderr);
    assert!(world.read("model/report.html") == report);
}

#[test]
fn a_model_is_verified_to_the_last_byte() {
    let world = World::new();
    world.finetune("model", "").ok();
    let answer = world.run("info model --verify --json").ok().answer();
    assert_eq!(answer["changed"], serde_json::json!([]));
    assert!(answer["files"].as_u64().unwrap() >= 7, "{answer}");
    world.run("info model/checkpoint-24 --verify").ok();
    let mut weights = world.weights("model");
    *weights.last_mut().unwrap() ^= 1;
    world.write("model/model.safetensors", weights);
    world.run("info model").ok();
    world.run("info model --verify").fails(1, &["model has changed since it was written"]);
    let edited = world.run("info model --verify").stdout;
    assert!(edited.contains("model.safetensors has other contents"), "{edited}");
    world.run("vocab --input corpus.txt --size 40 --output words").ok();
    world.run("info words --verify").ok();
}

#[cfg(unix)]
#[test]
fn paths_that_are_not_utf_8_are_taken() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::new();
    let odd = |name: &[u8]| world.path("").join(OsStr::from_bytes(name));
    std::fs::copy(world.path("train.tsv"), odd(b"tr\xe4in.tsv")).unwrap();
    let run = || {
        let mut command = world.command(&format!("{} --json", common::FINETUNE.replace("--train train.tsv ", "")));
        command.arg("--train").arg(odd(b"tr\xe4in.tsv")).arg("--output").arg(odd(b"m\xf6del"));
        common::Ran::from(command.output().unwrap()).ok()
    };
    let first = run();
    let last: Value = serde_json::from_str(first.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["finished"], &last["unchanged"]), (&json!(true), &json!(false)), "{last}");
    let again = run();
    assert!(again.stderr.contains("finished already"), "{}", again.stderr);
}

#[test]
fn a_budget_that_is_too_small_is_told_before_it_is_spent() {
    let world = World::new();
    // The first run says what to type instead, and the next one, with that, says nothing more.
    let check = |command: &str, few: &str, note: &str, flags: &str| {
        let ran = world.run(&format!("{command} {few} --json")).ok();
        let told = ran.stderr.find(note).unwrap_or_else(|| panic!("{}", ran.stderr));
        assert!(told < ran.stderr.find(" parameters, ").unwrap(), "{}", ran.stderr);
        assert!(ran.stderr.contains(flags), "{}", ran.stderr);
        let ran = world.run(&format!("{command} {flags}")).ok();
        assert!(!ran.stderr.contains("same command with"), "{}", ran.stderr);
    };
    let finetune = format!("{} --output tuned", common::FINETUNE.replace(" --epochs 8", ""));
    check(&finetune, "--epochs 8", "24 steps are few for a new head", "--epochs 34 --overwrite");
    // A head that exists is only trained further.
    let further =
        "finetune --task classification --model tuned --train train.tsv --dev dev.tsv --epochs 1 --output further";
    assert!(!world.run(further).ok().stderr.contains("are few"));

    let pretrain = "pretrain --input corpus.txt --tokenizer vocab.txt --config config.json --batch-size 2 --max-seq-length 12 \
        --dev-fraction 0.1 --output model";
    let ran = world.run(&format!("{pretrain} --epochs 0.5")).ok();
    assert!(ran.stderr.contains("--steps 500 --overwrite in place of --epochs"), "{}", ran.stderr);
    let pretrain = &pretrain.replace("--output model", "--output other");
    check(pretrain, "--steps 12", "12 steps are too few to learn from text", "--steps 500 --overwrite");
    let bert =
        "pretrain --input corpus.txt --tokenizer vocab.txt --config config.json --recipe bert --steps 2 --output bert";
    let ran = world.run(bert).ok();
    assert!(ran.stderr.contains("without --recipe bert, some 500 smaller steps are enough"), "{}", ran.stderr);
}
