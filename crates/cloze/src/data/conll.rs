//! Column files of sentences whose words have labels: a word a line, as in CoNLL's shared tasks, and CoNLL-U.

use std::collections::HashMap;
use std::path::Path;

use crate::data::columns::{self, ColumnSpec, Columns, counted};
use crate::data::options::{DataOptions, Faults, problem, unread_note};
use crate::data::words::Builder;
pub(crate) use crate::data::words::Sentence;
use crate::error::Error;
use crate::grouped;

/// Rows that are looked at to find how a file is separated, and how many columns it has.
const ROWS_LOOKED_AT: usize = 1_000;

/// Columns of a row at most. Known formats have up to 14; what has more is another kind of file, whose rows would take
/// many times the memory of their text.
const COLUMNS_MAX: usize = 1_000;

/// The columns of CoNLL-U, as `--columns` may name them.
const CONLLU: [&str; 10] = ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"];
const CONLLU_WORD: usize = 1;
const CONLLU_LABEL: usize = 3;

/// The sentences of a column file, and what was guessed.
///
/// **Separator and width.** Columns are separated by tabs where most rows have tabs, else by spaces, one or more. Every
/// row has as many as most rows have. Without a choice of columns the word is the first and the label the last; where
/// the first column numbers the words of each sentence, the word is the second, which is noted. A line of nothing but
/// spaces and tabs ends a sentence, and so does a line whose first column is `-DOCSTART-`, which is no word and begins a
/// document.
///
/// **Comments.** A comment is a line before the first word of a sentence that begins with `#` and has *not* as many
/// columns as the rows. Thus no word `#` is taken for a comment, also where it stands alone or its label follows after
/// a space. A comment that happens to have as many columns as the rows is read as a word.
///
/// **CoNLL-U** is known by its ending, or by ten columns of which the first has its ids. Ranges (`1-2`) and empty nodes
/// (`2.1`) are no words and are skipped. The word is `form`, the label `upos`, unless chosen otherwise by number or
/// name. A comment `# newdoc` begins a document.
pub(super) fn read(
    text: &str,
    is_conllu: bool,
    path: &Path,
    options: &DataOptions,
    needs_labels: bool,
    notes: &mut Vec<String>,
    faults: &mut Faults,
) -> Result<Vec<Sentence>, Error> {
    let mut layout = Layout::of(text, is_conllu);
    let Some((first, first_line)) = layout.model_row(text) else { return Ok(Vec::new()) };
    if !is_conllu && layout.has_conllu_ids(text) {
        layout.is_conllu = true;
        notes.push(format!("{}: read as CoNLL-U: the word is column 1, the label column 3", path.display()));
    }
    let wrong = |message: String| problem(path, Some(first_line), &message);
    if first.len() > COLUMNS_MAX {
        let message = format!(
            "the row has more than {} columns; expected a word a line with its label; check that it is the right file",
            grouped(COLUMNS_MAX as u64)
        );
        return Err(wrong(message));
    }
    let is_chosen = options.columns.is_some() || options.usual_columns.is_some();
    let columns = if layout.is_conllu {
        let names: Vec<&str> = CONLLU.into_iter().take(first.len()).collect();
        let find =
            |spec: Option<&ColumnSpec>| columns::find_words(&names, spec, needs_labels, (CONLLU_WORD, CONLLU_LABEL));
        let found = options.find(find).map_err(wrong)?;
        Columns { has_header: false, ..found }
    } else {
        let word = usize::from(!is_chosen && layout.numbers_words(text));
        if word > 0 {
            let path = path.display();
            notes.push(format!("{path}: column 0 numbers the words, so column 1 is read as the word"));
        }
        let find = |spec: Option<&ColumnSpec>| columns::find_words(&first, spec, needs_labels, (word, usize::MAX));
        options.find(find).map_err(wrong)?
    };
    let unread: Vec<String> = (0..first.len())
        .filter(|&at| !columns.reads(at))
        .map(|at| match (columns.has_header, layout.is_conllu) {
            (true, _) => first[at].trim().to_string(),
            (false, true) => format!("{at} ({})", CONLLU.get(at).unwrap_or(&"")),
            (false, false) => at.to_string(),
        })
        .collect();
    if needs_labels {
        notes.extend(unread_note(path, "columns", &unread));
    }
    let mut builder = Builder::new(path, options, text.len());
    builder.no_label = layout.is_conllu.then_some("_");
    let mut reader = Reader { path, layout, columns, first_line, builder };
    for (row, line) in text.lines().zip(1..) {
        if let Err(error) = reader.read_row(row, line) {
            reader.builder.fault(error, faults)?;
        }
    }
    Ok(reader.builder.finish(notes))
}

/// How the rows of a file are written.
#[derive(Clone, Copy, Debug)]
struct Layout {
    by_tabs: bool,
    is_conllu: bool,
    width: usize,
}

impl Layout {
    fn of(text: &str, is_conllu: bool) -> Layout {
        let rows = || rows(text).take(ROWS_LOOKED_AT).map(|(row, _)| row);
        let with_tabs = rows().filter(|row| row.contains('\t')).count();
        let by_tabs = is_conllu || 2 * with_tabs >= rows().count().max(1);
        let mut layout = Layout { by_tabs, is_conllu, width: 0 };
        // Lines that may be comments tell the width only where there are no others.
        let mut widths: Vec<usize> =
            rows().filter(|row| !row.starts_with('#')).map(|row| layout.split(row).len()).collect();
        if widths.is_empty() {
            widths = rows().map(|row| layout.split(row).len()).collect();
        }
        let mut counts: HashMap<usize, usize> = HashMap::new();
        widths.iter().for_each(|&width| *counts.entry(width).or_default() += 1);
        // Of widths that are as frequent, the first one.
        let most = counts.values().max().copied().unwrap_or(0);
        layout.width = widths.into_iter().find(|width| counts[width] == most).unwrap_or(0);
        layout
    }

    /// The cells of a row, of too many only the first.
    fn split<'t>(&self, row: &'t str) -> Vec<&'t str> {
        let cells = row.split(if self.by_tabs { '\t' } else { ' ' });
        // One more shows that there are too many.
        cells.filter(|cell| self.by_tabs || !cell.is_empty()).take(COLUMNS_MAX + 1).collect()
    }

    /// The first row of the width of most, and its line.
    fn model_row<'t>(&self, text: &'t str) -> Option<(Vec<&'t str>, usize)> {
        let cells = |(row, line): (&'t str, usize)| (self.split(row), line);
        let of_width = |(row, _): &(Vec<&str>, usize)| row.len() == self.width;
        let other = rows(text).filter(|(row, _)| !row.starts_with('#')).map(cells).find(of_width);
        other.or_else(|| rows(text).map(cells).find(of_width))
    }

    /// True if the first of ten columns has the ids of CoNLL-U.
    fn has_conllu_ids(&self, text: &str) -> bool {
        let mut ids = rows(text)
            .filter(|(row, _)| !row.starts_with('#'))
            .take(ROWS_LOOKED_AT)
            .map(|(row, _)| self.split(row))
            .filter(|cells| cells.len() == CONLLU.len())
            .map(|cells| cells[0])
            .peekable();
        let is_id = |id: &str| {
            let mut parts = id.splitn(2, ['-', '.']);
            parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.by_tabs && ids.peek().is_some() && ids.all(is_id)
    }

    /// True if the first of three or more columns counts the words of each sentence, from 0 or 1.
    fn numbers_words(&self, text: &str) -> bool {
        let (mut expected, mut longest) = (None, 0);
        for line in text.lines().take(2 * ROWS_LOOKED_AT) {
            if !is_row(line) {
                expected = None;
                continue;
            }
            let cells = self.split(line);
            if cells.len() != self.width {
                continue;
            }
            let Ok(number) = cells[0].parse::<usize>() else { return false };
            if expected.is_none() && number > 1 || expected.is_some_and(|expected| expected != number) {
                return false;
            }
            longest = longest.max(number);
            expected = Some(number + 1);
        }
        self.width > 2 && longest > 1
    }
}

/// Lines that are neither blank nor the start of a document, with their numbers.
fn rows(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.lines().zip(1..).filter(|(line, _)| is_row(line))
}

fn is_row(line: &str) -> bool {
    !is_blank(line) && !starts_document(line)
}

/// True if there is nothing but ASCII space. A no-break space may be somebody's word.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_whitespace())
}

fn starts_document(line: &str) -> bool {
    line.split([' ', '\t']).next() == Some("-DOCSTART-")
}

/// True for CoNLL-U's comment `# newdoc` or `# newdoc id = NAME`.
fn is_newdoc(comment: &str) -> bool {
    let mut words = comment.trim_start_matches('#').split_ascii_whitespace();
    words.next() == Some("newdoc")
}

/// Rows that become sentences.
struct Reader<'a> {
    path: &'a Path,
    layout: Layout,
    columns: Columns,
    /// The line of the row that told the columns.
    first_line: usize,
    builder: Builder<'a>,
}

impl Reader<'_> {
    fn read_row(&mut self, row: &str, line: usize) -> Result<(), Error> {
        if !is_row(row) {
            self.builder.end_sentence();
            self.builder.document += u32::from(starts_document(row));
            return Ok(());
        }
        let cells = self.layout.split(row);
        let is_header = self.columns.has_header && line == self.first_line;
        let is_comment = self.builder.is_at_start()
            && row.starts_with('#')
            && (self.layout.is_conllu || cells.len() != self.layout.width);
        if is_comment && is_newdoc(row) {
            self.builder.document += 1;
        }
        if is_header || is_comment || self.builder.is_left_out() {
            return Ok(());
        }
        if cells.len() != self.layout.width {
            let message = format!(
                "expected {} as in line {}, found {}; columns are separated by {} here",
                counted(self.layout.width),
                self.first_line,
                counted(cells.len()),
                if self.layout.by_tabs { "tabs" } else { "spaces" },
            );
            return Err(problem(self.path, Some(line), &message));
        }
        if self.layout.is_conllu && cells[0].contains(['-', '.']) {
            return Ok(());
        }
        let label = self.columns.labels.first().map(|&label| cells[label].trim());
        self.builder.add(cells[self.columns.text], label, line)
    }
}
