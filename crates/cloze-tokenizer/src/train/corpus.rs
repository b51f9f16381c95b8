//! The words of any amount of text, counted within bounds of memory.
//!
//! When the counts in memory have grown to the bound, they are written to a file in string order, and counting goes
//! on with none. At the end the files are merged. Every word is counted to the last; what memory bounds is how many
//! of them a vocabulary is trained on: the most frequent, equally frequent ones in string order, as many as fit. So
//! the choice depends on text and bound alone, and if all words fit it makes no difference that there was a bound.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::TrainOptions;
use super::runs::{RUNS_MAX, Run};
use super::word_counts::{WordCounts, cost};
use crate::error::Error;
use crate::normalize::{Casing, Normalizer};
use crate::tokenizer::Tokenizer;

/// Counts the words of normalized text within a bound of memory.
#[derive(Debug)]
pub struct CorpusCounts {
    counts: WordCounts,
    /// Text that waits until there is enough for all threads.
    text: String,
    memory: u64,
    folder: PathBuf,
    runs: Vec<Run>,
}

/// The words of a corpus and their counts.
#[derive(Debug)]
pub struct CountedWords {
    pub(super) normalizer: Normalizer,
    /// The words to train on, in string order.
    pub(super) words: Vec<(Box<str>, u64)>,
    /// The characters of all words.
    pub(super) characters: Characters,
    all: WordSums,
    left_out: WordSums,
    too_long: u64,
    /// All words, if `words` is only a part of them.
    run: Option<Run>,
}

/// How many words, or characters, there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordSums {
    /// Different ones.
    pub different: u64,
    /// All those of the text.
    pub total: u64,
}

/// Text waits until it is this share of the memory: the counts of such a piece, which are in memory beside those of
/// all that came before, may take some fifteen times as much as itself if no word comes twice.
const WAITING_SHARE: u64 = 64;
const WAITING_BYTES_MIN: u64 = 1 << 16;
const WAITING_BYTES_MAX: u64 = 1 << 24;

impl CorpusCounts {
    /// No words yet. Text is going to be normalized for this casing. `memory`, in bytes, bounds counting and training
    /// together; what does not fit waits in files in `folder`.
    pub fn new(casing: Casing, memory: u64, folder: &Path) -> CorpusCounts {
        CorpusCounts::with_normalizer(Normalizer::new(casing), memory, folder)
    }

    /// The same for text that is normalized as this tokenizer does.
    pub fn for_tokenizer(tokenizer: &Tokenizer, memory: u64, folder: &Path) -> CorpusCounts {
        CorpusCounts::with_normalizer(tokenizer.normalizer, memory, folder)
    }

    fn with_normalizer(normalizer: Normalizer, memory: u64, folder: &Path) -> CorpusCounts {
        let counts = WordCounts::with_normalizer(normalizer);
        CorpusCounts { counts, text: String::new(), memory, folder: folder.to_path_buf(), runs: Vec::new() }
    }

    /// Counts the words of `text`, with all threads of the current rayon pool once enough text is there. A text
    /// ends its last word.
    ///
    /// # Errors
    ///
    /// If words cannot be written to the folder.
    pub fn add_text(&mut self, text: &str) -> Result<(), Error> {
        self.text.push_str(text);
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
        let enough = (self.memory / WAITING_SHARE).clamp(WAITING_BYTES_MIN, WAITING_BYTES_MAX);
        if self.text.len() as u64 >= enough { self.count_waiting() } else { Ok(()) }
    }

    /// Adds `count` to a word, which is taken as it is: normalized, and one word.
    ///
    /// # Errors
    ///
    /// If words cannot be written to the folder.
    pub fn add(&mut self, word: &str, count: u64) -> Result<(), Error> {
        self.counts.add(word, count);
        self.spill_if_full()
    }

    /// The words of all text.
    ///
    /// # Errors
    ///
    /// If files in the folder cannot be written or read again.
    pub fn finish(mut self) -> Result<CountedWords, Error> {
        self.count_waiting()?;
        if self.runs.is_empty() {
            return Ok(self.counts.into());
        }
        let too_long = self.counts.too_long;
        self.spill()?;
        let run = match &mut self.runs[..] {
            [_] => self.runs.remove(0),
            runs => Run::merge(&self.folder, runs)?,
        };
        drop(self.runs);
        CountedWords::choose(run, self.counts.normalizer, too_long, self.memory)
    }

    fn count_waiting(&mut self) -> Result<(), Error> {
        self.counts.add_text(&self.text);
        self.text.clear();
        self.spill_if_full()
    }

    fn spill_if_full(&mut self) -> Result<(), Error> {
        if self.counts.cost <= self.memory { Ok(()) } else { self.spill() }
    }

    /// Writes the counts to a file, and starts anew.
    fn spill(&mut self) -> Result<(), Error> {
        let empty = WordCounts::with_normalizer(self.counts.normalizer);
        let mut counts = std::mem::replace(&mut self.counts, empty);
        self.counts.too_long = std::mem::take(&mut counts.too_long);
        let words = sorted(counts);
        self.runs
            .push(Run::write(&self.folder, |write| words.iter().try_for_each(|(word, count)| write(word, *count)))?);
        if self.runs.len() == RUNS_MAX {
            self.runs = vec![Run::merge(&self.folder, &self.runs)?];
        }
        Ok(())
    }
}

/// A hash table's own order never counts.
fn sorted(counts: WordCounts) -> Vec<(Box<str>, u64)> {
    let mut words: Vec<(Box<str>, u64)> = counts.counts.into_iter().collect();
    words.sort_unstable();
    words
}

impl From<WordCounts> for CountedWords {
    fn from(counts: WordCounts) -> CountedWords {
        let (normalizer, too_long) = (counts.normalizer, counts.too_long);
        let words = sorted(counts);
        let mut characters = Characters::default();
        let mut all = WordSums::default();
        for (word, count) in &words {
            characters.add(word, *count);
            all.add(*count);
        }
        CountedWords { normalizer, words, characters, all, left_out: WordSums::default(), too_long, run: None }
    }
}

impl CountedWords {
    /// Reads the words of a file and keeps the most frequent that fit the memory.
    fn choose(run: Run, normalizer: Normalizer, too_long: u64, memory: u64) -> Result<CountedWords, Error> {
        let mut characters = Characters::default();
        let mut all = WordSums::default();
        // What the words of each frequency take together. There are not many: to have n different frequencies a
        // text needs n²/2 words.
        let mut costs: BTreeMap<u64, u64> = BTreeMap::new();
        run.for_each(|word, count| {
            characters.add(word, count);
            all.add(count);
            *costs.entry(count).or_default() += cost(word);
        })?;
        // More frequent words fit all, less frequent ones do not; of those in between the first in string order do.
        let mut room = memory;
        let mut between = 0;
        for (&count, &cost) in costs.iter().rev() {
            if cost > room {
                between = count;
                break;
            }
            room -= cost;
        }
        let mut words = Vec::new();
        let mut left_out = WordSums::default();
        run.for_each(|word, count| {
            if count > between || count == between && take(&mut room, cost(word)) {
                words.push((word.into(), count))
            } else {
                left_out.add(count)
            }
        })?;
        Ok(CountedWords { normalizer, words, characters, all, left_out, too_long, run: Some(run) })
    }

    /// The casing that text was normalized for.
    pub fn casing(&self) -> Casing {
        self.normalizer.casing()
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.all.different == 0
    }

    /// All words that were counted.
    pub fn all(&self) -> WordSums {
        self.all
    }

    /// The words that no vocabulary is trained on, because memory did not suffice. Their characters count.
    pub fn left_out(&self) -> WordSums {
        self.left_out
    }

    /// How many words of more than 100 characters the text has. They are not counted as words: every vocabulary
    /// makes them `[UNK]`.
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// The characters of all words.
    pub fn characters(&self) -> WordSums {
        self.characters_where(|_, _| true)
    }

    /// The characters that a vocabulary lacks, alone or inside words: every word with one of them is unknown to it.
    pub fn characters_without_token(&self, tokenizer: &Tokenizer) -> WordSums {
        let prefix = tokenizer.wordpiece.continuing_subword_prefix.as_str();
        let has = |token: &str| tokenizer.wordpiece.id(token).is_some();
        self.characters_where(|c, inside| !has(&c.to_string()) || inside && !has(&format!("{prefix}{c}")))
    }

    fn characters_where(&self, holds: impl Fn(char, bool) -> bool) -> WordSums {
        let mut sums = WordSums::default();
        let counts = self.characters.counts.iter();
        counts.filter(|(c, (_, inside))| holds(**c, *inside)).for_each(|(_, (count, _))| sums.add(*count));
        sums
    }

    /// Hands over all words and their counts in string order, those that were left out, too.
    ///
    /// # Errors
    ///
    /// If they are in a file that cannot be read.
    pub fn for_each(&self, mut use_word: impl FnMut(&str, u64)) -> Result<(), Error> {
        match &self.run {
            Some(run) => run.for_each(use_word),
            None => {
                self.words.iter().for_each(|(word, count)| use_word(word, *count));
                Ok(())
            }
        }
    }
}

/// Takes `cost` from the room if it is there. Once something did not fit, nothing does.
fn take(room: &mut u64, cost: u64) -> bool {
    let rest = room.checked_sub(cost);
    *room = rest.unwrap_or(0);
    rest.is_some()
}

impl WordSums {
    fn add(&mut self, count: u64) {
        self.different += 1;
        self.total = self.total.saturating_add(count);
    }
}

/// How often each character comes, and whether it comes behind the first place of a word.
#[derive(Debug, Default)]
pub(super) struct Characters {
    counts: BTreeMap<char, (u64, bool)>,
}

impl Characters {
    pub fn add(&mut self, word: &str, count: u64) {
        for (place, c) in word.chars().enumerate() {
            let (sum, inside) = self.counts.entry(c).or_default();
            *sum = sum.saturating_add(count);
            *inside |= place > 0;
        }
    }

    /// The most frequent characters, in order, each with whether it comes behind the first place of a word and so
    /// takes two tokens: as many as `options` allow and fit in `room` tokens.
    pub fn alphabet(&self, options: &TrainOptions, room: usize) -> Vec<(char, bool)> {
        let frequent = self.counts.iter().filter(|(_, (count, _))| *count >= options.min_frequency);
        let mut by_frequency: Vec<_> = frequent.map(|(&c, &(count, inside))| (Reverse(count), c, inside)).collect();
        by_frequency.sort_unstable();
        by_frequency.truncate(options.limit_alphabet.unwrap_or(usize::MAX));
        let mut taken = 0;
        let fits = by_frequency.into_iter().take_while(|(_, _, inside)| {
            taken += 1 + usize::from(*inside);
            taken <= room
        });
        let mut alphabet: Vec<_> = fits.map(|(_, c, inside)| (c, inside)).collect();
        alphabet.sort_unstable();
        alphabet
    }
}
