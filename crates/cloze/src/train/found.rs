//! Contents of the output folder before a run, and the decision about taking it.

use std::path::Path;

use crate::Error;
use crate::checkpoint;
use crate::folder::Folder;
use crate::settings::{Difference, RunSettings, Start, StoredRun, StoredSettings, adopt_paths, difference};

use super::events::RunOptions;
use super::run::steps_in;

/// Contents of the output folder before a run.
pub(super) enum Found {
    /// Nothing of a run, or nothing that is to be kept.
    Nothing(Folder),
    /// A run with the same settings that has not come to its end.
    Unfinished(Box<Unfinished>, Folder),
    /// A run with the same settings that has.
    Finished,
}

/// A run that is to be gone on with.
pub(super) struct Unfinished {
    pub run: StoredRun,
    /// A file that has another name now; its contents decide.
    moved: Option<Difference>,
}

impl Unfinished {
    /// The error of a run that reads something else now.
    pub fn other_data(&self, output: &Path) -> Error {
        let folder = output.display();
        let what = match &self.moved {
            Some(Difference { name, then, now }) => {
                format!("was started with {name} = {then}; {now} has other contents")
            }
            None => "reads data that has changed since it was started".to_string(),
        };
        Error::Settings(format!(
            "the run in {folder} {what}; restore the data to go on, or give --overwrite to begin anew"
        ))
    }
}

/// Takes the output folder and looks at it; refuses to touch what belongs to other settings or to nobody.
pub(super) fn look(options: &RunOptions, settings: &RunSettings) -> Result<Found, Error> {
    let output = &options.output;
    refuse_own_start(settings, output)?;
    let folder = Folder::take(output, settings.command())?;
    if options.overwrite {
        return Ok(Found::Nothing(folder));
    }
    folder.expect_own()?;
    let shown = output.display();
    let Some(mut run) = StoredSettings::read(output)?.run else {
        // What is marked as unfinished was to be replaced.
        if checkpoint::holds_model(output) && !folder.was_unfinished() {
            return Err(Error::Settings(format!(
                "{shown} already holds a model; choose another --output, or give --overwrite to replace it"
            )));
        }
        return Ok(Found::Nothing(folder));
    };
    let is_begun = run.finished || !steps_in(output)?.is_empty();
    if std::mem::discriminant(&run.settings) != std::mem::discriminant(settings) {
        if !is_begun {
            return Ok(Found::Nothing(folder));
        }
        let (then, now) = (run.settings.command(), settings.command());
        return Err(Error::Settings(format!(
            "{shown} holds a run of `cloze {then}`, not of `cloze {now}`; choose another --output, or give --overwrite \
             to replace it"
        )));
    }
    let moved = adopt_paths(&mut run, settings, output);
    match difference(&run.settings, settings) {
        None => {}
        // A folder in which nothing has been computed is no run.
        Some(_) if !is_begun => return Ok(Found::Nothing(folder)),
        Some(Difference { name, then, now }) => {
            return Err(Error::Settings(if run.finished {
                format!(
                    "the run in {shown} is finished, with {name} = {then}, now it is {now}; to train its model further, \
                     give --model {shown} and another --output; to begin anew, --overwrite"
                )
            } else {
                format!(
                    "the run in {shown} was started with {name} = {then}, now it is {now}; use the same settings to \
                     resume, another --output, or --overwrite to begin anew"
                )
            }));
        }
    }
    if run.finished && !folder.was_unfinished() {
        return match moved {
            None => Ok(Found::Finished),
            Some(Difference { name, then, now }) => Err(Error::Settings(format!(
                "the run in {shown} is finished; it was started with {name} = {then}, now it is {now}; use another \
                 --output, or --overwrite to begin anew"
            ))),
        };
    }
    Ok(Found::Unfinished(Box::new(Unfinished { run, moved }), folder))
}

/// Refuses to write a run over the model that it starts from: interrupted, it could not start again.
fn refuse_own_start(settings: &RunSettings, output: &Path) -> Result<(), Error> {
    let start = match settings {
        RunSettings::Pretrain(settings) => &settings.start,
        RunSettings::Finetune(settings) => &settings.start,
    };
    let Start::Model(model) = start else { return Ok(()) };
    match (model.canonicalize(), output.canonicalize()) {
        (Ok(model), Ok(own)) if model == own => Err(Error::Settings(format!(
            "{} is the model that the run starts from, which stays as it is; choose another --output",
            output.display()
        ))),
        _ => Ok(()),
    }
}
