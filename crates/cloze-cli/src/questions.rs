//! Questions on texts: their flags, where they come from, and the files that SQuAD's scripts read.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use cloze::Model;
use cloze::checkpoint::write_file;
use cloze::data::Question;
use cloze::infer::spans::{Nbest, WindowStep, nbest_json, null_odds_json, predictions_json};
use cloze::settings::QuestionSettings;

use crate::arguments::{at_least, finite};

/// How questions are read and answered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Questions on a text (qa)")]
pub struct QuestionArgs {
    /// Begin each window of a long text N tokens after the one before [default: 128]
    #[arg(long, value_name = "N", conflicts_with = "window_overlap", value_parser = at_least(1_usize))]
    window_advance: Option<usize>,
    /// Let each window of a long text share N tokens with the one before, instead of --window-advance
    #[arg(long, value_name = "N", value_parser = at_least(0_usize))]
    window_overlap: Option<usize>,
    /// Cut a question after N tokens [default: 64]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize))]
    max_query_length: Option<usize>,
    /// Allow answers of up to N tokens [default: 30]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize))]
    max_answer_length: Option<usize>,
    /// Combine the N best starts and ends, and keep the N best answers [default: 20]
    #[arg(long, value_name = "N", value_parser = at_least(1_usize))]
    n_best: Option<usize>,
    /// Not understood, because it means two things.
    #[arg(long, hide = true, value_name = "N", value_parser = no_stride, allow_hyphen_values = true)]
    doc_stride: Option<usize>,
}

/// How a model answers questions, and where its answers go.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// Write predictions.json, nbest_predictions.json and null_odds.json to this folder
    #[arg(long, value_name = "DIR", help_heading = "Questions on a text (qa)")]
    output: Option<PathBuf>,
    #[command(flatten)]
    questions: QuestionArgs,
    /// Answer "" where the null odds exceed this [default: the threshold that is stored with the model]
    #[arg(
        long,
        value_name = "ODDS",
        allow_hyphen_values = true,
        value_parser = finite,
        help_heading = "Questions on a text (qa)"
    )]
    null_threshold: Option<f64>,
}

impl AnswerArgs {
    /// How the model answers, but for what was chosen.
    pub fn settings(&self, model: &Model) -> QuestionSettings {
        let mut settings = self.questions.applied_to(model.question_settings());
        settings.answers.null_threshold = self.null_threshold.or(settings.answers.null_threshold);
        settings
    }

    /// Whether answers are wanted in files.
    pub fn want_files(&self) -> bool {
        self.output.is_some()
    }

    /// Refuses to write files of a model that answers no questions.
    pub fn refuse_files(&self) -> anyhow::Result<()> {
        match self.output {
            Some(_) => bail!("--output: only answers to questions are written to files; use --json"),
            None => Ok(()),
        }
    }

    /// Writes `predictions.json`, `nbest_predictions.json` and `null_odds.json`, if they are wanted.
    pub fn write_files(&self, questions: &[Question], nbest: &[Nbest]) -> anyhow::Result<()> {
        let Some(folder) = &self.output else { return Ok(()) };
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let files = [
            ("predictions.json", predictions_json(questions, nbest)),
            ("nbest_predictions.json", nbest_json(questions, nbest)),
            ("null_odds.json", null_odds_json(questions, nbest)),
        ];
        for (name, value) in files {
            write_file(&folder.join(name), format!("{value:#}\n").as_bytes())?;
        }
        Ok(())
    }
}

fn no_stride(_: &str) -> Result<usize, String> {
    Err("--doc-stride means the advance of a window in Google's scripts, and the overlap of two windows in Hugging \
         Face's; say which one is meant with --window-advance or --window-overlap"
        .to_string())
}

impl QuestionArgs {
    /// `settings`, but for what was chosen.
    pub fn applied_to(&self, mut settings: QuestionSettings) -> QuestionSettings {
        let advance = self.window_advance.map(WindowStep::Advance);
        settings.step = advance.or(self.window_overlap.map(WindowStep::Overlap)).unwrap_or(settings.step);
        settings.max_query_length = self.max_query_length.unwrap_or(settings.max_query_length);
        let answers = &mut settings.answers;
        answers.max_answer_length = self.max_answer_length.unwrap_or(answers.max_answer_length);
        answers.n_best = self.n_best.unwrap_or(answers.n_best);
        settings
    }
}
