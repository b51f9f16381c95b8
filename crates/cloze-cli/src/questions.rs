//! Questions on texts: their flags, where they come from, and the files that SQuAD's scripts read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use cloze::Model;
use cloze::data::{Question, read_question_lines_from, read_questions};
use cloze::infer::spans::{Nbest, WindowStep, nbest_json, null_odds_json, predictions_json};
use cloze::settings::QuestionSettings;

/// How questions are read and answered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Questions on a text (--task qa)")]
pub struct QuestionArgs {
    /// By how many tokens each window of a long text begins behind the one before [default: 128]
    #[arg(long, value_name = "N", conflicts_with = "window_overlap", value_parser = one_or_more)]
    window_advance: Option<usize>,
    /// How many tokens each window of a long text shares with the one before, instead of --window-advance
    #[arg(long, value_name = "N")]
    window_overlap: Option<usize>,
    /// Tokens of a question at most; what is beyond is cut off [default: 64]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    max_query_length: Option<usize>,
    /// Tokens of an answer at most [default: 30]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    max_answer_length: Option<usize>,
    /// How many of the best answers are kept, and starts and ends combined [default: 20]
    #[arg(long, value_name = "N", value_parser = one_or_more)]
    n_best: Option<usize>,
    /// Not understood, because it means two things.
    #[arg(long, hide = true, value_name = "N", value_parser = no_stride, allow_hyphen_values = true)]
    doc_stride: Option<usize>,
}

/// How a model answers questions, and where its answers go.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// Folder for predictions.json, nbest_predictions.json and null_odds.json, of answers to questions
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    questions: QuestionArgs,
    /// There is no answer to a question whose null odds are greater than this [default: the threshold that is stored
    /// with the model]
    #[arg(long, value_name = "ODDS", allow_hyphen_values = true, help_heading = "Questions on a text (--task qa)")]
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
            let path = folder.join(name);
            fs::write(&path, format!("{value:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn one_or_more(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("use 1 or more".to_string()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a number of tokens".to_string()),
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

/// The questions of a file in SQuAD's format, or of JSON lines; nothing if the file is of another kind.
pub fn of_file(path: &Path) -> anyhow::Result<Option<Vec<Question>>> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    Ok(match ending.as_deref() {
        Some("json") => Some(read_questions(path)?.questions),
        Some("jsonl") => {
            let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(read_question_lines_from(io::BufReader::new(file), path)?)
        }
        _ => None,
    })
}
