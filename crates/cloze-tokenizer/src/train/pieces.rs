//! The vocabulary as it grows: special tokens, forced tokens, characters, then joined pieces.

use std::collections::HashMap;
use std::rc::Rc;

use super::TrainOptions;
use super::pairs::Pair;
use crate::error::Error;
use crate::normalize::Normalizer;
use crate::vocab::SPECIAL_TOKENS;
use crate::wordpiece::{CONTINUING_SUBWORD_PREFIX, MAX_INPUT_CHARS_PER_WORD};
use crate::words::for_each_word;

/// Tokens and their ids.
pub(super) struct Pieces {
    tokens: Vec<Rc<str>>,
    ids: HashMap<Rc<str>, u32>,
    /// Words of forced tokens are one piece from the start.
    forced: Vec<String>,
}

impl Pieces {
    /// `[PAD]`, slots for later, the other special tokens, then forced tokens, then the characters, then those with
    /// `##` that some word has behind its first place.
    pub fn new(options: &TrainOptions, forced: Vec<String>, alphabet: &[(char, bool)]) -> Pieces {
        let mut pieces = Pieces { tokens: Vec::new(), ids: HashMap::new(), forced };
        let [pad, others @ ..] = SPECIAL_TOKENS;
        pieces.id_or_new(pad);
        for slot in 0..options.unused {
            pieces.id_or_new(&format!("[unused{slot}]"));
        }
        for token in others {
            pieces.id_or_new(token);
        }
        for index in 0..pieces.forced.len() {
            let token = pieces.forced[index].clone();
            pieces.id_or_new(&token);
        }
        for (c, _) in alphabet {
            pieces.id_or_new(&c.to_string());
        }
        for (c, _) in alphabet.iter().filter(|(_, inside)| *inside) {
            pieces.id_or_new(&format!("{CONTINUING_SUBWORD_PREFIX}{c}"));
        }
        pieces
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn token(&self, id: u32) -> Rc<str> {
        Rc::clone(&self.tokens[id as usize])
    }

    pub fn tokens(&self) -> impl Iterator<Item = String> {
        self.tokens.iter().map(|token| token.to_string())
    }

    /// Appends a word's pieces to `out`: its characters, without those that are not in the alphabet; or the word
    /// itself, if it is a forced token.
    pub fn of_word(&self, word: &str, out: &mut Vec<u32>) {
        if self.forced.iter().any(|forced| forced == word) {
            out.push(self.ids[word]);
            return;
        }
        let mut buffer = String::new();
        out.extend(word.chars().enumerate().filter_map(|(position, c)| {
            buffer.clear();
            if position > 0 {
                buffer.push_str(CONTINUING_SUBWORD_PREFIX);
            }
            buffer.push(c);
            self.ids.get(buffer.as_str()).copied()
        }));
    }

    /// The piece that two pieces make together. It may exist: `ab` + `##c` is `a` + `##bc`.
    pub fn join(&mut self, (left, right): Pair) -> u32 {
        let right = &self.tokens[right as usize];
        let right = right.strip_prefix(CONTINUING_SUBWORD_PREFIX).unwrap_or(right);
        let joined = format!("{}{right}", self.tokens[left as usize]);
        self.id_or_new(&joined)
    }

    fn id_or_new(&mut self, token: &str) -> u32 {
        if let Some(&id) = self.ids.get(token) {
            return id;
        }
        let id = u32::try_from(self.tokens.len()).expect("the size of a vocabulary fits 32 bits");
        let token: Rc<str> = token.into();
        self.tokens.push(Rc::clone(&token));
        self.ids.insert(token, id);
        id
    }
}

/// Forced tokens as they are found in normalized text. Each must be one word, so that it is found at all.
pub(super) fn forced_words(tokens: &[String], normalizer: &Normalizer) -> Result<Vec<String>, Error> {
    let mut forced: Vec<String> = Vec::new();
    for token in tokens {
        let refused = |reason: String| Error::ForcedToken { token: token.clone(), reason };
        let mut words: Vec<(String, usize)> = Vec::new();
        for_each_word(token, 0, normalizer, |word| words.push((word.text.to_string(), word.chars)));
        let [(word, chars)] = &words[..] else {
            let parts: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            return Err(refused(match &parts[..] {
                [] => "no character of it is left when text is normalized".to_string(),
                parts => {
                    format!("text is split into words before it is cut into tokens, this into {}", parts.join(", "))
                }
            }));
        };
        if *chars > MAX_INPUT_CHARS_PER_WORD {
            let most = MAX_INPUT_CHARS_PER_WORD;
            return Err(refused(format!("it has {chars} characters, and words of more than {most} become [UNK]")));
        }
        if forced.contains(word) {
            return Err(refused(format!("it is asked for twice: as {word:?} in normalized text")));
        }
        forced.push(word.clone());
    }
    Ok(forced)
}
