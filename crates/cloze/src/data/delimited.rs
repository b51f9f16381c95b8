//! Rows of tables whose columns are separated by a character.
//!
//! Quoting is that of RFC 4180: a cell that begins with a quote ends with the next single quote, and holds separators
//! and line ends; two quotes in it stand for one. After the closing quote only a separator or the end of the row may
//! follow: a stray quote would otherwise join rows. A quote within a cell that does not begin with one is a character
//! like any other.

use std::borrow::Cow;

/// Columns of a table at most: a cell takes more memory than the separator that makes it.
const COLUMNS_MAX: usize = 1 << 16;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Separator of columns.
    pub(crate) delimiter: char,
    /// True if cells may be quoted.
    pub(crate) quotes: bool,
}

/// A row and the line at which it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) line: usize,
    pub(crate) cells: Vec<Cow<'a, str>>,
}

/// The rows of a text, empty lines left out.
#[derive(Clone)]
pub(crate) struct Rows<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    dialect: Dialect,
}

/// A fault of a row, and the line at which the row begins.
pub(crate) type RowFault = (usize, String);

impl<'a> Rows<'a> {
    pub(crate) fn new(text: &'a str, dialect: Dialect) -> Rows<'a> {
        Rows { text, at: 0, line: 1, dialect }
    }

    /// True if a row ends at a byte. A single carriage return ends rows of quoted tables, as old programs write them.
    fn ends_row(&self, at: usize) -> bool {
        match self.text.as_bytes().get(at) {
            None | Some(b'\n') => true,
            Some(b'\r') => self.dialect.quotes || self.text.as_bytes().get(at + 1) == Some(&b'\n'),
            Some(_) => false,
        }
    }

    /// Goes behind the end of a row.
    fn skip_row_end(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let width = if rest.starts_with(b"\r\n") { 2 } else { usize::from(!rest.is_empty()) };
        // A single carriage return is no line for an editor that counts line feeds.
        self.line += usize::from(rest[..width].contains(&b'\n'));
        self.at += width;
    }

    /// Goes behind the line at which a faulty row begins.
    fn skip_line(&mut self, start: usize, line: usize) {
        let end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at + 1);
        (self.at, self.line) = (end, line + 1);
    }

    fn cell(&mut self) -> Result<Cow<'a, str>, String> {
        let bytes = self.text.as_bytes();
        if self.dialect.quotes && bytes.get(self.at) == Some(&b'"') {
            return self.quoted_cell();
        }
        let (start, mut at) = (self.at, self.at);
        let mut buffer = [0; 4];
        // UTF-8 is such that the bytes of a character are found nowhere but at that character.
        let delimiter = self.dialect.delimiter.encode_utf8(&mut buffer).as_bytes();
        let is_delimiter = |at: usize| bytes[at] == delimiter[0] && bytes[at..].starts_with(delimiter);
        while !self.ends_row(at) && !is_delimiter(at) {
            at += 1;
        }
        self.at = at;
        Ok(Cow::Borrowed(&self.text[start..at]))
    }

    fn quoted_cell(&mut self) -> Result<Cow<'a, str>, String> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut cell: Cow<str> = Cow::Borrowed("");
        let mut from = start;
        loop {
            let Some(quote) = self.text[from..].find('"').map(|at| from + at) else {
                return Err("a quote opens in this row and is never closed; close it, or double it if it is a \
                            character of the text and the cell is quoted"
                    .to_string());
            };
            let part = &self.text[from..quote];
            if bytes.get(quote + 1) == Some(&b'"') {
                cell.to_mut().push_str(&self.text[from..=quote]);
                from = quote + 2;
                continue;
            }
            if cell.is_empty() {
                cell = Cow::Borrowed(part);
            } else {
                cell.to_mut().push_str(part);
            }
            self.line += self.text[start..quote].matches('\n').count();
            self.at = quote + 1;
            if !self.ends_row(self.at) && !self.text[self.at..].starts_with(self.dialect.delimiter) {
                let follows: String = self.text[self.at..].chars().take(12).collect();
                return Err(format!(
                    "a quoted cell ends in line {} and `{}` follows; expected `{}` or the end of the row. Double each \
                     quote within a quoted cell, or remove the quote that opens it",
                    self.line,
                    follows.escape_debug(),
                    self.dialect.delimiter.escape_debug()
                ));
            }
            return Ok(cell);
        }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, RowFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.text.len() && self.ends_row(self.at) {
            self.skip_row_end();
        }
        if self.at >= self.text.len() {
            return None;
        }
        let (start, line) = (self.at, self.line);
        let mut cells = Vec::new();
        loop {
            let cell = match cells.len() {
                COLUMNS_MAX => {
                    let delimiter = self.dialect.delimiter.escape_debug();
                    Err(format!("more than {COLUMNS_MAX} columns; is `{delimiter}` what separates them?"))
                }
                _ => self.cell(),
            };
            match cell {
                Ok(cell) => cells.push(cell),
                Err(message) => {
                    self.skip_line(start, line);
                    return Some(Err((line, message)));
                }
            }
            if self.ends_row(self.at) {
                self.skip_row_end();
                return Some(Ok(Row { line, cells }));
            }
            self.at += self.dialect.delimiter.len_utf8();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: Dialect = Dialect { delimiter: ',', quotes: true };
    const TSV: Dialect = Dialect { delimiter: '\t', quotes: false };

    /// A line, and the cells of the row there.
    type Cells = (usize, Vec<String>);

    fn rows(text: &str, dialect: Dialect) -> Vec<Result<Cells, RowFault>> {
        let owned = |row: Row| (row.line, row.cells.into_iter().map(Cow::into_owned).collect());
        Rows::new(text, dialect).map(|row| row.map(owned)).collect()
    }

    fn good(text: &str, dialect: Dialect) -> Vec<(usize, Vec<String>)> {
        rows(text, dialect).into_iter().map(Result::unwrap).collect()
    }

    fn row(line: usize, cells: &[&str]) -> (usize, Vec<String>) {
        (line, cells.iter().map(|cell| cell.to_string()).collect())
    }

    #[test]
    fn quotes_hold_separators_lines_and_quotes() {
        let text = "a,\"b, \"\"c\"\"\nd\"\n\n\"\",x\r\n\"\"\"\",\ny \"z\",é";
        let expected =
            [row(1, &["a", "b, \"c\"\nd"]), row(4, &["", "x"]), row(5, &["\"", ""]), row(6, &["y \"z\"", "é"])];
        assert_eq!(good(text, CSV), expected);
        assert_eq!(good("a,b\rc,d\r", CSV), [row(1, &["a", "b"]), row(1, &["c", "d"])]);
    }

    #[test]
    fn a_row_has_at_most_so_many_columns() {
        let most = "\t".repeat(COLUMNS_MAX - 1);
        let found = rows(&format!("{most}\n{most}\t\na\n"), TSV);
        assert_eq!(found[0].as_ref().unwrap().1.len(), COLUMNS_MAX);
        assert_eq!(
            found[1].as_ref().unwrap_err(),
            &(2, "more than 65536 columns; is `\\t` what separates them?".into())
        );
        assert_eq!(found[2], Ok(row(3, &["a"])));
    }

    #[test]
    fn without_quoting_a_quote_is_a_character() {
        let text = "\"a\tb\"\r\n\n\t\n c\rd\t";
        assert_eq!(good(text, TSV), [row(1, &["\"a", "b\""]), row(3, &["", ""]), row(4, &[" c\rd", ""])]);
    }

    #[test]
    fn other_separators_work_alike() {
        let dialect = Dialect { delimiter: ';', quotes: true };
        assert_eq!(good("a,b;\"c;d\"\n", dialect), [row(1, &["a,b", "c;d"])]);
        let dialect = Dialect { delimiter: '¦', quotes: true };
        assert_eq!(good("a¦é\n\"¦\"¦b", dialect), [row(1, &["a", "é"]), row(2, &["¦", "b"])]);
    }

    /// A stray quote must not join rows: the row with it is an error, and those after it are read.
    #[test]
    fn stray_quotes_are_faults_of_their_row() {
        let found = rows("text,label\n\"Great film,pos\nhe said \"no\" and left,neg\nfine,pos\n", CSV);
        let (line, message) = found[1].as_ref().unwrap_err();
        assert_eq!(*line, 2);
        assert!(message.starts_with("a quoted cell ends in line 3 and `no\\\" and left` follows"), "{message}");
        let rest: Vec<_> = found[2..].iter().map(|row| row.clone().unwrap()).collect();
        assert_eq!(rest, [row(3, &["he said \"no\" and left", "neg"]), row(4, &["fine", "pos"])]);
        let found = rows("a,\"b\nc,d", CSV);
        assert!(found[0].as_ref().unwrap_err().1.contains("never closed"));
        assert_eq!(found[1], Ok(row(2, &["c", "d"])));
        assert!(rows("\"a\" ,b", CSV)[0].is_err());
    }
}
