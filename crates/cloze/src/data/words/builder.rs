//! Sentences of a file with a word a row, while they are read.

use std::path::Path;

use super::Sentence;
use crate::data::conll::is_blank;
use crate::data::options::{Budget, DataOptions, Faults, problem, string_cost};
use crate::error::Error;

/// Sentences whose words come one by one.
pub(in crate::data) struct Builder<'a> {
    path: &'a Path,
    options: &'a DataOptions,
    /// A label that means none, beside the empty one.
    pub no_label: Option<&'static str>,
    /// Number of marks of a new document so far.
    pub document: u32,
    budget: Budget,
    sentence: Sentence,
    /// True if the rest of the sentence is not read.
    is_left_out: bool,
    unlabelled: usize,
    sentences: Vec<Sentence>,
}

impl<'a> Builder<'a> {
    /// A builder for a file of so many bytes.
    pub fn new(path: &'a Path, options: &'a DataOptions, size: usize) -> Builder<'a> {
        Builder {
            path,
            options,
            no_label: None,
            document: 0,
            budget: Budget::of_words(size),
            sentence: Sentence::default(),
            is_left_out: false,
            unlabelled: 0,
            sentences: Vec::new(),
        }
    }

    /// True if the sentence has no words so far.
    pub fn is_at_start(&self) -> bool {
        self.sentence.words.is_empty()
    }

    /// True if the rest of the sentence is not read.
    pub fn is_left_out(&self) -> bool {
        self.is_left_out
    }

    /// Adds a word to the sentence, with its label where labels are asked for.
    pub fn add(&mut self, word: &str, label: Option<&str>, line: usize) -> Result<(), Error> {
        if is_blank(word) {
            return Err(problem(self.path, Some(line), "the word is empty"));
        }
        if let Some(label) = label {
            if label.is_empty() || self.no_label == Some(label) {
                return self.add_without_label(label, line);
            }
            self.budget.take(string_cost(label.len()), self.path, line)?;
            self.sentence.labels.push(label.to_string());
        }
        self.budget.take(string_cost(word.len()) + size_of::<u32>(), self.path, line)?;
        if self.sentence.words.is_empty() {
            self.budget.take(Sentence::COST, self.path, line)?;
            (self.sentence.line, self.sentence.document) = (line, self.document);
        }
        self.sentence.words.push(word.to_string());
        self.sentence.word_lines.push(u32::try_from(line).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Leaves the sentence out, if such sentences are to be.
    fn add_without_label(&mut self, label: &str, line: usize) -> Result<(), Error> {
        if self.options.skip_unlabelled {
            self.unlabelled += 1;
            self.is_left_out = true;
            return Ok(());
        }
        let found = if label.is_empty() {
            "the label is empty".to_string()
        } else {
            format!("the label is `{label}`, which means none")
        };
        let message = format!("{found}; add it, or leave such sentences out with --skip-unlabelled");
        Err(problem(self.path, Some(line), &message))
    }

    /// Notes the fault of a row. Half of its sentence would have faults that the file has not, so all is left out.
    pub fn fault(&mut self, error: Error, faults: &mut Faults) -> Result<(), Error> {
        self.is_left_out = true;
        faults.add(error)
    }

    /// Adds the sentence to the others if it has words, and begins another.
    pub fn end_sentence(&mut self) {
        let mut sentence = std::mem::take(&mut self.sentence);
        sentence.shrink();
        if !sentence.words.is_empty() && !self.is_left_out {
            self.sentences.push(sentence);
        }
        self.is_left_out = false;
    }

    /// Ends the last sentence, and gives all of them. A note tells how many are left out.
    pub fn finish(mut self, notes: &mut Vec<String>) -> Vec<Sentence> {
        self.end_sentence();
        if self.unlabelled > 0 {
            let (path, count) = (self.path.display(), self.unlabelled);
            notes.push(format!("{path}: sentences with words without a label, left out: {count}"));
        }
        self.sentences
    }
}
