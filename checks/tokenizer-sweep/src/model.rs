//! The tokenizers that are compared, ours and theirs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cloze_tokenizer::{Casing, Tokenizer};
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer as TheirTokenizer};

const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// One tokenizer in both implementations.
pub struct Model {
    pub name: String,
    pub ours: Tokenizer,
    pub theirs: TheirTokenizer,
    /// Whether decoding is to be compared. Added tokens that are looked for in the normalized text
    /// are decoded normalized by their version 0.23, as written by those before and by ours.
    pub decodes_alike: bool,
}

/// The settings of Hugging Face's `BertNormalizer`.
#[derive(Clone, Copy)]
struct Normalization {
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

impl Normalization {
    fn new(casing: Casing) -> Normalization {
        Normalization {
            clean_text: true,
            handle_chinese_chars: true,
            strip_accents: None,
            lowercase: casing == Casing::Uncased,
        }
    }
}

/// Vocabularies with nearly every character, by itself and inside a word, so that a difference in
/// normalization shows in the ids; and one like that of Google's Chinese model.
pub fn made_up() -> Vec<Model> {
    let model = |name: &str, tokens: Vec<String>, casing| Model {
        name: name.to_string(),
        theirs: their_tokenizer(numbered(&tokens), Normalization::new(casing), &[]),
        ours: Tokenizer::from_tokens(tokens, casing).expect("all special tokens are there"),
        decodes_alike: true,
    };
    vec![
        model("made up, uncased", tokens(most_characters()), Casing::Uncased),
        model("made up, cased", tokens(most_characters()), Casing::Cased),
        model("made up, Chinese", tokens('\u{4E00}'..='\u{9FA5}'), Casing::Uncased),
    ]
}

/// The vocabulary files in `dir`: those named `…-vocab.txt`.
pub fn read(dir: &Path) -> Vec<Model> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let is_vocabulary = |path: &&PathBuf| path.to_string_lossy().ends_with("-vocab.txt");
    let models: Vec<Model> = paths.iter().filter(is_vocabulary).map(|path| read_file(path)).collect();
    assert!(!models.is_empty(), "{}: no files named …-vocab.txt", dir.display());
    models
}

/// A vocabulary file, used with lower-casing if its name says `uncased` or `chinese`.
pub fn read_file(path: &Path) -> Model {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let uncased = name.contains("uncased") || name.contains("chinese");
    let casing = if uncased { Casing::Uncased } else { Casing::Cased };
    let vocab = WordPiece::read_file(&path.to_string_lossy()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let theirs = their_tokenizer(vocab.into_iter().collect(), Normalization::new(casing), &[]);
    let ours = Tokenizer::open(path, casing).unwrap_or_else(|e| panic!("{e}"));
    Model { name: name.trim_end_matches("-vocab.txt").to_string(), ours, theirs, decodes_alike: true }
}

/// Less usual settings, which come to us by way of a `tokenizer.json` that they wrote.
pub fn variants() -> Vec<Model> {
    let uncased = Normalization::new(Casing::Uncased);
    let cased = Normalization::new(Casing::Cased);
    let added = |content: &str| AddedToken::from(content, false).normalized(false);
    let normalized_tokens = [AddedToken::from("Éa", false), AddedToken::from("o of", false).rstrip(true)];
    let verbatim_tokens = [
        added("ab").lstrip(true),
        added("abc").rstrip(true),
        added(",").lstrip(true).rstrip(true),
        AddedToken::from("the", true),
    ];
    // Tokens that share whitespace, and single words.
    let sharing_tokens = [
        added("of").rstrip(true),
        added(" the").single_word(true),
        added("  "),
        added("ab").single_word(true).lstrip(true),
        AddedToken::from("naive", false).single_word(true).rstrip(true),
        AddedToken::from(" running", false).lstrip(true),
    ];
    vec![
        variant("accents kept", Normalization { strip_accents: Some(false), ..uncased }, &[]),
        variant("accents only", Normalization { strip_accents: Some(true), ..cased }, &[]),
        variant("not cleaned", Normalization { clean_text: false, ..uncased }, &[]),
        variant("not Chinese", Normalization { handle_chinese_chars: false, ..uncased }, &[]),
        variant("added, normalized", uncased, &normalized_tokens),
        variant("added, verbatim", cased, &verbatim_tokens),
        variant("added, sharing spaces", uncased, &sharing_tokens),
    ]
}

fn variant(name: &str, normalization: Normalization, added: &[AddedToken]) -> Model {
    let tokens = tokens('\u{80}'..='\u{33FF}');
    let theirs = their_tokenizer(numbered(&tokens), normalization, added);
    let dir = std::env::temp_dir();
    let path = dir.join(format!("tokenizer-sweep-{}.json", std::process::id()));
    theirs.save(&path, false).unwrap_or_else(|e| panic!("{e}"));
    let ours = Tokenizer::open(&path, Casing::Cased).unwrap_or_else(|e| panic!("{e}"));
    std::fs::remove_file(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let decodes_alike = !added.iter().any(|token| token.normalized);
    Model { name: name.to_string(), ours, theirs, decodes_alike }
}

/// Of the planes that hold characters; no normalization touches the others.
fn most_characters() -> impl Iterator<Item = char> {
    (0..=0x3FFFF).chain(0xE0000..=0xEFFFF).filter_map(char::from_u32)
}

/// Special tokens, ASCII, `characters`, and pieces of words that the random strings hold.
fn tokens(characters: impl Iterator<Item = char>) -> Vec<String> {
    let mut tokens: Vec<String> = SPECIAL_TOKENS.map(String::from).to_vec();
    let ascii = '!'..='~';
    for c in ascii.clone().chain(characters.filter(|c| !ascii.contains(c))) {
        tokens.push(c.to_string());
        tokens.push(format!("##{c}"));
    }
    for word in crate::text::WORDS {
        let characters: Vec<char> = word.chars().collect();
        for len in 2..=characters.len() {
            let begin: String = characters[..len].iter().collect();
            let end: String = characters[characters.len() - len..].iter().collect();
            tokens.extend([begin, format!("##{end}")]);
        }
    }
    let mut seen = std::collections::HashSet::new();
    tokens.retain(|token| seen.insert(token.clone()));
    tokens
}

fn numbered(tokens: &[String]) -> HashMap<String, u32> {
    tokens.iter().cloned().zip(0..).collect()
}

fn their_tokenizer(vocab: HashMap<String, u32>, normalization: Normalization, added: &[AddedToken]) -> TheirTokenizer {
    let special = |token: &str| (token.to_string(), vocab[token]);
    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")
        .and_then(|builder| builder.try_pair("[CLS] $A [SEP] $B:1 [SEP]:1"))
        .unwrap_or_else(|e| panic!("{e}"))
        .special_tokens(vec![special("[CLS]"), special("[SEP]")])
        .build()
        .unwrap_or_else(|e| panic!("{e}"));
    let model = WordPiece::builder().vocab(vocab.into_iter().collect::<ahash::AHashMap<_, _>>());
    let mut tokenizer = TheirTokenizer::new(model.build().unwrap_or_else(|e| panic!("{e}")));
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(
            normalization.clean_text,
            normalization.handle_chinese_chars,
            normalization.strip_accents,
            normalization.lowercase,
        )))
        .unwrap_or_else(|e| panic!("{e}"))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(template))
        .with_decoder(Some(WordPieceDecoder::default()));
    let special_tokens = SPECIAL_TOKENS.map(|token| AddedToken::from(token, true));
    tokenizer.add_special_tokens(special_tokens).unwrap_or_else(|e| panic!("{e}"));
    tokenizer.add_tokens(added.to_vec()).unwrap_or_else(|e| panic!("{e}"));
    tokenizer
}
