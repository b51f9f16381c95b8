//! Text for people: columns at a terminal, tabs in a pipe.

/// Between two columns.
const GAP: usize = 2;

/// Tables in a text, which are neighbouring lines with tabs, in columns: words to the left, figures to the right.
pub fn aligned(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut laid_out = Vec::with_capacity(lines.len());
    for block in lines.chunk_by(|a, b| a.contains('\t') == b.contains('\t')) {
        if block[0].contains('\t') {
            laid_out.extend(table(&block.iter().map(|line| line.split('\t').collect()).collect::<Vec<_>>()));
        } else {
            laid_out.extend(block.iter().map(|line| line.to_string()));
        }
    }
    laid_out.join("\n")
}

fn table(rows: &[Vec<&str>]) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let column = |at: usize| rows.iter().filter_map(move |row| row.get(at).copied());
    let widths: Vec<usize> = (0..columns).map(|at| column(at).map(length).max().unwrap_or(0)).collect();
    // The first row may be a heading, the first column holds names.
    let is_figures = |at: usize| at > 0 && column(at).skip(1).all(is_figure) && column(at).nth(1).is_some();
    let figures: Vec<bool> = (0..columns).map(is_figures).collect();
    let line = |row: &Vec<&str>| {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let room = " ".repeat(widths[at] - length(cell));
            match figures[at] {
                true => line.extend([room.as_str(), cell]),
                false => line.extend([*cell, room.as_str()]),
            }
            line.push_str(&" ".repeat(GAP));
        }
        line.trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

fn is_figure(cell: &str) -> bool {
    cell.chars().all(|char| char.is_ascii_digit() || "+-.,% e–".contains(char))
}

/// `text` in lines of words of at most `width` columns, where there is a width: the first one after `first`, the others
/// as far to the right.
pub fn wrapped(first: &str, text: &str, width: Option<usize>) -> Vec<String> {
    let indent = first.chars().count();
    let mut lines = vec![first.to_string()];
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        let line = lines.last_mut().expect("there is a first one");
        if width.is_some_and(|width| column + 1 + length > width) && column > indent {
            lines.push(" ".repeat(indent) + word);
            column = indent + length;
        } else {
            if column > indent {
                line.push(' ');
                column += 1;
            }
            line.push_str(word);
            column += length;
        }
    }
    lines
}

/// A text whose lines of more than `width` columns go on in the next line, two columns to the right.
pub fn hanging(text: &str, width: usize) -> String {
    let lines = text.split('\n').flat_map(|line| {
        let (indent, text) = line.split_at(line.len() - line.trim_start().len());
        let mut parts = wrapped(indent, text, Some(width.saturating_sub(2)));
        parts.iter_mut().skip(1).for_each(|part| part.insert_str(0, "  "));
        parts
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_hang() {
        assert_eq!(hanging("one two three\n  four", 10), "one two\n  three\n  four");
    }

    #[test]
    fn tables_are_columns_and_other_lines_stay() {
        let text = "examples\t1,200\n\nlabel\tf1\tsupport\nvery good\t0.5000\t8\nbad\t-\t1,024\nno table";
        let expected = "examples  1,200\n\nlabel          f1  support\nvery good  0.5000        8\nbad             -    1,024\nno table";
        assert_eq!(aligned(text), expected);
        assert_eq!(aligned("a\tb\tc\nlonger\tword"), "a       b     c\nlonger  word", "rows may be short");
    }

    #[test]
    fn texts_wrap_between_words_where_there_is_a_width() {
        let lines = wrapped("  note  ", "one two three four", Some(16));
        assert_eq!(lines, ["  note  one two", "        three", "        four"]);
        assert_eq!(wrapped("", "unbreakable", Some(3)), ["unbreakable"]);
        assert_eq!(wrapped("  note  ", "one two three four", None), ["  note  one two three four"]);
    }
}
