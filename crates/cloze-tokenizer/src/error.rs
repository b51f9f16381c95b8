//! What can go wrong with files and settings from outside.

use std::io;
use std::path::PathBuf;

use crate::small_file::ReadError;

/// Everything that this crate can refuse.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened or read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: ReadError,
    },

    /// A file could not be written; what was there before is untouched.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },

    /// A vocabulary has more lines than any.
    #[error("{}: more than {tokens_max} tokens, which no BERT vocabulary has", path.display())]
    TooManyTokens {
        /// The file.
        path: PathBuf,
        /// The largest accepted number.
        tokens_max: usize,
    },

    /// A token is longer than any that is of use.
    #[error("{origin}: token {id} ({start:?}…) has {bytes} bytes; tokens have at most {bytes_max}")]
    TokenTooLong {
        /// Where the vocabulary came from.
        origin: String,
        /// The token's id.
        id: usize,
        /// How it begins.
        start: String,
        /// Length of the token.
        bytes: usize,
        /// The largest accepted length.
        bytes_max: usize,
    },

    /// The tokens of a vocabulary are longer in all than those of any BERT.
    #[error("{origin}: the tokens have {bytes} bytes in all; no BERT vocabulary has more than {bytes_max}")]
    VocabularyTooLong {
        /// Where the vocabulary came from.
        origin: String,
        /// The length of all tokens together.
        bytes: usize,
        /// The largest accepted length.
        bytes_max: usize,
    },

    /// A text file holds bytes that are not UTF-8.
    #[error("{}: line {line} is not UTF-8; convert the file to UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line of the first bad byte, from 1.
        line: usize,
    },

    /// A directory holds neither `tokenizer.json` nor `vocab.txt`.
    #[error("{}: holds no tokenizer: expected tokenizer.json or vocab.txt in it", path.display())]
    NoTokenizer {
        /// The directory.
        path: PathBuf,
    },

    /// A vocabulary has no tokens at all.
    #[error("{origin}: empty; expected a vocabulary with one token a line")]
    EmptyVocabulary {
        /// Where the vocabulary came from.
        origin: String,
    },

    /// A vocabulary lacks one of the tokens that BERT cannot work without.
    #[error(
        "{origin}: the vocabulary has no token {token}; expected [PAD], [UNK], [CLS], [SEP] and \
         [MASK] in it, each on a line of its own and spelled like this"
    )]
    MissingSpecialToken {
        /// Where the vocabulary came from.
        origin: String,
        /// The missing token.
        token: &'static str,
    },

    /// A token cannot stand on a line of `vocab.txt`.
    #[error(
        "{}: token {id} ({token:?}) holds a line break or ends with whitespace, so no line of a \
         vocab.txt can hold it; take it out of the vocabulary",
        path.display()
    )]
    UnwritableToken {
        /// The file that was to be written.
        path: PathBuf,
        /// The token's id.
        id: usize,
        /// The token.
        token: String,
    },

    /// A file is not valid JSON.
    #[error("{}: not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        source: serde_json::Error,
    },

    /// A field of a JSON file is missing, or is not what a BERT tokenizer has there.
    #[error(
        "{}: not a BERT tokenizer that can be used: {field}: expected {expected}, found {found}",
        path.display()
    )]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, with the names of the objects around it.
        field: String,
        /// What would be accepted.
        expected: String,
        /// What stands there.
        found: String,
    },

    /// `tokenizer_config.json` contradicts `tokenizer.json`. `transformers` reads a BERT tokenizer's settings from the
    /// first, `tokenizers` from the second; which one the model was trained with, nobody can say.
    #[error(
        "{}: {field} is {found}, but the normalizer in tokenizer.json beside it has {expected}, so programs read these \
         files in different ways; make them agree, or choose one (--tokenizer-file tokenizer.json, \
         tokenizer_config.json or vocab.txt)",
        path.display()
    )]
    Contradiction {
        /// `tokenizer_config.json`.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Value in `tokenizer.json`.
        expected: String,
        /// Value in `tokenizer_config.json`.
        found: String,
    },

    /// A window has no room for both the overlap and at least one new token.
    #[error(
        "windows of {max_length} tokens leave no room: {fixed} of them are the same in every \
         window and {overlap} are shared with the window before; use longer windows, a smaller \
         overlap or a shorter first text"
    )]
    NoRoomInWindow {
        /// The asked length of a window.
        max_length: usize,
        /// Special tokens and the tokens of the first text.
        fixed: usize,
        /// The asked overlap.
        overlap: usize,
    },

    /// There are no words to train a vocabulary on.
    #[error("no words to train a vocabulary on: the text is empty or only whitespace")]
    NoWords,

    /// The asked vocabulary is smaller than its alphabet.
    #[error(
        "a vocabulary of {size} tokens is too small: special tokens, tokens asked for and single \
         characters alone are {needed}; ask for at least {needed} tokens or limit the alphabet"
    )]
    VocabularyTooSmall {
        /// The asked size.
        size: usize,
        /// What special tokens, forced tokens and alphabet take.
        needed: usize,
    },

    /// The asked vocabulary is larger than any that is of use.
    #[error("a vocabulary of {size} tokens is too large: at most {most} are made")]
    VocabularyTooLarge {
        /// The asked size.
        size: usize,
        /// The largest.
        most: usize,
    },

    /// A token that was to be in a vocabulary would never be found in a text, or was asked for
    /// twice.
    #[error("the token {token:?} cannot be made part of the vocabulary: {reason}")]
    ForcedToken {
        /// The token as it was given.
        token: String,
        /// Why not.
        reason: String,
    },

    /// The characters of all words together exceed 64 bits.
    #[error("the words have {characters} characters in all; at most {} can be counted", u64::MAX)]
    TooManyCharacters {
        /// How many there are.
        characters: u128,
    },

    /// A tokenizer has tokens behind its vocabulary, where words would have to be appended.
    #[error(
        "the vocabulary cannot be extended: token {id} ({token:?}) was added to the tokenizer behind it, \
         and new words would have to take this place"
    )]
    NotExtensible {
        /// The id of the first added token behind the vocabulary.
        id: usize,
        /// The token.
        token: String,
    },
}
