//! A corpus on disk: made once, read by any number of runs. docs/store.md describes the files.
//!
//! A shard is whole when its files have their names and `store.json` its entry. What was begun after the last one is
//! made again, so that an interruption costs no more than a shard.

use std::fs;
use std::path::{Path, PathBuf};

use cloze_tokenizer::Tokenizer;
use rayon::prelude::*;

use crate::checkpoint::file_sum;
use crate::data::documents::{DocumentBreak, DocumentOptions, find_files, is_text};
use crate::error::{Error, at};
use crate::folder::{self, Folder, Reading, remove_stale};

use super::builder::{Builder, DOCUMENTS, SENTENCES, ShardLimits, TOKENS, file_name};
use super::contents::{Contents, Progress, STORE, ShardEntry, Vocabulary, data_error, is_store};
use super::read::Reader;
use super::shard::{Bytes, DOCUMENT_BYTES, Fault, SENTENCE_BYTES, Shard};
use super::{Corpus, CorpusFigures, CorpusOptions, ReadCorpus};

/// A line is in memory as text, tokens and their places: at most this many bytes for each of its own.
const LINE_SHARE: u64 = 32;

/// How a store is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// How files become documents of sentences.
    pub corpus: CorpusOptions,
    /// Memory to stay within, in bytes, program and tokenizer included, if there is a limit: bounds the longest line, and
    /// how many documents copies are found among.
    pub max_memory: Option<u64>,
    limits: ShardLimits,
}

impl StoreOptions {
    /// Without a limit of memory.
    pub fn new(corpus: CorpusOptions) -> StoreOptions {
        StoreOptions { corpus, max_memory: None, limits: ShardLimits::default() }
    }

    /// Shards that end with fewer tokens or documents than usual.
    #[cfg(test)]
    pub(super) fn with_shards_of(self, tokens: u64, documents: u64) -> StoreOptions {
        StoreOptions { limits: ShardLimits { tokens, documents }, ..self }
    }

    fn line_limit(&self) -> usize {
        let limit = DocumentOptions::default().line_limit;
        self.max_memory.map_or(limit, |memory| limit.min((memory / LINE_SHARE) as usize))
    }

    /// The most bytes that the table of documents may take.
    fn duplicates_limit(&self) -> u64 {
        self.max_memory.map_or(u64::MAX, |memory| memory / 4)
    }
}

/// What becomes of a store that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is gone on with, or found finished; one that was made otherwise is an error.
    GoOn,
    /// It is gone on with, or found finished; one that was made otherwise is made anew.
    Renew,
    /// It is made anew.
    Replace,
}

/// A store that is finished.
#[derive(Debug)]
pub struct Store {
    /// The documents, and what was left out of them.
    pub read: ReadCorpus,
    /// What was counted.
    pub figures: CorpusFigures,
    /// How many shards were there already.
    pub shards_found: usize,
    /// A file that was there and was damaged: its shard and those behind were made again.
    pub damaged: Option<PathBuf>,
    /// How files became documents of sentences.
    pub options: CorpusOptions,
    /// True if a file is text, in which blank lines can end documents.
    is_text: bool,
    /// Keeps others from changing the folder as long as it is read.
    pub guard: Reading,
}

/// Makes a store of files, folders and patterns in `dir`, with the tokenizer's files beside it; on all threads, with the
/// same files for any number of them. A store that was begun is gone on with. `progress` is told what is done, and the
/// bytes done and in total.
///
/// # Errors
/// As [`Corpus::read`]; a file cannot be written; `dir` holds something else, or a store of other files, another
/// vocabulary or other options; another process writes or reads it.
pub fn prepare(
    inputs: &[PathBuf],
    tokenizer: &Tokenizer,
    options: &StoreOptions,
    dir: &Path,
    existing: Existing,
    progress: &mut dyn FnMut(&'static str, u64, u64),
) -> Result<Store, Error> {
    let found = find_files(inputs)?;
    let mut contents = Contents::of(&found.files, tokenizer, &options.corpus)?;
    let mut folder = Folder::take(dir, "prepare")?;
    let before = clear_for(&mut folder, existing, &contents)?;
    let (mut shards, mut damaged) = (Vec::new(), None);
    if let Some(before) = before {
        contents.shards = before.shards;
        if !Tokenizer::open(dir, tokenizer.casing()).is_ok_and(|own| Vocabulary::of(&own) == contents.vocabulary) {
            folder.begin()?;
            tokenizer.save(dir)?;
        }
        match open_shards(&contents, dir, &mut |done, total| progress("checking the store", done, total))? {
            Opened::All(whole) => {
                shards = whole;
                contents.total = before.total;
            }
            Opened::Before(whole, error) => {
                contents.shards.truncate(whole.len());
                shards = whole;
                damaged = Some(error);
            }
        }
    }
    let shards_found = shards.len();
    let mut blank = Vec::new();
    if contents.total.is_none() {
        folder.begin()?;
        let mut told = |done, total| progress("preparing the corpus", done, total);
        (shards, blank) = contents.read_rest(&found.files, tokenizer, options, dir, shards, &mut told)?;
    }
    if folder.is_unfinished() {
        folder.finish()?;
    }
    let total = contents.total.unwrap_or_default();
    let read = ReadCorpus {
        corpus: Corpus::new(shards),
        files: found.files.len(),
        skipped: found.note(),
        blank,
        duplicates: total.duplicates,
    };
    let is_text = found.files.iter().any(|path| is_text(path));
    let (options, guard) = (contents.options, folder.into_reading());
    Ok(Store { read, figures: total.figures, shards_found, damaged, options, is_text, guard })
}

/// The store among inputs, which then is the only one.
///
/// # Errors
/// If there are others beside it.
pub(crate) fn store_among(inputs: &[PathBuf]) -> Result<Option<&Path>, Error> {
    match (inputs, inputs.iter().find(|input| is_store(input))) {
        ([_], store) => Ok(store.map(PathBuf::as_path)),
        (_, Some(store)) => Err(Error::Settings(format!(
            "{} is a store that `cloze prepare` made, which goes with no other input",
            store.display()
        ))),
        (_, None) => Ok(None),
    }
}

impl Store {
    /// Opens a finished store, every byte of it checked, for texts of this tokenizer. `asked` is how it should have been
    /// made, the default if that does not matter.
    ///
    /// # Errors
    /// A file is missing or damaged; the store is not finished, was made otherwise, or is of another vocabulary or version;
    /// another process writes it.
    pub fn open(
        dir: &Path,
        tokenizer: &Tokenizer,
        asked: &CorpusOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Store, Error> {
        let guard = folder::read(dir)?;
        let contents = Contents::read(dir)?;
        let wrong = |message: &str| Err(data_error(&dir.join(STORE), message.to_string()));
        let Some(total) = &contents.total else {
            return wrong("the store is not finished; the same `cloze prepare` goes on with it");
        };
        if asked != &contents.options && asked != &CorpusOptions::default() {
            return wrong(
                "the store was prepared with other options for documents and sentences; leave out those given here, or \
                 prepare anew with them",
            );
        }
        if contents.vocabulary != Vocabulary::of(tokenizer) {
            return wrong("the store was made with another vocabulary; give the one in its folder, or prepare anew");
        }
        match open_shards(&contents, dir, progress)? {
            Opened::All(shards) => Ok(Store {
                shards_found: shards.len(),
                read: ReadCorpus {
                    corpus: Corpus::new(shards),
                    files: contents.sources.len(),
                    skipped: None,
                    blank: Vec::new(),
                    duplicates: total.duplicates,
                },
                figures: total.figures.clone(),
                damaged: None,
                options: contents.options.clone(),
                is_text: contents.sources.iter().any(|source| is_text(Path::new(&source.path))),
                guard,
            }),
            Opened::Before(_, path) => {
                let message = "the file is damaged or missing; the same `cloze prepare` makes it again".to_string();
                Err(data_error(&path, message))
            }
        }
    }

    /// What a user should know of what was not read, or was read again.
    pub fn notes(&self) -> Vec<String> {
        let damaged = self.damaged.as_ref();
        let damaged =
            damaged.map(|path| format!("{} was damaged or missing: made again from there on", path.display()));
        damaged.into_iter().chain(self.read.notes()).chain(self.short_documents()).collect()
    }

    /// A note if blank lines seem to stand between paragraphs rather than documents: there are many more documents than
    /// files, and most are a paragraph long at most.
    fn short_documents(&self) -> Option<String> {
        /// Few documents, or few of a file, tell nothing.
        const DOCUMENTS_MIN: u64 = 20;
        const OF_A_FILE_MIN: u64 = 4;
        /// Documents of fewer than 2^6 = 64 tokens are short.
        const SHORT_LOG2: usize = 6;
        let (documents, files) = (self.figures.documents, self.read.files as u64);
        let short: u64 = self.figures.document_lengths.iter().take(SHORT_LOG2).sum();
        let is_by_blank_lines = self.options.document == DocumentBreak::BlankLine && self.is_text;
        let are_many = documents >= DOCUMENTS_MIN && documents >= OF_A_FILE_MIN * files;
        (is_by_blank_lines && are_many && 2 * short > documents).then(|| {
            format!(
                "{documents} documents of {files} files, {:.0} % of them shorter than {} tokens: a blank line ends a \
                 document. If blank lines stand between paragraphs, --document file makes a document of each file, and \
                 sequences are filled",
                100.0 * short as f64 / documents as f64,
                1 << SHORT_LOG2
            )
        })
    }
}

/// Removes a store and its folder, if they are there and nothing else is in it.
pub(crate) fn remove_store(dir: &Path) -> Result<(), Error> {
    use std::io::ErrorKind::{DirectoryNotEmpty, NotFound};
    if is_store(dir) {
        clear(dir)?;
    }
    folder::remove_marks(dir)?;
    match fs::remove_dir(dir) {
        Err(error) if ![DirectoryNotEmpty, NotFound].contains(&error.kind()) => Err(at("remove", dir)(error)),
        _ => Ok(()),
    }
}

/// Makes sure that nobody else's files are in the folder; gives what is in it already and stays.
fn clear_for(folder: &mut Folder, existing: Existing, contents: &Contents) -> Result<Option<Contents>, Error> {
    folder.expect_own()?;
    let dir = folder.path().to_path_buf();
    if !is_store(&dir) {
        // A store whose beginning was interrupted is nobody else's.
        let begun = folder.was_unfinished();
        for entry in fs::read_dir(&dir).map_err(at("read", &dir))? {
            let name = entry.map_err(at("read", &dir))?.file_name();
            let name = name.to_string_lossy();
            if !(folder::is_own(&name) || begun && is_part(&name)) {
                let message = format!("the folder holds other files, such as {name}; choose another one for the store");
                return Err(data_error(&dir, message));
            }
        }
        return Ok(None);
    }
    if existing != Existing::Replace {
        let before = Contents::read(&dir);
        match before.and_then(|before| before.fits(contents, &dir).map(|()| before)) {
            Ok(before) => return Ok(Some(before)),
            Err(error) if existing == Existing::GoOn => return Err(error),
            Err(_) => {}
        }
    }
    folder.begin()?;
    clear(&dir)?;
    Ok(None)
}

/// True if a file belongs to a store.
fn is_part(name: &str) -> bool {
    // Versions before this one called a file so that was not whole.
    let whole = name.strip_suffix(".tmp").unwrap_or(name);
    let shard = whole.strip_prefix("shard-").and_then(|name| name.split_once('.'));
    let is_shard = shard.is_some_and(|(number, list)| {
        number.parse::<usize>().is_ok() && [TOKENS, SENTENCES, DOCUMENTS].contains(&list)
    });
    is_shard || whole == STORE || Tokenizer::FILES.contains(&whole)
}

/// Removes the files of a store.
fn clear(dir: &Path) -> Result<(), Error> {
    // Last the one that makes it a store, so that a half-removed one is still known as such.
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("read", dir))? {
        let name = entry.map_err(at("read", dir))?.file_name();
        let name = name.to_string_lossy();
        if is_part(&name) && name != STORE {
            paths.push(dir.join(&*name));
        }
    }
    paths.push(dir.join(STORE));
    paths.iter().try_for_each(|path| fs::remove_file(path).map_err(at("remove", path)))
}

enum Opened {
    All(Vec<Shard>),
    /// Those before a file that is damaged.
    Before(Vec<Shard>, PathBuf),
}

/// Opens shards whose files are as they were written.
fn open_shards(contents: &Contents, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Opened, Error> {
    let bytes = |entry: &ShardEntry| {
        let tokens = entry.tokens.saturating_mul(contents.id_bytes as u64);
        let sentences = entry.sentences.saturating_mul(SENTENCE_BYTES as u64);
        tokens.saturating_add(sentences).saturating_add(entry.documents.saturating_mul(DOCUMENT_BYTES as u64))
    };
    let total = contents.shards.iter().map(bytes).fold(0, u64::saturating_add);
    let (mut shards, mut done) = (Vec::new(), 0u64);
    let numbered: Vec<(usize, &ShardEntry)> = contents.shards.iter().enumerate().collect();
    for some in numbered.chunks(rayon::current_num_threads()) {
        let opened: Vec<Result<Result<Shard, PathBuf>, Error>> =
            some.par_iter().map(|(number, entry)| open_shard(*number, entry, contents, dir)).collect();
        for shard in opened {
            match shard? {
                Ok(shard) => shards.push(shard),
                Err(path) => return Ok(Opened::Before(shards, path)),
            }
        }
        done = some.iter().map(|(_, entry)| bytes(entry)).fold(done, u64::saturating_add);
        progress(done, total);
    }
    Ok(Opened::All(shards))
}

/// Opens a shard, or tells which file is not what was written, or not there.
fn open_shard(
    number: usize,
    entry: &ShardEntry,
    contents: &Contents,
    dir: &Path,
) -> Result<Result<Shard, PathBuf>, Error> {
    let path = |list| dir.join(file_name(number, list));
    let lists = [
        (TOKENS, entry.tokens, contents.id_bytes),
        (SENTENCES, entry.sentences, SENTENCE_BYTES),
        (DOCUMENTS, entry.documents, DOCUMENT_BYTES),
    ];
    for ((list, count, size), sum) in lists.into_iter().zip(&entry.sha256) {
        let path = path(list);
        let length = match fs::metadata(&path) {
            Ok(file) => Some(file.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(at("read", &path)(error)),
        };
        if length.is_none() || length != count.checked_mul(size as u64) || &file_sum(&path)? != sum {
            return Ok(Err(path));
        }
    }
    let shard = Shard {
        id_bytes: contents.id_bytes,
        tokens: entry.tokens,
        sentences: entry.sentences,
        documents: entry.documents,
        token_list: Bytes::open(&path(TOKENS))?,
        sentence_list: Bytes::open(&path(SENTENCES))?,
        document_list: Bytes::open(&path(DOCUMENTS))?,
    };
    // Checksums tell of accidents; who reads the numbers relies on what they say.
    Ok(match shard.fault(contents.vocabulary.tokens as u32)? {
        None => Ok(shard),
        Some(Fault::Tokens) => Err(path(TOKENS)),
        Some(Fault::Sentences) => Err(path(SENTENCES)),
        Some(Fault::Documents) => Err(path(DOCUMENTS)),
    })
}

impl Contents {
    /// Reads what is not yet in `shards`, into the others and, at the end, into `total`. Returns all shards, and the files
    /// without text.
    fn read_rest(
        &mut self,
        files: &[PathBuf],
        tokenizer: &Tokenizer,
        options: &StoreOptions,
        dir: &Path,
        shards: Vec<Shard>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Vec<Shard>, Vec<PathBuf>), Error> {
        self.write(dir)?;
        tokenizer.save(dir)?;
        let start = self.shards.last().map(|shard| shard.progress.clone()).unwrap_or_default();
        let vocab_size = tokenizer.vocab_size();
        let builder = Builder::in_folder(vocab_size, dir.to_path_buf(), options.limits, shards, start.figures);
        let mut reader = Reader::new(tokenizer, &options.corpus, builder)
            .skip(start.documents_read, start.duplicates)
            .limit_duplicates(options.duplicates_limit());
        let mut read = || {
            let blank =
                reader.read(files, options.line_limit(), progress, &mut |reader| self.add_shard(reader, dir))?;
            if reader.builder.end_shard()? {
                self.add_shard(&reader, dir)?;
            }
            Ok(blank)
        };
        let blank = match read() {
            Ok(blank) => blank,
            Err(error) => {
                // On a full disk, what was begun is in the way of everything else. Files that are open are not removed.
                drop(reader);
                remove_stale(dir);
                return Err(error);
            }
        };
        self.total = Some(Progress::of(&reader));
        self.write(dir)?;
        Ok((reader.builder.shards, blank))
    }

    /// Notes that the reader's last shard is whole.
    fn add_shard(&mut self, reader: &Reader, dir: &Path) -> Result<(), Error> {
        let number = self.shards.len();
        let shard = &reader.builder.shards[number];
        let sum = |list| file_sum(&dir.join(file_name(number, list)));
        self.shards.push(ShardEntry {
            tokens: shard.tokens,
            sentences: shard.sentences,
            documents: shard.documents,
            sha256: [sum(TOKENS)?, sum(SENTENCES)?, sum(DOCUMENTS)?],
            progress: Progress::of(reader),
        });
        self.write(dir)
    }
}

/// Puts a store back to where its first shards were whole, as an interruption leaves it.
#[cfg(test)]
pub(super) fn rewind(dir: &Path, shards: usize) {
    let mut contents = Contents::read(dir).unwrap();
    contents.total = None;
    contents.shards.truncate(shards);
    contents.write(dir).unwrap();
}

/// Makes the checksums of all shards fit what is there.
#[cfg(test)]
pub(super) fn sum_again(dir: &Path) {
    let mut contents = Contents::read(dir).unwrap();
    for (number, shard) in contents.shards.iter_mut().enumerate() {
        shard.sha256 = [TOKENS, SENTENCES, DOCUMENTS].map(|list| file_sum(&dir.join(file_name(number, list))).unwrap());
    }
    contents.write(dir).unwrap();
}
