//! The trainer against a plain one, and with any number of threads.

use std::collections::HashMap;

use cloze_tokenizer::train::{
    CorpusCounts, CountedWords, Coverage, DocumentCounts, NewWordOptions, Score, Script, TrainOptions, WordCounts,
    new_words, train, train_on,
};
use cloze_tokenizer::{Casing, Error, Tokenizer};
use proptest::prelude::*;
use tempfile::TempDir;

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

/// All pairs are counted anew for every join. `size` and the characters are those of the text.
fn trained_plainly(text: &str, options: &TrainOptions) -> Vec<String> {
    let mut word_counts: HashMap<String, u64> = HashMap::new();
    for word in text.split_whitespace() {
        *word_counts.entry(word.to_string()).or_default() += 1;
    }
    let marked = |(i, c): (usize, char)| if i == 0 { c.to_string() } else { format!("##{c}") };
    let is_frequent = |c: char| text.chars().filter(|&other| other == c).count() as u64 >= options.min_frequency;
    let marked_of =
        |word: &str| -> Vec<String> { word.chars().enumerate().filter(|&(_, c)| is_frequent(c)).map(marked).collect() };
    let in_pieces = |word: &String| match options.forced.contains(word) {
        true => vec![word.clone()],
        false => marked_of(word),
    };
    let mut words: Vec<(Vec<String>, u64)> =
        word_counts.iter().map(|(word, &count)| (in_pieces(word), count)).collect();
    let mut tokens = vec!["[PAD]".to_string()];
    tokens.extend((0..options.unused).map(|slot| format!("[unused{slot}]")));
    tokens.extend(["[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from));
    tokens.extend(options.forced.clone());
    let mut plain: Vec<String> =
        text.split_whitespace().flat_map(str::chars).filter(|&c| is_frequent(c)).map(String::from).collect();
    plain.sort();
    plain.dedup();
    let mut inside: Vec<String> =
        word_counts.keys().flat_map(|word| marked_of(word)).filter(|piece| piece.starts_with("##")).collect();
    inside.sort();
    inside.dedup();
    for character in plain.into_iter().chain(inside) {
        if !tokens.contains(&character) {
            tokens.push(character);
        }
    }

    while tokens.len() < options.size {
        let mut pairs: HashMap<(String, String), u64> = HashMap::new();
        let mut pieces: HashMap<String, u64> = HashMap::new();
        for (word, count) in &words {
            for pair in word.windows(2) {
                *pairs.entry((pair[0].clone(), pair[1].clone())).or_default() += count;
            }
            for piece in word {
                *pieces.entry(piece.clone()).or_default() += count;
            }
        }
        let divisor = |pair: &(String, String)| match options.score {
            Score::Count => 1,
            Score::Likelihood => u128::from(pieces[&pair.0]) * u128::from(pieces[&pair.1]),
        };
        let best = pairs.into_iter().filter(|&(_, count)| count >= options.min_frequency).min_by(|(a, m), (b, n)| {
            let scores = (u128::from(*m) * divisor(b), u128::from(*n) * divisor(a));
            scores.1.cmp(&scores.0).then_with(|| a.cmp(b))
        });
        let Some((pair, _)) = best else { break };
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
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn equals_a_plain_trainer(text in "([ab]{1,6} |[abc]{1,4} ){1,30}", extra in 0usize..40, min_frequency in 1u64..4) {
        let options = TrainOptions { min_frequency, ..size(11 + extra) };
        prop_assert_eq!(trained(&text, &options), trained_plainly(&text, &options));
        let options = TrainOptions { score: Score::Likelihood, ..options };
        prop_assert_eq!(trained(&text, &options), trained_plainly(&text, &options));
    }

    #[test]
    fn equals_a_plain_trainer_with_forced_tokens(text in "([a-e]{1,5} |(ab|bc|cab){1,3} ){5,60}", likelihood: bool) {
        let score = if likelihood { Score::Likelihood } else { Score::Count };
        let forced = ["abc", "cab", "a"].map(String::from).to_vec();
        let options = TrainOptions { score, forced, unused: 3, ..size(60) };
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
    let options = TrainOptions { limit_alphabet: Some(2), ..size(100) };
    let tokens = trained("abc abc ab b zc", &options);
    assert!(tokens.contains(&"##b".to_string()) && !tokens.contains(&"c".to_string()));
    assert!(!tokens.iter().any(|token| token.contains(['c', 'z'])));
}

#[test]
fn the_alphabet_has_all_characters_that_fit_and_are_not_too_rare() {
    // Each of 3,000 Han characters comes twice, and takes one token: nothing joins with them.
    let han: String = (0x4E00..0x4E00 + 3000).filter_map(char::from_u32).collect();
    let text = format!("{han}{han}龥");
    let tokens = trained(&text, &size(4000));
    assert_eq!(tokens.len(), 3005);
    assert!(han.chars().all(|c| tokens.contains(&c.to_string())) && !tokens.contains(&"龥".to_string()));
    assert_eq!(trained(&text, &size(1005)).len(), 1005);

    // The most frequent first; a character that comes inside a word takes two tokens, or none.
    assert_eq!(trained("ab ab ab b", &size(7))[5..], ["b", "##b"]);
    assert_eq!(trained("ab ab ab b", &size(8))[5..], ["a", "b", "##b"]);
    assert_eq!(trained("ab ab b a", &size(6))[5..], ["a"]);
    let rare = TrainOptions { min_frequency: 1, ..size(20) };
    assert!(trained("abc", &rare).contains(&"abc".to_string()));
}

#[test]
fn characters_that_are_left_out_are_counted() {
    let mut corpus = CorpusCounts::new(Casing::Uncased, 1 << 20, std::env::temp_dir().as_path());
    corpus.add_text("ab ab ab cab xb é").unwrap();
    let words = corpus.finish().unwrap();
    let tokens = train_on(&words, &size(30), &mut |_, _| {}).unwrap();
    let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
    // Without c, x and e, which come once.
    let lacking = words.characters_without_token(&tokenizer);
    assert_eq!((words.characters().different, words.characters().total), (5, 12));
    assert_eq!((lacking.different, lacking.total), (3, 3));
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
    let error = train(&counts("abc"), &size(4), no_progress);
    assert!(matches!(error, Err(Error::VocabularyTooSmall { size: 4, needed: 5 })));
    assert_eq!(train(&counts("abc abc"), &size(5), no_progress).unwrap().len(), 5);
}

#[test]
fn a_trained_vocabulary_makes_a_tokenizer() {
    let tokens = trained("low lower lowest low low new newer newest", &size(60));
    let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
    let unknown = tokenizer.special().unk;
    assert!(!tokenizer.tokenize("Lowest NEWER wore").ids.contains(&unknown));
}

/// The words of a text, counted within some memory, line by line.
fn counted(text: &str, memory: u64) -> CountedWords {
    let folder = TempDir::new().unwrap();
    let mut counts = CorpusCounts::new(Casing::Uncased, memory, folder.path());
    text.split_inclusive('\n').for_each(|line| counts.add_text(line).unwrap());
    let words = counts.finish().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "temporary files have no names");
    words
}

const PLENTY: u64 = 1 << 30;

#[test]
fn bounded_memory_changes_nothing_if_all_words_fit() {
    let text = much_text();
    let words = counted(&text, PLENTY);
    assert_eq!(words.left_out().different, 0);
    let plain = counts(&text);
    let mut right = 0;
    words.for_each(|word, count| right += usize::from(plain.get(word) == count)).unwrap();
    assert_eq!(right, plain.len());
    assert_eq!(train_on(&words, &size(300), &mut |_, _| {}).unwrap(), trained(&text, &size(300)));
}

#[test]
fn words_that_were_written_to_files_are_counted_to_the_last() {
    let text = much_text();
    let plain = counts(&text);
    // More files than are read at once.
    for memory in [100_000, 20_000_000] {
        let words = counted(&text, memory);
        assert!(words.left_out().different > 0, "{memory}");
        assert_eq!(words.all().different, plain.len() as u64);
        let mut in_order = Vec::new();
        words.for_each(|word, count| in_order.push((word.to_string(), count))).unwrap();
        assert!(in_order.is_sorted() && in_order.len() == plain.len());
        assert!(in_order.iter().all(|(word, count)| plain.get(word) == *count));
    }
}

#[test]
fn the_most_frequent_words_are_trained_on_and_equally_frequent_ones_in_string_order() {
    let folder = TempDir::new().unwrap();
    // Words of one length take the same, 240 + 3 + 3 · 54 bytes: room for two and a half.
    let counted = |words: &[(&str, u64)]| {
        let mut counts = CorpusCounts::new(Casing::Uncased, 5 * 405 / 2, folder.path());
        words.iter().for_each(|&(word, count)| counts.add(word, count).unwrap());
        counts.finish().unwrap()
    };
    let options = TrainOptions { min_frequency: 1, ..size(100) };
    let whole = |words: &[(&str, u64)]| -> Vec<String> {
        let tokens = train_on(&counted(words), &options, &mut |_, _| {}).unwrap();
        let mut whole: Vec<_> =
            tokens.into_iter().filter(|token| token.len() == 3 && !token.starts_with('#')).collect();
        whole.sort();
        whole
    };
    let (a, b, c, d) = (("aab", 1), ("abb", 1), ("bbb", 3), ("bcb", 1));
    for words in [[a, b, c, d], [d, c, b, a], [c, d, a, b]] {
        assert_eq!(whole(&words), ["aab", "bbb"]);
        let left_out = counted(&words).left_out();
        assert_eq!((left_out.different, left_out.total), (2, 2));
        assert_eq!(counted(&words).all().total, 6);
        // The characters of words that are left out count.
        let tokens = train_on(&counted(&words), &options, &mut |_, _| {}).unwrap();
        assert!(tokens.contains(&"##c".to_string()), "{tokens:?}");
    }
    // Counts of one word from several files are one count.
    assert_eq!(whole(&[("aab", 1), ("abb", 1), ("bbb", 1), ("bcb", 1), ("bcb", 1)]), ["aab", "bcb"]);
}

#[test]
fn any_number_of_threads_counts_the_same_within_bounds() {
    let text = much_text();
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train_on(&counted(&text, 3_000_000), &size(400), &mut |_, _| {}).unwrap())
    };
    let one = with_threads(1);
    assert_eq!(one.len(), 400);
    assert!(with_threads(2) == one && with_threads(4) == one);
}

#[test]
fn counts_are_64_bits_wide() {
    let mut counts = WordCounts::new(Casing::Uncased);
    let large = 1 << 33;
    for (word, count) in [("ab", large + 1), ("cd", large), ("cd", 2), ("ef", large), ("ee", 3)] {
        counts.add(word, count);
    }
    assert_eq!(counts.get("cd"), large + 2);
    let options = TrainOptions { min_frequency: large, ..size(100) };
    let joined = train(&counts, &options, &mut |_, _| {}).unwrap().split_off(5 + 6 + 4);
    assert_eq!(joined, ["cd", "ab", "ef"]);
    let options = TrainOptions { score: Score::Likelihood, min_frequency: 1, ..options };
    // 1 / (2^33 + 1), 1 / (2^33 + 2), and 1 / (2^33 + 3) for both pairs that begin with e.
    let joined = train(&counts, &options, &mut |_, _| {}).unwrap().split_off(5 + 6 + 4);
    assert_eq!(joined, ["ab", "cd", "ee", "ef"]);

    counts.add("ab", u64::MAX - 7);
    assert_eq!(counts.get("ab"), u64::MAX, "sums end there");
    let error = train(&counts, &size(100), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::TooManyCharacters { .. }), "{error}");
}

#[test]
fn forced_tokens_and_slots_have_their_places() {
    let forced = ["COVID", "Zürich", "a"].map(String::from).to_vec();
    let options = TrainOptions { forced, unused: 2, ..size(40) };
    let tokens = trained("a banana, an apple,", &options);
    let expected =
        ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "covid", "zurich", "a", ","];
    assert_eq!(tokens[..11], expected);
    assert_eq!(tokens.iter().filter(|token| *token == "a").count(), 1);
    let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
    assert_eq!(tokenizer.tokenize("Covid ZÜRICH").ids, [7, 8]);
    // Google's vocabularies have their special tokens there.
    let google = trained("a", &TrainOptions { unused: 99, ..size(200) });
    assert_eq!(google[100..104], ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
}

#[test]
fn forced_tokens_that_would_never_be_found_are_refused() {
    let refused = |forced: &[&str]| {
        let forced = forced.iter().map(|token| token.to_string()).collect();
        TrainOptions { forced, ..size(100) }.check().unwrap_err().to_string()
    };
    let long = "x".repeat(101);
    for (forced, part) in [
        (&["new york"][..], r#"this into "new", "york""#),
        (&["##ing"], r##"into "#", "#", "ing""##),
        (&["[MASK]"], r#"into "[", "mask", "]""#),
        (&["\u{301}"], "no character"),
        (&[""], "no character"),
        (&[&long], "101 characters"),
        (&["Café", "x", "cafe"], r#"twice: as "cafe""#),
    ] {
        let message = refused(forced);
        assert!(message.contains(part), "{message}");
    }
    let forced = vec!["x".to_string(); 1];
    let error = TrainOptions { forced, unused: 10, ..size(15) }.check();
    assert!(matches!(error, Err(Error::VocabularyTooSmall { size: 15, needed: 16 })));
}

#[test]
fn coverage_of_a_text() {
    let vocabulary = "[PAD] [unused0] [UNK] [CLS] [SEP] [MASK] the cat ##s , 7 я dog";
    let tokens = vocabulary.split(' ').map(String::from).collect();
    let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
    let text = format!("The cats, the CAT 7 я. {}", "x".repeat(101));
    let words = CountedWords::from(counts(&text));
    let coverage = Coverage::of(&tokenizer, &words).unwrap();
    // the cat ##s , the cat 7 я [UNK] [UNK]
    assert_eq!((coverage.words, coverage.tokens, coverage.unknown, coverage.whole), (9, 10, 2, 6));
    let encoding = tokenizer.tokenize(&text);
    assert_eq!(encoding.ids.len() as u64, coverage.tokens);
    assert_eq!(coverage.dead_tokens(&tokenizer), ["dog"]);
    let of = |script: Script| coverage.scripts(&tokenizer)[script as usize];
    assert_eq!(of(Script::Latin), (Script::Latin, 4, 5));
    assert_eq!(of(Script::Special), (Script::Special, 6, 2));
    assert_eq!(of(Script::Digits), (Script::Digits, 1, 1));
    assert_eq!(of(Script::Cyrillic), (Script::Cyrillic, 1, 1));
    assert_eq!(of(Script::Punctuation), (Script::Punctuation, 1, 1));
    let sum = |part: fn(&(Script, u64, u64)) -> u64| -> u64 { coverage.scripts(&tokenizer).iter().map(part).sum() };
    assert_eq!((sum(|&(_, tokens, _)| tokens), sum(|&(_, _, tokens)| tokens)), (13, 10));
}

#[test]
fn new_words_are_those_that_save_most() {
    let vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] the a ##b ##c ##d b cd";
    let tokens = vocabulary.split(' ').map(String::from).collect();
    let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap();
    // abcd 2 · 3, ab 4 · 1, bc 4 · 1, bb 1 · 1; the rest is one token, or unknown.
    let words = CountedWords::from(counts("ABCD abcd ab ab ab ab bc bc bc bc bb the the the cd cd xyz xyz"));
    let chosen = |limit, min_frequency| -> Vec<String> {
        let options = NewWordOptions { limit, min_frequency, letters_only: false };
        new_words(&tokenizer, &words, &options).unwrap().into_iter().map(|new| new.word).collect()
    };
    assert_eq!(chosen(10, 1), ["abcd", "ab", "bc", "bb"]);
    assert_eq!(chosen(2, 1), ["abcd", "ab"]);
    assert_eq!(chosen(10, 3), ["ab", "bc"]);
    assert!(chosen(0, 1).is_empty());
    let one = NewWordOptions { limit: 1, min_frequency: 1, letters_only: true };
    let first = &new_words(&tokenizer, &words, &one).unwrap()[0];
    assert_eq!((first.count, &first.pieces[..]), (2, &[6, 7, 8, 9][..]));

    let extended = tokenizer.with_words(&chosen(10, 1)).unwrap();
    assert_eq!(extended.tokenize("abcd the BC bb").ids, [12, 5, 14, 15]);
    assert_eq!((extended.vocab_size(), extended.special()), (16, tokenizer.special()));
}

#[test]
fn ids_and_hashes_are_no_new_words() {
    let vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] the a b c ##a ##b ##c ##1 1 é ##é ##_ ##\u{301}";
    let tokens = vocabulary.split(' ').map(String::from).collect();
    let tokenizer = Tokenizer::from_tokens(tokens, Casing::Cased).unwrap();
    let words = CountedWords::from({
        let mut counts = WordCounts::new(Casing::Cased);
        counts.add_text("ab1 1ab abc1 abc cab bé be\u{301} 11 c");
        counts
    });
    let chosen = |letters_only| -> Vec<String> {
        let options = NewWordOptions { limit: 9, min_frequency: 1, letters_only };
        new_words(&tokenizer, &words, &options).unwrap().into_iter().map(|new| new.word).collect()
    };
    assert_eq!(chosen(false), ["abc1", "1ab", "ab1", "abc", "cab", "11", "bé"]);
    assert_eq!(chosen(true), ["abc", "cab", "bé"]);

    let options = NewWordOptions { limit: 9, min_frequency: 1, letters_only: true };
    let new = new_words(&tokenizer, &words, &options).unwrap();
    let mut documents = DocumentCounts::new(&tokenizer, &new);
    for (text, ends) in
        [("abc abc cab", false), ("", false), ("abc", true), (" \n", true), ("bé\nabc", true), ("", true)]
    {
        documents.add_text(text, ends);
    }
    assert_eq!(documents.documents(), 2);
    assert_eq!(["abc", "cab", "bé", "the"].map(|word| documents.of(word)), [2, 1, 1, 0]);
}
