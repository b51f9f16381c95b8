//! Fuzzing of everything that reads files or text from outside.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml -- list
//! cargo run --release --manifest-path fuzz/Cargo.toml -- replay [TARGET…]
//! cargo run --release --manifest-path fuzz/Cargo.toml -- run [TARGET…] [--seconds N] [--seed N] [--keep]
//! cargo run --release --manifest-path fuzz/Cargo.toml -- one TARGET FILE
//! ```
//!
//! `replay` runs the inputs of `corpus/<target>/`. `run` changes them for N seconds a target (default 5): bytes, lines,
//! numbers, JSON values, and the contents of packed files. An input whose answer (an error's words, without numbers and
//! quotes) was not seen before is changed further; `--keep` writes small ones to the corpus, as far as it has room. The
//! same seed gives the same inputs in the same order; how many of them depends on the time.
//!
//! An input is a finding if the target panics, ends the process, takes more memory than 64 MiB and four times its own
//! length (of a packed file, its contents'; of words with labels 24 times, see [`targets::WORDS`]), or more
//! processor time than a second and five more for each of its megabytes. Findings are in `findings/<target>/`; mend the
//! reader, then move the input to the corpus.
//!
//! The exit code is 1 if there are findings, 4 if all of them are slow inputs: processors that are shared take longer.
//!
//! Stable Rust without C has no coverage to go by, and libFuzzer needs both nightly and C++; the words of errors take
//! its place. Each target runs in a process of its own, so that one that is out of memory or stack is a finding too.

#![deny(unsafe_code)]

mod json;
mod memory;
mod mutate;
mod random;
mod targets;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use targets::{TARGETS, Target};

/// The folder with `corpus/` and `findings/`.
const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

const USAGE: &str = "usage: cloze-fuzz list | replay [TARGET…] | run [TARGET…] [--seconds N] [--seed N] [--keep] | \
                     one TARGET FILE";

/// Work of a worker process on one target.
#[derive(Clone, Debug, PartialEq)]
struct Task {
    /// Seconds of changed inputs after those of the corpus.
    seconds: f64,
    seed: u64,
    /// True if inputs with new answers become part of the corpus.
    keep: bool,
}

/// Outcome of a target's inputs, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Well,
    /// Inputs took too long, which another process may have caused.
    Slow,
    Wrong,
}

impl Outcome {
    const SLOW_CODE: u8 = 4;

    fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Outcome::Well => 0,
            Outcome::Wrong => 1,
            Outcome::Slow => Outcome::SLOW_CODE,
        })
    }
}

fn corpus(target: &Target) -> PathBuf {
    Path::new(FOLDER).join("corpus").join(target.name)
}

fn findings(target: &Target) -> PathBuf {
    Path::new(FOLDER).join("findings").join(target.name)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else { return usage("no command") };
    let mut task = Task { seconds: if command == "run" { 5.0 } else { 0.0 }, seed: 1, keep: false };
    let mut names = Vec::new();
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        let mut number = || rest.next().and_then(|value| value.parse::<f64>().ok());
        match argument.as_str() {
            "--seconds" => match number() {
                Some(seconds) => task.seconds = seconds,
                None => return usage("--seconds needs a number"),
            },
            "--seed" => match number() {
                Some(seed) => task.seed = seed as u64,
                None => return usage("--seed needs a number"),
            },
            "--keep" => task.keep = true,
            name => names.push(name.to_string()),
        }
    }
    if command == "one" {
        let [name, file] = &names[..] else { return usage("one TARGET FILE") };
        let Some(target) = TARGETS.iter().find(|target| target.name == name) else { return usage(name) };
        return worker::run_one(target, Path::new(file));
    }
    let unknown = names.iter().find(|name| TARGETS.iter().all(|target| target.name != **name));
    if let Some(name) = unknown {
        return usage(&format!("no target {name}; `list` names them"));
    }
    let chosen = || TARGETS.iter().filter(|target| names.is_empty() || names.iter().any(|name| name == target.name));
    match command.as_str() {
        "list" => {
            TARGETS.iter().for_each(|target| println!("{:24}{}", target.name, target.what));
            ExitCode::SUCCESS
        }
        "replay" | "run" => {
            let outcomes: Vec<Outcome> = chosen().map(|target| supervise(target, &task)).collect();
            let failed = outcomes.iter().filter(|outcome| **outcome != Outcome::Well).count();
            println!("{} targets, {failed} with findings", outcomes.len());
            outcomes.into_iter().max().unwrap_or(Outcome::Well).code()
        }
        "worker" => worker::run(chosen().next().expect("a target"), &task),
        _ => usage(command),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}\n{USAGE}");
    ExitCode::from(2)
}

/// Runs a target in a process of its own, again where an input ends it before the time is over.
fn supervise(target: &Target, task: &Task) -> Outcome {
    let started = Instant::now();
    let mut worst = Outcome::Well;
    for attempt in 0.. {
        let left = Duration::from_secs_f64(task.seconds).saturating_sub(started.elapsed());
        if attempt > 0 && left.is_zero() {
            break;
        }
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("worker").arg(target.name).arg("--seconds").arg(left.as_secs_f64().to_string());
        command.arg("--seed").arg((task.seed + 1000 * attempt).to_string());
        if task.keep {
            command.arg("--keep");
        }
        let status = command.status().expect("this program starts again");
        match status.code() {
            Some(0) => return worst,
            Some(1) => return Outcome::Wrong,
            Some(code) if code == i32::from(Outcome::SLOW_CODE) => return worst.max(Outcome::Slow),
            _ => {
                worst = Outcome::Wrong;
                if !worker::keep_last_input(target, &status.to_string()) || task.seconds == 0.0 {
                    break;
                }
            }
        }
    }
    worst
}
