//! Tables of a report.

use crate::output::grouped;

use super::{escape, write};

/// Longer texts show their beginning, and the whole on request.
const SHOWN: usize = 160;
/// Places of up to so many characters, such as ids, stay on one line.
const PLACE_MAX: usize = 40;

/// Classes of tables whose cells stand below each other on a narrow page, each with the name of its column.
const STACKED: [&str; 3] = ["results", "metrics", "tall"];

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
    /// A line number or an id.
    Place(String),
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
                let column = columns.get(at).filter(|_| at > 0 && STACKED.contains(class));
                let column = column.map(|name| format!(" data-column=\"{}\"", escape(name)));
                cell.html(if at == 0 { "th" } else { "td" }, &column.unwrap_or_default(), page);
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody>\n</table></div>\n</section>\n");
    }
}

impl Cell {
    /// Writes the cell; `more` are further attributes.
    fn html(&self, tag: &str, more: &str, page: &mut String) {
        match self {
            Cell::Text(text) => write(page, format_args!("<{tag}{more}>{}</{tag}>", escape(text))),
            Cell::Place(text) => {
                let class = if text.chars().count() > PLACE_MAX { "place" } else { "place short" };
                write(page, format_args!("<{tag} class=\"{class}\"{more}>{}</{tag}>", escape(text)));
            }
            Cell::Long(text) => match text.char_indices().nth(SHOWN) {
                None => write(page, format_args!("<{tag} class=\"long\"{more}>{}</{tag}>", escape(text))),
                Some((end, _)) => {
                    // Between two words, if one ends not far before.
                    let end = text[..end].rfind(' ').filter(|space| 2 * space > end).unwrap_or(end);
                    let (start, whole) = (escape(&text[..end]), escape(text));
                    write(
                        page,
                        format_args!(
                            "<{tag} class=\"long\"{more}><details><summary><span>{start} …</span></summary>{whole}</details></{tag}>"
                        ),
                    );
                }
            },
            Cell::Value(text) => write(page, format_args!("<{tag} class=\"value\"{more}>{}</{tag}>", escape(text))),
            Cell::Figure(text) => write(page, format_args!("<{tag} class=\"figure\"{more}>{}</{tag}>", escape(text))),
            Cell::Shade(count, share) => {
                let count = grouped(*count as u64);
                write(page, format_args!("<{tag} class=\"shade\" style=\"--share:{share:.2}\"{more}>{count}</{tag}>"));
            }
            Cell::Link(text, to) => {
                write(page, format_args!("<{tag}{more}><a href=\"{}\">{}</a></{tag}>", escape(to), escape(text)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(cell: Cell) -> String {
        let mut page = String::new();
        cell.html("td", "", &mut page);
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
    fn ids_stay_on_a_line() {
        let id = "56ddde6b9a695914005b9628";
        assert_eq!(html(Cell::Place(id.to_string())), format!("<td class=\"place short\">{id}</td>"));
        assert!(html(Cell::Place("/a/long/path".repeat(9))).starts_with("<td class=\"place\">"));
    }

    #[test]
    fn cells_name_their_column_for_narrow_pages() {
        let table = Table {
            class: "metrics",
            columns: vec!["metric".to_string(), "what \"it\" is".to_string()],
            rows: vec![vec![Cell::Text("f1".to_string()), Cell::Value("0.5".to_string())]],
            ..Table::default()
        };
        let mut page = String::new();
        table.html(&mut page);
        let row = "<tr><th>f1</th><td class=\"value\" data-column=\"what &quot;it&quot; is\">0.5</td></tr>";
        assert!(page.contains(row), "{page}");
    }

    #[test]
    fn cells_are_escaped() {
        for cell in [Cell::Text, Cell::Long, Cell::Value, Cell::Figure] {
            assert!(!html(cell("<script>".to_string())).contains("<script"));
        }
        assert_eq!(html(Cell::Link("<i>".into(), "a\"b".into())), "<td><a href=\"a&quot;b\">&lt;i&gt;</a></td>");
    }
}
