//! A folder with everything that a run needs, so small that it takes a moment, and observers of runs.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use cloze::settings::{FinetuneSettings, FinetuneTask, PretrainSettings, Start};
use cloze::train::{Event, RunOptions};
use cloze_tokenizer::{Casing, Tokenizer};
use tempfile::TempDir;

pub const WORDS: [&str; 8] = ["red", "blue", "cat", "dog", "runs", "sleeps", "the", "a"];

/// A folder with a corpus, labelled examples, a vocabulary and a configuration of a model of some
/// thousand parameters.
pub struct World {
    dir: TempDir,
}

impl World {
    pub fn new() -> World {
        let world = World { dir: tempfile::tempdir().unwrap() };
        let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "."].map(String::from).to_vec();
        tokens.extend(WORDS.map(String::from));
        Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap().save(&world.path("vocab")).unwrap();
        let mut corpus = String::new();
        for document in 0..24 {
            for sentence in 0..6 {
                let word = |at: usize| WORDS[(document * 7 + sentence * 3 + at * (document % 3 + 1)) % WORDS.len()];
                corpus.push_str(&format!("{} {} {} {}.\n", word(0), word(1), word(2), word(3)));
            }
            corpus.push('\n');
        }
        fs::write(world.path("corpus.txt"), corpus).unwrap();
        let mut table = "text\tlabel\n".to_string();
        for row in 0..20 {
            let (colour, animal) = (WORDS[row % 2], WORDS[2 + row / 2 % 2]);
            table.push_str(&format!("the {colour} {animal} {}\t{colour}\n", WORDS[4 + row / 4 % 2]));
        }
        fs::write(world.path("train.tsv"), &table).unwrap();
        fs::write(world.path("dev.tsv"), table).unwrap();
        let config = r#"{"vocab_size": 14, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 24, "max_position_embeddings": 32}"#;
        fs::write(world.path("config.json"), config).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn pretraining(&self) -> PretrainSettings {
        let start = Start::Config(self.path("config.json"));
        let mut settings = PretrainSettings::new(vec![self.path("corpus.txt")], self.path("vocab"), start, 12);
        settings.max_seq_length = 24;
        settings.dev_fraction = 0.1;
        settings.update.batch_size = 32;
        settings.update.learning_rate = 1e-2;
        settings
    }

    pub fn finetuning(&self) -> FinetuneSettings {
        let start = Start::Config(self.path("config.json"));
        let mut settings =
            FinetuneSettings::new(FinetuneTask::Classification, start, self.path("train.tsv"), self.path("dev.tsv"));
        settings.tokenizer = Some(self.path("vocab"));
        settings.max_seq_length = 16;
        settings.update.batch_size = 8;
        settings.update.learning_rate = 1e-2;
        settings
    }

    pub fn options(&self, output: &str, threads: usize) -> RunOptions {
        RunOptions { output: self.path(output), threads: Some(threads), save_steps: Some(3), ..RunOptions::default() }
    }

    pub fn weights(&self, output: &str) -> Vec<u8> {
        fs::read(self.path(output).join("model.safetensors")).unwrap()
    }
}

pub fn ignore(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub fn stop_after(step: u64) -> impl FnMut(&Event) -> ControlFlow<()> {
    move |event| match event {
        Event::Step(log) if log.step == step => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}
