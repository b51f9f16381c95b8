//! From documents to instances: which sentences stand together, what is cut off, and what is masked. Every draw has
//! its turn, because one generator serves them all.

use std::collections::HashSet;
use std::path::PathBuf;

use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;

use crate::Error;
use crate::data::encoding::utf8;
use crate::error::at;

use super::PythonRandom;

/// A pre-training instance, with the names of Google's script. Padding is left to files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Ids of `[CLS] A [SEP] B [SEP]`, `[tokens]`, masked.
    pub tokens: Vec<u32>,
    /// `[tokens]`: 0 up to the first `[SEP]`, 1 behind it.
    pub segment_ids: Vec<u8>,
    /// Whether B is from elsewhere instead of following A.
    pub is_random_next: bool,
    /// `[masked]`: which tokens are to be predicted, rising.
    pub masked_lm_positions: Vec<u32>,
    /// `[masked]`: what stood there.
    pub masked_lm_labels: Vec<u32>,
}

/// How instances are made; the defaults are those of the script.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InstanceOptions {
    /// Tokens of an instance at most, special tokens included; 5 or more.
    pub max_seq_length: usize,
    /// Masked tokens of an instance at most.
    pub max_predictions_per_seq: usize,
    /// The share of tokens that is masked, `[CLS]` and `[SEP]` counted.
    pub masked_lm_prob: f64,
    /// How often a document is walked in shorter instances.
    pub short_seq_prob: f64,
    /// How often the documents are walked, each time with other draws.
    pub dupe_factor: usize,
    /// Whether the pieces of a word are masked together.
    pub whole_word: bool,
}

impl Default for InstanceOptions {
    fn default() -> InstanceOptions {
        InstanceOptions {
            max_seq_length: 128,
            max_predictions_per_seq: 20,
            masked_lm_prob: 0.15,
            short_seq_prob: 0.1,
            dupe_factor: 10,
            whole_word: false,
        }
    }
}

/// A document: the ids of its sentences, none of them empty.
pub type Document = Vec<Vec<u32>>;

/// The documents of text files: one sentence a line, an empty line between documents. The end of a file ends none.
///
/// Lines without tokens and documents without lines are left out. `tokenizer` should be one of
/// [`Tokenizer::open_google`]; another one's tokens are not those of the script.
///
/// # Errors
///
/// A file that cannot be read or is not UTF-8, with the line. No text at all.
pub fn read_documents(files: &[PathBuf], tokenizer: &Tokenizer) -> Result<Vec<Document>, Error> {
    let mut documents = vec![Document::new()];
    for path in files {
        let bytes = std::fs::read(path).map_err(at("read", path))?;
        // TensorFlow, which the script reads with, leaves out every return, wherever it stands.
        let text = utf8(&bytes, path, 0)?.replace('\r', "");
        let lines: Vec<&str> = text.lines().map(|line| line.trim_matches(is_python_space)).collect();
        let sentences: Vec<Vec<u32>> = lines.par_iter().map(|line| tokenizer.tokenize(line).ids).collect();
        for (line, sentence) in lines.into_iter().zip(sentences) {
            if line.is_empty() {
                documents.push(Document::new());
            } else if !sentence.is_empty() {
                documents.last_mut().expect("there was one from the start").push(sentence);
            }
        }
    }
    documents.retain(|document| !document.is_empty());
    if documents.is_empty() {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(Error::Settings(format!(
            "{}: no text in it; instances need lines of text, one sentence each",
            names.join(", ")
        )));
    }
    Ok(documents)
}

/// What Python strips off a line: the whitespace of Unicode, and four separators that Unicode calls controls.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}

/// All instances of `documents`, in the script's order. The documents are left in the order in which they were walked.
/// `progress` is told the documents walked and to be walked.
///
/// # Errors
///
/// A maximum length with no room for a token of each sentence, shares that are not from 0 to 1.
pub fn create_instances(
    documents: &mut [Document],
    tokenizer: &Tokenizer,
    options: &InstanceOptions,
    random: &mut PythonRandom,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Instance>, Error> {
    check(options)?;
    let vocabulary = Vocabulary::new(tokenizer);
    random.shuffle(documents);
    let mut instances = Vec::new();
    let total = (options.dupe_factor * documents.len()) as u64;
    for visit in 0..options.dupe_factor {
        for index in 0..documents.len() {
            walk_document(&mut instances, documents, index, &vocabulary, options, random);
            progress((visit * documents.len() + index + 1) as u64, total);
        }
    }
    random.shuffle(&mut instances);
    Ok(instances)
}

fn check(options: &InstanceOptions) -> Result<(), Error> {
    let InstanceOptions { max_seq_length, masked_lm_prob, short_seq_prob, .. } = *options;
    if max_seq_length < 5 {
        return Err(Error::Settings(format!(
            "a maximum length of {max_seq_length} tokens has no room for two sentences; take 5 or more"
        )));
    }
    for (name, share) in [("masked_lm_prob", masked_lm_prob), ("short_seq_prob", short_seq_prob)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::Settings(format!("{name} is {share}; it is a share, from 0 to 1")));
        }
    }
    Ok(())
}

/// What the script knows of a vocabulary.
struct Vocabulary {
    /// The id of each different token, in the order in which they first occur in the file.
    words: Vec<u32>,
    /// `[ids]`: whether a token continues a word.
    continues: Vec<bool>,
    cls: u32,
    sep: u32,
    mask: u32,
}

impl Vocabulary {
    fn new(tokenizer: &Tokenizer) -> Vocabulary {
        let tokens = (0..tokenizer.vocab_size() as u32).filter_map(|id| tokenizer.token(id));
        let mut seen = HashSet::new();
        let words =
            tokens.clone().filter(|token| seen.insert(*token)).filter_map(|token| tokenizer.id(token)).collect();
        let continues = tokens.map(|token| token.starts_with("##")).collect();
        let special = tokenizer.special();
        Vocabulary { words, continues, cls: special.cls, sep: special.sep, mask: special.mask }
    }
}

/// Appends the instances of one visit of the document at `index`.
fn walk_document(
    instances: &mut Vec<Instance>,
    documents: &[Document],
    index: usize,
    vocabulary: &Vocabulary,
    options: &InstanceOptions,
    random: &mut PythonRandom,
) {
    let document = &documents[index];
    let max_num_tokens = options.max_seq_length - 3;
    let target = match random.random() < options.short_seq_prob {
        true => random.randint(2, max_num_tokens),
        false => max_num_tokens,
    };
    // Sentences from `start` to `end` are the chunk.
    let (mut start, mut end, mut length) = (0, 0, 0);
    while end < document.len() {
        length += document[end].len();
        end += 1;
        if end < document.len() && length < target {
            continue;
        }
        let chunk = &document[start..end];
        let a_end = if chunk.len() > 1 { random.randint(1, chunk.len() - 1) } else { 1 };
        let mut a = chunk[..a_end].concat();
        let is_random_next = chunk.len() == 1 || random.random() < 0.5;
        let mut b = if is_random_next {
            // What the chunk has behind A is not used, so the next chunk begins with it.
            end = start + a_end;
            random_next(documents, index, target.saturating_sub(a.len()), random)
        } else {
            chunk[a_end..].concat()
        };
        truncate_seq_pair(&mut a, &mut b, max_num_tokens, random);

        let tokens = [&[vocabulary.cls], &a[..], &[vocabulary.sep], &b, &[vocabulary.sep]].concat();
        let segment_ids = [vec![0; a.len() + 2], vec![1; b.len() + 1]].concat();
        instances.push(masked(tokens, segment_ids, is_random_next, vocabulary, options, random));
        (start, length) = (end, 0);
    }
}

/// Sentences from a random place of another document, of `target` tokens or more if it has so many from there on.
/// After ten draws of the document itself, it is taken.
fn random_next(documents: &[Document], index: usize, target: usize, random: &mut PythonRandom) -> Vec<u32> {
    let mut other = index;
    for _ in 0..10 {
        other = random.randint(0, documents.len() - 1);
        if other != index {
            break;
        }
    }
    let document = &documents[other];
    let start = random.randint(0, document.len() - 1);
    let mut tokens = Vec::new();
    for sentence in &document[start..] {
        tokens.extend(sentence);
        if tokens.len() >= target {
            break;
        }
    }
    tokens
}

/// Takes tokens off the longer one (of equal ones off `b`) until both have `max_num_tokens`, each from the front or
/// from the end.
fn truncate_seq_pair(a: &mut Vec<u32>, b: &mut Vec<u32>, max_num_tokens: usize, random: &mut PythonRandom) {
    // Sentences may be long, so what goes off the fronts is counted first and taken off at once.
    let (mut front, mut length) = ([0, 0], [a.len(), b.len()]);
    while length[0] + length[1] > max_num_tokens {
        let longer = if length[0] > length[1] { 0 } else { 1 };
        if random.random() < 0.5 {
            front[longer] += 1;
        }
        length[longer] -= 1;
    }
    for (tokens, (front, length)) in [a, b].into_iter().zip(front.into_iter().zip(length)) {
        tokens.drain(..front);
        tokens.truncate(length);
    }
}

/// The instance of these tokens, some of them masked.
fn masked(
    mut tokens: Vec<u32>,
    segment_ids: Vec<u8>,
    is_random_next: bool,
    vocabulary: &Vocabulary,
    options: &InstanceOptions,
    random: &mut PythonRandom,
) -> Instance {
    let mut words = candidates(&tokens, vocabulary, options.whole_word);
    random.shuffle(&mut words);
    let share = (tokens.len() as f64 * options.masked_lm_prob).round_ties_even() as usize;
    let num_to_predict = options.max_predictions_per_seq.min(share.max(1));

    // Places and what stood there.
    let mut predictions: Vec<(u32, u32)> = Vec::new();
    for word in words {
        if predictions.len() >= num_to_predict {
            break;
        }
        // A word that is too much is left out, and a shorter one behind it may still fit.
        if predictions.len() + word.len() > num_to_predict {
            continue;
        }
        for position in word {
            let token = &mut tokens[position];
            predictions.push((position as u32, *token));
            if random.random() < 0.8 {
                *token = vocabulary.mask;
            } else if random.random() >= 0.5 {
                *token = vocabulary.words[random.randint(0, vocabulary.words.len() - 1)];
            }
        }
    }
    predictions.sort_unstable();
    let (masked_lm_positions, masked_lm_labels) = predictions.into_iter().unzip();
    Instance { tokens, segment_ids, is_random_next, masked_lm_positions, masked_lm_labels }
}

/// What can be masked: the places of each token but `[CLS]` and `[SEP]`, or of each whole word. A piece that continues
/// a word joins the one before it even if that is A's last and the piece is B's first, whose beginning was cut off.
fn candidates(tokens: &[u32], vocabulary: &Vocabulary, whole_word: bool) -> Vec<Vec<usize>> {
    let mut words: Vec<Vec<usize>> = Vec::new();
    for (position, &token) in tokens.iter().enumerate() {
        if token == vocabulary.cls || token == vocabulary.sep {
            continue;
        }
        match words.last_mut() {
            Some(word) if whole_word && vocabulary.continues[token as usize] => word.push(position),
            _ => words.push(vec![position]),
        }
    }
    words
}
