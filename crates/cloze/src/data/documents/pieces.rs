//! From blocks of lines to pieces of documents.

use std::path::Path;

use super::inputs::Compression;
use super::lines::LineBlocks;
use super::{DocumentBreak, DocumentOptions, Piece, Place};
use crate::error::Error;

/// The pieces of a text file.
pub(super) struct TextPieces<'a> {
    path: &'a Path,
    document: DocumentBreak,
    lines: LineBlocks<'a>,
}

impl<'a> TextPieces<'a> {
    pub(super) fn open(
        path: &'a Path,
        compression: Compression,
        options: &DocumentOptions,
    ) -> Result<TextPieces<'a>, Error> {
        let lines = LineBlocks::open(path, compression, options.line_limit)?;
        Ok(TextPieces { path, document: options.document, lines })
    }

    /// The pieces of the next block and the bytes that are done after it; `None` at the end of the file.
    pub(super) fn next_block(&mut self) -> Result<Option<(Vec<Piece<'_>>, u64)>, Error> {
        let path = self.path;
        let document = self.document;
        let Some((text, first_line, bytes_done)) = self.lines.next_block()? else { return Ok(None) };
        Ok(Some((pieces(text, path, first_line, document), bytes_done)))
    }
}

/// Cuts whole lines where documents end.
fn pieces<'a>(text: &'a str, path: &'a Path, first_line: usize, document: DocumentBreak) -> Vec<Piece<'a>> {
    let piece = |text, line, ends_document| Piece { text, place: Place { path, line }, ends_document };
    if document == DocumentBreak::File {
        return vec![piece(text, first_line, false)];
    }
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut start_line = first_line;
    let mut end = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        end += line.len();
        if document == DocumentBreak::Record || line.trim().is_empty() {
            pieces.push(piece(&text[start..end], start_line, true));
            start = end;
            start_line = first_line + number + 1;
        }
    }
    if start < end {
        pieces.push(piece(&text[start..end], start_line, false));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_end_where_they_should() {
        let cut = |text: &'static str, document| -> Vec<(&str, usize, bool)> {
            let pieces = pieces(text, Path::new("a"), 5, document);
            pieces.iter().map(|piece| (piece.text, piece.place.line, piece.ends_document)).collect()
        };
        let text = "a\nb\r\n \t\r\n\nc\n";
        let expected = [("a\nb\r\n \t\r\n", 5, true), ("\n", 8, true), ("c\n", 9, false)];
        assert_eq!(cut(text, DocumentBreak::BlankLine), expected);
        assert_eq!(cut(text, DocumentBreak::File), [(text, 5, false)]);
        let expected = [("a\n", 5, true), ("b\r\n", 6, true), (" \t\r\n", 7, true), ("\n", 8, true), ("c\n", 9, true)];
        assert_eq!(cut(text, DocumentBreak::Record), expected);
        assert_eq!(cut("", DocumentBreak::BlankLine), []);
    }
}
