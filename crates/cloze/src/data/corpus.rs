//! A corpus: the token ids of documents of sentences, flat in memory.

use std::ops::Range;
use std::path::PathBuf;

use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::hex;
use crate::data::documents::{DocumentBreak, DocumentOptions, Duplicates, Piece, TextHash, find_files, for_each_block};
use crate::data::sentences;
use crate::error::Error;

/// What a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceUnit {
    /// Each line.
    Line,
    /// What [`sentences::split`] finds in each line; no sentence goes on in the next line.
    Split,
}

/// How files become a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusOptions {
    /// What ends a document.
    pub document: DocumentBreak,
    /// What a sentence is.
    pub sentences: SentenceUnit,
    /// The field of JSON lines, or the column of Parquet files, that holds the text.
    pub text_field: String,
    /// Whether only the first of documents with the same lines is kept; space around lines and blank lines do not
    /// count.
    pub drop_duplicates: bool,
}

impl Default for CorpusOptions {
    fn default() -> CorpusOptions {
        CorpusOptions {
            document: DocumentBreak::BlankLine,
            sentences: SentenceUnit::Split,
            text_field: "text".to_string(),
            drop_duplicates: false,
        }
    }
}

/// A corpus, and what was left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadCorpus {
    /// The documents.
    pub corpus: Corpus,
    /// How many files were read.
    pub files: usize,
    /// What folders hold besides, see [`find_files`].
    pub skipped: Vec<PathBuf>,
    /// Copies of documents that were left out.
    pub duplicates: usize,
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

/// Below this number of different documents nothing is held out.
const DOCUMENTS_TO_HOLD_OUT_MIN: usize = 20;

impl Corpus {
    /// Reads files, folders and patterns, in the order given, and tokenises them on all threads. Lines without tokens
    /// are skipped, documents without sentences dropped. `progress` is told the bytes done and the bytes in total.
    ///
    /// # Errors
    ///
    /// Those of [`find_files`] and [`for_each_block`]: a file cannot be read, is not UTF-8 (the line is named), or holds
    /// no text at all; no files are given.
    pub fn read(
        inputs: &[PathBuf],
        tokenizer: &Tokenizer,
        options: &CorpusOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<ReadCorpus, Error> {
        let found = find_files(inputs)?;
        let document = DocumentOptions {
            document: options.document,
            text_field: options.text_field.clone(),
            ..DocumentOptions::default()
        };
        let mut corpus = Corpus::empty();
        let mut duplicates = options.drop_duplicates.then(Duplicates::default);
        let mut hash = TextHash::default();
        for_each_block(&found.files, &document, progress, &mut |pieces| {
            corpus.add_pieces(pieces, tokenizer, options.sentences, duplicates.as_mut(), &mut hash);
            Ok(())
        })?;
        let duplicates = duplicates.map_or(0, |duplicates| duplicates.count());
        Ok(ReadCorpus { corpus, files: found.files.len(), skipped: found.skipped, duplicates })
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

    /// Divides the documents into those to train on and those held out, both parts in the old order. Held out is about
    /// `fraction` (below 1) of the different documents with all their copies. They are those with the smallest hash of
    /// their tokens and `seed`: the same ones in whatever order the files come, and no document is in both parts. At
    /// least two are held out, so that next sentence prediction has another document to take its random sentences from.
    /// Nothing is held out below 20 different documents or with `fraction` 0.
    pub fn hold_out(self, fraction: f64, seed: u64) -> (Corpus, Option<Corpus>) {
        assert!((0.0..1.0).contains(&fraction), "cannot hold out a share of {fraction}");
        if fraction == 0.0 || self.documents() < DOCUMENTS_TO_HOLD_OUT_MIN {
            return (self, None);
        }
        let hashes: Vec<u128> = (0..self.documents()).into_par_iter().map(|d| self.document_hash(d, seed)).collect();
        let mut different = hashes.clone();
        different.par_sort_unstable();
        different.dedup();
        if different.len() < DOCUMENTS_TO_HOLD_OUT_MIN {
            return (self, None);
        }
        let wanted = (fraction * different.len() as f64).round() as usize;
        let last_held_out = different[wanted.clamp(2, different.len() - 2) - 1];
        let (held_out, train): (Vec<usize>, Vec<usize>) =
            (0..self.documents()).partition(|&d| hashes[d] <= last_held_out);
        (self.select(&train), Some(self.select(&held_out)))
    }

    /// A number that depends on nothing but the sentences of document `d` and on `seed`.
    fn document_hash(&self, d: usize, seed: u64) -> u128 {
        let mut hasher = Sha256::new();
        hasher.update(seed.to_le_bytes());
        for i in self.document(d) {
            let sentence = self.sentence(i);
            hasher.update((sentence.len() as u64).to_le_bytes());
            sentence.iter().for_each(|token| hasher.update(token.to_le_bytes()));
        }
        u128::from_be_bytes(hasher.finalize()[..16].try_into().expect("SHA-256 has 32 bytes"))
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

    /// Leaves out what has been added since the last document ended.
    fn drop_document(&mut self) {
        let sentences = *self.document_starts.last().expect("there is a first start");
        self.sentence_starts.truncate(sentences + 1);
        self.tokens.truncate(self.sentence_starts[sentences]);
    }

    /// Adds pieces of documents. The order of the lines decides alone; threads only share out the work. `hash` is of
    /// the lines of the document so far, as far as they are not blank.
    fn add_pieces(
        &mut self,
        pieces: &[Piece],
        tokenizer: &Tokenizer,
        unit: SentenceUnit,
        mut duplicates: Option<&mut Duplicates>,
        hash: &mut TextHash,
    ) {
        let lines: Vec<Vec<&str>> = pieces.iter().map(|piece| piece.text.lines().map(str::trim).collect()).collect();
        let tokenized: Vec<Vec<Vec<u32>>> = lines
            .par_iter()
            .flatten()
            .map(|&line| match unit {
                SentenceUnit::Line => vec![tokenizer.tokenize(line).ids],
                SentenceUnit::Split => {
                    sentences::split(line).into_iter().map(|sentence| tokenizer.tokenize(sentence).ids).collect()
                }
            })
            .collect();
        let mut tokenized = tokenized.iter();
        for (piece, lines) in pieces.iter().zip(&lines) {
            for (line, sentences) in lines.iter().zip(tokenized.by_ref()) {
                sentences.iter().for_each(|sentence| self.push_sentence(sentence));
                if duplicates.is_some() && !line.is_empty() {
                    hash.add(line);
                    hash.add("\n");
                }
            }
            if !piece.ends_document {
                continue;
            }
            if let Some(duplicates) = &mut duplicates {
                let hash = hash.finish();
                let is_begun = self.document_starts.last() != Some(&self.sentences());
                if is_begun && duplicates.is_duplicate(hash) {
                    self.drop_document();
                }
            }
            self.end_document();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cloze_tokenizer::Casing;

    use super::*;
    use crate::data::documents::BLOCK_BYTES;

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
        let options = CorpusOptions { document: document_break, sentences: unit, ..CorpusOptions::default() };
        let corpus = Corpus::read(&paths, &tokenizer(), &options, &mut |now, total| done.push((now, total)));
        if corpus.is_ok() {
            let total = files.iter().map(|file| file.len() as u64).sum();
            assert_eq!(done.last(), Some(&(total, total)));
        }
        corpus
            .map(|read| read.corpus)
            .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
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
    fn copies_are_dropped_on_request_in_whatever_blocks_they_come() {
        let folder = tempfile::tempdir().unwrap();
        // The second document is longer than a block, and so is its copy.
        let long = "a b\n".repeat(BLOCK_BYTES / 3);
        let paths = [folder.path().join("1.txt"), folder.path().join("2.txt")];
        fs::write(&paths[0], format!("a\n\n{long}\n\n a \n\n\nc\n")).unwrap();
        fs::write(&paths[1], format!("{long}\n\nc\nc\n\nc")).unwrap();
        let options =
            CorpusOptions { sentences: SentenceUnit::Line, drop_duplicates: true, ..CorpusOptions::default() };
        let read = Corpus::read(&paths, &tokenizer(), &options, &mut |_, _| ()).unwrap();
        assert_eq!((read.corpus.documents(), read.duplicates, read.files), (4, 3, 2));
        let sizes: Vec<usize> = (0..4).map(|d| read.corpus.document(d).len()).collect();
        assert_eq!(sizes, [1, BLOCK_BYTES / 3, 1, 2]);
        assert_eq!(read.corpus.tokens(), 1 + 2 * (BLOCK_BYTES / 3) + 1 + 2);
        let kept = CorpusOptions { drop_duplicates: false, ..options };
        let read = Corpus::read(&paths, &tokenizer(), &kept, &mut |_, _| ()).unwrap();
        assert_eq!((read.corpus.documents(), read.duplicates), (7, 0));
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
        assert!(text.len() > 2 * BLOCK_BYTES);
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
        let error = Corpus::read(&missing, &tokenizer(), &CorpusOptions::default(), &mut |_, _| {}).unwrap_err();
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
    fn the_same_documents_are_held_out_in_whatever_order_they_come_with_their_copies() {
        let all: Vec<Vec<Vec<u32>>> = (0..300).map(|d| vec![vec![d % 150], vec![d % 150, 7]]).collect();
        let held_out = |documents: &[Vec<Vec<u32>>]| {
            let (train, held_out) = Corpus::from_documents(documents).hold_out(0.1, 5);
            let first_tokens = |corpus: Corpus| {
                let mut tokens: Vec<u32> = (0..corpus.documents()).map(|d| corpus.sentence(2 * d)[0]).collect();
                tokens.sort_unstable();
                tokens
            };
            (first_tokens(train), first_tokens(held_out.unwrap()))
        };
        let (train, dev) = held_out(&all);
        assert_eq!((train.len(), dev.len()), (270, 30), "a tenth of the 150 different ones, each twice");
        assert!(train.chunks(2).chain(dev.chunks(2)).all(|copies| copies[0] == copies[1]));
        let mut turned: Vec<_> = all.iter().rev().cloned().collect();
        turned.rotate_left(100);
        assert_eq!(held_out(&turned), (train, dev.clone()));
        // Other documents beside them move the edge, but not the order.
        let (_, fewer) = held_out(&all[..120]);
        assert_eq!(fewer.len(), 12);
        let mut ranks: Vec<u32> = dev;
        ranks.dedup();
        assert!(fewer.iter().filter(|d| ranks.contains(d)).count() >= 9, "{fewer:?} of {ranks:?}");
    }

    #[test]
    fn nothing_is_held_out_of_few_documents() {
        assert_eq!(numbered(19).hold_out(0.5, 1), (numbered(19), None));
        assert_eq!(numbered(100).hold_out(0.0, 1), (numbered(100), None));
        let copies = Corpus::from_documents(&[(); 100].map(|()| vec![[1, 2]]));
        assert_eq!(copies.clone().hold_out(0.5, 1), (copies, None));
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
