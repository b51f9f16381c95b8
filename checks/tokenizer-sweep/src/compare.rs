//! Comparing what both tokenizers say of a text.

use std::fmt::Debug;

use cloze_tokenizer::Encoding;
use tokenizers::utils::truncation::{TruncationParams, truncate_encodings};
use tokenizers::{Encoding as TheirEncoding, TruncationDirection};

use crate::model::Model;
use crate::text::Random;

/// How many differences are shown.
const EXAMPLES_MAX: usize = 5;

/// What has been compared.
#[derive(Default)]
pub struct Tally {
    pub texts: u64,
    pub differences: u64,
    pub examples: Vec<String>,
}

impl Tally {
    pub fn merge(mut self, other: Tally) -> Tally {
        self.texts += other.texts;
        self.differences += other.differences;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
        self
    }

    fn compare<T: PartialEq + Debug>(&mut self, ours: T, theirs: T, input: impl FnOnce() -> String) {
        self.texts += 1;
        if ours == theirs {
            return;
        }
        self.differences += 1;
        if self.examples.len() < EXAMPLES_MAX {
            let input = input();
            self.examples.push(format!("  {input}\n    ours   {ours:?}\n    theirs {theirs:?}"));
        }
    }
}

/// Ids, token types, offsets, words, and how many tokens were cut off.
#[derive(PartialEq, Debug)]
struct Facts(Vec<u32>, Vec<u32>, Vec<(usize, usize)>, Vec<Option<usize>>, usize);

fn our_facts(encoding: Encoding) -> Facts {
    let Encoding { ids, token_type_ids, offsets, words, truncated, .. } = encoding;
    Facts(ids, token_type_ids, offsets, words, truncated)
}

fn their_facts(encoding: &TheirEncoding, truncated: usize) -> Facts {
    Facts(
        encoding.get_ids().to_vec(),
        encoding.get_type_ids().to_vec(),
        encoding.get_offsets().to_vec(),
        encoding.get_word_ids().iter().map(|word| word.map(|word| word as usize)).collect(),
        truncated,
    )
}

/// `[CLS] text [SEP]`
pub fn single(model: &Model, text: &str, tally: &mut Tally) {
    let theirs = model.theirs.encode_char_offsets(text, true);
    let theirs = theirs.unwrap_or_else(|e| panic!("{text:?}: {e}"));
    let ours = model.ours.encode(text, None);
    tally.compare(our_facts(ours), their_facts(&theirs, 0), || format!("{text:?}"));
}

/// A pair, cut to `room` tokens besides the special ones.
pub fn pair(model: &Model, a: &str, b: &str, room: usize, tally: &mut Tally) {
    let (their_a, their_b) = (their_tokens(model, a), their_tokens(model, b));
    let len = their_a.len() + their_b.len();
    let params = TruncationParams { max_length: room, ..TruncationParams::default() };
    let (their_a, their_b) =
        truncate_encodings(their_a, Some(their_b), &params).unwrap_or_else(|e| panic!("{a:?}, {b:?}: {e}"));
    let cut = len - their_a.len() - their_b.as_ref().map_or(0, TheirEncoding::len);
    let theirs = their_assembled(model, their_a, their_b);
    let ours = model.ours.encode_pair(a, b, Some(room + 3));
    let input = || format!("{a:?} and {b:?} in {room} tokens");
    tally.compare(our_facts(ours), their_facts(&theirs, cut), input);
}

/// Windows over a text, and over the second text of a pair.
pub fn windows(model: &Model, a: &str, b: &str, random: &mut Random, tally: &mut Tally) {
    let room = 1 + random.below(16);
    let overlap = random.below(room);
    let input = || format!("{a:?} and {b:?} in windows of {room} tokens, {overlap} shared");

    let ours = model.ours.windows(b, room + 2, overlap).into_iter().map(our_facts).collect();
    let theirs: Vec<_> = their_windows(model, b, room, overlap)
        .into_iter()
        .map(|window| their_facts(&their_assembled(model, window, None), 0))
        .collect();
    tally.compare(ours, theirs, input);

    let their_a = their_tokens(model, a);
    // An error would mean that ours counts the first text's tokens otherwise: a difference.
    let ours = model.ours.windows_pair(a, b, their_a.len() + room + 3, overlap).unwrap_or_default();
    let theirs: Vec<_> = their_windows(model, b, room, overlap)
        .into_iter()
        .map(|window| their_facts(&their_assembled(model, their_a.clone(), Some(window)), 0))
        .collect();
    tally.compare(ours.into_iter().map(our_facts).collect(), theirs, input);
}

/// The same text given as words, cut to `room` tokens.
pub fn words(model: &Model, text: &str, room: usize, tally: &mut Tally) {
    let words: Vec<&str> = text.split(' ').collect();
    let theirs = model.theirs.encode_char_offsets(&words[..], false);
    let mut theirs = theirs.unwrap_or_else(|e| panic!("{text:?}: {e}"));
    let len = theirs.len();
    theirs.truncate(room, 0, TruncationDirection::Right);
    let cut = len - theirs.len();
    let theirs = their_assembled(model, theirs, None);
    let ours = model.ours.encode_words(&words, Some(room + 2));
    tally.compare(our_facts(ours), their_facts(&theirs, cut), || format!("{words:?}"));
}

/// The text made of the ids again.
pub fn decoded(model: &Model, text: &str, tally: &mut Tally) {
    if !model.decodes_alike {
        return;
    }
    let ids = model.ours.encode(text, None).ids;
    for skip_special_tokens in [false, true] {
        let theirs = model.theirs.decode(&ids, skip_special_tokens);
        let theirs = theirs.unwrap_or_else(|e| panic!("{text:?}: {e}"));
        let ours = model.ours.decode(&ids, skip_special_tokens);
        tally.compare(ours, theirs, || format!("{text:?} decoded"));
    }
}

fn their_tokens(model: &Model, text: &str) -> TheirEncoding {
    let tokens = model.theirs.encode_char_offsets(text, false);
    tokens.unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn their_windows(model: &Model, text: &str, size: usize, overlap: usize) -> Vec<TheirEncoding> {
    let mut first = their_tokens(model, text);
    first.truncate(size, overlap, TruncationDirection::Right);
    let others = first.take_overflowing();
    std::iter::once(first).chain(others).collect()
}

fn their_assembled(model: &Model, mut a: TheirEncoding, b: Option<TheirEncoding>) -> TheirEncoding {
    // What was cut off is not wanted, and would be assembled too.
    a.take_overflowing();
    let b = b.map(|mut b| {
        b.take_overflowing();
        b
    });
    model.theirs.post_process(a, b, true).unwrap_or_else(|e| panic!("{e}"))
}
