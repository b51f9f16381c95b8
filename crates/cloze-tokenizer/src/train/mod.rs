//! WordPiece vocabularies from word counts.
//!
//! Every word starts as its characters, all but the first marked with `##`. Again and again the
//! pair of neighbouring pieces with the highest [`Score`] becomes one piece, until the vocabulary
//! has the asked size. The result depends on nothing except the counts: of pairs with equal scores
//! the first in string order is taken.
//!
//! [`train`] makes a vocabulary from counts that are all in memory. For any amount of text there is
//! [`CorpusCounts`], which is bounded, and [`train_on`]; [`Coverage`] tells how good a vocabulary
//! fits a text.
//!
//! ```
//! use cloze_tokenizer::Casing;
//! use cloze_tokenizer::train::{TrainOptions, WordCounts, train};
//!
//! let mut counts = WordCounts::new(Casing::Uncased);
//! counts.add_text("Talk, talks, talked, talking; walk, walks, walked, walking.");
//! let options = TrainOptions { size: 60, ..TrainOptions::default() };
//! let tokens = train(&counts, &options, &mut |_done, _total| {})?;
//! assert_eq!(tokens[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
//! assert!(["talk", "walk", "##ed", "##ing"].iter().all(|piece| tokens.iter().any(|t| t == piece)));
//! # Ok::<(), cloze_tokenizer::Error>(())
//! ```

mod corpus;
mod coverage;
mod new_words;
mod pairs;
mod pieces;
mod runs;
mod scripts;
mod word_counts;

pub use corpus::{CorpusCounts, CountedWords, WordSums};
pub use coverage::Coverage;
pub use new_words::{DocumentCounts, NewWord, NewWordOptions, new_words};
pub use scripts::Script;
pub use word_counts::WordCounts;

use crate::error::Error;
use crate::normalize::{Casing, Normalizer};
use crate::vocab::SPECIAL_TOKENS;
use corpus::Characters;
use pairs::Pairs;
use pieces::{Pieces, forced_words};

/// What vocabulary to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOptions {
    /// The largest number of tokens, special tokens included. Text with few words gives fewer.
    pub size: usize,
    /// A character that comes less often is no token, and a pair of pieces is not joined.
    pub min_frequency: u64,
    /// The largest number of different characters; the rarest others are left out. By default there are as many as
    /// fit in the size. One that comes less often than `min_frequency` is left out in any case.
    pub limit_alphabet: Option<usize>,
    /// What the words were normalized for.
    pub casing: Casing,
    /// Which pair is joined next.
    pub score: Score,
    /// Words that are tokens however often they come. They stand behind the special tokens, in this
    /// order and as they are in normalized text.
    pub forced: Vec<String>,
    /// How many slots `[unused0]`, `[unused1]`, … there are for tokens to come. They stand behind
    /// `[PAD]`: with 99 of them the special tokens have the ids of Google's vocabularies.
    pub unused: usize,
}

impl Default for TrainOptions {
    fn default() -> TrainOptions {
        TrainOptions {
            size: 30522,
            min_frequency: 2,
            limit_alphabet: None,
            casing: Casing::Uncased,
            score: Score::Count,
            forced: Vec::new(),
            unused: 0,
        }
    }
}

/// The largest vocabulary, some hundred times that of any BERT; slots and tokens up to it fit into memory.
const SIZE_MAX: usize = 1 << 24;

/// Which pair of neighbouring pieces `a`, `b` is joined next: the one with the highest score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Score {
    /// How often the pair comes, count(ab). Hugging Face's trainer does this.
    #[default]
    Count,
    /// How much likelier the text becomes, count(ab) / (count(a) · count(b)). Schuster and Nakajima
    /// (2012) did this. Pieces that hardly come without each other are joined early, however rare
    /// they are; so `min_frequency` matters more.
    Likelihood,
}

impl TrainOptions {
    /// Finds out before any text is read what no text can make good.
    ///
    /// # Errors
    ///
    /// If the asked size is more than 16,777,216; if a forced token is no word that could be found in
    /// a text, or comes twice; or if special and forced tokens alone exceed the asked size.
    pub fn check(&self) -> Result<(), Error> {
        if self.size > SIZE_MAX {
            return Err(Error::VocabularyTooLarge { size: self.size, most: SIZE_MAX });
        }
        let forced = forced_words(&self.forced, &Normalizer::new(self.casing))?;
        let needed = (SPECIAL_TOKENS.len() + forced.len()).saturating_add(self.unused);
        if needed > self.size {
            return Err(Error::VocabularyTooSmall { size: self.size, needed });
        }
        Ok(())
    }
}

/// Makes a vocabulary: its tokens in id order, beginning with `[PAD] [UNK] [CLS] [SEP] [MASK]`
/// (unused slots behind the first, if there are any), then forced tokens, then single characters,
/// then joined pieces as they were found.
///
/// `progress` is called after each new token with the number of tokens and the asked size.
///
/// # Errors
///
/// Those of [`TrainOptions::check`]. If there are no words; if the counts exceed 64 bits.
///
/// # Panics
///
/// If `counts` and `options` are of different casings.
pub fn train(
    counts: &WordCounts,
    options: &TrainOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<String>, Error> {
    assert_eq!(counts.casing(), options.casing, "the words were counted for another casing");
    // A hash table's own order never counts.
    let mut words: Vec<(&str, u64)> = counts.counts.iter().map(|(word, &count)| (&**word, count)).collect();
    words.sort_unstable();
    let mut characters = Characters::default();
    words.iter().for_each(|&(word, count)| characters.add(word, count));
    train_words(&|| words.iter().copied(), &characters, options, progress)
}

/// The same from the words of a corpus, as many of them as memory has room for.
///
/// # Errors
///
/// As [`train`].
///
/// # Panics
///
/// If `words` and `options` are of different casings.
pub fn train_on(
    words: &CountedWords,
    options: &TrainOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<String>, Error> {
    assert_eq!(words.casing(), options.casing, "the words were counted for another casing");
    train_words(&|| words.words.iter().map(|(word, count)| (&**word, *count)), &words.characters, options, progress)
}

/// Trains on words in string order.
fn train_words<'w, W: Iterator<Item = (&'w str, u64)>>(
    words: &dyn Fn() -> W,
    characters: &Characters,
    options: &TrainOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<String>, Error> {
    options.check()?;
    if words().next().is_none() {
        return Err(Error::NoWords);
    }
    // Every sum below is one of some characters of the text, so none is larger than this one.
    let in_all: u128 = words().map(|(word, count)| u128::from(count) * word.chars().count() as u128).sum();
    if in_all > u128::from(u64::MAX) {
        return Err(Error::TooManyCharacters { characters: in_all });
    }
    let forced = forced_words(&options.forced, &Normalizer::new(options.casing))?;
    // By `check` these fit.
    let room = options.size - SPECIAL_TOKENS.len() - forced.len() - options.unused;
    let mut pieces = Pieces::new(options, forced, &characters.alphabet(options, room));
    let mut pairs = Pairs::new(words(), &pieces, options);
    while pieces.len() < options.size {
        let Some(pair) = pairs.pop_best(&pieces) else { break };
        let tokens_before = pieces.len();
        let joined = pieces.join(pair);
        pairs.join(pair, joined, &pieces);
        if pieces.len() > tokens_before {
            progress(pieces.len(), options.size);
        }
    }
    Ok(pieces.tokens().collect())
}
