//! BRAT's stand-off annotations: a text, and beside it a file `.ann` with a line for each labelled span.

use std::path::{Path, PathBuf};

use crate::data::options::{Budget, Faults, bytes_of, problem, string_cost, text_of};
use crate::data::spans::{Span, to_sentence};
use crate::data::words::Sentence;
use crate::error::{Error, at};

/// The sentences of an `.ann` file and its text, or of all such files in a folder, sorted by name. Each line of a text
/// is a sentence; lines that an entity joins are one. Only entities (`T`) are read.
pub(super) fn read(path: &Path, notes: &mut Vec<String>, faults: &mut Faults) -> Result<Vec<Sentence>, Error> {
    let files = if path.is_dir() { files_in(path)? } else { vec![path.to_path_buf()] };
    let (mut sentences, mut unread, mut within) = (Vec::new(), 0, 0);
    for (file, number) in files.into_iter().zip(1..) {
        let document = read_document(&file, faults, &mut unread)?;
        let Some(document) = document else { continue };
        for (text, spans, line) in document.sentences {
            let sentence = to_sentence(&text, spans, line).map_err(|message| problem(&file, None, &message));
            if let Some((mut sentence, own_within)) = faults.take(sentence)? {
                within += own_within;
                sentence.document = number;
                if !sentence.words.is_empty() {
                    sentences.push(sentence);
                }
            }
        }
    }
    if unread > 0 {
        notes.push(format!(
            "{}: relations, events, attributes and other lines that are not read: {unread}",
            path.display()
        ));
    }
    notes.extend(within_note(path, within));
    Ok(sentences)
}

/// Note on spans that split words.
pub(super) fn within_note(path: &Path, within: usize) -> Option<String> {
    (within > 0).then(|| {
        format!("{}: places where a span begins or ends within a word, which is split there: {within}", path.display())
    })
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at("read", folder))? {
        let path = entry.map_err(at("read", folder))?.path();
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ann")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(problem(folder, None, "the folder holds no .ann file; expected those of BRAT beside their .txt"));
    }
    Ok(files)
}

/// Lines of a text with their spans, and the line at which each begins.
struct Document {
    sentences: Vec<(Vec<char>, Vec<Span>, usize)>,
}

/// Nothing if the file has a fault, which is noted.
fn read_document(path: &Path, faults: &mut Faults, unread: &mut usize) -> Result<Option<Document>, Error> {
    let text_path = path.with_extension("txt");
    let bytes = bytes_of(&text_path)?;
    // Offsets count the byte-order mark as nothing, but each end of a line as it stands.
    let text: Vec<char> = text_of(&bytes, &text_path)?.chars().collect();
    let annotations = bytes_of(path)?;
    let mut budget = Budget::of_words(bytes.len() + annotations.len());
    let mut spans = Vec::new();
    for (row, line) in text_of(&annotations, path)?.lines().zip(1..) {
        if row.trim().is_empty() {
            continue;
        }
        if !row.starts_with('T') {
            *unread += 1;
            continue;
        }
        let span = span_of(row, &text).map_err(|message| problem(path, Some(line), &message));
        match faults.take(span)? {
            Some(span) => {
                budget.take(string_cost(span.label.len()) + size_of::<Span>(), path, line)?;
                spans.push(span);
            }
            // A text without one of its entities would teach that it is none.
            None => return Ok(None),
        }
    }
    spans.sort_by_key(|span| (span.start, span.end));
    budget.take(text.len() * 16, path, 1)?;
    Ok(Some(Document { sentences: lines_with_spans(&text, &spans) }))
}

/// `T1<tab>LABEL START END<tab>TEXT`
fn span_of(row: &str, text: &[char]) -> Result<Span, String> {
    let wrong = || "expected `T1`, a tab, label, start and end, a tab, and the text".to_string();
    let mut parts = row.splitn(3, '\t');
    let (_, place, own) = (parts.next(), parts.next().ok_or_else(wrong)?, parts.next());
    if place.contains(';') {
        return Err(format!("the entity `{place}` has several parts; labels of words tell only whole ones"));
    }
    let mut place = place.split_whitespace();
    let label = place.next().ok_or_else(wrong)?.to_string();
    let mut number = || place.next().and_then(|number| number.parse::<usize>().ok()).ok_or_else(wrong);
    let (start, end) = (number()?, number()?);
    let found = text.get(start..end).filter(|found| !found.is_empty());
    let found = found.ok_or_else(|| format!("the entity from {start} to {end} is not within the text"))?;
    let flat = |c: char| if c.is_whitespace() { ' ' } else { c };
    if let Some(own) = own.filter(|own| !found.iter().map(|&c| flat(c)).eq(own.chars().map(flat))) {
        let found: String = found.iter().take(60).collect();
        return Err(format!("the text from {start} to {end} is `{found}`, not `{own}`"));
    }
    Ok(Span { start, end, label })
}

fn lines_with_spans(text: &[char], spans: &[Span]) -> Vec<(Vec<char>, Vec<Span>, usize)> {
    let (mut sentences, mut start, mut line, mut first_line, mut next) = (Vec::new(), 0, 1, 1, 0);
    for at in 0..=text.len() {
        let ends = at == text.len() || text[at] == '\n';
        if !ends {
            continue;
        }
        line += 1;
        // A span over the end of the line joins it with the next.
        if at < text.len() && spans[next..].iter().take_while(|span| span.start < at).any(|span| span.end > at) {
            continue;
        }
        let within = spans[next..].iter().take_while(|span| span.start < at).count();
        let own = spans[next..next + within].iter();
        let own = own.map(|span| Span { start: span.start - start, end: span.end - start, label: span.label.clone() });
        if start < at {
            sentences.push((text[start..at].to_vec(), own.collect(), first_line));
        }
        next += within;
        (start, first_line) = (at + 1, line);
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a sentence, and its words with their labels.
    type Told = (usize, String);

    /// All sentences, and the notes.
    fn read_files(files: &[(&str, &str)], name: &str) -> Result<(Vec<Told>, Vec<String>), String> {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
        let mut notes = Vec::new();
        let sentences = read(&dir.path().join(name), &mut notes, &mut Faults::end_reading());
        let told = |sentence: &Sentence| {
            let words = sentence.words.iter().zip(&sentence.labels).map(|(word, label)| format!("{word}/{label}"));
            (sentence.line, words.collect::<Vec<_>>().join(" "))
        };
        Ok((sentences.map_err(|error| error.to_string())?.iter().map(told).collect(), notes))
    }

    const TEXT: &str = "Ann Lee came.\n\nShe lives in New\nYork.\n";

    #[test]
    fn lines_are_sentences_and_entities_join_them() {
        let ann = "T1\tPER 0 7\tAnn Lee\nR1\tLives Arg1:T1 Arg2:T2\nT2\tLOC 28 36\tNew York\n";
        let (sentences, notes) = read_files(&[("a.txt", TEXT), ("a.ann", ann)], "a.ann").unwrap();
        let expected = [
            (1, "Ann/B-PER Lee/I-PER came/O ./O".to_string()),
            (3, "She/O lives/O in/O New/B-LOC York/I-LOC ./O".to_string()),
        ];
        assert_eq!(sentences, expected);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].ends_with("other lines that are not read: 1"), "{notes:?}");
    }

    #[test]
    fn a_folder_holds_many_documents() {
        let files = [("b.txt", "b"), ("b.ann", ""), ("a.txt", "a"), ("a.ann", "T1\tX 0 1\ta\n"), ("c.txt", "c")];
        let (sentences, _) = read_files(&files, "").unwrap();
        assert_eq!(sentences, [(1, "a/B-X".to_string()), (1, "b/O".to_string())]);
        assert!(read_files(&[("c.txt", "c")], "").unwrap_err().contains("holds no .ann file"));
    }

    #[test]
    fn faults_name_file_and_line() {
        let fault = |ann: &str| read_files(&[("a.txt", TEXT), ("a.ann", ann)], "a.ann").unwrap_err();
        assert!(fault("\nT1\tPER 0 90\tAnn\n").contains("a.ann:2: the entity from 0 to 90 is not within the text"));
        assert!(fault("T1\tPER 0 3\tBob\n").contains("a.ann:1: the text from 0 to 3 is `Ann`, not `Bob`"));
        assert!(fault("T1\tPER 0 3;4 7\tAnn Lee\n").contains("has several parts"));
        assert!(fault("T1 PER\n").contains("a.ann:1: expected `T1`"));
        assert!(fault("T1\tPER 0 7\tAnn Lee\nT2\tX 4 7\tLee\n").contains("overlap"));
        assert!(read_files(&[("a.ann", "")], "a.ann").unwrap_err().contains("a.txt"));
    }
}
