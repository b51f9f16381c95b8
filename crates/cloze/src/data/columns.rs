//! Which columns of a table, or fields of records, hold texts and labels.

use std::str::FromStr;

use crate::error::Error;

/// Names of the column of the only or first text, in small letters.
const TEXT_NAMES: &[&str] = &["text", "text_a", "sentence", "sentence1", "#1 string"];
/// Names of the column of the second text.
const TEXT_B_NAMES: &[&str] = &["text_b", "text_pair", "sentence2", "#2 string"];
/// Names that mean first and second text only together.
const PAIRS: &[(&str, &str)] =
    &[("question", "sentence"), ("question1", "question2"), ("premise", "hypothesis"), ("query", "document")];
/// Names of the column of the label.
const LABEL_NAMES: &[&str] = &["label", "labels", "quality", "score", "gold_label"];
/// Names of the fields of labelled spans.
const SPAN_NAMES: &[&str] = &["entities", "spans", "ents", "label", "labels"];
/// Names of the text that is asked about.
const CONTEXT_NAMES: &[&str] = &["context", "passage", "paragraph"];
/// Names of the answer.
const ANSWER_NAMES: &[&str] = &["answers", "answer", "answer_text"];
/// Names of the fields of a sentence's words.
const WORD_NAMES: &[&str] = &["words", "tokens"];
/// Names of the columns of a table with a word a row: the word, its label, the sentence.
const TABLE_WORD_NAMES: &[&str] = &["word", "words", "token", "tokens"];
const TABLE_LABEL_NAMES: &[&str] = &["label", "labels", "tag", "tags", "ner_tag", "ner_tags", "ner"];
const TABLE_SENTENCE_NAMES: &[&str] =
    &["sentence #", "sentence#", "sentence", "sentence_id", "sentence id", "sentence_idx", "sent_id"];
/// Names of the fields of the labels of its words.
const WORD_LABEL_NAMES: &[&str] = &["labels", "label", "ner_tags", "tags", "pos_tags"];

const NUMBERED_FIELDS: &str = "fields have names; choose them by name, not by number";
const CHOOSE: &str = "choose with --columns text=NAME,text_b=NAME,label=NAME";

/// A choice of columns, as in `text=NAME|N,text_b=NAME|N,label=NAME|N`.
///
/// Columns go by name, in any case, or all by number from 0; numbers mean that the table has no header. Columns that
/// are not chosen are recognised by their usual names. But where `text` is chosen and `text_b` is not, there is no
/// second text. `label` may be given several times: each names a column that holds 1 where the text has that label.
///
/// Where words have labels, `text` is the column of the word: by default the first, and the last that of the label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnSpec {
    text: Option<Column>,
    text_b: Option<Column>,
    labels: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Name(String),
    Number(usize),
}

impl FromStr for ColumnSpec {
    type Err = Error;

    fn from_str(spec: &str) -> Result<ColumnSpec, Error> {
        let wrong = |message: String| Error::Settings(format!("columns `{spec}`: {message}"));
        let mut columns = ColumnSpec::default();
        for part in spec.split(',') {
            let Some((role, column)) = part.split_once('=') else {
                return Err(wrong(format!("expected text=, text_b= or label= with a column, found `{part}`")));
            };
            let (role, name) = (role.trim(), column.trim());
            if name.is_empty() {
                return Err(wrong(format!("no column is given for `{role}`")));
            }
            let column = name.parse().map_or_else(|_| Column::Name(name.to_string()), Column::Number);
            let place = match role {
                "text" => &mut columns.text,
                "text_b" => &mut columns.text_b,
                "label" if columns.labels.contains(&column) => {
                    return Err(wrong(format!("`label={name}` is given twice")));
                }
                "label" => {
                    columns.labels.push(column);
                    continue;
                }
                other => return Err(wrong(format!("`{other}` is none of text, text_b, label"))),
            };
            if place.is_some() {
                return Err(wrong(format!("`{role}` is given twice")));
            }
            *place = Some(column);
        }
        let is_number = |column: &&Column| matches!(column, Column::Number(_));
        let numbers = columns.chosen().filter(is_number).count();
        if numbers > 0 && numbers < columns.chosen().count() {
            return Err(wrong("a number means that there is no header, so the others need numbers, too".to_string()));
        }
        if numbers > 0 && columns.text.is_none() {
            return Err(wrong("without a header the column of the text must be given, as text=N".to_string()));
        }
        Ok(columns)
    }
}

impl ColumnSpec {
    fn chosen(&self) -> impl Iterator<Item = &Column> {
        [&self.text, &self.text_b].into_iter().flatten().chain(&self.labels)
    }

    /// The same choice without labels.
    pub(crate) fn without_labels(&self) -> ColumnSpec {
        ColumnSpec { labels: Vec::new(), ..self.clone() }
    }

    /// True if columns are chosen by number, so that there is no header.
    pub(crate) fn has_numbers(&self) -> bool {
        self.chosen().any(|column| matches!(column, Column::Number(_)))
    }
}

/// Where texts and labels stand in every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) text: usize,
    pub(crate) text_b: Option<usize>,
    /// The column of the label; several where each is a label of its own.
    pub(crate) labels: Vec<usize>,
    /// Whether the first row holds names.
    pub(crate) has_header: bool,
    /// True if the labels are columns that were recognised by holding 0 and 1.
    pub(crate) are_flags: bool,
}

impl Columns {
    /// True if a column is read.
    pub(crate) fn reads(&self, column: usize) -> bool {
        column == self.text || self.text_b == Some(column) || self.labels.contains(&column)
    }
}

/// Columns to find besides the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A label, if there is one.
    LabelIfAny,
    /// A label. Where no name says which column has it, an error.
    Label,
}

/// Finds the columns by the first row of a table. The error is a message for the user. Without a column for the label
/// the list of labels is empty; it is for the caller to say [`no_label`], where one is needed.
pub(crate) fn find(first_row: &[&str], spec: Option<&ColumnSpec>, wanted: Wanted) -> Result<Columns, String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    let has_header = !spec.has_numbers();
    let names: Vec<&str> = first_row.iter().map(|name| name.trim()).collect();
    let (text, text_b) = match (&spec.text, &spec.text_b) {
        (Some(text), text_b) => {
            (locate(text, &names)?, text_b.as_ref().map(|column| locate(column, &names)).transpose()?)
        }
        (None, Some(text_b)) => {
            let text_b = locate(text_b, &names)?;
            let texts: Vec<usize> = places(&names, TEXT_NAMES).into_iter().filter(|&at| at != text_b).collect();
            (only(&texts, &names)?.ok_or_else(|| unrecognised("text", &names))?, Some(text_b))
        }
        (None, None) => recognise_texts(&names)?,
    };
    let labels = match spec.labels.as_slice() {
        [] if has_header => {
            let taken = |at: &usize| *at != text && Some(*at) != text_b;
            let found: Vec<usize> = places(&names, LABEL_NAMES).into_iter().filter(taken).collect();
            match wanted {
                Wanted::Label => only(&found, &names)?.into_iter().collect(),
                Wanted::LabelIfAny if found.len() == 1 => found,
                Wanted::LabelIfAny => Vec::new(),
            }
        }
        [] if wanted == Wanted::Label => {
            return Err("the column of the label is missing; add label=N".to_string());
        }
        chosen => chosen.iter().map(|column| locate(column, &names)).collect::<Result<_, _>>()?,
    };
    Ok(Columns { text, text_b, labels, has_header, are_flags: false })
}

/// The message for a table in which no name says which column is the label.
pub(crate) fn no_label(first_row: &[&str]) -> String {
    let names: Vec<&str> = first_row.iter().map(|name| name.trim()).collect();
    unrecognised("label", &names)
}

/// The columns of a single text or of a pair, by their names.
fn recognise_texts(names: &[&str]) -> Result<(usize, Option<usize>), String> {
    let mut texts = places(names, TEXT_NAMES);
    let mut texts_b = places(names, TEXT_B_NAMES);
    let mut pairs = Vec::new();
    for (first, second) in PAIRS {
        if let ([first], [second]) = (&*places(names, &[first]), &*places(names, &[second])) {
            pairs.push((*first, *second));
            // A name that the pair explains stands for nothing else.
            texts.retain(|at| at != first && at != second);
            texts_b.retain(|at| at != first && at != second);
        }
    }
    match (pairs.as_slice(), only(&texts, names)?, only(&texts_b, names)?) {
        ([], Some(text), text_b) => Ok((text, text_b)),
        ([(first, second)], None, None) => Ok((*first, Some(*second))),
        ([], None, _) => Err(unrecognised("text", names)),
        (pairs, text, text_b) => {
            let mut all: Vec<usize> = pairs.iter().flat_map(|&(first, second)| [first, second]).collect();
            all.extend(text.into_iter().chain(text_b));
            all.sort_unstable();
            all.dedup();
            Err(ambiguous(&all, names))
        }
    }
}

/// Finds the fields of a record by their names.
pub(crate) fn find_fields(names: &[&str], spec: Option<&ColumnSpec>, wanted: Wanted) -> Result<Columns, String> {
    if spec.is_some_and(ColumnSpec::has_numbers) {
        return Err(NUMBERED_FIELDS.to_string());
    }
    find(names, spec, wanted)
}

/// Finds the columns of a file that has a word a line: as chosen, else `word` and `label`, which may lie behind the
/// last column and is then that one. Only names make the first row a header.
pub(crate) fn find_words(
    first_row: &[&str],
    spec: Option<&ColumnSpec>,
    needs_label: bool,
    (word, label): (usize, usize),
) -> Result<Columns, String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    refuse_second_text(spec)?;
    let has_header = spec.chosen().any(|column| matches!(column, Column::Name(_)));
    let names: Vec<&str> = first_row.iter().map(|name| name.trim()).collect();
    let text = spec.text.as_ref().map_or(Ok(word), |column| locate(column, &names))?;
    if text >= names.len() {
        return Err(format!("the first row has {}; expected the word in column {word}", counted(names.len())));
    }
    if !needs_label {
        return Ok(Columns { text, text_b: None, labels: Vec::new(), has_header, are_flags: false });
    }
    let label = spec.labels.first().map_or(Ok(label.min(names.len() - 1)), |column| locate(column, &names))?;
    if label == text {
        let columns =
            if names.len() == 1 { "the first row has 1 column" } else { "word and label are the same column" };
        return Err(format!("{columns}; expected a word and its label; choose with --columns text=N,label=N, from 0"));
    }
    Ok(Columns { text, text_b: None, labels: vec![label], has_header, are_flags: false })
}

/// "1 column" or "3 columns".
pub(crate) fn counted(columns: usize) -> String {
    format!("{columns} column{}", if columns == 1 { "" } else { "s" })
}

/// Where the words of a record are, and the labels of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WordFields {
    pub(crate) words: Option<usize>,
    pub(crate) labels: Option<usize>,
}

/// Finds the fields of a record that hold words and their labels. A field that was chosen and is not there is an error.
pub(crate) fn find_word_fields(names: &[&str], spec: Option<&ColumnSpec>) -> Result<WordFields, String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    refuse_second_text(spec)?;
    if spec.has_numbers() {
        return Err(NUMBERED_FIELDS.to_string());
    }
    let words = match &spec.text {
        Some(column) => Some(locate(column, names)?),
        None => only(&places(names, WORD_NAMES), names)?,
    };
    let labels = match spec.labels.as_slice() {
        [] => only(&places(names, WORD_LABEL_NAMES), names)?,
        [column] => Some(locate(column, names)?),
        _ => return Err("the labels of words stand in one field; give one label=NAME".to_string()),
    };
    Ok(WordFields { words, labels })
}

/// Where a table with a word a row has what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableColumns {
    pub(crate) sentence: usize,
    pub(crate) word: usize,
    pub(crate) label: Option<usize>,
}

/// Finds the columns of a table with a word a row.
pub(crate) fn find_table_of_words(names: &[&str], spec: Option<&ColumnSpec>) -> Result<TableColumns, String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    refuse_second_text(spec)?;
    let missing = || "no columns of words and sentences".to_string();
    let sentence = only(&places(names, TABLE_SENTENCE_NAMES), names)?.ok_or_else(missing)?;
    let word = match &spec.text {
        Some(column) => locate(column, names)?,
        None => only(&places(names, TABLE_WORD_NAMES), names)?.ok_or_else(missing)?,
    };
    let label = match spec.labels.as_slice() {
        [] => only(&places(names, TABLE_LABEL_NAMES), names)?,
        [column] => Some(locate(column, names)?),
        _ => return Err("the labels of words stand in one column; give one label=NAME".to_string()),
    };
    Ok(TableColumns { sentence, word, label })
}

/// Finds the fields of a text and of its labelled spans.
pub(crate) fn find_span_fields(names: &[&str], spec: Option<&ColumnSpec>) -> Result<(usize, Option<usize>), String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    refuse_second_text(spec)?;
    if spec.has_numbers() {
        return Err(NUMBERED_FIELDS.to_string());
    }
    let text = match &spec.text {
        Some(column) => Some(locate(column, names)?),
        None => only(&places(names, TEXT_NAMES), names)?,
    };
    let spans = match spec.labels.as_slice() {
        [] => only(&places(names, SPAN_NAMES), names)?,
        [column] => Some(locate(column, names)?),
        _ => return Err("the spans of a text stand in one field; give one label=NAME".to_string()),
    };
    Ok((text.ok_or_else(|| no_words(names))?, spans))
}

/// Where a question, its context and its answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuestionFields {
    pub(crate) question: usize,
    pub(crate) context: usize,
    pub(crate) answer: Option<usize>,
    pub(crate) start: Option<usize>,
    pub(crate) id: Option<usize>,
    pub(crate) is_impossible: Option<usize>,
}

/// Finds the fields of a question: `question` and `context`, else those of a pair of texts.
pub(crate) fn find_question_fields(names: &[&str], spec: Option<&ColumnSpec>) -> Result<QuestionFields, String> {
    let none_chosen = ColumnSpec::default();
    let spec = spec.unwrap_or(&none_chosen);
    if spec.has_numbers() {
        return Err(NUMBERED_FIELDS.to_string());
    }
    let named = |wanted: &[&str]| only(&places(names, wanted), names);
    let question = named(&["question"])?;
    let context = named(CONTEXT_NAMES)?;
    let (question, context) = match (&spec.text, &spec.text_b) {
        (None, None) if question.is_some() && context.is_some() => (question, context),
        (None, None) => match recognise_texts(names) {
            Ok((text, Some(text_b))) => (Some(text), Some(text_b)),
            _ => (question, context),
        },
        (text, text_b) => {
            let chosen = |column: &Option<Column>| column.as_ref().map(|column| locate(column, names)).transpose();
            (chosen(text)?.or(question), chosen(text_b)?.or(context))
        }
    };
    let missing = |what: &str, known: &str, column: &str| {
        format!(
            "no column or field for the {what} (known names: {known}); there are {}. Choose with --columns \
             text=QUESTION,text_b=CONTEXT,label=ANSWER, here {column}=NAME",
            listed(names)
        )
    };
    let answer = match spec.labels.as_slice() {
        [] => named(ANSWER_NAMES)?,
        [column] => Some(locate(column, names)?),
        _ => return Err("the answer stands in one column; give one label=NAME".to_string()),
    };
    Ok(QuestionFields {
        question: question.ok_or_else(|| missing("question", "question", "text"))?,
        context: context.ok_or_else(|| missing("context", &CONTEXT_NAMES.join(", "), "text_b"))?,
        answer,
        start: named(&["answer_start"])?,
        id: named(&["id", "qid"])?,
        is_impossible: named(&["is_impossible"])?,
    })
}

/// The message for a question without a field for its answer.
pub(crate) fn no_answer(names: &[&str]) -> String {
    format!(
        "no column or field for the answer (known names: {}); there are {}. Choose with --columns label=NAME",
        ANSWER_NAMES.join(", "),
        listed(names)
    )
}

/// The message for a record without words.
pub(crate) fn no_words(names: &[&str]) -> String {
    format!(
        "no field for the words (known names: {}), nor a text with labelled spans (text, with {}); there are {}. Choose \
         with --columns text=NAME,label=NAME",
        WORD_NAMES.join(", "),
        SPAN_NAMES.join(", "),
        listed(names)
    )
}

/// The message for a record without labels of its words.
pub(crate) fn no_word_labels(names: &[&str]) -> String {
    format!(
        "no field for the labels of the words (known names: {}); there are {}. Choose with --columns \
         text=NAME,label=NAME",
        WORD_LABEL_NAMES.join(", "),
        listed(names)
    )
}

fn refuse_second_text(spec: &ColumnSpec) -> Result<(), String> {
    match spec.text_b {
        Some(_) => Err("words have no second text; choose with --columns text=…,label=…".to_string()),
        None => Ok(()),
    }
}

/// The place of a chosen column among those there are: by its exact name, else by its name in any case.
fn locate(column: &Column, names: &[&str]) -> Result<usize, String> {
    match column {
        Column::Number(number) if *number < names.len() => Ok(*number),
        Column::Number(number) => {
            Err(format!("there is no column {number}, counted from 0; the first row has {}", counted(names.len())))
        }
        Column::Name(name) => {
            let exact: Vec<usize> = (0..names.len()).filter(|&at| names[at] == name).collect();
            let found = if exact.is_empty() { places(names, &[&name.to_lowercase()]) } else { exact };
            only(&found, names)?.ok_or_else(|| format!("no column or field `{name}`; there are {}", listed(names)))
        }
    }
}

/// The places of `wanted`, which are in small letters, among names in any case.
fn places(names: &[&str], wanted: &[&str]) -> Vec<usize> {
    (0..names.len()).filter(|&at| wanted.contains(&names[at].to_lowercase().as_str())).collect()
}

/// The only one of some places.
fn only(places: &[usize], names: &[&str]) -> Result<Option<usize>, String> {
    match places {
        [] => Ok(None),
        [place] => Ok(Some(*place)),
        _ => Err(ambiguous(places, names)),
    }
}

fn ambiguous(places: &[usize], names: &[&str]) -> String {
    let found: Vec<&str> = places.iter().map(|&place| names[place]).collect();
    format!("{} could each be meant; {CHOOSE}", listed(&found))
}

fn unrecognised(role: &str, names: &[&str]) -> String {
    let pairs = PAIRS.iter().map(|(first, second)| format!("{first}/{second}")).collect::<Vec<_>>().join(", ");
    let known = match role {
        "label" => LABEL_NAMES.join(", "),
        _ => format!("{}; pairs: {pairs}", TEXT_NAMES.join(", ")),
    };
    format!(
        "no column or field for the {role} (known names: {known}); there are {}. Choose with --columns \
         text=NAME,text_b=NAME,label=NAME, or by numbers from 0 if the first line is no header",
        listed(names)
    )
}

/// The names for a message; a first row that is no header may be long, so its cells are cut.
fn listed(names: &[&str]) -> String {
    let shown = |name: &&str| match name.char_indices().nth(30) {
        Some((end, _)) => format!("`{}…`", &name[..end]),
        None => format!("`{name}`"),
    };
    names.iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are divided by spaces.
    fn found(names: &str) -> Result<(&str, Option<&str>, Vec<&str>), String> {
        let names: Vec<&str> = names.split(' ').collect();
        let columns = find(&names, None, Wanted::LabelIfAny)?;
        let labels = columns.labels.iter().map(|&at| names[at]).collect();
        Ok((names[columns.text], columns.text_b.map(|at| names[at]), labels))
    }

    #[test]
    fn usual_names_are_recognised_in_any_case() {
        for (names, text, text_b) in [
            ("index question sentence label", "question", Some("sentence")),
            ("Text Text_Pair LABEL", "Text", Some("Text_Pair")),
            ("id qid1 question1 question2 labels", "question1", Some("question2")),
            ("premise hypothesis idx label", "premise", Some("hypothesis")),
            ("sentence1 sentence2 gold_label", "sentence1", Some("sentence2")),
            ("text_a text_b score", "text_a", Some("text_b")),
            ("query document Quality", "query", Some("document")),
            ("question text label", "text", None),
            ("sentence label", "sentence", None),
            ("document text label", "text", None),
        ] {
            let (found_text, found_b, labels) = found(names).unwrap();
            assert_eq!((found_text, found_b, labels.len()), (text, text_b, 1), "{names}");
        }
    }

    #[test]
    fn names_that_could_each_be_meant_are_an_error() {
        for (names, listed) in [
            ("text sentence label", "`text`, `sentence` could"),
            ("question sentence text label", "`question`, `sentence`, `text` could"),
            ("premise hypothesis text", "`premise`, `hypothesis`, `text` could"),
            ("question1 question2 premise hypothesis", "`question1`, `question2`, `premise`, `hypothesis` could"),
            ("text text_b text_pair", "`text_b`, `text_pair` could"),
        ] {
            let message = found(names).unwrap_err();
            assert!(message.starts_with(listed), "{names}: {message}");
        }
        assert!(found("question label").unwrap_err().starts_with("no column or field for the text"));
    }

    #[test]
    fn labels_may_be_several_columns() {
        let spec: ColumnSpec = "text=body,label=toxic,label=rude".parse().unwrap();
        let columns = find(&["id", "Body", "Toxic", "rude"], Some(&spec), Wanted::Label).unwrap();
        assert_eq!((columns.text, columns.labels), (1, vec![2, 3]));
        assert!("label=a,label=a".parse::<ColumnSpec>().unwrap_err().to_string().contains("`label=a` is given twice"));
    }

    #[test]
    fn words_and_their_labels_have_usual_names() {
        let fields = |names: &[&str]| find_word_fields(names, None).unwrap();
        assert_eq!(fields(&["id", "tokens", "ner_tags"]), WordFields { words: Some(1), labels: Some(2) });
        assert_eq!(fields(&["labels", "words"]), WordFields { words: Some(1), labels: Some(0) });
        assert_eq!(fields(&["text"]), WordFields { words: None, labels: None });
        assert!(
            find_word_fields(&["tokens", "pos_tags", "ner_tags"], None).unwrap_err().contains("could each be meant")
        );
    }
}
