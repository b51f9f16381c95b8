//! Comparing `cloze-tokenizer` with Hugging Face's `tokenizers`: what the programs of this package share.

pub mod compare;
pub mod model;
pub mod text;
