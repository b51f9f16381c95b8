//! Sorted lists of words and counts in files, and their merging.
//!
//! A file has no name: it is taken out of its folder as soon as it is open, so that nothing stays behind however
//! the program ends. A word is its length in bytes (2 bytes, little-endian), its bytes, and its count (8 bytes).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// Words with their counts in string order, in a file.
#[derive(Debug)]
pub(super) struct Run {
    /// Where the file was made, for messages.
    path: PathBuf,
    file: File,
}

/// More files than this are not read at once.
pub(super) const RUNS_MAX: usize = 64;
/// What a file is read and written through.
const BUFFER_BYTES: usize = 1 << 16;

impl Run {
    /// Writes a run into a new file in `folder`; `write` hands over the words in string order, each once.
    pub fn write(
        folder: &Path,
        write: impl FnOnce(&mut dyn FnMut(&str, u64) -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<Run, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".word-counts-{}-{number}.tmp", std::process::id()));
        let error = |source| Error::Write { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(error)?;
        fs::remove_file(&path).map_err(error)?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        write(&mut |word, count| write_word(&mut writer, word, count).map_err(error))?;
        let file = writer.into_inner().map_err(|unwritten| error(unwritten.into_error()))?;
        Ok(Run { path, file })
    }

    /// Merges runs into one. Counts of the same word are added.
    pub fn merge(folder: &Path, runs: &[Run]) -> Result<Run, Error> {
        Run::write(folder, |write| {
            let mut readers: Vec<Reader> = runs.iter().map(Run::reader).collect();
            // The next word of each run; the first in string order is on top.
            let mut next = BinaryHeap::new();
            for (index, reader) in readers.iter_mut().enumerate() {
                next.extend(reader.next()?.map(|(word, count)| Reverse((word, index, count))));
            }
            let mut merged: Option<(String, u64)> = None;
            while let Some(Reverse((word, index, count))) = next.pop() {
                next.extend(readers[index].next()?.map(|(word, count)| Reverse((word, index, count))));
                match &mut merged {
                    Some((same, sum)) if *same == word => *sum = sum.saturating_add(count),
                    _ => {
                        if let Some((word, sum)) = merged.replace((word, count)) {
                            write(&word, sum)?;
                        }
                    }
                }
            }
            merged.map_or(Ok(()), |(word, sum)| write(&word, sum))
        })
    }

    /// Hands over all words and their counts in string order.
    pub fn for_each(&self, mut use_word: impl FnMut(&str, u64)) -> Result<(), Error> {
        let mut reader = self.reader();
        while let Some((word, count)) = reader.next()? {
            use_word(&word, count);
        }
        Ok(())
    }

    fn reader(&self) -> Reader<'_> {
        let bytes = FileBytes { file: &self.file, offset: 0 };
        Reader { path: &self.path, bytes: BufReader::with_capacity(BUFFER_BYTES, bytes) }
    }
}

fn write_word(writer: &mut impl Write, word: &str, count: u64) -> io::Result<()> {
    let len = u16::try_from(word.len()).map_err(|_| io::Error::other("a word of more than 65,535 bytes"))?;
    writer.write_all(&len.to_le_bytes())?;
    writer.write_all(word.as_bytes())?;
    writer.write_all(&count.to_le_bytes())
}

/// A file from first to last byte, whatever else reads it.
struct FileBytes<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FileBytes<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

struct Reader<'a> {
    path: &'a Path,
    bytes: BufReader<FileBytes<'a>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Option<(String, u64)>, Error> {
        self.read_word().map_err(|source| Error::Read { path: self.path.to_path_buf(), source: source.into() })
    }

    fn read_word(&mut self) -> io::Result<Option<(String, u64)>> {
        let mut len = [0; 2];
        if self.bytes.read(&mut len[..1])? == 0 {
            return Ok(None);
        }
        self.bytes.read_exact(&mut len[1..])?;
        let mut word = vec![0; u16::from_le_bytes(len) as usize];
        self.bytes.read_exact(&mut word)?;
        let mut count = [0; 8];
        self.bytes.read_exact(&mut count)?;
        let word = String::from_utf8(word).map_err(io::Error::other)?;
        Ok(Some((word, u64::from_le_bytes(count))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &Path, words: &[(&str, u64)]) -> Run {
        Run::write(folder, |write| words.iter().try_for_each(|&(word, count)| write(word, count))).unwrap()
    }

    fn words(run: &Run) -> Vec<(String, u64)> {
        let mut words = Vec::new();
        run.for_each(|word, count| words.push((word.to_string(), count))).unwrap();
        words
    }

    #[test]
    fn runs_are_merged_in_order_and_counts_added() {
        let folder = tempfile::tempdir().unwrap();
        let long = "ß".repeat(100);
        let runs = [
            run(folder.path(), &[("a", 1), ("c", 1 << 40), (&long, 3)]),
            run(folder.path(), &[]),
            run(folder.path(), &[("b", 2), ("c", 7)]),
            run(folder.path(), &[("c", u64::MAX - 1), ("中", 5)]),
        ];
        let merged = Run::merge(folder.path(), &runs).unwrap();
        let expected = [("a", 1), ("b", 2), ("c", u64::MAX), (long.as_str(), 3), ("中", 5)];
        assert_eq!(words(&merged), expected.map(|(word, count)| (word.to_string(), count)));
        // It can be read again, and there is nothing to tidy up.
        assert_eq!(words(&merged).len(), 5);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Run::write(&folder.path().join("none"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("none/.word-counts"), "{error}");
    }
}
