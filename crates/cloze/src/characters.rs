//! Parts of a text by their characters, wherever the places come from.

use std::ops::Range;

/// A text whose parts are found by characters.
///
/// Places come from tokenizers and callers, so a range beyond the text, or one that ends before it begins, is cut to
/// what the text has. It never panics.
pub(crate) struct Characters<'a> {
    text: &'a str,
    /// `[characters + 1]`: the byte at which each begins, and the length of the text.
    bytes: Vec<usize>,
}

impl<'a> Characters<'a> {
    /// Finds the characters of a text.
    pub fn of(text: &'a str) -> Characters<'a> {
        Characters { text, bytes: text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect() }
    }

    /// The part of a range that the text has.
    pub fn clamp(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.bytes.len() - 1);
        range.start.min(end)..end
    }

    /// The text of a range.
    pub fn slice(&self, range: Range<usize>) -> &'a str {
        let Range { start, end } = self.clamp(range);
        &self.text[self.bytes[start]..self.bytes[end]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::reversed_empty_ranges)]
    fn ranges_are_cut_to_the_text() {
        let text = Characters::of("aé東b");
        for (range, expected) in
            [(1..3, "é東"), (0..4, "aé東b"), (3..9, "b"), (4..4, ""), (7..9, ""), (3..1, ""), (9..2, ""), (0..0, "")]
        {
            assert_eq!(text.slice(range.clone()), expected, "{range:?}");
        }
        assert_eq!(text.clamp(2..usize::MAX), 2..4);
        assert_eq!(Characters::of("").slice(0..1), "");
    }
}
