//! A folder with everything that the program needs, so small that a training takes a moment, and ways to
//! run the program in it.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const WORDS: [&str; 9] = ["red", "blue", "cat", "dog", "runs", "sleeps", "the", "a", "."];

/// `corpus.txt`, `train.tsv`, `dev.tsv`, `vocab.txt` and `config.json`, in a folder that goes when this does.
pub struct World {
    dir: TempDir,
}

/// What a run of the program left: its exit code and what it printed.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> World {
        let world = World { dir: tempfile::tempdir().unwrap() };
        let mut corpus = String::new();
        for document in 0..24 {
            for sentence in 0..6 {
                let word = |at: usize| WORDS[(document * 7 + sentence * 3 + at * (document % 3 + 1)) % 8];
                corpus.push_str(&format!("{} {} {} {}.\n", word(0), word(1), word(2), word(3)));
            }
            corpus.push('\n');
        }
        world.write("corpus.txt", corpus);
        world.write("train.tsv", table(20));
        world.write("dev.tsv", table(20));
        let vocabulary: Vec<&str> = SPECIAL.into_iter().chain(WORDS).collect();
        world.write("vocab.txt", vocabulary.join("\n") + "\n");
        let config = r#"{"vocab_size": 14, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 24, "max_position_embeddings": 32}"#;
        world.write("config.json", config);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// The program with arguments that are separated by spaces, in this folder.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloze"));
        command.current_dir(self.dir.path()).args(arguments.split_whitespace()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &str) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// Runs the program with one more argument, which may hold spaces.
    pub fn run_with(&self, arguments: &str, last: &[&str]) -> Ran {
        Ran::from(self.command(arguments).args(last).output().unwrap())
    }

    /// Runs the program with this as its standard input.
    pub fn run_on(&self, input: &[u8], arguments: &str) -> Ran {
        let mut command = self.command(arguments);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }

    /// Pre-trains on the corpus, into `output`.
    pub fn pretrain(&self, output: &str, more: &str) -> Ran {
        self.run(&format!("{PRETRAIN} --output {output} {more}"))
    }

    /// Fine-tunes on the tables, into `output`.
    pub fn finetune(&self, output: &str, more: &str) -> Ran {
        self.run(&format!("{FINETUNE} --output {output} {more}"))
    }

    pub fn weights(&self, output: &str) -> Vec<u8> {
        self.read(&format!("{output}/model.safetensors"))
    }

    /// The path and contents of every file below a folder.
    pub fn snapshot(&self, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path(folder), &mut files);
        files
    }
}

/// A pre-training of a dozen steps; only `--output` is missing.
pub const PRETRAIN: &str = "pretrain --input corpus.txt --tokenizer vocab.txt --config config.json --steps 12 \
    --batch-size 32 --max-seq-length 24 --learning-rate 1e-2 --dev-fraction 0.1";
/// A fine-tuning of 24 steps that can reach an accuracy of 1; only `--output` is missing.
pub const FINETUNE: &str = "finetune --task classification --config config.json --tokenizer vocab.txt \
    --train train.tsv --dev dev.tsv --batch-size 8 --max-seq-length 16 --learning-rate 1e-2 --epochs 8";

/// Labelled texts; the label is a word of the text.
fn table(rows: usize) -> String {
    let mut table = "text\tlabel\n".to_string();
    for row in 0..rows {
        let (colour, animal) = (WORDS[row % 2], WORDS[2 + row / 2 % 2]);
        table.push_str(&format!("the {colour} {animal} {}\t{colour}\n", WORDS[4 + row / 4 % 2]));
    }
    table
}

fn collect(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| collect(&entry.unwrap().path(), files));
    } else {
        files.insert(path.to_path_buf(), fs::read(path).unwrap());
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// Asserts that all went well.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Asserts that it ended with exit code `code`, no panic, and a message with all of `parts` in it.
    #[track_caller]
    pub fn fails(self, code: i32, parts: &[&str]) -> Ran {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in the message: {self:#?}");
        }
        self
    }

    /// The lines of standard output, each a JSON value.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only line of standard output.
    #[track_caller]
    pub fn answer(&self) -> Value {
        let lines = self.json();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines[0].clone()
    }
}

/// The keys of a JSON object, in order.
pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}
