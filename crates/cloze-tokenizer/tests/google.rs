//! Tokens against those of Google BERT's `tokenization.py`.

use std::fs;

use cloze_tokenizer::{Casing, Tokenizer};
use serde_json::Value;

/// Texts and their tokens by `tokenization.py` under CPython 3.11, uncased and cased; made by
/// `checks/python/google_instances.py`.
const FIXTURE: &str = include_str!("fixtures/google_tokens.json");

fn tokenizers(fixture: &Value) -> [Tokenizer; 2] {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vocab.txt");
    let tokens: Vec<&str> =
        fixture["vocabulary"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    fs::write(&path, tokens.join("\n") + "\n").unwrap();
    [Casing::Uncased, Casing::Cased].map(|casing| Tokenizer::open_google(&path, casing).unwrap())
}

#[test]
fn tokens_are_googles() {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    let tokenizers = tokenizers(&fixture);
    let rows = fixture["rows"].as_array().unwrap();
    assert!(rows.len() > 350);
    for row in rows {
        let text = row[0].as_str().unwrap();
        for (tokenizer, expected) in tokenizers.iter().zip([&row[1], &row[2]]) {
            let encoding = tokenizer.tokenize(text);
            let tokens: Vec<&str> = encoding.ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
            assert_eq!(tokens.join(" "), expected.as_str().unwrap(), "{text:?}");
            let chars = text.chars().count();
            assert!(encoding.offsets.iter().all(|&(start, end)| start < end && end <= chars), "{text:?}");
        }
    }
}

#[test]
fn a_vocabulary_is_stripped_and_keeps_last_ids() {
    let fixture: Value = serde_json::from_str(FIXTURE).unwrap();
    let [tokenizer, _] = tokenizers(&fixture);
    let count = fixture["vocabulary"].as_array().unwrap().len() as u32;
    assert_eq!(tokenizer.id("cat"), Some(count - 2));
    assert_eq!(tokenizer.id("##x"), Some(count - 1));
    assert_eq!(tokenizer.encode("[SEP] cat", None).ids.len(), 6);
}
