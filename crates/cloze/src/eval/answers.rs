//! Losses and metrics of answers to questions.

use std::collections::HashMap;
use std::path::Path;

use crate::Error;
use crate::data::squad::aligned_span;
use crate::data::{Question, SquadVersion};
use crate::infer::spans::{AnswerSettings, Nbest, answers};
use crate::infer::{ReadQuestion, SpanLogits, cross_entropy};
use crate::settings::StoredSettings;
use crate::train::{Metrics, Observer};

use super::results::{Figures, for_each_chunk, named};
use super::squad::{NoAnswer, NullChoice, best_null_threshold, question_score, squad_v1, squad_v2};

/// What a model answers to questions, and what it should answer.
#[derive(Clone, Debug)]
pub(crate) struct AnswerResults {
    /// Tokens of each question with its context.
    pub lengths: Vec<usize>,
    pub questions: Vec<Question>,
    pub nbest: Vec<Nbest>,
    version: SquadVersion,
    settings: AnswerSettings,
    loss: f64,
    windows: usize,
}

impl AnswerResults {
    /// Of the questions of a file; `logits_of` computes the logits of all windows of some of them. In a file like SQuAD
    /// 2.0 a question may have no answer, which models that answer every question never say.
    pub fn of(
        questions: &[Question],
        read: &[ReadQuestion],
        version: SquadVersion,
        settings: AnswerSettings,
        mut logits_of: impl FnMut(&[ReadQuestion]) -> Result<Vec<SpanLogits>, Error>,
        observer: &mut Observer,
    ) -> Result<AnswerResults, Error> {
        let (mut nbest, mut loss, mut windows) = (Vec::with_capacity(read.len()), 0.0, 0);
        for_each_chunk(read.len(), observer, |chunk| {
            let mut logits = logits_of(&read[chunk.clone()])?.into_iter();
            for (question, read) in questions[chunk.clone()].iter().zip(&read[chunk]) {
                let own: Vec<SpanLogits> = logits.by_ref().take(read.windows.windows.len()).collect();
                nbest.push(answers(&read.windows, &question.context, &own, settings));
                let span = aligned_span(question);
                // What is not known to have an answer, or none, has no loss.
                if span.is_none() && !question.is_impossible {
                    continue;
                }
                for ((start, end), (starts, ends)) in read.windows.targets(span).into_iter().zip(&own) {
                    loss += (cross_entropy(starts, start) + cross_entropy(ends, end)) / 2.0;
                    windows += 1;
                }
            }
            Ok(())
        })?;
        let lengths = read.iter().map(|read| read.extent.tokens).collect();
        Ok(AnswerResults { lengths, questions: questions.to_vec(), nbest, version, settings, loss, windows })
    }

    /// Decides anew which questions have no answer.
    pub fn apply(&mut self, settings: &StoredSettings) {
        if let Some(threshold) = settings.questions.and_then(|questions| questions.answers.null_threshold) {
            self.settings.null_threshold = Some(threshold);
            self.nbest.iter_mut().for_each(|nbest| nbest.decide(threshold));
        }
    }

    /// The threshold of the null odds with the best F1. None if every question has an answer: then none can tell.
    pub fn tuned_threshold(&self) -> Option<f64> {
        self.settings.null_threshold?;
        self.questions.iter().find(|question| question.is_impossible)?;
        let choice = |(question, nbest): (&Question, &Nbest)| NullChoice {
            odds: nbest.null_odds,
            span: question_score(question, nbest.best_span(), self.version).1,
            nothing: question_score(question, "", self.version).1,
        };
        Some(best_null_threshold(self.questions.iter().zip(&self.nbest).map(choice).collect()))
    }

    /// The loss first; then what SQuAD's official scripts say, in per cent.
    pub fn metrics(&self) -> Result<Metrics, Error> {
        let mut metrics = vec![named("loss", self.loss / self.windows.max(1) as f64)];
        let official = self.official()?.into_iter();
        metrics.extend(
            official.map(|(name, value)| if name == "exact" { named("exact_match", value) } else { (name, value) }),
        );
        Ok(metrics)
    }

    fn official(&self) -> Result<Metrics, Error> {
        let predictions: HashMap<&str, &str> = self.by_id(|nbest| nbest.answer().text.as_str()).collect();
        match (self.version, self.settings.null_threshold) {
            (SquadVersion::V1, _) => Ok(squad_v1(&self.questions, &predictions)),
            (SquadVersion::V2, None) => squad_v2(&self.questions, &predictions, None),
            (SquadVersion::V2, Some(threshold)) => {
                // What a threshold could give depends on what would be answered without it.
                let spans: HashMap<&str, &str> = self.by_id(Nbest::best_span).collect();
                let odds: Vec<(&str, f64)> = self.by_id(|nbest| nbest.null_odds).collect();
                squad_v2(&self.questions, &spans, Some(NoAnswer { odds: &odds, threshold }))
            }
        }
    }

    fn by_id<'a, T>(&'a self, of: impl Fn(&'a Nbest) -> T) -> impl Iterator<Item = (&'a str, T)> {
        self.questions.iter().zip(&self.nbest).map(move |(question, nbest)| (question.id.as_str(), of(nbest)))
    }

    /// The metrics of some of the questions.
    pub fn figures(&self) -> Figures<'_> {
        let scores = self.scores();
        Figures::new(vec!["exact_match", "f1"], move |chosen| {
            let mean = |of: fn(&(f64, f64)) -> f64| {
                100.0 * chosen.iter().map(|&at| of(&scores[at])).sum::<f64>() / chosen.len() as f64
            };
            vec![mean(|score| score.0), mean(|score| score.1)]
        })
    }

    /// The probability of each answer, and whether it is right.
    pub fn confidences(&self) -> (Vec<f64>, Vec<bool>) {
        (self.nbest.iter().map(|nbest| nbest.answer().probability).collect(), self.is_right())
    }

    /// Whether each answer is one of the right ones.
    pub fn is_right(&self) -> Vec<bool> {
        self.scores().iter().map(|(exact, _)| *exact == 1.0).collect()
    }

    /// The answers of annotators, and that of the model.
    pub fn answer(&self, at: usize) -> (String, String) {
        let mut gold: Vec<&str> = self.questions[at].answers.iter().map(|answer| answer.text.as_str()).collect();
        gold.sort_unstable();
        gold.dedup();
        (gold.join(" | "), self.nbest[at].answer().text.clone())
    }

    fn scores(&self) -> Vec<(f64, f64)> {
        let score =
            |(question, nbest): (&Question, &Nbest)| question_score(question, &nbest.answer().text, self.version);
        self.questions.iter().zip(&self.nbest).map(score).collect()
    }
}

/// Questions with their contexts.
pub(crate) fn texts_of_questions(questions: &[Question]) -> Vec<(&str, &str)> {
    questions.iter().map(|question| (question.question.as_str(), &*question.context)).collect()
}

/// A sentence about what was windowed or cut off, if anything was.
pub(crate) fn note_on_questions(read: &[ReadQuestion], path: &Path) -> Option<String> {
    let long = read.iter().filter(|question| question.extent.windows > 1 || question.extent.truncated > 0).count();
    let windows: usize = read.iter().map(|question| question.extent.windows).sum();
    let lost: usize = read.iter().map(|question| question.extent.truncated).sum();
    (long > 0).then(|| {
        format!(
            "{}: {long} of {} questions with their texts are too long to be read at once; {windows} windows in all, \
             {lost} tokens were cut off",
            path.display(),
            read.len()
        )
    })
}
