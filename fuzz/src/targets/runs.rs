//! The files of a run that a training goes on from.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use cloze::settings::{PretrainSettings, Start};
use cloze::train::{Event, RunOptions, pretrain};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{LONG, Run, TIMES, Target, copy_folder, told, write};
use crate::mutate::Shape;

pub const TRAINER_STATE: Target = Target {
    name: "trainer-state",
    what: "trainer_state.json of a checkpoint that a run resumes from, with a checksum that is right",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| {
        let path = World::new(folder).stopped().join("checkpoint-2/trainer_state.json");
        let state = fs::read(path).expect("a state");
        let mut far: Value = serde_json::from_slice(&state).expect("JSON");
        set_epochs(&mut far, 1 << 32);
        vec![state, far.to_string().into_bytes()]
    },
    prepare: |folder| resume(folder, "checkpoint-2/trainer_state.json"),
};

pub const RUN_SETTINGS: Target = Target {
    name: "run-settings",
    what: "cloze.json of a run that is resumed",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |folder| vec![fs::read(World::new(folder).stopped().join("cloze.json")).expect("settings")],
    prepare: |folder| resume(folder, "cloze.json"),
};

/// Sets every whole number that is called an epoch.
fn set_epochs(value: &mut Value, epoch: u64) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "epoch" && field.is_u64() {
                    *field = epoch.into();
                }
                set_epochs(field, epoch);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| set_epochs(value, epoch)),
        _ => {}
    }
}

/// A text, a tokenizer, and a run that stopped after two of three steps.
struct World {
    folder: PathBuf,
}

impl World {
    fn new(folder: &Path) -> World {
        let mut text = String::new();
        for at in 0..24 {
            text += ["The cat sat. A dog sat.\n\n", "A cat sat the dog. The dog.\n\n"][at % 2];
        }
        fs::write(folder.join("text.txt"), text).expect("a file");
        super::models::tokenizer().save(&folder.join("vocab")).expect("a saved tokenizer");
        super::models::config().write(&folder.join("config.json")).expect("a configuration");
        let world = World { folder: folder.to_path_buf() };
        let mut stop = |event: &Event| match event {
            Event::Step(log) if log.step == 2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        pretrain(&world.settings(), &world.options(&world.stopped()), &mut stop).expect("a run");
        world
    }

    fn stopped(&self) -> PathBuf {
        self.folder.join("stopped")
    }

    fn settings(&self) -> PretrainSettings {
        let start = Start::Config(self.folder.join("config.json"));
        let input = vec![self.folder.join("text.txt")];
        let mut settings = PretrainSettings::new(input, self.folder.join("vocab"), start, 3);
        settings.max_seq_length = 12;
        settings.dev_fraction = 0.1;
        settings.update.batch_size = 4;
        settings
    }

    fn options(&self, output: &Path) -> RunOptions {
        RunOptions { output: output.to_path_buf(), threads: Some(1), save_steps: Some(1), ..RunOptions::default() }
    }
}

/// Resumes the run with another file in its folder.
fn resume(folder: &Path, name: &'static str) -> Run {
    let world = World::new(folder);
    let output = folder.join("output");
    Box::new(move |input| {
        copy_folder(&world.stopped(), &output);
        let path = output.join(name);
        let before = sum(&fs::read(&path).expect("the file"));
        write(&path, input);
        let sums = path.with_file_name("SHA256SUMS");
        if let Ok(text) = fs::read_to_string(&sums) {
            write(&sums, text.replace(&before, &sum(input)).as_bytes());
        }
        let mut notes = String::new();
        let mut listen = |event: &Event| {
            if let Event::Note(note) = event {
                notes += note;
            }
            ControlFlow::Continue(())
        };
        let outcome = pretrain(&world.settings(), &world.options(&output), &mut listen);
        told(outcome, |_| "finished".to_string()) + &notes
    })
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
