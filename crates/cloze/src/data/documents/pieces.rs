//! Text, cut into pieces of documents.

use std::path::Path;

use super::{DocumentBreak, Piece, Place};

/// Cuts whole lines where documents end. Blank lines go with the line before them, however many they are.
pub(super) fn pieces<'a>(
    text: &'a str,
    path: &'a Path,
    first_line: usize,
    document: DocumentBreak,
) -> impl Iterator<Item = Piece<'a>> {
    let mut rest = text;
    let mut line = first_line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (bytes, lines, ends_document) = next_piece(rest, document);
        let piece = Piece { text: &rest[..bytes], place: Place { path, line }, ends_document };
        rest = &rest[bytes..];
        line += lines;
        Some(piece)
    })
}

/// Bytes and lines of the first piece of a text, and whether a document ends after it.
fn next_piece(text: &str, document: DocumentBreak) -> (usize, usize, bool) {
    let (mut bytes, mut lines, mut ends_document) = (0, 0, false);
    if document == DocumentBreak::File {
        return (text.len(), 0, false);
    }
    for line in text.split_inclusive('\n') {
        let is_blank = line.trim().is_empty();
        if ends_document && !is_blank {
            break;
        }
        bytes += line.len();
        lines += 1;
        ends_document = ends_document || is_blank || document == DocumentBreak::Record;
    }
    (bytes, lines, ends_document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_end_where_they_should() {
        let cut = |text: &'static str, document| -> Vec<(&str, usize, bool)> {
            let pieces = pieces(text, Path::new("a"), 5, document);
            pieces.map(|piece| (piece.text, piece.place.line, piece.ends_document)).collect()
        };
        let text = "a\nb\r\n \t\r\n\nc\n";
        let expected = [("a\nb\r\n \t\r\n\n", 5, true), ("c\n", 9, false)];
        assert_eq!(cut(text, DocumentBreak::BlankLine), expected);
        assert_eq!(cut(text, DocumentBreak::File), [(text, 5, false)]);
        let expected = [("a\n", 5, true), ("b\r\n \t\r\n\n", 6, true), ("c\n", 9, true)];
        assert_eq!(cut(text, DocumentBreak::Record), expected);
        assert_eq!(cut("\n\na", DocumentBreak::Record), [("\n\n", 5, true), ("a", 7, true)]);
        assert_eq!(cut("", DocumentBreak::BlankLine), []);
    }
}
