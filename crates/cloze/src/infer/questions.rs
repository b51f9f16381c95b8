//! Questions on texts as a model reads them, and its answers.

use cloze_kernels::Kernels;
use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;

use crate::Error;
use crate::model::{Batch, Network};
use crate::params::{Linear, TaskHead};
use crate::settings::{FinetuneRecipe, FinetuneTask, QuestionSettings};

use super::spans::{self, Nbest, QuestionWindows, Window, WindowSettings, question_windows};
use super::workspace::{InferenceWorkspace, token_rows};
use super::{Extent, Long, Model, ReadOptions, TOKENS_PER_BATCH};

/// The best answers to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestionAnswer {
    /// Answers, and the odds that there is none.
    pub nbest: Nbest,
    /// How much of the question and its text was read.
    pub extent: Extent,
}

/// A question and its context as a model reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadQuestion {
    pub windows: QuestionWindows,
    pub extent: Extent,
}

/// The logits of a window's tokens as starts and as ends: `[tokens]` each.
pub(crate) type SpanLogits = (Vec<f32>, Vec<f32>);

/// Reads questions with their contexts, on rayon's threads.
///
/// # Errors
/// If the settings leave no room for the context.
pub(crate) fn read_questions(
    tokenizer: &Tokenizer,
    questions: &[(&str, &str)],
    settings: WindowSettings,
    long: Long,
) -> Result<Vec<ReadQuestion>, Error> {
    let read = |&(question, context): &(&str, &str)| {
        let mut windows = question_windows(tokenizer, question, context, settings)?;
        if long == Long::Truncate {
            windows.windows.truncate(1);
            windows.windows[0].has_most_context.fill(true);
        }
        let read = windows.windows.last().map_or(0, |window| window.tokens.end);
        let asked = windows.windows[0].positions.start;
        let lost = windows.question_truncated + windows.offsets.len() - read;
        let extent = Extent { tokens: asked + read + 1, windows: windows.windows.len(), truncated: lost };
        Ok(ReadQuestion { windows, extent })
    };
    questions.par_iter().with_min_len(16).map(read).collect()
}

/// The logits of windows, in batches.
pub(crate) fn span_logits<K: Kernels<Real = f32>>(
    network: &Network<K>,
    workspace: &mut InferenceWorkspace<K>,
    head: &Linear<K::Matrix, K::Vector>,
    windows: &[&Window],
) -> Result<Vec<SpanLogits>, Error> {
    let mut logits = Vec::with_capacity(windows.len());
    let mut first = 0;
    while first < windows.len() {
        let (mut batch, mut end) = (Batch::default(), first);
        while end < windows.len() && (end == first || batch.tokens() + windows[end].ids.len() <= TOKENS_PER_BATCH) {
            batch.push(&windows[end].ids, &windows[end].token_type_ids);
            end += 1;
        }
        let rows: Vec<u32> = (0..batch.tokens() as u32).collect();
        let values = token_rows(network, workspace, head, 2, &batch, &rows)?;
        let mut pairs = values.chunks(2).map(|pair| (pair[0] as f32, pair[1] as f32));
        logits.extend(windows[first..end].iter().map(|window| pairs.by_ref().take(window.ids.len()).unzip()));
        first = end;
    }
    Ok(logits)
}

impl Model {
    /// How the model reads and answers questions: as stored with it, else as BERT's results on SQuAD were made.
    pub fn question_settings(&self) -> QuestionSettings {
        self.settings.questions.unwrap_or_default()
    }

    /// Answers questions, each with the text that it is about. Longer texts are read in windows, unless `options` or
    /// the model say otherwise.
    ///
    /// # Errors
    /// If the model has no head for answers, or windows have no room for the text.
    pub fn answer(
        &self,
        questions: &[(&str, &str)],
        options: ReadOptions,
        settings: QuestionSettings,
    ) -> Result<Vec<QuestionAnswer>, Error> {
        let read = self.read_questions(questions, options, settings)?;
        let mut logits = self.question_logits(&read)?.into_iter();
        let answer = |(read, (_, context)): (&ReadQuestion, &(&str, &str))| {
            let own: Vec<SpanLogits> = logits.by_ref().take(read.windows.windows.len()).collect();
            let nbest = spans::answers(&read.windows, context, &own, settings.answers);
            QuestionAnswer { nbest, extent: read.extent }
        };
        Ok(read.iter().zip(questions).map(answer).collect())
    }

    /// Questions with their contexts as the model reads them.
    pub(crate) fn read_questions(
        &self,
        questions: &[(&str, &str)],
        options: ReadOptions,
        settings: QuestionSettings,
    ) -> Result<Vec<ReadQuestion>, Error> {
        self.needs(
            self.declaration.heads.task == Some(TaskHead::Span),
            "head for answers to questions; fine-tune it first",
        )?;
        settings.check()?;
        let long = options.long.or(self.settings.long).or(Some(Long::Window));
        let usual = FinetuneRecipe::bert(FinetuneTask::Questions, &self.config).max_seq_length;
        let length = self.settings.max_seq_length.unwrap_or(usual).min(self.max_length());
        let reading = self.reading_up_to(ReadOptions { long, ..options }, length)?;
        read_questions(&self.tokenizer, questions, settings.windows(reading.max_length), reading.long)
    }

    /// The logits of all their windows.
    pub(crate) fn question_logits(&self, read: &[ReadQuestion]) -> Result<Vec<SpanLogits>, Error> {
        let windows: Vec<&Window> = read.iter().flat_map(|question| &question.windows.windows).collect();
        self.with_workspace(|network, workspace| {
            let head = network.parameters.task.as_ref().expect("the model has a head for answers");
            span_logits(network, workspace, head, &windows)
        })
    }
}
