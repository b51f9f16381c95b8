//! The tokenizer: text to ids, and ids to text.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::added_tokens::{AddedToken, AddedTokens, Part};
use crate::encoding::{
    Encoding, SPECIAL_TOKENS_PAIR, SPECIAL_TOKENS_SINGLE, TruncationSide, TruncationStrategy, assemble, assemble_pair,
    window_ranges, window_sizes,
};
use crate::error::Error;
use crate::files;
use crate::google;
use crate::normalize::{Casing, Normalizer};
use crate::pre_tokenize::{Word, WordSplitter};
use crate::trie::Trie;
pub use crate::vocab::SpecialIds;
use crate::vocab::{SPECIAL_TOKENS, check_sizes};
use crate::wordpiece::{CONTINUING_SUBWORD_PREFIX, MAX_INPUT_CHARS_PER_WORD, Piece, WordPiece};
use crate::words::for_each_word;

/// A BERT tokenizer. Nothing in it changes after it is made, so threads can share a reference.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// In id order: the model's vocabulary, then tokens added to it later.
    pub(crate) tokens: Vec<String>,
    /// How many of `tokens` are the model's vocabulary, which words are made up of.
    pub(crate) model_tokens: usize,
    /// `[tokens]`: whether decoding can leave a token out.
    is_special: Vec<bool>,
    pub(crate) normalizer: Normalizer,
    pub(crate) added: AddedTokens,
    pub(crate) wordpiece: WordPiece,
    pub(crate) special: SpecialIds,
    pub(crate) decoder_cleanup: bool,
    pub(crate) model_max_length: Option<usize>,
    pub(crate) truncation_max_length: Option<usize>,
    pub(crate) truncation_side: TruncationSide,
    pub(crate) truncation_strategy: TruncationStrategy,
    notes: Vec<Note>,
    /// Whether words are those of Google's `tokenization.py`.
    google_rules: bool,
}

/// What a tokenizer is made of, as read from files.
pub(crate) struct Settings {
    pub tokens: Vec<String>,
    pub model_tokens: usize,
    pub added: Vec<AddedToken>,
    pub normalizer: Normalizer,
    pub continuing_subword_prefix: String,
    pub max_input_chars_per_word: usize,
    pub decoder_cleanup: bool,
    pub model_max_length: Option<usize>,
    pub truncation_max_length: Option<usize>,
    pub truncation_side: TruncationSide,
    pub truncation_strategy: TruncationStrategy,
    pub google_rules: bool,
    pub notes: Vec<Note>,
}

/// The file that decides where the files of a tokenizer contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenizerFile {
    /// `tokenizer.json`: as `tokenizers` reads a directory.
    TokenizerJson,
    /// `tokenizer_config.json`: as `transformers` reads a directory.
    TokenizerConfigJson,
    /// `vocab.txt` and nothing else.
    VocabTxt,
}

impl TokenizerFile {
    /// The names of the files.
    pub const NAMES: [(&str, TokenizerFile); 3] = [
        (files::TOKENIZER_JSON, TokenizerFile::TokenizerJson),
        (files::TOKENIZER_CONFIG_JSON, TokenizerFile::TokenizerConfigJson),
        (files::VOCAB_TXT, TokenizerFile::VocabTxt),
    ];
}

/// An assumption about a tokenizer that its user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Nothing says whether a vocabulary is cased. It has words with capitals, so text is not lower-cased.
    TakenAsCased {
        /// The vocabulary.
        path: PathBuf,
        /// One of these words.
        example: String,
    },
    /// A declared special token is not in the vocabulary of `tokenizer.json`, so it is not recognised.
    NotInVocabulary {
        /// The file that declares it.
        path: PathBuf,
        /// The token.
        token: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Note::TakenAsCased { path, example } => write!(
                f,
                "{}: nothing says whether to lower-case text, and the vocabulary has words with capitals, such as \
                 {example:?}: read as cased (--cased says the same; to lower-case, put {{\"do_lower_case\": true}} into \
                 tokenizer_config.json beside it)",
                path.display()
            ),
            Note::NotInVocabulary { path, token } => write!(
                f,
                "{}: the special token {token:?} has no id in tokenizer.json beside it, so it is read like any text",
                path.display()
            ),
        }
    }
}

impl Settings {
    /// A vocabulary with the settings of Google's models.
    pub fn new(tokens: Vec<String>, casing: Casing) -> Settings {
        Settings {
            model_tokens: tokens.len(),
            tokens,
            added: Vec::new(),
            normalizer: Normalizer::new(casing),
            continuing_subword_prefix: CONTINUING_SUBWORD_PREFIX.to_string(),
            max_input_chars_per_word: MAX_INPUT_CHARS_PER_WORD,
            decoder_cleanup: true,
            model_max_length: None,
            truncation_max_length: None,
            truncation_side: TruncationSide::default(),
            truncation_strategy: TruncationStrategy::default(),
            google_rules: false,
            notes: Vec::new(),
        }
    }
}

impl Tokenizer {
    /// Reads a tokenizer: a directory with `tokenizer.json` or `vocab.txt`, or one of these files.
    ///
    /// `tokenizer_config.json` beside them is read too. `casing` is only asked where no file says
    /// whether to lower-case, that is for a bare `vocab.txt`. If it is `None`, text is lower-cased unless the
    /// vocabulary has words with capitals ([`Note::TakenAsCased`]).
    ///
    /// # Errors
    ///
    /// If a file cannot be read, is not that of a BERT tokenizer, or contradicts another; the error names file and
    /// line or field.
    pub fn open(path: &Path, casing: impl Into<Option<Casing>>) -> Result<Tokenizer, Error> {
        Tokenizer::open_by(path, casing, None)
    }

    /// Reads a tokenizer as [`Tokenizer::open`] does; where the files of a directory contradict each other, `file`
    /// decides.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::open`]; if the directory lacks `file`.
    pub fn open_by(
        path: &Path,
        casing: impl Into<Option<Casing>>,
        file: Option<TokenizerFile>,
    ) -> Result<Tokenizer, Error> {
        let (settings, origin) = files::read::open(path, casing.into(), file)?;
        Tokenizer::new(settings, &origin)
    }

    /// Reads a tokenizer as [`Tokenizer::open`] does, to tokenize by the rules of Google BERT's `tokenization.py` under
    /// Python 3.11 (Unicode 14).
    ///
    /// Of the files only vocabulary and casing are heeded. No special token is recognised in a text, a word may have
    /// 200 characters, and tokens of the vocabulary are stripped at both ends.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::open`].
    pub fn open_google(path: &Path, casing: impl Into<Option<Casing>>) -> Result<Tokenizer, Error> {
        let (mut settings, origin) = files::read::open(path, casing.into(), None)?;
        for token in &mut settings.tokens {
            *token = token.trim().to_string();
        }
        settings.normalizer = Normalizer::new(settings.normalizer.casing());
        settings.max_input_chars_per_word = google::MAX_INPUT_CHARS_PER_WORD;
        settings.google_rules = true;
        Tokenizer::new(settings, &origin)
    }

    /// A tokenizer with the vocabulary `tokens`, in id order. A token that comes twice has its last
    /// id.
    ///
    /// # Errors
    ///
    /// If one of the special tokens is missing.
    pub fn from_tokens(tokens: Vec<String>, casing: Casing) -> Result<Tokenizer, Error> {
        Tokenizer::new(Settings::new(tokens, casing), "token list")
    }

    pub(crate) fn new(settings: Settings, origin: &str) -> Result<Tokenizer, Error> {
        let Settings { tokens, model_tokens, mut added, normalizer, .. } = settings;
        if tokens.is_empty() {
            return Err(Error::EmptyVocabulary { origin: origin.to_string() });
        }
        check_sizes(tokens.iter().map(String::as_str), origin)?;
        let pieces = Trie::new(tokens[..model_tokens].iter().map(String::as_str).zip(0..));
        let special = SpecialIds::find(&pieces, origin)?;
        let SpecialIds { pad, unk, cls, sep, mask } = special;
        // A tokenizer.json need not list them, and a vocab.txt cannot; Hugging Face's BERT tokenizer
        // recognises them all the same.
        for (content, id) in SPECIAL_TOKENS.into_iter().zip([pad, unk, cls, sep, mask]) {
            if added.iter().all(|token| token.content != content) {
                added.push(AddedToken::special(id, content));
            }
        }
        added.sort_by_key(|token| token.id);

        let mut is_special = vec![false; tokens.len()];
        for token in added.iter().filter(|token| token.special) {
            is_special[token.id as usize] = true;
        }
        let wordpiece =
            WordPiece::new(pieces, unk).with(settings.continuing_subword_prefix, settings.max_input_chars_per_word);
        Ok(Tokenizer {
            tokens,
            model_tokens,
            is_special,
            normalizer,
            added: AddedTokens::new(added, normalizer),
            wordpiece,
            special,
            decoder_cleanup: settings.decoder_cleanup,
            model_max_length: settings.model_max_length,
            truncation_max_length: settings.truncation_max_length,
            truncation_side: settings.truncation_side,
            truncation_strategy: settings.truncation_strategy,
            notes: settings.notes,
            google_rules: settings.google_rules,
        })
    }

    /// The same tokenizer, but text is lower-cased first. Accents stay where they stayed before.
    pub fn with_lower_case(mut self) -> Tokenizer {
        let strip_accents = Some(self.normalizer.strip_accents.unwrap_or(self.normalizer.lowercase));
        self.normalizer = Normalizer { lowercase: true, strip_accents, ..self.normalizer };
        self.added = AddedTokens::new(self.added.as_slice().to_vec(), self.normalizer);
        self
    }

    /// The same tokenizer with `words` appended to its vocabulary: their ids follow the largest one. They are taken as
    /// they are, so only a word of normalized text is ever found.
    ///
    /// # Errors
    ///
    /// If tokens were added behind the vocabulary, so that there is no place for words.
    pub fn with_words(&self, words: &[String]) -> Result<Tokenizer, Error> {
        if let Some(token) = self.tokens.get(self.model_tokens) {
            return Err(Error::NotExtensible { id: self.model_tokens, token: token.clone() });
        }
        let tokens: Vec<String> = self.tokens.iter().chain(words).cloned().collect();
        let settings = Settings {
            model_tokens: tokens.len(),
            tokens,
            added: self.added.as_slice().to_vec(),
            normalizer: self.normalizer,
            continuing_subword_prefix: self.wordpiece.continuing_subword_prefix.clone(),
            max_input_chars_per_word: self.wordpiece.max_input_chars_per_word,
            decoder_cleanup: self.decoder_cleanup,
            model_max_length: self.model_max_length,
            truncation_max_length: self.truncation_max_length,
            truncation_side: self.truncation_side,
            truncation_strategy: self.truncation_strategy,
            google_rules: self.google_rules,
            notes: self.notes.clone(),
        };
        Tokenizer::new(settings, "extended vocabulary")
    }

    /// The same tokenizer for a model that reads up to so many tokens, which its files are going to say.
    pub fn with_model_max_length(&self, tokens: usize) -> Tokenizer {
        Tokenizer { model_max_length: Some(tokens), ..self.clone() }
    }

    /// The same tokenizer for a model that reads up to so many tokens; if its files name fewer, that stays.
    pub fn limited_to(&self, tokens: usize) -> Tokenizer {
        self.with_model_max_length(self.model_max_length.map_or(tokens, |own| own.min(tokens)))
    }

    /// The names of the files that [`Tokenizer::save`] writes.
    pub const FILES: [&str; 4] =
        [files::VOCAB_TXT, files::TOKENIZER_JSON, files::TOKENIZER_CONFIG_JSON, files::SPECIAL_TOKENS_MAP_JSON];

    /// Writes `vocab.txt`, `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`
    /// into `dir`, which is made if need be, as Hugging Face's libraries load them.
    ///
    /// Each file is written under another name, flushed and renamed, so that no half of a file can
    /// be left behind.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        files::write::save(self, dir)
    }

    /// The contents of `tokenizer.json`: all that decides which tokens a text becomes.
    pub fn to_json(&self) -> serde_json::Value {
        files::write::tokenizer_json(self)
    }

    /// The tokens of `text`, without `[CLS]` and `[SEP]`.
    pub fn tokenize(&self, text: &str) -> Encoding {
        let mut encoding = Encoding::for_text(text.len());
        self.tokenize_into(text, None, &mut encoding);
        encoding
    }

    /// `[CLS] text [SEP]`, cut to `max_length` tokens in all, at the end or where the files say.
    ///
    /// # Panics
    ///
    /// If `max_length` is less than 2.
    pub fn encode(&self, text: &str, max_length: Option<usize>) -> Encoding {
        self.encode_with(text.len(), max_length, |tokens| self.tokenize_into(text, None, tokens))
    }

    /// `[CLS] a [SEP] b [SEP]`, cut to `max_length` tokens in all: one token at a time off the end
    /// of the text that is longer then, unless the files name another side or another text.
    ///
    /// # Panics
    ///
    /// If `max_length` is less than 3.
    pub fn encode_pair(&self, a: &str, b: &str, max_length: Option<usize>) -> Encoding {
        let mut a = self.tokenize(a);
        let mut b = self.tokenize(b);
        if let Some(max_length) = max_length {
            let room = room(max_length, SPECIAL_TOKENS_PAIR);
            let (len_a, len_b) = self.truncation_strategy.lengths(a.len(), b.len(), room);
            a.cut(0, len_a, self.truncation_side);
            b.cut(0, len_b, self.truncation_side);
        }
        assemble_pair(&a, &b, self.special.cls, self.special.sep)
    }

    /// `[CLS] words [SEP]` for a text that comes split into words; each is tokenized by itself.
    ///
    /// # Panics
    ///
    /// If `max_length` is less than 2.
    pub fn encode_words(&self, words: &[&str], max_length: Option<usize>) -> Encoding {
        self.encode_with(words.iter().map(|word| word.len()).sum(), max_length, |tokens| {
            words.iter().enumerate().for_each(|(index, word)| self.tokenize_into(word, Some(index), tokens));
        })
    }

    /// `text` in windows `[CLS] … [SEP]` of `max_length` tokens (the last may be shorter), of which
    /// each shares `overlap` tokens with the one before. Every token is in some window.
    ///
    /// # Panics
    ///
    /// If `max_length` is not greater than `overlap` + 2.
    pub fn windows(&self, text: &str, max_length: usize, overlap: usize) -> Vec<Encoding> {
        let tokens = self.tokenize(text);
        window_ranges(tokens.len(), room(max_length, SPECIAL_TOKENS_SINGLE), overlap)
            .map(|range| assemble(&tokens.slice(range), self.special.cls, self.special.sep))
            .collect()
    }

    /// `[CLS] a [SEP] … [SEP]` with the whole of `a` and a window over `b`, otherwise as
    /// [`Tokenizer::windows`].
    ///
    /// # Errors
    ///
    /// If `a` leaves no room in `max_length` for more than `overlap` tokens of `b`.
    pub fn windows_pair(&self, a: &str, b: &str, max_length: usize, overlap: usize) -> Result<Vec<Encoding>, Error> {
        let a = self.tokenize(a);
        let b = self.tokenize(b);
        let fixed = a.len() + SPECIAL_TOKENS_PAIR;
        let size = max_length.saturating_sub(fixed);
        if size <= overlap {
            return Err(Error::NoRoomInWindow { max_length, fixed, overlap });
        }
        let SpecialIds { cls, sep, .. } = self.special;
        Ok(window_ranges(b.len(), size, overlap).map(|range| assemble_pair(&a, &b.slice(range), cls, sep)).collect())
    }

    /// `[CLS] a [SEP] b [SEP]` in windows over the longer of the two texts, each with the whole of the other.
    /// Where the shorter one leaves no room for a window of twice the overlap, both are cut into windows of half
    /// the room, and each of one stands with each of the other. Every token is in some window.
    ///
    /// # Panics
    ///
    /// If `max_length` is less than 5.
    pub fn windows_of_longer(&self, a: &str, b: &str, max_length: usize, overlap: usize) -> Vec<Encoding> {
        let (a, b) = (self.tokenize(a), self.tokenize(b));
        let room = room(max_length, SPECIAL_TOKENS_PAIR);
        let [size_a, size_b] = window_sizes(a.len(), b.len(), room, overlap);
        let SpecialIds { cls, sep, .. } = self.special;
        let windows = |tokens: &Encoding, size: usize| -> Vec<Encoding> {
            window_ranges(tokens.len(), size, overlap.min(size - 1)).map(|range| tokens.slice(range)).collect()
        };
        let (of_a, of_b) = (windows(&a, size_a), windows(&b, size_b));
        of_a.iter().flat_map(|a| of_b.iter().map(move |b| assemble_pair(a, b, cls, sep))).collect()
    }

    /// The text of `ids`: pieces are joined, words separated by spaces, and spaces before common
    /// punctuation taken out, as Hugging Face does. Ids beyond the vocabulary are left out.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        let mut text = String::new();
        let is_kept =
            |&&id: &&u32| (id as usize) < self.tokens.len() && !(skip_special_tokens && self.is_special[id as usize]);
        for (position, &id) in ids.iter().filter(is_kept).enumerate() {
            let token = self.tokens[id as usize].as_str();
            let prefix = self.wordpiece.continuing_subword_prefix.as_str();
            let piece = match token.strip_prefix(prefix) {
                _ if position == 0 => token.to_string(),
                Some(rest) => rest.to_string(),
                None => format!(" {token}"),
            };
            text.push_str(&if self.decoder_cleanup { clean_up(piece) } else { piece });
        }
        text
    }

    /// The number of ids: one more than the largest.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// The id of a token, spelled as in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        let added = || self.added.as_slice().iter().find(|added| added.content == token);
        self.wordpiece.id(token).or_else(|| added().map(|added| added.id))
    }

    /// The token with this id; `None` beyond the vocabulary.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The ids of the special tokens.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// The tokens that are recognised verbatim in a text, by id.
    pub fn added_tokens(&self) -> &[AddedToken] {
        self.added.as_slice()
    }

    /// Whether text is lower-cased.
    pub fn casing(&self) -> Casing {
        self.normalizer.casing()
    }

    /// The longest input of the model, if `tokenizer_config.json` names a real one.
    pub fn model_max_length(&self) -> Option<usize> {
        self.model_max_length
    }

    /// The length that `tokenizer.json` asks to cut inputs to, if it does. Nothing here heeds it
    /// unasked.
    pub fn truncation_max_length(&self) -> Option<usize> {
        self.truncation_max_length
    }

    /// Where a text that is too long is cut.
    pub fn truncation_side(&self) -> TruncationSide {
        self.truncation_side
    }

    /// Assumptions made when the files were read.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// `[CLS] … [SEP]` around the tokens of `bytes` of text, which `tokenize` appends.
    fn encode_with(&self, bytes: usize, max_length: Option<usize>, tokenize: impl FnOnce(&mut Encoding)) -> Encoding {
        let mut encoding = Encoding::for_text(bytes);
        encoding.push_special(self.special.cls, 0);
        tokenize(&mut encoding);
        if let Some(max_length) = max_length {
            encoding.cut(1, room(max_length, SPECIAL_TOKENS_SINGLE), self.truncation_side);
        }
        encoding.push_special(self.special.sep, 0);
        encoding
    }

    /// Appends the tokens of `text`. `word` is the number that all of them get; if it is `None`,
    /// words are counted.
    fn tokenize_into(&self, text: &str, word: Option<usize>, out: &mut Encoding) {
        let mut sink = Sink { wordpiece: &self.wordpiece, pieces: Vec::new(), out, word, next_word: 0 };
        if self.google_rules {
            google::for_each_word(text, 0, self.normalizer.lowercase, |word| sink.push_word(word));
            return;
        }
        let mut place = Place::default();
        for part in self.added.split_verbatim(text) {
            match part {
                Part::Token(id, range) => {
                    let first = place.character(text, range.start);
                    sink.push_token(id, (first, place.character(text, range.end)));
                }
                Part::Text(range) => {
                    let first = place.character(text, range.start);
                    let character = self.tokenize_part(&text[range.clone()], first, &mut sink);
                    place = Place { byte: range.end, character };
                }
            }
        }
    }

    /// Tokenizes what lies between added tokens; `first` is the index of its first character.
    /// Returns the index after its last.
    fn tokenize_part(&self, text: &str, first: usize, sink: &mut Sink) -> usize {
        if self.added.any_normalized() {
            return self.tokenize_part_with_normalized(text, first, sink);
        }
        for_each_word(text, first, &self.normalizer, |word| sink.push_word(word))
    }

    /// The same where added tokens are to be found in the normalized text: that has to be whole
    /// before it can be searched.
    fn tokenize_part_with_normalized(&self, text: &str, first: usize, sink: &mut Sink) -> usize {
        let mut normalized = String::new();
        // For each byte of `normalized`, the index of the original character.
        let mut sources = Vec::new();
        let end = self.normalizer.normalize(text, first, |c, source| {
            normalized.push(c);
            sources.resize(normalized.len(), source);
        });
        for part in self.added.split_normalized(&normalized) {
            match part {
                Part::Token(id, range) => {
                    sink.push_token(id, (sources[range.start], sources[range.end - 1] + 1));
                }
                Part::Text(range) => {
                    let mut splitter = WordSplitter::new(|word: &Word| sink.push_word(word));
                    for (at, c) in normalized[range.clone()].char_indices() {
                        splitter.push(c, sources[range.start + at]);
                    }
                    splitter.end_word();
                }
            }
        }
        end
    }
}

/// A place in a text, in bytes and in characters.
#[derive(Default)]
struct Place {
    byte: usize,
    character: usize,
}

impl Place {
    /// Moves to `byte`, which may lie before, and returns the index of the character there.
    fn character(&mut self, text: &str, byte: usize) -> usize {
        self.character = match byte < self.byte {
            true => self.character - text[byte..self.byte].chars().count(),
            false => self.character + text[self.byte..byte].chars().count(),
        };
        self.byte = byte;
        self.character
    }
}

/// Where tokens go.
struct Sink<'a> {
    wordpiece: &'a WordPiece,
    pieces: Vec<Piece>,
    out: &'a mut Encoding,
    word: Option<usize>,
    next_word: usize,
}

impl Sink<'_> {
    fn push_token(&mut self, id: u32, offsets: (usize, usize)) {
        self.out.push(id, offsets, self.word.or(Some(self.next_word)));
        self.next_word += 1;
    }

    fn push_word(&mut self, word: &Word) {
        self.pieces.clear();
        self.wordpiece.split(word.text, word.chars, &mut self.pieces);
        for &(id, start, end) in &self.pieces {
            self.out.push(id, word.offsets(start, end), self.word.or(Some(self.next_word)));
        }
        self.next_word += 1;
    }
}

/// What `max_length` leaves for the texts.
fn room(max_length: usize, special_tokens: usize) -> usize {
    assert!(max_length >= special_tokens, "max_length is {max_length}, but special tokens alone are {special_tokens}");
    max_length - special_tokens
}

/// What Hugging Face's decoder replaces in each piece, in this order.
const CLEAN_UP: [(&str, &str); 11] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

fn clean_up(piece: String) -> String {
    CLEAN_UP.iter().fold(piece, |piece, (from, to)| match piece.contains(from) {
        true => piece.replace(from, to),
        false => piece,
    })
}
