//! From text to ids and back, through the public interface.

use cloze_tokenizer::{Casing, Encoding, Error, Tokenizer};
use proptest::prelude::*;

fn tokenizer(vocabulary: &str, casing: Casing) -> Tokenizer {
    let special = "[PAD] [UNK] [CLS] [SEP] [MASK]";
    let tokens = format!("{special} {vocabulary}").split_whitespace().map(String::from).collect();
    Tokenizer::from_tokens(tokens, casing).unwrap()
}

fn tokens<'t>(tokenizer: &'t Tokenizer, encoding: &Encoding) -> Vec<&'t str> {
    encoding.ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect()
}

const ENGLISH: &str = "un ##want ##ed want wa runn ##ing , ! the cafe ##s . ' s";

#[test]
fn a_text_becomes_pieces_between_cls_and_sep() {
    let tokenizer = tokenizer(ENGLISH, Casing::Uncased);
    let encoding = tokenizer.encode("UNwant\u{E9}d,running", None);
    assert_eq!(tokens(&tokenizer, &encoding), ["[CLS]", "un", "##want", "##ed", ",", "runn", "##ing", "[SEP]"]);
    assert_eq!(encoding.offsets, [(0, 0), (0, 2), (2, 6), (6, 8), (8, 9), (9, 13), (13, 16), (0, 0)]);
    assert_eq!(encoding.words, [None, Some(0), Some(0), Some(0), Some(1), Some(2), Some(2), None]);
    assert_eq!(encoding.token_type_ids, [0; 8]);
    assert_eq!(encoding.truncated, 0);
}

#[test]
fn no_text_is_two_special_tokens() {
    let tokenizer = tokenizer(ENGLISH, Casing::Uncased);
    for text in ["", " \n", "\u{0}\u{200B}", "\u{301}"] {
        assert_eq!(tokens(&tokenizer, &tokenizer.encode(text, None)), ["[CLS]", "[SEP]"]);
        assert!(tokenizer.tokenize(text).is_empty());
    }
}

#[test]
fn special_tokens_in_the_text_are_recognised_as_they_are_written() {
    let tokenizer = tokenizer("a b [ mask ]", Casing::Uncased);
    let encoding = tokenizer.tokenize("a[MASK]b [mask]");
    assert_eq!(tokens(&tokenizer, &encoding), ["a", "[MASK]", "b", "[", "mask", "]"]);
    assert_eq!(encoding.offsets[..3], [(0, 1), (1, 7), (7, 8)]);
    assert_eq!(encoding.words[..4], [Some(0), Some(1), Some(2), Some(3)]);
}

#[test]
fn offsets_are_right_where_characters_vanish_or_multiply() {
    let tokenizer = tokenizer("a ##b i ##\u{307} 中 文", Casing::Uncased);
    // A control character inside a word, an accent of its own, Chinese beside letters.
    let encoding = tokenizer.tokenize("a\u{0}b a\u{301}b中文");
    assert_eq!(tokens(&tokenizer, &encoding), ["a", "##b", "a", "##b", "中", "文"]);
    assert_eq!(encoding.offsets, [(0, 1), (2, 3), (4, 5), (6, 7), (7, 8), (8, 9)]);
    // One character that becomes three is the place of them all.
    let encoding = tokenizer.tokenize("x 각");
    assert_eq!(encoding.offsets, [(0, 1), (2, 3)]);
}

#[test]
fn cased_text_keeps_case_and_accents() {
    let tokenizer = tokenizer("The the Café cafe", Casing::Cased);
    let encoding = tokenizer.tokenize("The the Café cafe\u{301}");
    assert_eq!(tokens(&tokenizer, &encoding), ["The", "the", "Café", "[UNK]"]);
    assert_eq!(tokenizer.casing(), Casing::Cased);
}

#[test]
fn pairs_have_two_types_and_offsets_of_their_own() {
    let tokenizer = tokenizer(ENGLISH, Casing::Uncased);
    let encoding = tokenizer.encode_pair("the cafe", "wanted!", None);
    assert_eq!(tokens(&tokenizer, &encoding), ["[CLS]", "the", "cafe", "[SEP]", "want", "##ed", "!", "[SEP]"]);
    assert_eq!(encoding.token_type_ids, [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(encoding.offsets, [(0, 0), (0, 3), (4, 8), (0, 0), (0, 4), (4, 6), (6, 7), (0, 0)]);
    assert_eq!(encoding.words, [None, Some(0), Some(1), None, Some(0), Some(0), Some(1), None]);
}

#[test]
fn what_is_cut_is_counted() {
    let tokenizer = tokenizer(ENGLISH, Casing::Uncased);
    let encoding = tokenizer.encode("the , the , the", Some(4));
    assert_eq!(tokens(&tokenizer, &encoding), ["[CLS]", "the", ",", "[SEP]"]);
    assert_eq!(encoding.truncated, 3);
    assert_eq!(tokenizer.encode("the , the", Some(2)).truncated, 3);
    assert_eq!(tokenizer.encode("the , the", Some(5)).truncated, 0);

    let pair = tokenizer.encode_pair("the the the", ", , , ,", Some(6));
    assert_eq!(tokens(&tokenizer, &pair), ["[CLS]", "the", "[SEP]", ",", ",", "[SEP]"]);
    assert_eq!(pair.truncated, 4);
    assert_eq!(tokenizer.encode_words(&["the", "wanted"], Some(4)).truncated, 1);
}

#[test]
#[should_panic(expected = "max_length is 2")]
fn a_pair_does_not_fit_in_two_tokens() {
    tokenizer(ENGLISH, Casing::Uncased).encode_pair("a", "b", Some(2));
}

#[test]
fn given_words_keep_their_numbers() {
    let tokenizer = tokenizer(ENGLISH, Casing::Uncased);
    let encoding = tokenizer.encode_words(&["the", "", "wanted!", "it's"], None);
    assert_eq!(tokens(&tokenizer, &encoding), ["[CLS]", "the", "want", "##ed", "!", "[UNK]", "'", "s", "[SEP]"]);
    let words = [None, Some(0), Some(2), Some(2), Some(2), Some(3), Some(3), Some(3), None];
    assert_eq!(encoding.words, words);
    assert_eq!(encoding.offsets[2..5], [(0, 4), (4, 6), (6, 7)]);
}

#[test]
fn windows_share_their_overlap() {
    let tokenizer = tokenizer("a b c d e", Casing::Uncased);
    let windows = tokenizer.windows("a b c d e", 5, 1);
    let shown: Vec<_> = windows.iter().map(|window| tokens(&tokenizer, window).join(" ")).collect();
    assert_eq!(shown, ["[CLS] a b c [SEP]", "[CLS] c d e [SEP]"]);
    assert_eq!(windows[1].offsets[1], (4, 5));
    assert_eq!(windows[1].truncated, 0);
    assert_eq!(tokenizer.windows("", 5, 1).len(), 1);
}

#[test]
fn windows_over_the_second_text_keep_the_first_whole() {
    let tokenizer = tokenizer("a b c d e", Casing::Uncased);
    let windows = tokenizer.windows_pair("a b", "c d e", 7, 1).unwrap();
    let shown: Vec<_> = windows.iter().map(|window| tokens(&tokenizer, window).join(" ")).collect();
    assert_eq!(shown, ["[CLS] a b [SEP] c d [SEP]", "[CLS] a b [SEP] d e [SEP]"]);
    assert_eq!(windows[1].token_type_ids, [0, 0, 0, 0, 1, 1, 1]);

    // Of the longer text, and of both where the shorter one leaves too little room.
    let of_longer = |a: &str, b: &str| -> Vec<Vec<u32>> {
        tokenizer.windows_of_longer(a, b, 7, 1).into_iter().map(|window| window.ids).collect()
    };
    let pair = |a: &str, b: &str| tokenizer.encode_pair(a, b, None).ids;
    assert_eq!(of_longer("a b", "c d"), [pair("a b", "c d")]);
    assert_eq!(of_longer("a b", "c d e"), [pair("a b", "c d"), pair("a b", "d e")]);
    assert_eq!(of_longer("c d e", "a b"), [pair("c d", "a b"), pair("d e", "a b")]);
    let both = ["a b", "b c"].iter().flat_map(|a| ["c d", "d e"].map(|b| pair(a, b)));
    assert_eq!(of_longer("a b c", "c d e"), both.collect::<Vec<_>>());

    let error = tokenizer.windows_pair("a b", "c d e", 6, 1).unwrap_err();
    assert!(matches!(error, Error::NoRoomInWindow { max_length: 6, fixed: 5, overlap: 1 }));
    assert!(tokenizer.windows_pair("a b", "c", 0, 0).is_err());
}

#[test]
fn decoding_joins_pieces_and_punctuation() {
    let tokenizer = tokenizer("un ##want ##ed , . ' s do not the", Casing::Uncased);
    let ids = tokenizer.encode("unwanted, the.", None).ids;
    assert_eq!(tokenizer.decode(&ids, true), "unwanted, the.");
    assert_eq!(tokenizer.decode(&ids, false), "[CLS] unwanted, the. [SEP]");
    // A piece at the very beginning keeps its mark; ids beyond the vocabulary are no text.
    let want = tokenizer.id("##want").unwrap();
    assert_eq!(tokenizer.decode(&[want, 9999, want], true), "##wantwant");
    assert_eq!(tokenizer.decode(&[], true), "");
}

#[test]
fn tokens_are_looked_up_both_ways() {
    let tokenizer = tokenizer("a b a", Casing::Uncased);
    assert_eq!(tokenizer.vocab_size(), 8);
    // The last of equal tokens counts.
    assert_eq!(tokenizer.id("a"), Some(7));
    assert_eq!(tokenizer.token(5), Some("a"));
    assert_eq!(tokenizer.token(8), None);
    assert_eq!(tokenizer.id("c"), None);
    assert_eq!(tokenizer.special().mask, 4);
    assert_eq!(tokenizer.tokenize("a").ids, [7]);
}

#[test]
fn a_vocabulary_needs_its_special_tokens() {
    let error = Tokenizer::from_tokens(vec!["[PAD]".into(), "[UNK]".into()], Casing::Cased);
    assert!(matches!(error, Err(Error::MissingSpecialToken { token: "[CLS]", .. })));
    let error = Tokenizer::from_tokens(Vec::new(), Casing::Cased);
    assert!(matches!(error, Err(Error::EmptyVocabulary { .. })));
}

#[test]
fn threads_can_share_a_tokenizer() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
    shared::<Tokenizer>();
}

/// A vocabulary in which every lower-case letter has a piece at the beginning and inside of words.
fn letters() -> Tokenizer {
    let single: String = ('a'..='z').map(|c| format!("{c} ##{c} ")).collect();
    tokenizer(&format!("{single} the ##ing re ##re , . [ ] 中"), Casing::Uncased)
}

/// Text in which every character that stays is one token's or part of one, with all that vanishes.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-eA-Z]{1,4}",
        1 => "[ \t\u{A0}]",
        1 => "[,.\\[\\]]",
        1 => prop::sample::select(vec![
            "é", "e\u{301}\u{323}", "\u{0}", "\u{AD}", "中", "ÅB", "the", "Reing", "[SEP]", "[MASK]", "ß", "𝒳",
        ]).prop_map(String::from),
    ];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

fn slice(text: &str, (start, end): (usize, usize)) -> String {
    text.chars().skip(start).take(end - start).collect()
}

proptest! {
    #[test]
    fn offsets_lie_in_order_within_the_text(text in text()) {
        let encoding = letters().tokenize(&text);
        let len = text.chars().count();
        prop_assert!(encoding.offsets.iter().all(|&(start, end)| start < end && end <= len));
        prop_assert!(encoding.offsets.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        let words: Vec<usize> = encoding.words.iter().map(|word| word.unwrap()).collect();
        prop_assert!(words.windows(2).all(|pair| pair[1] - pair[0] <= 1));
    }

    #[test]
    fn the_text_at_a_token_s_offsets_is_that_token(text in text()) {
        let tokenizer = letters();
        let encoding = tokenizer.tokenize(&text);
        for (&id, &offsets) in encoding.ids.iter().zip(&encoding.offsets) {
            let alone = tokenizer.tokenize(&slice(&text, offsets));
            let alone = tokenizer.decode(&alone.ids, false);
            let token = tokenizer.token(id).unwrap();
            prop_assert_eq!(alone, token.strip_prefix("##").unwrap_or(token));
        }
    }

    #[test]
    fn truncation_keeps_beginnings(a in text(), b in text(), room in 0usize..20) {
        let tokenizer = letters();
        let (len_a, len_b) = (tokenizer.tokenize(&a).len(), tokenizer.tokenize(&b).len());
        let whole = tokenizer.encode_pair(&a, &b, None);
        let cut = tokenizer.encode_pair(&a, &b, Some(room + 3));
        prop_assert_eq!(cut.len(), whole.len().min(room + 3));
        prop_assert_eq!(cut.len() + cut.truncated, whole.len());
        let kept_b = cut.token_type_ids.iter().sum::<u32>() as usize - 1;
        let kept_a = cut.len() - kept_b - 3;
        prop_assert_eq!(&cut.ids[..kept_a + 1], &whole.ids[..kept_a + 1]);
        prop_assert_eq!(&cut.ids[kept_a + 2..kept_a + 2 + kept_b], &whole.ids[len_a + 2..][..kept_b]);
        prop_assert!(kept_a <= len_a && kept_b <= len_b);
        prop_assert_eq!(cut.offsets.len(), cut.ids.len());
        prop_assert_eq!(cut.words.len(), cut.ids.len());
    }

    #[test]
    fn windows_lose_nothing(text in text(), room in 1usize..8, overlap in 0usize..8) {
        prop_assume!(overlap < room);
        let tokenizer = letters();
        let whole = tokenizer.tokenize(&text);
        let mut joined = Encoding::default();
        for (index, window) in tokenizer.windows(&text, room + 2, overlap).iter().enumerate() {
            prop_assert!(window.len() <= room + 2);
            let new = 1 + if index == 0 { 0 } else { overlap }..window.len() - 1;
            joined.ids.extend(&window.ids[new.clone()]);
            joined.offsets.extend(&window.offsets[new]);
        }
        prop_assert_eq!((joined.ids, joined.offsets), (whole.ids, whole.offsets));
    }

    #[test]
    fn any_text_is_tokenized(text in any::<String>()) {
        let tokenizer = letters();
        let encoding = tokenizer.encode(&text, Some(16));
        prop_assert!(encoding.len() <= 16);
        tokenizer.decode(&encoding.ids, true);
    }
}
