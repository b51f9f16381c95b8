//! The curves that whole runs draw for TensorBoard have what the log has, after ends of any kind.

#[path = "common/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use cloze::data::tfrecord::read_record;
use cloze::settings::FinetuneSettings;
use cloze::train::{Event, Outcome, RunOptions, finetune, pretrain};
use world::{World, ignore, stop_after};

/// The fields of a message of protocol buffers: their numbers, and integers as u64 or the bytes of all else.
fn fields(mut message: &[u8]) -> Vec<(u8, Result<u64, &[u8]>)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = message.split_first().unwrap();
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while let Some((&key, rest)) = message.split_first() {
        message = rest;
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, Ok(varint(&mut message))));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            kind => panic!("a field of kind {kind}"),
        };
        let (value, rest) = message.split_at(length);
        fields.push((key >> 3, Err(value)));
        message = rest;
    }
    fields
}

/// What TensorBoard makes of the files of events of a run: for each tag its steps and values. A new start
/// drops what the files before say of its step and later ones.
fn curves(output: &Path) -> BTreeMap<String, BTreeMap<u64, f32>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(output.join("runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut curves: BTreeMap<String, BTreeMap<u64, f32>> = BTreeMap::new();
    for path in paths {
        let (mut file, mut record, mut offset) = (fs::File::open(&path).unwrap(), Vec::new(), 0);
        while read_record(&mut record, &mut file, &mut offset, &path).unwrap() {
            let event = fields(&record);
            let step = event.iter().find(|(number, _)| *number == 2).map_or(0, |(_, step)| step.unwrap());
            for (number, value) in event {
                if number == 7 {
                    curves.values_mut().for_each(|curve| drop(curve.split_off(&step)));
                } else if number == 5 {
                    let value = fields(fields(value.unwrap_err())[0].1.unwrap_err());
                    let tag = String::from_utf8(value[0].1.unwrap_err().to_vec()).unwrap();
                    let number = f32::from_le_bytes(value[1].1.unwrap_err().try_into().unwrap());
                    assert!(curves.entry(tag).or_default().insert(step, number).is_none(), "step {step} twice");
                }
            }
        }
    }
    curves
}

/// What the log in `trainer_state.json` says, as [`curves`] gives it.
fn logged(output: &Path) -> BTreeMap<String, BTreeMap<u64, f32>> {
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(output.join("trainer_state.json")).unwrap()).unwrap();
    let mut curves: BTreeMap<String, BTreeMap<u64, f32>> = BTreeMap::new();
    for entry in state["log_history"].as_array().unwrap() {
        for (name, value) in entry.as_object().unwrap() {
            let tag = match name.strip_prefix("eval_") {
                Some(name) => format!("eval/{name}"),
                None => format!("train/{name}"),
            };
            if let Some(value) = value.as_f64().filter(|_| name != "step" && name != "epoch") {
                curves.entry(tag).or_default().insert(entry["step"].as_u64().unwrap(), value as f32);
            }
        }
    }
    curves
}

#[test]
fn curves_have_every_step_once_after_kills_and_stops() {
    let world = World::new();
    let settings = world.pretraining();
    let run = world.path("run");
    // Killed before the first checkpoint, then after that of step 6, then stopped after step 9.
    for killed_at in [2, 8] {
        let killed = std::panic::catch_unwind(|| {
            let mut kill = |event: &Event| match event {
                Event::Step(log) if log.step == killed_at => panic!("killed"),
                _ => ControlFlow::Continue(()),
            };
            pretrain(&settings, &world.options("run", 2), &mut kill)
        });
        assert!(killed.is_err());
        assert!(curves(&run)["train/loss"].keys().copied().eq(1..=killed_at), "{killed_at}");
    }
    pretrain(&settings, &world.options("run", 2), &mut stop_after(9)).unwrap();
    pretrain(&settings, &world.options("run", 2), &mut ignore).unwrap();
    assert_eq!(fs::read_dir(run.join("runs")).unwrap().count(), 4);
    let found = curves(&run);
    assert_eq!(found, logged(&run));
    for tag in ["train/loss", "train/learning_rate", "train/grad_norm", "train/tokens_per_second", "train/nsp_loss"] {
        assert!(found[tag].keys().copied().eq(1..=12), "{tag}: {:?}", found[tag]);
    }
    assert!(found["eval/mlm_loss"].contains_key(&12));
    assert_eq!(pretrain(&settings, &world.options("run", 2), &mut ignore).unwrap(), Outcome::AlreadyFinished);
    assert_eq!(fs::read_dir(run.join("runs")).unwrap().count(), 4);

    let options = RunOptions { overwrite: true, ..world.options("run", 2) };
    pretrain(&settings, &options, &mut ignore).unwrap();
    assert_eq!(fs::read_dir(run.join("runs")).unwrap().count(), 1, "the old files are removed");
    assert_eq!(curves(&run), logged(&run));
}

#[test]
fn curves_of_a_fine_tuning_have_every_evaluation() {
    let world = World::new();
    let settings = FinetuneSettings { epochs: 4, ..world.finetuning() };
    finetune(&settings, &world.options("run", 1), &mut stop_after(5)).unwrap();
    finetune(&settings, &world.options("run", 1), &mut ignore).unwrap();
    let curves = curves(&world.path("run"));
    assert_eq!(curves, logged(&world.path("run")));
    assert!(curves["train/loss"].keys().copied().eq(1..=12));
    assert!(curves["eval/accuracy"].keys().copied().eq([3, 6, 9, 12]));
}

#[test]
fn curves_that_cannot_be_written_are_named() {
    let world = World::new();
    fs::create_dir(world.path("run")).unwrap();
    fs::write(world.path("run/runs"), "").unwrap();
    let error = pretrain(&world.pretraining(), &world.options("run", 1), &mut ignore).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot create {}: ", world.path("run/runs").display())), "{error}");
}
