//! A corpus: the token ids of documents of sentences, flat in memory.

use std::ops::Range;
use std::path::PathBuf;

use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::hex;
use crate::data::{blocks::Blocks, sentences};
use crate::error::{Error, at};
use crate::random::{Purpose, Random};

/// What ends a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DocumentBreak {
    /// A blank line, or the end of a file.
    BlankLine,
    /// Only the end of a file.
    File,
}

/// What a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceUnit {
    /// Each line.
    Line,
    /// What [`sentences::split`] finds in each line; no sentence goes on in the next line.
    Split,
}

/// Documents of sentences of token ids, without special tokens of our own. Every document has at least
/// one sentence and every sentence at least one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// `[tokens]`, sentence after sentence.
    tokens: Vec<u32>,
    /// `[sentences + 1]`: the first token of each sentence, then the number of tokens.
    sentence_starts: Vec<usize>,
    /// `[documents + 1]`: the first sentence of each document, then the number of sentences.
    document_starts: Vec<usize>,
}

/// Below this number of documents nothing is held out.
const DOCUMENTS_TO_HOLD_OUT_MIN: usize = 20;

impl Corpus {
    /// Reads text files, in the order given, and tokenises them on all threads. Lines without tokens are
    /// skipped, documents without sentences dropped. `progress` is told the bytes done and the bytes in total.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is not UTF-8 (the line is named), or holds no token at all; no files are given.
    pub fn read(
        files: &[PathBuf],
        tokenizer: &Tokenizer,
        document_break: DocumentBreak,
        unit: SentenceUnit,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Corpus, Error> {
        if files.is_empty() {
            return Err(Error::Settings("a corpus needs at least one text file".to_string()));
        }
        let mut bytes_total = 0;
        for path in files {
            bytes_total += std::fs::metadata(path).map_err(at("read", path))?.len();
        }
        let mut corpus = Corpus::empty();
        let mut bytes_before = 0;
        for path in files {
            let tokens_before = corpus.tokens.len();
            let mut blocks = Blocks::open(path)?;
            while let Some(text) = blocks.next_block()? {
                corpus.add_lines(text, tokenizer, document_break, unit);
                progress(bytes_before + blocks.bytes_done, bytes_total);
            }
            bytes_before += blocks.bytes_done;
            corpus.end_document();
            if corpus.tokens.len() == tokens_before {
                let message = "the file holds no text; leave it out, or check that it is the right one".to_string();
                return Err(Error::Data { path: path.clone(), line: None, message });
            }
        }
        Ok(corpus)
    }

    /// A corpus of token ids that are already at hand: documents of sentences of tokens. Empty sentences and documents
    /// are dropped.
    pub fn from_documents<S: AsRef<[u32]>>(documents: &[Vec<S>]) -> Corpus {
        let mut corpus = Corpus::empty();
        for document in documents {
            for sentence in document {
                corpus.push_sentence(sentence.as_ref());
            }
            corpus.end_document();
        }
        corpus
    }

    /// Number of documents.
    pub fn documents(&self) -> usize {
        self.document_starts.len() - 1
    }

    /// Number of sentences in all documents.
    pub fn sentences(&self) -> usize {
        self.sentence_starts.len() - 1
    }

    /// Number of tokens in all sentences.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is but one document, so that the "random next" sentences of next sentence prediction come from
    /// the same document, which deserves a warning.
    pub fn is_single_document(&self) -> bool {
        self.documents() == 1
    }

    /// The token ids of sentence `i`, counted over all documents.
    pub fn sentence(&self, i: usize) -> &[u32] {
        &self.tokens[self.sentence_starts[i]..self.sentence_starts[i + 1]]
    }

    /// The sentences of document `d`.
    pub fn document(&self, d: usize) -> Range<usize> {
        self.document_starts[d]..self.document_starts[d + 1]
    }

    /// Where the tokens of some sentences in a row stand among all tokens.
    pub(crate) fn token_range(&self, sentences: Range<usize>) -> Range<usize> {
        self.sentence_starts[sentences.start]..self.sentence_starts[sentences.end]
    }

    /// Tokens by their place among all tokens.
    pub(crate) fn tokens_at(&self, range: Range<usize>) -> &[u32] {
        &self.tokens[range]
    }

    /// Divides the documents into those to train on and those held out: about `fraction` of them (below 1), drawn by
    /// `seed`, both parts in the old order. At least two are held out, so that next sentence prediction has another
    /// document to take its random sentences from. Nothing is held out below 20 documents or with `fraction` 0.
    pub fn hold_out(self, fraction: f64, seed: u64) -> (Corpus, Option<Corpus>) {
        assert!((0.0..1.0).contains(&fraction), "cannot hold out a share of {fraction}");
        if fraction == 0.0 || self.documents() < DOCUMENTS_TO_HOLD_OUT_MIN {
            return (self, None);
        }
        let wanted = (fraction * self.documents() as f64).round() as usize;
        let held_out = wanted.clamp(2, self.documents() - 2);
        let mut order: Vec<usize> = (0..self.documents()).collect();
        Random::new(seed, Purpose::HeldOut, 0, 0).shuffle(&mut order);
        let (held_out, train) = order.split_at_mut(held_out);
        held_out.sort_unstable();
        train.sort_unstable();
        (self.select(train), Some(self.select(held_out)))
    }

    /// Entropy of the corpus' own distribution of tokens, in nats a token: the loss of a model that knows how frequent
    /// each token is and nothing else. Token ids are below `vocab_size`.
    pub fn unigram_entropy(&self, vocab_size: usize) -> f64 {
        let mut counts = vec![0u64; vocab_size];
        for &token in &self.tokens {
            counts[token as usize] += 1;
        }
        let total = self.tokens.len() as f64;
        let surprise = |&count: &u64| {
            let share = count as f64 / total;
            -share * share.ln()
        };
        counts.iter().filter(|&&count| count > 0).map(surprise).sum()
    }

    /// SHA-256 of the content, in hexadecimal: equal for equal documents, whatever files they came from.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for starts in [&self.document_starts, &self.sentence_starts] {
            hasher.update((starts.len() as u64).to_le_bytes());
            starts.iter().for_each(|&start| hasher.update((start as u64).to_le_bytes()));
        }
        for tokens in self.tokens.chunks(1024) {
            let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
            hasher.update(bytes);
        }
        hex(hasher)
    }

    fn empty() -> Corpus {
        Corpus { tokens: Vec::new(), sentence_starts: vec![0], document_starts: vec![0] }
    }

    fn push_sentence(&mut self, tokens: &[u32]) {
        if !tokens.is_empty() {
            self.tokens.extend_from_slice(tokens);
            self.sentence_starts.push(self.tokens.len());
        }
    }

    fn end_document(&mut self) {
        if self.document_starts.last() != Some(&self.sentences()) {
            self.document_starts.push(self.sentences());
        }
    }

    fn select(&self, documents: &[usize]) -> Corpus {
        let mut selected = Corpus::empty();
        for &document in documents {
            for sentence in self.document(document) {
                selected.push_sentence(self.sentence(sentence));
            }
            selected.end_document();
        }
        selected
    }

    /// Adds whole lines. The order of the lines decides alone; threads only share out the work.
    fn add_lines(&mut self, text: &str, tokenizer: &Tokenizer, document_break: DocumentBreak, unit: SentenceUnit) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let tokenized: Vec<Vec<Vec<u32>>> = lines
            .par_iter()
            .map(|&line| match unit {
                SentenceUnit::Line => vec![tokenizer.tokenize(line).ids],
                SentenceUnit::Split => {
                    sentences::split(line).into_iter().map(|sentence| tokenizer.tokenize(sentence).ids).collect()
                }
            })
            .collect();
        for (line, sentences) in lines.iter().zip(&tokenized) {
            if line.is_empty() && document_break == DocumentBreak::BlankLine {
                self.end_document();
            }
            sentences.iter().for_each(|sentence| self.push_sentence(sentence));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cloze_tokenizer::Casing;

    use super::*;
    use crate::data::blocks::BLOCK_BYTES;

    fn tokenizer() -> Tokenizer {
        let tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e oh . !";
        Tokenizer::from_tokens(tokens.split(' ').map(str::to_string).collect(), Casing::Uncased).unwrap()
    }

    /// Reads files with these contents; `Err` is the message.
    fn read(files: &[&[u8]], document_break: DocumentBreak, unit: SentenceUnit) -> Result<Corpus, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (number, content) in files.iter().enumerate() {
            let path = folder.path().join(format!("{number}.txt"));
            fs::write(&path, content).unwrap();
            paths.push(path);
        }
        let mut done = Vec::new();
        let corpus =
            Corpus::read(&paths, &tokenizer(), document_break, unit, &mut |now, total| done.push((now, total)));
        if corpus.is_ok() {
            let total = files.iter().map(|file| file.len() as u64).sum();
            assert_eq!(done.last(), Some(&(total, total)));
        }
        corpus.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    /// Documents, their sentences, their tokens as letters.
    fn letters(corpus: &Corpus) -> Vec<Vec<String>> {
        let tokenizer = tokenizer();
        let letters = |i: usize| corpus.sentence(i).iter().map(|&id| tokenizer.token(id).unwrap()).collect::<String>();
        (0..corpus.documents()).map(|d| corpus.document(d).map(letters).collect()).collect()
    }

    #[test]
    fn lines_are_sentences_and_blank_lines_end_documents() {
        let files: [&[u8]; 2] = ["\u{feff}A b\r\n  c \n\u{200b}\nd\n\n\n \t\nE".as_bytes(), b"\n\na\n"];
        let corpus = read(&files, DocumentBreak::BlankLine, SentenceUnit::Line).unwrap();
        assert_eq!(letters(&corpus), [&["ab", "c", "d"][..], &["e"], &["a"]]);
        assert_eq!((corpus.documents(), corpus.sentences(), corpus.tokens()), (3, 5, 6));
        assert_eq!(corpus.document(1), 3..4);
        assert!(!corpus.is_single_document());
    }

    #[test]
    fn only_the_end_of_a_file_ends_a_document_on_request() {
        let corpus = read(&[b"a\n\nb", b"c"], DocumentBreak::File, SentenceUnit::Line).unwrap();
        assert_eq!(letters(&corpus), [&["a", "b"][..], &["c"]]);
    }

    #[test]
    fn prose_is_split() {
        let corpus = read(&[b"A oh. C!\nD e\n"], DocumentBreak::BlankLine, SentenceUnit::Split).unwrap();
        assert_eq!(letters(&corpus), [["aoh.", "c!", "de"]]);
    }

    #[test]
    fn a_file_of_several_blocks_is_read_whole_and_alike_on_any_number_of_threads() {
        // Long lines, so that blocks end within lines, and a blank line now and then.
        let mut text = String::new();
        for line in 0..600 {
            text.push_str(&"a b  c. D e".repeat(400 + line));
            text.push_str(if line % 7 == 0 { "\n\n" } else { "\n" });
        }
        assert!(text.len() as u64 > 2 * BLOCK_BYTES);
        let read_on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| read(&[text.as_bytes()], DocumentBreak::BlankLine, SentenceUnit::Line).unwrap())
        };
        let corpus = read_on(1);
        assert_eq!((corpus.documents(), corpus.sentences()), (87, 600));
        assert_eq!(corpus, read_on(3));
        text.push('\u{e9}');
        let mut bytes = text.into_bytes();
        bytes.pop();
        let error = read(&[&bytes], DocumentBreak::BlankLine, SentenceUnit::Line).unwrap_err();
        assert!(error.starts_with("0.txt:687: byte 1 of the line, 0xC3, is not UTF-8"), "{error}");
    }

    #[test]
    fn faults_are_named() {
        let failure = |files: &[&[u8]]| read(files, DocumentBreak::BlankLine, SentenceUnit::Line).unwrap_err();
        assert!(failure(&[b"a", b"b\nab \xe9t\xe9\n"]).starts_with("1.txt:2: byte 4 of the line, 0xE9, is not UTF-8"));
        assert!(failure(&[b"a", b""]).starts_with("1.txt: the file holds no text"));
        assert!(failure(&[b" \n\n"]).starts_with("0.txt: the file holds no text"));
        assert_eq!(failure(&[]), "a corpus needs at least one text file");
        let missing = [PathBuf::from("no/such/file")];
        let error =
            Corpus::read(&missing, &tokenizer(), DocumentBreak::File, SentenceUnit::Line, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().starts_with("cannot read no/such/file: "), "{error}");
    }

    fn numbered(documents: u32) -> Corpus {
        let document = |d: u32| vec![vec![d], vec![d, d]];
        Corpus::from_documents(&(0..documents).map(document).collect::<Vec<_>>())
    }

    #[test]
    fn documents_are_held_out_by_seed() {
        for (documents, fraction, expected) in [(100, 0.1, 10), (100, 0.001, 2), (62, 0.01, 2), (20, 0.999, 18)] {
            let (train, held_out) = numbered(documents).hold_out(fraction, 1);
            let held_out = held_out.unwrap();
            assert_eq!((held_out.documents(), train.documents()), (expected, documents as usize - expected));
            let documents_of = |corpus: &Corpus| (0..corpus.documents()).map(|d| corpus.sentence(2 * d)[0]).collect();
            let (train, held_out): (Vec<u32>, Vec<u32>) = (documents_of(&train), documents_of(&held_out));
            assert!(train.is_sorted() && held_out.is_sorted());
            let mut all = [train, held_out].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..documents), "each document is in one of the parts");
        }
        assert_eq!(numbered(100).hold_out(0.1, 1), numbered(100).hold_out(0.1, 1));
        assert_ne!(numbered(100).hold_out(0.1, 1).1, numbered(100).hold_out(0.1, 2).1);
    }

    #[test]
    fn nothing_is_held_out_of_few_documents() {
        assert_eq!(numbered(19).hold_out(0.5, 1), (numbered(19), None));
        assert_eq!(numbered(100).hold_out(0.0, 1), (numbered(100), None));
    }

    #[test]
    fn entropy_of_known_distributions() {
        let uniform = Corpus::from_documents(&[vec![[0], [1], [2], [3]]]);
        assert!((uniform.unigram_entropy(7) - 4f64.ln()).abs() < 1e-15);
        let constant = Corpus::from_documents(&[vec![[6, 6, 6]]]);
        assert_eq!(constant.unigram_entropy(7), 0.0);
        let skewed = Corpus::from_documents(&[vec![[0, 0, 0, 1]]]);
        let expected = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((skewed.unigram_entropy(2) - expected).abs() < 1e-15);
    }

    #[test]
    fn the_hash_is_of_content_and_structure() {
        let hash = |documents: &[Vec<Vec<u32>>]| Corpus::from_documents(documents).hash();
        let base = hash(&[vec![vec![1, 2], vec![3]], vec![vec![4]]]);
        assert_eq!(base.len(), 64);
        assert_eq!(base, hash(&[vec![vec![1, 2], vec![], vec![3]], vec![], vec![vec![4]]]));
        assert_ne!(base, hash(&[vec![vec![1, 2], vec![3]], vec![vec![5]]]));
        assert_ne!(base, hash(&[vec![vec![1], vec![2, 3]], vec![vec![4]]]));
        assert_ne!(base, hash(&[vec![vec![1, 2], vec![3], vec![4]]]));
    }
}
