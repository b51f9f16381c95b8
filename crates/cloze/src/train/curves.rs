//! The log of a run as curves for TensorBoard: files of events in the folder `runs` of the output folder, where
//! Hugging Face's Trainer has them, too.
//!
//! The curves only follow the log in `trainer_state.json`: nothing is ever read from them. A run that goes on begins a
//! new file, so that nobody writes to a file that a killed program may have left in the middle of an event.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Error;
use crate::error::at;

use super::EventWriter;
use super::history::History;
use super::tensorboard::is_own;

/// The curves of a run that is under way.
pub(super) struct Curves {
    writer: EventWriter,
    /// Entries of the log that are in the curves.
    entries: usize,
}

impl Curves {
    /// Begins a file for a run with this log; `resumed_at` is the number of steps that were done before.
    pub fn open(output: &Path, resumed_at: Option<u64>, history: &History) -> Result<Curves, Error> {
        let writer = EventWriter::open(&folder(output), resumed_at)?;
        Ok(Curves { writer, entries: history.entries.len() })
    }

    /// Adds the entries that are new in the log, and hands them to the system: a checkpoint that is written later
    /// finds them in the file, however the program ends.
    pub fn follow(&mut self, history: &History) -> Result<(), Error> {
        if self.entries == history.entries.len() {
            return Ok(());
        }
        for entry in &history.entries[self.entries..] {
            let step = entry["step"].as_u64().expect("every entry has a step");
            for (tag, value) in scalars(entry) {
                self.writer.scalar(&tag, step, value)?;
            }
        }
        self.entries = history.entries.len();
        self.writer.flush()
    }
}

/// Removes the curves of a run before; files of other programs stay.
pub(super) fn remove(output: &Path) -> Result<(), Error> {
    let folder = folder(output);
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&folder).map_err(at("read", &folder))? {
        let entry = entry.map_err(at("read", &folder))?;
        if is_own(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(at("remove", &entry.path()))?;
        }
    }
    Ok(())
}

fn folder(output: &Path) -> PathBuf {
    output.join("runs")
}

/// The numbers of an entry of the log under their tags: `eval_accuracy` is `eval/accuracy`, `loss` is `train/loss`.
/// What is not defined is null in the log and has no point in its curve.
fn scalars(entry: &Value) -> Vec<(String, f64)> {
    let numbers =
        entry.as_object().into_iter().flatten().filter(|(name, _)| !["epoch", "step"].contains(&name.as_str()));
    let scalar = |(name, value): (&String, &Value)| {
        let tag = match name.strip_prefix("eval_") {
            Some(name) => format!("eval/{name}"),
            None => format!("train/{name}"),
        };
        Some((tag, value.as_f64()?))
    };
    numbers.filter_map(scalar).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_are_those_of_hugging_faces_trainer() {
        let entry = json!({ "epoch": 0.5, "loss": 2.5, "mlm_loss": 1.5, "step": 7 });
        assert_eq!(scalars(&entry), [("train/loss".to_string(), 2.5), ("train/mlm_loss".to_string(), 1.5)]);
        let entry = json!({ "epoch": 0.5, "eval_f1": 0.25, "eval_pearson": null, "step": 7 });
        assert_eq!(scalars(&entry), [("eval/f1".to_string(), 0.25)]);
    }

    #[test]
    fn only_own_files_are_removed() {
        let output = tempfile::tempdir().unwrap();
        remove(output.path()).unwrap();
        Curves::open(output.path(), None, &History::default()).unwrap();
        let other = output.path().join("runs/events.out.tfevents.1700000000.host.1.0");
        fs::write(&other, "").unwrap();
        fs::create_dir(output.path().join("runs/more")).unwrap();
        remove(output.path()).unwrap();
        assert!(other.is_file());
        assert_eq!(fs::read_dir(output.path().join("runs")).unwrap().count(), 2);
    }
}
