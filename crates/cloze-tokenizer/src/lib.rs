//! Text to WordPiece token ids and back, as BERT wants them, with the place of every token in the
//! original text; and the training of new WordPiece vocabularies.
//!
//! Ids and offsets equal those of Hugging Face's `tokenizers`, character for character.
//!
//! ```
//! use cloze_tokenizer::{Casing, Tokenizer};
//!
//! let vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] un ##aff ##able the man , cafe";
//! let tokens = vocabulary.split(' ').map(String::from).collect();
//! let tokenizer = Tokenizer::from_tokens(tokens, Casing::Uncased)?;
//!
//! let encoding = tokenizer.encode("The Café,  unaffable", None);
//! let tokens: Vec<_> = encoding.ids.iter().filter_map(|&id| tokenizer.token(id)).collect();
//! assert_eq!(tokens, ["[CLS]", "the", "cafe", ",", "un", "##aff", "##able", "[SEP]"]);
//!
//! // Offsets count characters of the text as it was given, accents included.
//! assert_eq!(encoding.offsets[2], (4, 8));
//! assert_eq!(tokenizer.decode(&encoding.ids, true), "the cafe, unaffable");
//!
//! // What does not fit is cut from the end, and counted.
//! let short = tokenizer.encode("The Café,  unaffable", Some(5));
//! assert_eq!((short.ids.len(), short.truncated), (5, 3));
//! # Ok::<(), cloze_tokenizer::Error>(())
//! ```
//!
//! The way of a text: special tokens are found in it verbatim ([`AddedToken`]); what lies between
//! them is cleaned, stripped of accents and lower-cased, split at whitespace and punctuation, and
//! every word is cut into the longest known pieces from left to right.
//!
//! [`Tokenizer::open_google`] makes the tokens of Google BERT's own `tokenization.py` instead.
//!
//! [`Tokenizer::open`] reads a model directory or a `vocab.txt`, [`Tokenizer::save`] writes all the
//! files that Hugging Face's libraries look for, and [`train`] makes a vocabulary from text.

#![forbid(unsafe_code)]

mod added_tokens;
mod encoding;
mod error;
mod files;
mod google;
mod normalize;
mod pre_tokenize;
pub mod small_file;
mod tokenizer;
pub mod train;
mod trie;
mod unicode;
mod vocab;
mod wordpiece;
mod words;

pub use added_tokens::AddedToken;
pub use encoding::{Encoding, TruncationSide, TruncationStrategy};
pub use error::Error;
pub use normalize::Casing;
pub use tokenizer::{Note, SpecialIds, Tokenizer, TokenizerFile};
pub use unicode::is_chinese;
