//! Masks, drawn anew at every visit of an instance ("dynamic masking").

use std::ops::Range;

use cloze_tokenizer::{SpecialIds, Tokenizer, is_chinese};

use crate::data::instances::Instance;
use crate::random::Random;

/// An instance as the model sees it, and what it has to predict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// Token ids `[tokens]`, masked.
    pub ids: Vec<u32>,
    /// Positions to predict `[masked]`, ascending.
    pub positions: Vec<u32>,
    /// The tokens that stood at these positions `[masked]`.
    pub labels: Vec<u32>,
}

/// How masks are drawn.
#[derive(Clone, Debug)]
pub struct Masking {
    special: SpecialIds,
    vocab_size: u32,
    /// The chance of each token, or word, to be predicted.
    probability: f64,
    /// `[ids]`: whether a token continues a word, if the tokens of a word are masked together.
    continues: Option<Vec<bool>>,
}

impl Masking {
    /// Masks for texts of this tokenizer: each token, or with `whole_word` each word with all its tokens, is drawn with
    /// `probability` (BERT: 0.15).
    pub fn new(tokenizer: &Tokenizer, probability: f64, whole_word: bool) -> Masking {
        let vocab_size = tokenizer.vocab_size() as u32;
        Masking {
            special: tokenizer.special(),
            vocab_size,
            probability,
            continues: whole_word.then(|| continues_words(tokenizer)),
        }
    }

    /// Draws the positions to predict: each token that is not special, or each word, on its own. Of these tokens 80 %
    /// become `[MASK]`, 10 % a token uniform over all of the vocabulary, and 10 % stay.
    ///
    /// At least one token or word is drawn, uniformly if the chances gave none, so that no sequence is without a loss;
    /// none only where an instance holds nothing but special tokens. Special are `[CLS]` and `[SEP]`, and `[PAD]`,
    /// `[UNK]` and `[MASK]` where the text itself led to them: they teach nothing.
    pub fn mask(&self, instance: &Instance, mut random: Random) -> Masked {
        let units = self.units(&instance.ids);
        let mut drawn: Vec<&Range<u32>> = units.iter().filter(|_| random.uniform() < self.probability).collect();
        if drawn.is_empty() && !units.is_empty() {
            drawn.push(&units[random.below(units.len() as u64) as usize]);
        }
        let positions: Vec<u32> = drawn.into_iter().cloned().flatten().collect();
        let labels = positions.iter().map(|&position| instance.ids[position as usize]).collect();
        let mut ids = instance.ids.clone();
        for &position in &positions {
            let draw = random.uniform();
            if draw < 0.8 {
                ids[position as usize] = self.special.mask;
            } else if draw < 0.9 {
                ids[position as usize] = random.below(u64::from(self.vocab_size)) as u32;
            }
        }
        Masked { ids, positions, labels }
    }

    /// The positions of each token or word that can be drawn, in order.
    fn units(&self, ids: &[u32]) -> Vec<Range<u32>> {
        let SpecialIds { pad, unk, cls, sep, mask } = self.special;
        let mut units: Vec<Range<u32>> = Vec::new();
        for (position, id) in (0..).zip(ids) {
            if [pad, unk, cls, sep, mask].contains(id) {
                continue;
            }
            let continues = self.continues.as_ref().is_some_and(|continues| continues[*id as usize]);
            match units.last_mut() {
                Some(word) if continues && word.end == position => word.end += 1,
                _ => units.push(position..position + 1),
            }
        }
        units
    }
}

/// `[ids]`: whether a token continues a word.
pub(crate) fn continues_words(tokenizer: &Tokenizer) -> Vec<bool> {
    let continues = |id| tokenizer.token(id).is_some_and(|token| token.starts_with("##"));
    (0..tokenizer.vocab_size() as u32).map(continues).collect()
}

/// The share of tokens that are a single Chinese character by themselves. Each is a word to the tokenizer, whatever
/// words the text is made of. `counts [vocab_size]` tells how often each token occurs.
pub(crate) fn share_of_chinese_characters(tokenizer: &Tokenizer, counts: &[u64]) -> f64 {
    let is_one = |id: u32| {
        let mut chars = tokenizer.token(id).unwrap_or_default().chars();
        chars.next().is_some_and(is_chinese) && chars.next().is_none()
    };
    let own: u64 = (0..).zip(counts).filter(|(id, _)| is_one(*id)).map(|(_, count)| count).sum();
    own as f64 / counts.iter().sum::<u64>().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
    const VOCAB_SIZE: u32 = 1000;

    /// `[CLS] … [SEP] … [SEP]` with `words` words all in all.
    fn instance(words: u32) -> Instance {
        let mut ids = vec![SPECIAL.cls];
        ids.extend((0..words / 2).map(|word| 5 + word));
        ids.push(SPECIAL.sep);
        ids.extend((words / 2..words).map(|word| 5 + word));
        ids.push(SPECIAL.sep);
        Instance { token_type_ids: vec![0; ids.len()], ids, is_random_next: false }
    }

    fn mask_number(instance: &Instance, probability: f64, number: u64) -> Masked {
        let masking = Masking { special: SPECIAL, vocab_size: VOCAB_SIZE, probability, continues: None };
        masking.mask(instance, Random::new(1, Purpose::Mask, 0, number))
    }

    #[test]
    fn shares_are_those_of_bert() {
        let instance = instance(125);
        let (mut chosen, mut masked, mut kept, mut replaced) = (0, 0, 0, 0);
        let mut replacements_low = 0;
        for number in 0..8_000 {
            let Masked { ids, positions, labels } = mask_number(&instance, 0.15, number);
            chosen += positions.len();
            for (&position, &label) in positions.iter().zip(&labels) {
                match ids[position as usize] {
                    id if id == SPECIAL.mask => masked += 1,
                    id if id == label => kept += 1,
                    id => {
                        replaced += 1;
                        assert!(id < VOCAB_SIZE);
                        replacements_low += u32::from(id < VOCAB_SIZE / 2);
                    }
                }
            }
        }
        // Of a million words 150,000 are chosen; the bounds are about five standard deviations.
        assert!((148_200..=151_800).contains(&chosen), "{chosen} chosen");
        let share = |count: u32| f64::from(count) / chosen as f64;
        // One replacement in a thousand is the word itself, one the mask.
        assert!((share(masked) - 0.8001).abs() < 0.0052, "{} masked", share(masked));
        assert!((share(kept) - 0.1001).abs() < 0.0039, "{} kept", share(kept));
        assert!((share(replaced) - 0.0998).abs() < 0.0039, "{} replaced", share(replaced));
        let low = f64::from(replacements_low) / f64::from(replaced);
        assert!((low - 0.4995).abs() < 0.021, "{low} of the replacements are from the lower half");
    }

    #[test]
    fn positions_ascend_and_labels_are_the_old_tokens() {
        for words in [1, 2, 7, 60] {
            let instance = instance(words);
            for number in 0..200 {
                let Masked { ids, positions, labels } = mask_number(&instance, 0.15, number);
                assert!(!positions.is_empty());
                assert!(positions.is_sorted_by(|one, next| one < next));
                let mut restored = ids;
                for (&position, &label) in positions.iter().zip(&labels) {
                    restored[position as usize] = label;
                    assert!(label != SPECIAL.cls && label != SPECIAL.sep);
                }
                assert_eq!(restored, instance.ids);
            }
        }
    }

    #[test]
    fn every_word_is_as_likely_even_if_one_is_forced() {
        let instance = instance(3);
        let mut counts = [0u32; 6];
        for number in 0..30_000 {
            let positions = mask_number(&instance, 0.0, number).positions;
            assert_eq!(positions.len(), 1);
            counts[positions[0] as usize] += 1;
        }
        // [CLS] word [SEP] word word [SEP]
        assert_eq!([counts[0], counts[2], counts[5]], [0, 0, 0]);
        for position in [1, 3, 4] {
            assert!((9_550..=10_450).contains(&counts[position]), "{counts:?}");
        }
    }

    #[test]
    fn special_tokens_of_the_text_are_left_alone() {
        let ids = vec![SPECIAL.cls, SPECIAL.unk, SPECIAL.mask, SPECIAL.pad, SPECIAL.sep];
        let mut instance = Instance { token_type_ids: vec![0; 5], ids, is_random_next: false };
        let masked = mask_number(&instance, 1.0, 0);
        assert_eq!(masked, Masked { ids: instance.ids.clone(), positions: vec![], labels: vec![] });
        instance.ids[3] = 9;
        let masked = mask_number(&instance, 1.0, 0);
        assert_eq!((masked.positions, masked.labels), (vec![3], vec![9]));
    }

    #[test]
    fn masks_depend_on_the_stream_alone() {
        let instance = instance(60);
        assert_eq!(mask_number(&instance, 0.15, 7), mask_number(&instance, 0.15, 7));
        assert_ne!(mask_number(&instance, 0.15, 7), mask_number(&instance, 0.15, 8));
    }

    #[test]
    fn chinese_characters_that_are_words_by_themselves_are_counted() {
        let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "##好", "你好", "a"].map(String::from);
        let tokenizer = Tokenizer::from_tokens(tokens.to_vec(), cloze_tokenizer::Casing::Uncased).unwrap();
        assert_eq!(share_of_chinese_characters(&tokenizer, &[0, 0, 0, 0, 0, 3, 1, 2, 6]), 0.25);
        assert_eq!(share_of_chinese_characters(&tokenizer, &[0; 9]), 0.0);
    }

    #[test]
    fn words_are_masked_as_a_whole() {
        // Tokens from 500 on continue a word. The text begins within a word, and `[UNK]` and `[SEP]` end one.
        let ids = vec![SPECIAL.cls, 500, 501, 7, 500, 501, SPECIAL.unk, 502, 8, SPECIAL.sep, 503, 9, SPECIAL.sep];
        let words: [&[u32]; 6] = [&[1, 2], &[3, 4, 5], &[7], &[8], &[10], &[11]];
        let instance = Instance { token_type_ids: vec![0; ids.len()], ids, is_random_next: false };
        let continues = Some((0..VOCAB_SIZE).map(|id| id >= 500).collect());
        let masking = Masking { special: SPECIAL, vocab_size: VOCAB_SIZE, probability: 0.3, continues };
        let mut counts = [0; 6];
        for number in 0..10_000 {
            let positions = masking.mask(&instance, Random::new(1, Purpose::Mask, 0, number)).positions;
            assert!(positions.is_sorted_by(|one, next| one < next));
            for (word, count) in words.iter().zip(&mut counts) {
                let masked = word.iter().filter(|position| positions.contains(position)).count();
                assert!(masked == 0 || masked == word.len(), "{positions:?}");
                *count += usize::from(masked > 0);
            }
        }
        // Each with 0.3, and a sixth of the 0.7^6 in which none is drawn; five standard deviations.
        assert!(counts.iter().all(|count| (2_960..=3_440).contains(count)), "{counts:?}");
    }
}
