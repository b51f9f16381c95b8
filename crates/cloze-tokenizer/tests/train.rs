//! The trainer against a plain one, and with any number of threads.

use std::collections::HashMap;

use cloze_tokenizer::train::{TrainOptions, WordCounts, train};
use cloze_tokenizer::{Casing, Error, Tokenizer};
use proptest::prelude::*;

fn counts(text: &str) -> WordCounts {
    let mut counts = WordCounts::new(Casing::Uncased);
    counts.add_text(text);
    counts
}

fn trained(text: &str, options: &TrainOptions) -> Vec<String> {
    train(&counts(text), options, &mut |_, _| {}).unwrap()
}

fn size(size: usize) -> TrainOptions {
    TrainOptions { size, ..TrainOptions::default() }
}

/// All pairs are counted anew for every join.
fn trained_plainly(text: &str, options: &TrainOptions) -> Vec<String> {
    let mut word_counts: HashMap<String, u64> = HashMap::new();
    for word in text.split_whitespace() {
        *word_counts.entry(word.to_string()).or_default() += 1;
    }
    let marked = |(i, c): (usize, char)| if i == 0 { c.to_string() } else { format!("##{c}") };
    let mut words: Vec<(Vec<String>, u64)> =
        word_counts.iter().map(|(word, &count)| (word.chars().enumerate().map(marked).collect(), count)).collect();
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).to_vec();
    let mut plain: Vec<String> = text.split_whitespace().flat_map(str::chars).map(String::from).collect();
    plain.sort();
    plain.dedup();
    let mut inside: Vec<String> = words.iter().flat_map(|(word, _)| word[1..].to_vec()).collect();
    inside.sort();
    inside.dedup();
    tokens.extend(plain);
    tokens.extend(inside);

    while tokens.len() < options.size {
        let mut pairs: HashMap<(String, String), u64> = HashMap::new();
        for (word, count) in &words {
            for pair in word.windows(2) {
                *pairs.entry((pair[0].clone(), pair[1].clone())).or_default() += count;
            }
        }
        let best = pairs.into_iter().min_by_key(|(pair, count)| (u64::MAX - count, pair.clone()));
        let Some((pair, count)) = best else { break };
        if count < options.min_frequency {
            break;
        }
        let joined = format!("{}{}", pair.0, &pair.1[2..]);
        for (word, _) in &mut words {
            let mut i = 0;
            while i + 1 < word.len() {
                if (&word[i], &word[i + 1]) == (&pair.0, &pair.1) {
                    word.splice(i..i + 2, [joined.clone()]);
                }
                i += 1;
            }
        }
        if !tokens.contains(&joined) {
            tokens.push(joined);
        }
    }
    tokens
}

proptest! {
    #[test]
    fn equals_a_plain_trainer(text in "([ab]{1,6} |[abc]{1,4} ){1,30}", extra in 0usize..40, min_frequency in 1u64..4) {
        let options = TrainOptions { min_frequency, ..size(11 + extra) };
        prop_assert_eq!(trained(&text, &options), trained_plainly(&text, &options));
    }
}

/// A few megabytes of words that follow no order, in lines.
fn much_text() -> String {
    let mut state = 1u64;
    let mut text = String::new();
    while text.len() < 3 << 20 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // Few short words and many long ones, as in a language.
        let len = 2 + (state >> 33) % 7;
        let word = (0..len).map(|i| b"etaoinsh"[(state >> (35 + 3 * i)) as usize % 8] as char);
        text.extend(word);
        text.push(if state >> 60 == 0 { '\n' } else { ' ' });
    }
    text
}

#[test]
fn any_number_of_threads_makes_the_same_vocabulary() {
    let text = much_text();
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let counts = counts(&text);
            let tokens = train(&counts, &size(500), &mut |_, _| {}).unwrap();
            (counts, tokens)
        })
    };
    let one = with_threads(1);
    assert_eq!(one.1.len(), 500);
    for threads in [2, 4] {
        assert!(with_threads(threads) == one, "{threads} threads");
    }
}

#[test]
fn counting_in_parts_adds_up() {
    let text = much_text();
    let (a, b) = text.split_at(text.find('\n').unwrap());
    let mut parts = counts(a);
    parts.merge(counts(b));
    assert!(parts == counts(&text));
}

#[test]
fn words_are_counted_normalized_and_split() {
    let counts = counts("The the café, CAFÉ!  [MASK]\n中文");
    assert_eq!(counts.get("the"), 2);
    assert_eq!(counts.get("cafe"), 2);
    assert_eq!(counts.get("中"), 1);
    // Special tokens are no special text for the trainer.
    assert_eq!((counts.get("["), counts.get("mask")), (1, 1));
    assert_eq!(counts.len(), 9);
    assert_eq!(counts.get(","), 1);
}

#[test]
fn words_that_would_be_unknown_are_not_counted() {
    let text = format!("{} {}", "a".repeat(101), "b".repeat(100));
    assert_eq!(counts(&text).len(), 1);
}

#[test]
fn ties_go_by_string_order() {
    // Every pair comes twice; `##` sorts before letters.
    assert_eq!(trained("zy zy ba ba", &size(13))[11..], ["ba", "zy"]);
    assert_eq!(trained("xab xab", &size(12))[10..], ["##ab", "xab"]);
}

#[test]
fn rare_pairs_are_not_joined() {
    let options = TrainOptions { min_frequency: 3, ..size(100) };
    assert!(!trained("ab ab cd cd cd", &options).contains(&"ab".to_string()));
    assert!(trained("ab ab cd cd cd", &options).contains(&"cd".to_string()));
}

#[test]
fn the_alphabet_is_limited_to_the_most_frequent_characters() {
    let options = TrainOptions { limit_alphabet: 2, ..size(100) };
    let tokens = trained("abc abc ab b zc", &options);
    assert!(tokens.contains(&"##b".to_string()) && !tokens.contains(&"c".to_string()));
    assert!(!tokens.iter().any(|token| token.contains(['c', 'z'])));
}

#[test]
fn progress_counts_tokens() {
    let mut seen = Vec::new();
    train(&counts("abab abab"), &size(12), &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(seen, [(10, 12), (11, 12), (12, 12)]);
}

#[test]
fn what_cannot_be_trained_on() {
    let no_progress = &mut |_, _| {};
    assert!(matches!(train(&counts(" \n"), &size(100), no_progress), Err(Error::NoWords)));
    let error = train(&counts("abc"), &size(9), no_progress);
    assert!(matches!(error, Err(Error::VocabularyTooSmall { size: 9, needed: 10 })));
    assert_eq!(train(&counts("abc"), &size(10), no_progress).unwrap().len(), 10);
}

#[test]
fn a_trained_vocabulary_makes_a_tokenizer() {
    let tokens = trained("low lower lowest low low new newer newest", &size(60));
    let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
    let unknown = tokenizer.special().unk;
    assert!(!tokenizer.tokenize("Lowest NEWER wore").ids.contains(&unknown));
}
