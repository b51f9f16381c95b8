//! The files of tokenizers, texts, and the training of vocabularies.

use std::fs;
use std::path::Path;

use cloze_tokenizer::train::{TrainOptions, WordCounts, train};
use cloze_tokenizer::{Casing, Encoding, Tokenizer};
use serde_json::json;

use super::{LONG, Run, SHORT, TIMES, Target, told, write};
use crate::mutate::Shape;

const TOKENS: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] un ##aff ##able the man , . cafe 漢 字 ##s é ##é a ##a b ##b";

/// Texts that any tokenizer is asked to read.
const TEXTS: &[&str] =
    &["", "The Café,  unaffable man.", "[CLS] xa xb[MASK] 漢字\u{301} a\u{200b}\tb\u{ad}s", "İ ß ﬁ Σ"];

pub const VOCAB_TXT: Target = Target {
    name: "vocab-txt",
    what: "vocab.txt",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| vec![TOKENS.replace(' ', "\n").into_bytes()],
    prepare: |folder| {
        let path = folder.join("vocab.txt");
        Box::new(move |input| {
            write(&path, input);
            let google = told(Tokenizer::open_google(&path, Casing::Uncased), |tokenizer| use_tokenizer(&tokenizer));
            open(&path) + &google
        })
    },
};

pub const TOKENIZER_JSON: Target = Target {
    name: "tokenizer-json",
    what: "tokenizer.json",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| vec![with_added_tokens().to_string().into_bytes(), tokenizer().to_json().to_string().into_bytes()],
    prepare: |folder| {
        let path = folder.join("tokenizer.json");
        Box::new(move |input| {
            write(&path, input);
            open(&path)
        })
    },
};

pub const TOKENIZER_CONFIG: Target = Target {
    name: "tokenizer-config",
    what: "tokenizer_config.json beside vocab.txt, and beside tokenizer.json",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: saved_file::<0>,
    prepare: |folder| beside(folder, "tokenizer_config.json"),
};

pub const SPECIAL_TOKENS_MAP: Target = Target {
    name: "special-tokens-map",
    what: "special_tokens_map.json beside vocab.txt, and beside tokenizer.json",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: saved_file::<1>,
    prepare: |folder| beside(folder, "special_tokens_map.json"),
};

pub const TEXT: Target = Target {
    name: "text",
    what: "a text to tokenize: alone, as a pair, as words, in windows, by Google's rules",
    shape: Shape::Text,
    length_max: SHORT,
    bytes_times: TIMES,
    seeds: |_| TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect(),
    prepare: |folder| {
        let vocabulary = folder.join("vocab.txt");
        fs::write(&vocabulary, TOKENS.replace(' ', "\n")).expect("a file");
        let json = folder.join("tokenizer.json");
        fs::write(&json, with_added_tokens().to_string()).expect("a file");
        let tokenizers = [
            Tokenizer::open(&json, Casing::Uncased).expect("a tokenizer"),
            Tokenizer::open(&vocabulary, Casing::Cased).expect("a tokenizer"),
            Tokenizer::open_google(&vocabulary, Casing::Uncased).expect("a tokenizer"),
        ];
        Box::new(move |input| {
            let text = String::from_utf8_lossy(input);
            tokenizers.iter().map(|tokenizer| tokenize(tokenizer, &text)).collect()
        })
    },
};

pub const VOCABULARY_TRAINING: Target = Target {
    name: "vocabulary-training",
    what: "a text to make a vocabulary of",
    shape: Shape::Text,
    length_max: SHORT,
    bytes_times: TIMES,
    seeds: |_| vec![b"the man, the cafe\nthe unaffable man ran; the men ran\n".to_vec()],
    prepare: |_| {
        Box::new(|input| {
            let text = String::from_utf8_lossy(input);
            let casing = if input.len() % 2 == 0 { Casing::Cased } else { Casing::Uncased };
            let mut counts = WordCounts::new(casing);
            counts.add_text(&text);
            let options = TrainOptions { size: 60, casing, ..TrainOptions::default() };
            told(train(&counts, &options, &mut |_, _| {}), |tokens| {
                assert!(tokens.len() <= options.size, "{} tokens", tokens.len());
                let tokenizer = Tokenizer::from_tokens(tokens, casing).expect("a vocabulary that was made");
                tokenize(&tokenizer, &text)
            })
        })
    },
};

fn tokenizer() -> Tokenizer {
    let tokens = TOKENS.split(' ').map(String::from).collect();
    Tokenizer::from_tokens(tokens, Casing::Uncased).expect("a vocabulary")
}

/// A `tokenizer.json` whose added tokens overlap, strip space at their sides, and begin with it.
fn with_added_tokens() -> serde_json::Value {
    let mut json = tokenizer().to_json();
    let first = tokenizer().vocab_size();
    let added = json["added_tokens"].as_array_mut().expect("a list");
    for (at, (content, lstrip, rstrip)) in
        [("xa", false, true), (" xb", false, false), ("xc ", true, false), ("xdé", true, true), ("x", false, false)]
            .into_iter()
            .enumerate()
    {
        added.push(json!({
            "id": first + at, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": rstrip,
            "normalized": false, "special": false,
        }));
    }
    json
}

/// A file that a tokenizer is saved with.
fn saved_file<const WHICH: usize>(folder: &Path) -> Vec<Vec<u8>> {
    tokenizer().save(folder).expect("a saved tokenizer");
    let name = ["tokenizer_config.json", "special_tokens_map.json"][WHICH];
    let fuller = [
        r###"{"do_lower_case": true, "strip_accents": null, "tokenize_chinese_chars": true, "model_max_length": 512,
            "truncation_side": "left", "unk_token": "[UNK]", "additional_special_tokens": ["[unused1]"],
            "added_tokens_decoder": {"5": {"content": "un", "lstrip": true, "special": true}},
            "tokenizer_class": "BertTokenizer"}"###,
        r#"{"cls_token": {"content": "[CLS]", "lstrip": false}, "mask_token": "[MASK]", "unk_token": "[UNK]",
            "additional_special_tokens": ["a", {"content": "the", "rstrip": true}]}"#,
    ][WHICH];
    vec![fs::read(folder.join(name)).unwrap_or_default(), fuller.as_bytes().to_vec()]
}

/// The file `name` beside a vocabulary, and beside a whole tokenizer.
fn beside(folder: &Path, name: &'static str) -> Run {
    let (bare, whole) = (folder.join("bare"), folder.join("whole"));
    fs::create_dir_all(&bare).expect("a folder");
    fs::write(bare.join("vocab.txt"), TOKENS.replace(' ', "\n")).expect("a file");
    tokenizer().save(&whole).expect("a saved tokenizer");
    Box::new(move |input| {
        [&bare, &whole]
            .map(|folder| {
                write(&folder.join(name), input);
                open(folder)
            })
            .concat()
    })
}

fn open(path: &Path) -> String {
    told(Tokenizer::open(path, Casing::Uncased), |tokenizer| use_tokenizer(&tokenizer))
}

fn use_tokenizer(tokenizer: &Tokenizer) -> String {
    TEXTS.iter().map(|text| tokenize(tokenizer, text)).collect()
}

/// Asks everything that can be asked about a text.
fn tokenize(tokenizer: &Tokenizer, text: &str) -> String {
    let chars = text.chars().count();
    let check = |encoding: &Encoding, chars: usize| {
        for (&id, &(start, end)) in encoding.ids.iter().zip(&encoding.offsets) {
            assert!(tokenizer.token(id).is_some(), "id {id} of {}", tokenizer.vocab_size());
            assert!(start <= end && end <= chars, "offsets {start}..{end} in a text of {chars} characters");
        }
    };
    let whole = tokenizer.tokenize(text);
    check(&whole, chars);
    for limit in [None, Some(3), Some(8)] {
        let encoding = tokenizer.encode(text, limit);
        check(&encoding, chars);
        assert!(limit.is_none_or(|limit| encoding.len() <= limit));
        let pair = tokenizer.encode_pair(text, "the man", limit);
        check(&pair, chars.max(7));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    check(&tokenizer.encode_words(&words, None), chars);
    for window in tokenizer.windows(text, 8, 2) {
        check(&window, chars);
        assert!(window.len() <= 8);
    }
    if let Ok(windows) = tokenizer.windows_pair("the man", text, 12, 2) {
        windows.iter().for_each(|window| check(window, chars.max(7)));
    }
    let decoded = tokenizer.decode(&whole.ids, true);
    format!("{} tokens, {}", whole.len(), if decoded == text { "the same" } else { "another" })
}
