//! Text files, read in blocks of whole lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::{Error, at};

/// How much of a file is read at once.
pub(crate) const BLOCK_BYTES: u64 = 2 << 20;

/// Reads a file in blocks of whole lines, so that text and tokens of a large file are not in memory together.
pub(crate) struct Blocks<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    /// Lines in the blocks before this one.
    lines_before: usize,
    /// Bytes up to the end of this block.
    pub(crate) bytes_done: u64,
    block: Vec<u8>,
}

impl<'a> Blocks<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Blocks<'a>, Error> {
        let file = File::open(path).map_err(at("read", path))?;
        Ok(Blocks { path, reader: BufReader::new(file), lines_before: 0, bytes_done: 0, block: Vec::new() })
    }

    /// The next block; `None` at the end of the file.
    pub(crate) fn next_block(&mut self) -> Result<Option<&str>, Error> {
        self.lines_before += self.block.iter().filter(|&&byte| byte == b'\n').count();
        self.block.clear();
        let mut limited = self.reader.by_ref().take(BLOCK_BYTES);
        limited.read_to_end(&mut self.block).map_err(at("read", self.path))?;
        if self.block.last().is_some_and(|&byte| byte != b'\n') {
            self.reader.read_until(b'\n', &mut self.block).map_err(at("read", self.path))?;
        }
        if self.block.is_empty() {
            return Ok(None);
        }
        let is_first = self.bytes_done == 0;
        self.bytes_done += self.block.len() as u64;
        let text = utf8(&self.block, self.path, self.lines_before)?;
        // A file may begin with a byte-order mark, which is no text.
        Ok(Some(if is_first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text }))
    }
}

/// The text of `bytes`, before which `lines_before` lines of the file at `path` have been read.
pub(crate) fn utf8<'a>(bytes: &'a [u8], path: &Path, lines_before: usize) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let lines = valid.iter().filter(|&&byte| byte == b'\n').count();
        let column = valid.len() - valid.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1) + 1;
        let byte = bytes[valid.len()];
        let message = format!(
            "byte {column} of the line, 0x{byte:02X}, is not UTF-8; convert the file, for example with \
             `iconv -f WINDOWS-1252 -t UTF-8`"
        );
        Error::Data { path: path.to_path_buf(), line: Some(lines_before + lines + 1), message }
    })
}
