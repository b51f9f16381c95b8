//! Trainings that are stopped by a signal or killed, and started again with another number of threads,
//! end in the bits of an undisturbed run.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{Ran, World};
use serde_json::Value;

/// A training under way whose standard output is read line by line. While nobody reads, it stands still
/// as soon as the pipe is full, which some 300 lines do.
struct Training {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Training {
    fn start(world: &World, arguments: &str) -> Training {
        let mut command = world.command(&format!("{arguments} --json"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Training { child, stdout }
    }

    /// Reads until a line has the key `key`, `times` times; false if the training ends before.
    fn read_until(&mut self, key: &str, times: usize) -> bool {
        let mut seen = 0;
        let mut line = String::new();
        while seen < times {
            line.clear();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                return false;
            }
            let line: Value = serde_json::from_str(&line).unwrap();
            seen += usize::from(line.get(key).is_some());
        }
        true
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Reads the rest and waits for the end.
    fn finish(mut self) -> Ran {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let ran = Ran::from(self.child.wait_with_output().unwrap());
        Ran { stdout: rest, ..ran }
    }

    /// Kills it at once; whether it was still running.
    fn kill(mut self) -> bool {
        self.child.kill().unwrap();
        !self.child.wait().unwrap().success()
    }
}

/// Longer than the pipe holds lines, so that a signal always comes before the end.
fn long(training: &str, output: &str) -> String {
    let training =
        training.replace("--steps 12", "--steps 400").replace("--learning-rate 1e-2", "--learning-rate 1e-3");
    let training = training
        .replace("--batch-size 32", "--batch-size 4")
        .replace("--batch-size 8", "--batch-size 1")
        .replace("--epochs 8", "--epochs 60");
    format!("{training} --output {output}")
}

fn stopped_by(signal: &str, world: &World, training: &str, model: &str) {
    world.run(&format!("{} --threads 1", long(training, "whole"))).ok();

    let again = long(training, "parts");
    let mut first = Training::start(world, &format!("{again} --threads 2"));
    assert!(first.read_until("learning_rate", 30));
    first.signal(signal);
    let code = if signal == "-INT" { 130 } else { 143 };
    let first = first.finish().fails(code, &["stopping", "stopped after step", "the same command goes on"]);
    let saved: Value = serde_json::from_str(first.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(saved["finished"], false, "{saved}");
    let step = saved["step"].as_u64().unwrap();
    assert!(world.path(&format!("parts/checkpoint-{step}/model.safetensors")).is_file(), "{saved}");
    assert!(!world.path("parts/model.safetensors").exists(), "an unfinished run has no result");

    let second = world.run(&format!("{again} --threads 3")).ok();
    assert!(second.stderr.contains(&format!("{step} of them done before")), "{}", second.stderr);
    assert!(world.weights("whole") == world.weights("parts"), "{model} has other weights");
}

#[test]
fn sigterm_stops_a_pretraining_with_a_checkpoint() {
    stopped_by("-TERM", &World::new(), common::PRETRAIN, "the pre-trained model");
}

#[test]
fn sigint_stops_a_fine_tuning_with_a_checkpoint() {
    // A shell has what it runs in the background ignore SIGINT; so does the program then, and SIGTERM stops it.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    let is_ignored = u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & (1 << 1) != 0;
    let signal = if is_ignored { "-TERM" } else { "-INT" };
    stopped_by(signal, &World::new(), common::FINETUNE, "the fine-tuned model");
}

#[test]
fn the_first_epoch_stays_the_best_where_the_metric_is_never_defined() {
    let world = World::new();
    // F1 is of two labels; with three, no epoch is better than the first, interrupted or not.
    for name in ["train.tsv", "dev.tsv"] {
        let table = String::from_utf8(world.read(name)).unwrap();
        world.write(name, table + "the cat sleeps\tneither\n");
    }
    stopped_by("-TERM", &world, &format!("{} --metric f1", common::FINETUNE), "the model of the first epoch");
}

#[test]
fn other_commands_end_at_once_with_the_exit_code_of_the_signal() {
    let world = World::new();
    let mut command = world.command("tokenize --tokenizer vocab.txt --input - --json");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More answers than the program and the pipe hold back; the input stays open.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all("the cat runs .\n".repeat(4_000).as_bytes());
        stdin
    });
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(writer.join().unwrap());
}

/// When to kill.
enum Moment {
    /// After so many lines with this key.
    Lines(&'static str, usize),
    /// So long after the start.
    Milliseconds(u64),
}

fn killed_again_and_again(training: &str, moments: &[Moment]) {
    let world = World::new();
    world.run(&format!("{training} --output whole --threads 1")).ok();
    let mut killed = 0;
    for (start, moment) in moments.iter().enumerate() {
        let threads = start % 3 + 1;
        let mut run = Training::start(&world, &format!("{training} --output parts --save-steps 1 --threads {threads}"));
        match *moment {
            Moment::Lines(key, times) => {
                run.read_until(key, times);
            }
            Moment::Milliseconds(time) => sleep(Duration::from_millis(time)),
        }
        killed += usize::from(run.kill());
    }
    assert!(killed > moments.len() / 2, "only {killed} of {} kills came before the end", moments.len());
    world.run(&format!("{training} --output parts --threads 2")).ok();
    assert!(world.weights("whole") == world.weights("parts"));
    let evaluations = |output: &str| -> Vec<Value> {
        let state = world.json(&format!("{output}/trainer_state.json"));
        let history = state["log_history"].as_array().unwrap().iter();
        history.filter(|entry| entry.as_object().unwrap().keys().any(|key| key.starts_with("eval_"))).cloned().collect()
    };
    assert_eq!(evaluations("whole"), evaluations("parts"), "no evaluation is lost or comes twice");
}

#[test]
fn a_pretraining_killed_at_many_moments_ends_in_the_same_bits() {
    use Moment::{Lines, Milliseconds};
    let moments = [
        Milliseconds(0),
        Milliseconds(5),
        Lines("steps_done", 1),
        Milliseconds(20),
        // A step is done, and its checkpoint not yet written.
        Lines("learning_rate", 1),
        Lines("learning_rate", 2),
        Milliseconds(40),
        // Right after a checkpoint, while an older one is removed or the next step runs.
        Lines("saved", 1),
        Lines("saved", 2),
        Lines("learning_rate", 1),
        Milliseconds(60),
        Lines("eval_mlm_loss", 1),
        Lines("saved", 3),
        // The last steps and the writing of the result.
        Lines("saved", 30),
    ];
    killed_again_and_again(&common::PRETRAIN.replace("--steps 12", "--steps 40"), &moments);
}

#[test]
fn a_fine_tuning_killed_at_many_moments_ends_in_the_same_bits() {
    use Moment::{Lines, Milliseconds};
    let moments = [
        Milliseconds(3),
        Lines("learning_rate", 2),
        Milliseconds(30),
        Lines("eval_accuracy", 1),
        Lines("saved", 2),
        Lines("learning_rate", 3),
        Lines("eval_accuracy", 2),
        Lines("saved", 1),
    ];
    killed_again_and_again(common::FINETUNE, &moments);
}

/// What to do is said, and what was written before the divergence is whole, however often the command is given.
fn diverges(training: &str, learning_rate: &str, evaluation: &str) {
    let world = World::new();
    // The first step has the rate 0, so that the first checkpoint is good.
    let training = training.replace("--learning-rate 1e-2", &format!("--learning-rate {learning_rate} --warmup 0.5"));
    let run = format!("{training} --save-steps 1 --output model");
    let parts = ["error: step ", "is not finite", "lower learning rate", "longer warm-up", "clipping"];
    let ran = world.run(&run).fails(1, &parts);
    assert!(ran.stderr.contains("saved model/checkpoint-1\n"), "{}", ran.stderr);
    assert!(!world.path("model/model.safetensors").exists());
    let answer = world.run(&format!("evaluate --model model/checkpoint-1 {evaluation} --json")).ok().answer();
    assert!(answer["loss"].is_f64(), "{answer}");

    let checkpoints = || -> Vec<_> {
        let files = world.snapshot("model").into_iter();
        files.filter(|(path, _)| path.to_string_lossy().contains("/checkpoint-")).collect()
    };
    let before = checkpoints();
    assert!(before.len() >= 7, "{before:?}");
    for (path, _) in before.iter().filter(|(path, _)| path.ends_with("model.safetensors")) {
        let checkpoint = path.parent().unwrap().to_str().unwrap();
        assert!(!checkpoint.ends_with(".tmp"), "{checkpoint}");
        world.run(&format!("info {checkpoint}")).ok();
    }
    let again = world.run(&run).fails(1, &parts);
    assert_eq!(ran.stderr.lines().last(), again.stderr.lines().last());
    assert_eq!(before, checkpoints());
}

#[test]
fn a_pretraining_that_diverges_keeps_its_last_checkpoint() {
    for learning_rate in ["1e5", "1e30", "1e39"] {
        diverges(common::PRETRAIN, learning_rate, "--input corpus.txt");
    }
}

#[test]
fn a_fine_tuning_that_diverges_keeps_its_last_checkpoint() {
    for learning_rate in ["1e5", "1e30", "1e39"] {
        diverges(common::FINETUNE, learning_rate, "--input dev.tsv");
    }
}
