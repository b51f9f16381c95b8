//! Tables of a report.

use super::{escape, write};

/// Longer texts show their beginning, and the whole on request.
const SHOWN: usize = 160;

/// A table with a heading.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The heading.
    pub title: String,
    /// A sentence below it; may be empty.
    pub note: String,
    /// For the style sheet.
    pub class: &'static str,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The first cell of a row is its name.
    pub rows: Vec<Vec<Cell>>,
}

/// What stands in a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words, all of them shown.
    Text(String),
    /// Words of any length.
    Long(String),
    /// The figure that the row is for.
    Value(String),
    /// Another figure.
    Figure(String),
    /// A count, with the share of something that it is as a shade.
    Shade(usize, f64),
    /// (words, where they lead)
    Link(String, String),
}

impl Table {
    pub(super) fn html(&self, page: &mut String) {
        let Table { title, note, class, columns, rows } = self;
        write(page, format_args!("<section>\n<h2>{}</h2>\n", escape(title)));
        if !note.is_empty() {
            write(page, format_args!("<p class=\"note\">{}</p>\n", escape(note)));
        }
        write(page, format_args!("<div class=\"wide {class}\"><table>\n<thead><tr>"));
        columns.iter().for_each(|column| write(page, format_args!("<th>{}</th>", escape(column))));
        page.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            page.push_str("<tr>");
            for (at, cell) in row.iter().enumerate() {
                cell.html(if at == 0 { "th" } else { "td" }, page);
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody>\n</table></div>\n</section>\n");
    }
}

impl Cell {
    fn html(&self, tag: &str, page: &mut String) {
        match self {
            Cell::Text(text) => write(page, format_args!("<{tag}>{}</{tag}>", escape(text))),
            Cell::Long(text) => match text.char_indices().nth(SHOWN) {
                None => write(page, format_args!("<{tag} class=\"long\">{}</{tag}>", escape(text))),
                Some((end, _)) => {
                    // Between two words, if one ends not far before.
                    let end = text[..end].rfind(' ').filter(|space| 2 * space > end).unwrap_or(end);
                    let (start, whole) = (escape(&text[..end]), escape(text));
                    write(
                        page,
                        format_args!(
                            "<{tag} class=\"long\"><details><summary><span>{start} …</span></summary>{whole}</details></{tag}>"
                        ),
                    );
                }
            },
            Cell::Value(text) => write(page, format_args!("<{tag} class=\"value\">{}</{tag}>", escape(text))),
            Cell::Figure(text) => write(page, format_args!("<{tag} class=\"figure\">{}</{tag}>", escape(text))),
            Cell::Shade(count, share) => {
                write(page, format_args!("<{tag} class=\"shade\" style=\"--share:{share:.2}\">{count}</{tag}>"));
            }
            Cell::Link(text, to) => {
                write(page, format_args!("<{tag}><a href=\"{}\">{}</a></{tag}>", escape(to), escape(text)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(cell: Cell) -> String {
        let mut page = String::new();
        cell.html("td", &mut page);
        page
    }

    #[test]
    fn long_texts_show_their_beginning_and_hold_the_whole() {
        assert_eq!(html(Cell::Long("a <b>".to_string())), "<td class=\"long\">a &lt;b&gt;</td>");
        let words = "four ".repeat(40);
        let page = html(Cell::Long(words.clone()));
        let (start, whole) = page.split_once("</summary>").unwrap();
        let start = start.trim_start_matches("<td class=\"long\"><details><summary><span>");
        let start = start.strip_suffix(" …</span>").unwrap();
        assert!(start.len() <= SHOWN && start.ends_with("four"), "{page}");
        assert_eq!(whole, format!("{words}</details></td>"));
        // Letters of several bytes, and no space anywhere.
        assert!(html(Cell::Long("语".repeat(500))).contains("<details>"));
    }

    #[test]
    fn cells_are_escaped() {
        for cell in [Cell::Text, Cell::Long, Cell::Value, Cell::Figure] {
            assert!(!html(cell("<script>".to_string())).contains("<script"));
        }
        assert_eq!(html(Cell::Link("<i>".into(), "a\"b".into())), "<td><a href=\"a&quot;b\">&lt;i&gt;</a></td>");
    }
}
