//! Readers that go away, disks that are full, and values that look like flags.

mod common;

use std::fs::{File, OpenOptions};
use std::process::Stdio;

use common::{Ran, World};
use serde_json::Value;

/// A device on which every write fails as on a full disk; not every system has it.
fn full() -> Option<File> {
    OpenOptions::new().write(true).open("/dev/full").ok()
}

/// Writing end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_training_whose_reader_is_gone_ends_with_the_same_model() {
    let world = World::new();
    for (training, name) in [(common::FINETUNE, "fine-tuned"), (common::PRETRAIN, "pre-trained")] {
        world.run(&format!("{training} --output whole-{name}")).ok();
        let arguments = format!("{training} --output {name} --save-steps 5 --json");
        let mut command = world.command(&arguments);
        // Neither stream has a reader, from the first line on.
        let ran = command.stdout(closed_pipe()).stderr(closed_pipe()).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "{name}");
        assert!(world.weights(name) == world.weights(&format!("whole-{name}")), "{name}");
        assert_eq!(world.json(&format!("{name}/cloze.json"))["run"]["finished"], true);
    }
}

#[test]
fn a_full_disk_under_standard_error_ends_nothing() {
    let Some(full) = full() else { return };
    let world = World::new();
    let mut command = world.command(&format!("{} --output model", common::FINETUNE));
    assert_eq!(command.stderr(full.try_clone().unwrap()).output().unwrap().status.code(), Some(0));
    assert!(world.path("model/model.safetensors").is_file());
    for arguments in [
        "evaluate --model model --input dev.tsv",
        "predict --model model --input dev.tsv --max-length 5",
        "check --task classification --model model --train train.tsv --dev dev.tsv",
        "vocab --input corpus.txt --output words --size 40",
        "prepare --input corpus.txt --tokenizer vocab.txt --output store",
    ] {
        let ran = Ran::from(world.command(arguments).stderr(full.try_clone().unwrap()).output().unwrap());
        assert!(ran.code != Some(101) && !ran.stdout.is_empty(), "{arguments}: {ran:?}");
    }
    let mut command = world.command("predict --model nowhere --text a");
    assert_eq!(command.stderr(full).output().unwrap().status.code(), Some(1), "an error stays one");
}

#[test]
fn a_full_disk_under_standard_output_is_an_error_that_costs_no_model() {
    let Some(full) = full() else { return };
    let world = World::new();
    let mut command = world.command(&format!("{} --output model --json", common::FINETUNE));
    let ran = Ran::from(command.stdout(full.try_clone().unwrap()).output().unwrap());
    ran.fails(1, &["the training is finished", "could not be written to standard output"]);
    assert_eq!(world.json("model/cloze.json")["run"]["finished"], true);
    for arguments in ["predict --model model --input dev.tsv", "info model", "--help", "predict --help"] {
        let ran = Ran::from(world.command(arguments).stdout(full.try_clone().unwrap()).output().unwrap());
        ran.fails(1, &["standard output"]);
    }
}

#[test]
fn the_last_json_line_says_how_a_training_ended() {
    let world = World::new();
    for (training, output, metric) in [(common::PRETRAIN, "a", "mlm_loss"), (common::FINETUNE, "b", "accuracy")] {
        let ran = world.run(&format!("{training} --output {output} --json")).ok();
        let last = ran.json().pop().unwrap();
        assert_eq!(last["finished"], true, "{last}");
        assert_eq!((&last["unchanged"], &last["output"]), (&Value::from(false), &Value::from(output)));
        assert_eq!(last["step"], world.json(&format!("{output}/trainer_state.json"))["global_step"]);
        assert!(last["best_step"].is_u64() && last["metrics"][metric].is_f64(), "{last}");
        assert!(ran.json().iter().all(|line| line.get("note").is_none()), "notes are for people");

        let again = world.run(&format!("{training} --output {output} --json")).ok();
        assert!(again.stderr.contains(&format!("--model {output} --output")), "{again:#?}");
        let again = again.answer();
        assert_eq!(again["unchanged"], true);
        assert_eq!((&again["metrics"], &again["best_step"]), (&last["metrics"], &last["best_step"]));
    }
}

#[test]
fn a_text_may_begin_with_a_dash() {
    let world = World::new();
    for text in ["- the cat", "--", "-5 dogs", "--the", "-", "--json"] {
        let ran = world.run_with("tokenize --tokenizer vocab.txt --json --text", &[text]).ok();
        let same = world.run_on(format!("{text}\n").as_bytes(), "tokenize --tokenizer vocab.txt --input - --json");
        assert_eq!(ran.answer(), same.ok().answer(), "{text}");
        let pair = world.run_with("tokenize --tokenizer vocab.txt --json --text cat --text-b", &[text]).ok();
        assert!(pair.answer()["token_type_ids"].as_array().unwrap().contains(&Value::from(1)), "{text}");
    }
}

#[test]
fn fill_answers_the_texts_with_masks_and_names_the_others() {
    let world = World::new();
    world.pretrain("model", "").ok();
    world.write("texts.txt", "the [MASK] runs\nno mask\na [MASK]\n");
    let ran = world.run("fill --model model --input texts.txt --json").ok();
    let texts: Vec<Value> = ran.json().iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["the [MASK] runs", "a [MASK]"]);
    assert!(ran.stderr.contains("texts.txt:2: skipped: the text has no [MASK]"), "{}", ran.stderr);
    world.run_on(b"no mask\n", "fill --model model --input -").fails(1, &["standard input:1", "write [MASK]"]);
    world.run_with("fill --model model --text", &["no mask"]).fails(1, &["no [MASK]"]);
}

#[test]
fn answers_come_before_the_input_ends() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let world = World::new();
    let mut command = world.command("tokenize --tokenizer vocab.txt --input - --json");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // Far fewer answers than a pipe or the program's buffer hold.
    let writer = std::thread::spawn(move || {
        while stopped.try_recv().is_err() && stdin.write_all("the cat runs .\n".repeat(64).as_bytes()).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("cat"));
    stop.send(()).unwrap();
    writer.join().unwrap();
    child.wait().unwrap();
}
