//! Text, read in blocks of whole lines.

use std::io::{BufRead, Read};
use std::path::Path;

use super::inputs::Compression;
use super::unpack::{Unpacked, damaged, open};
use crate::data::encoding::utf8;
use crate::error::Error;

/// How much text is read at once.
pub(crate) const BLOCK_BYTES: usize = 2 << 20;

/// Reads a file in blocks of whole lines, so that text and tokens of a large file are not in memory together.
pub(super) struct LineBlocks<'a> {
    path: &'a Path,
    compression: Compression,
    file: Unpacked,
    line_limit: usize,
    is_first: bool,
    /// Lines in the blocks before this one.
    lines_before: usize,
    block: Vec<u8>,
}

impl<'a> LineBlocks<'a> {
    pub(super) fn open(path: &'a Path, compression: Compression, line_limit: usize) -> Result<LineBlocks<'a>, Error> {
        let file = open(path, compression)?;
        Ok(LineBlocks { path, compression, file, line_limit, is_first: true, lines_before: 0, block: Vec::new() })
    }

    /// The next block, the number of its first line from 1, and how many bytes of the file on disk are done after it;
    /// `None` at the end of the file.
    pub(super) fn next_block(&mut self) -> Result<Option<(&str, usize, u64)>, Error> {
        self.lines_before += count_lines(&self.block);
        self.block.clear();
        self.read_block()?;
        if self.block.is_empty() {
            return Ok(None);
        }
        let text = utf8(&self.block, self.path, self.lines_before)?;
        // A file may begin with a byte-order mark, which is no text.
        let text = if self.is_first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        self.is_first = false;
        Ok(Some((text, self.lines_before + 1, self.file.bytes_done.get())))
    }

    /// Some lines, the last of them to its end.
    fn read_block(&mut self) -> Result<(), Error> {
        let size = BLOCK_BYTES.min(self.line_limit);
        let reader = &mut self.file.reader;
        let read = reader.by_ref().take(size as u64).read_to_end(&mut self.block);
        read.map_err(|source| self.damaged(source))?;
        let line_start = self.block.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if line_start == self.block.len() {
            return Ok(());
        }
        let room = self.line_limit - (self.block.len() - line_start) + 1;
        let reader = &mut self.file.reader;
        let read = reader.by_ref().take(room as u64).read_until(b'\n', &mut self.block);
        read.map_err(|source| self.damaged(source))?;
        if self.block.len() - line_start > self.line_limit && self.block.last() != Some(&b'\n') {
            let message = format!(
                "the line has more than {} bytes, the limit for lines; break it, for example with `fold -s -w 10000`, \
                 or check that this is the right file",
                self.line_limit
            );
            let line = self.lines_before + count_lines(&self.block) + 1;
            return Err(Error::Data { path: self.path.to_path_buf(), line: Some(line), message });
        }
        Ok(())
    }

    /// The error of a file that cannot be read on.
    fn damaged(&self, source: std::io::Error) -> Error {
        damaged(self.path, Some(self.lines_before + count_lines(&self.block) + 1), self.compression, source)
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}
