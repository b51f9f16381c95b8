use super::*;
use crate::data::ColumnSpec;

fn read(content: &str, format: Format, columns: &str, needs_label: bool) -> Result<Vec<Example>, String> {
    read_bytes(content.as_bytes(), format, columns, needs_label)
}

/// `columns` is "" for none; `Err` is the message.
fn read_bytes(content: &[u8], format: Format, columns: &str, needs_label: bool) -> Result<Vec<Example>, String> {
    let options = DataOptions::of_columns((!columns.is_empty()).then(|| columns.parse().unwrap()));
    let labelling = if needs_label { Labelling::One } else { Labelling::Optional };
    read_with(content, format, &options, labelling).map(|read| read.items)
}

fn read_with(
    content: &[u8],
    format: Format,
    options: &DataOptions,
    labelling: Labelling,
) -> Result<Read<Example>, String> {
    read_examples_from(content, format, Path::new("data"), options, labelling).map_err(|error| error.to_string())
}

fn example(text: &str, text_b: Option<&str>, label: Option<&str>, line: usize) -> Example {
    let labels: Vec<String> = label.map(str::to_string).into_iter().collect();
    let labels = labels.into();
    Example { text: text.to_string(), text_b: text_b.map(str::to_string), labels, line }
}

#[test]
fn tsv_has_no_quoting() {
    let table = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n\
        1\t7\t8\tHe said \" no .\t\" Yes \", she.\r\n\r\n0\t9\t9\ta, b\tc\r\n";
    let expected =
        [example("He said \" no .", Some("\" Yes \", she."), Some("1"), 2), example("a, b", Some("c"), Some("0"), 4)];
    assert_eq!(read(table, Format::Tsv, "", true).unwrap(), expected);
}

#[test]
fn csv_has_quoting() {
    let table = "\u{feff}label,sentence\n x ,\"a, \"\"b\"\"\nc\"\n\ny,d\n";
    let expected = [example("a, \"b\"\nc", None, Some("x"), 2), example("d", None, Some("y"), 5)];
    assert_eq!(read(table, Format::Csv, "", true).unwrap(), expected);
    assert_eq!(read(&table.replace('\n', "\r\n"), Format::Csv, "", true).unwrap()[1], expected[1]);
}

#[test]
fn json_lines_have_fields() {
    let table = "{\"text\": \"a\\tb\", \"label\": 1, \"more\": []}\n\n\
        {\"label\": \"x\", \"text_b\": \"c\", \"text\": \"d\"}\n\
        {\"sentence1\": \"e\", \"sentence2\": \"f\", \"score\": 2.5}";
    let expected = [
        example("a\tb", None, Some("1"), 1),
        example("d", Some("c"), Some("x"), 3),
        example("e", Some("f"), Some("2.5"), 4),
    ];
    assert_eq!(read(table, Format::Jsonl, "", true).unwrap(), expected);
    let expected = [example("c", None, Some("1"), 1)];
    let table = "{\"body\": \"c\", \"text\": \"a\", \"class\": 1, \"text_b\": \"b\"}";
    assert_eq!(read(table, Format::Jsonl, "text=body,label=class", true).unwrap(), expected);
    // A label that nobody asked for may be anything.
    let expected = [example("c", None, None, 1)];
    assert_eq!(read("{\"text\": \"c\", \"label\": [1, 2]}", Format::Jsonl, "", false).unwrap(), expected);
}

#[test]
fn several_labels_are_a_list_or_have_commas_between() {
    let read = |content: &str, format| {
        let read = read_with(content.as_bytes(), format, &DataOptions::default(), Labelling::Several);
        read.map(|read| read.items.iter().map(|example| example.labels.to_vec()).collect::<Vec<_>>())
    };
    let expected = [vec!["a".to_string(), "b c".to_string()], vec![], vec!["a".to_string()]];
    assert_eq!(read("text\tlabel\nx\ta, b c\ny\t\nz\ta,\n", Format::Tsv).unwrap(), expected);
    let json = "{\"text\": \"x\", \"label\": [\"a\", \"b c\"]}\n{\"text\": \"y\", \"label\": []}\n\
        {\"text\": \"z\", \"label\": \"a\"}";
    assert_eq!(read(json, Format::Jsonl).unwrap(), expected);
    let message = read("{\"text\": \"x\", \"label\": [[]]}", Format::Jsonl).unwrap_err();
    assert!(message.contains("data:1: field `label` holds []; expected one label"), "{message}");
}

#[test]
fn every_line_of_plain_text_is_a_text() {
    let expected = [example("a\tb", None, None, 1), example("", None, None, 2), example(" c ", None, None, 3)];
    assert_eq!(read("a\tb\r\n\n c \n", Format::Text, "", false).unwrap(), expected);
}

#[test]
fn columns_are_chosen_by_name_or_number() {
    let table = "id\tbody\tlabel\ttext_b\n1\ta\tx\tb\n";
    let read_with = |columns: &str| read(table, Format::Tsv, columns, true).unwrap();
    assert_eq!(read_with("text=body"), [example("a", None, Some("x"), 2)]);
    assert_eq!(read_with("text=body,text_b=text_b,label=id"), [example("a", Some("b"), Some("1"), 2)]);
    assert_eq!(read_with("text=body,text_b=body"), [example("a", Some("a"), Some("x"), 2)]);
    let expected = [example("body", None, Some("id"), 1), example("a", None, Some("1"), 2)];
    assert_eq!(read_with("text=1,label=0"), expected);
    let unlabelled = read("a\tb\n", Format::Tsv, "text=1", false).unwrap();
    assert_eq!(unlabelled, [example("b", None, None, 1)]);
    let labelled = read("text\tscore\na\t1\n", Format::Tsv, "", false).unwrap();
    assert_eq!(labelled, [example("a", None, Some("1"), 2)]);
}

/// Columns, with the examples or the message that they give.
#[test]
fn faults_are_named() {
    let tsv = |table: &str, columns: &str| read(table, Format::Tsv, columns, true).unwrap_err();
    let json = |table: &str| read(table, Format::Jsonl, "", true).unwrap_err();
    let cases = [
        (tsv("", ""), "data: there are no examples in it"),
        (tsv("\n", ""), "data: there are no examples in it"),
        (tsv("text\tlabel\n", ""), "data: there are no examples in it"),
        (tsv("body\tlabel\na\t1\n", ""), "data:1: no column or field for the text (known names: text, text_a,"),
        (tsv("body\tlabel\na\t1\n", ""), "there are `body`, `label`."),
        (tsv("text\tclass\na\t1\n", ""), "data:1: no column or field for the label (known names: label, labels,"),
        (tsv("text\tlabel\na\t1\n", "text=body"), "data:1: no column or field `body`; there are `text`, `label`"),
        (tsv("text\tlabel\tscore\n", ""), "data:1: `label`, `score` could each be meant; choose with"),
        (tsv("text\tlabel\ttext\n", ""), "data:1: `text`, `text` could each be meant; choose with"),
        (tsv("text\tlabel\na\t1\nb\n", ""), "data:3: 1 column, where the first row has 2"),
        (tsv("text\tlabel\na\tb\t1\n", ""), "data:2: 3 columns, where the first row has 2"),
        (tsv("text\tlabel\na\t \n", ""), "data:2: the label is empty"),
        (tsv("a\tb\n", "text=0,label=2"), "data:1: there is no column 2, counted from 0; the first row has 2"),
        (tsv("a\tb\n", "text=0"), "data:1: the column of the label is missing; add label=N"),
        (json("[1]"), "data:1: not a JSON object: "),
        (json("{\"text\": \"a\", \"label\": 1}\n{\"text\":"), "data:2: not a JSON object: "),
        (json("{\"label\": 1}"), "data:1: no column or field for the text"),
        (json("{\"text\": \"a\", \"label\": null}"), "data:1: field `label` is null; add the label"),
        (json("{\"text\": 7, \"label\": 1}"), "data:1: field `text` is no string"),
        (json("{\"text\": \"a\", \"label\": [1, 2]}"), "data:1: field `label` holds [1,2]; expected one label"),
        (json("{\"text\": \"a\", \"label\": \"\"}"), "data:1: field `label` is empty"),
        (read("{\"text\": \"a\"}", Format::Jsonl, "text=0", false).unwrap_err(), "data:1: fields have names"),
        (read("a\n", Format::Text, "", true).unwrap_err(), "data: plain text has no labels"),
        (read("a\n", Format::Text, "text=a", false).unwrap_err(), "data: plain text has no columns"),
        (read("text,label\n\"a,1\nb,2\nc", Format::Csv, "", true).unwrap_err(), "data:2: a quote opens in this row"),
        (read_bytes(b"text\na\n\xff", Format::Tsv, "", false).unwrap_err(), "data:3: byte 1 of the line, 0xFF,"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn a_first_row_that_is_no_header_is_listed_in_short() {
    let message = read("A very long sentence that is certainly no name\t1\n", Format::Tsv, "", true).unwrap_err();
    assert!(message.contains("there are `A very long sentence that is c…`, `1`."), "{message}");
    assert!(message.contains("numbers from 0 if the first line is no header"), "{message}");
}

#[test]
fn column_choices_that_make_no_sense_are_refused() {
    for (spec, expected) in [
        ("", "expected text=, text_b= or label= with a column, found ``"),
        ("body", "expected text=, text_b= or label= with a column, found `body`"),
        ("texts=a", "`texts` is none of text, text_b, label"),
        ("text=", "no column is given for `text`"),
        ("text=a,text=b", "`text` is given twice"),
        ("text=0,label=b", "a number means that there is no header"),
        ("label=0", "without a header the column of the text must be given"),
    ] {
        let message = spec.parse::<ColumnSpec>().unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn the_ending_tells_the_format() {
    let read = |name: &str, format| {
        let options = DataOptions { format, ..DataOptions::default() };
        read_examples(Path::new(name), &options, Labelling::One).unwrap_err().to_string()
    };
    assert!(read("no/such.tsv", None).starts_with("cannot read no/such.tsv: "));
    assert!(read("no/such.xlsx", None).starts_with("no/such.xlsx: the ending names no format of examples; rename"));
    assert!(read("no/such", Some(Format::Csv)).starts_with("cannot read no/such: "), "a format that is chosen");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.conll");
    std::fs::write(&path, "a O\n").unwrap();
    let message = read_examples(&path, &DataOptions::default(), Labelling::One).unwrap_err().to_string();
    assert!(message.contains("conll files have labels of words; use --task tokens"), "{message}");
}

#[test]
fn labels_are_ordered_by_value_or_by_code_point() {
    let labels = |labels: &[&str]| {
        let examples: Vec<Example> = labels.iter().map(|label| example("", None, Some(label), 1)).collect();
        label_set(&examples)
    };
    assert_eq!(labels(&["10", "9", "-1", "9"]), ["-1", "9", "10"]);
    assert_eq!(labels(&["10", "9", "x"]), ["10", "9", "x"]);
    assert_eq!(labels(&["b", "B", "é", "a"]), ["B", "a", "b", "é"]);
    assert_eq!(label_set(&[example("", None, None, 1)]), Vec::<String>::new());
}

/// The labels with `+` between, and the notes.
fn labels_of(
    content: &str,
    format: Format,
    options: &DataOptions,
    labelling: Labelling,
) -> Result<(Vec<String>, Vec<String>), String> {
    let read = read_with(content.as_bytes(), format, options, labelling)?;
    Ok((read.items.iter().map(|example| example.labels.join("+")).collect(), read.notes))
}

#[test]
fn columns_that_are_not_read_are_told() {
    let read = |content: &str, format, columns: &str| {
        let options = DataOptions::of_columns((!columns.is_empty()).then(|| columns.parse().unwrap()));
        labels_of(content, format, &options, Labelling::One).unwrap().1
    };
    let table = "idx\tquestion\tsentence\tlabel\n0\tWho?\tAnn.\tyes\n";
    assert_eq!(read(table, Format::Tsv, ""), ["data: columns that are not read: `idx`"]);
    assert_eq!(read(table, Format::Tsv, "text=1,label=3"), ["data: columns that are not read: `0`, `2`"]);
    let records =
        "{\"text\": \"a\", \"label\": 1, \"id\": 3}\n{\"text\": \"a\", \"label\": 1, \"meta\": {}, \"id\": 4}\n";
    assert_eq!(read(records, Format::Jsonl, ""), ["data: fields that are not read: `id`, `meta`"]);
}

#[test]
fn the_separator_is_recognised_by_the_columns_that_it_gives() {
    let separated = |content: &str, format| labels_of(content, format, &DataOptions::default(), Labelling::One);
    for (content, format, separator) in [
        ("text;label\n\"a; b\";x\nc, d;y\n", Format::Csv, ";"),
        ("text\tlabel\na, b\tx\nc\ty\n", Format::Csv, "\\t"),
        ("text,label\n\"a, b\",x\nc,y\n", Format::Tsv, ","),
        ("text|label\na|x\nc|y\n", Format::Tsv, "|"),
    ] {
        let (labels, notes) = separated(content, format).unwrap();
        assert_eq!(labels, ["x", "y"], "{content}");
        assert_eq!(notes, [format!("data: columns are separated by `{separator}` (choose another with --delimiter)")]);
    }
    // Without columns that are known nothing is guessed, and the message is that of the usual separator.
    assert!(separated("a;b\n1;2\n", Format::Csv).unwrap_err().contains("there are `a;b`"));
    let options = DataOptions { delimiter: Some('+'), ..DataOptions::default() };
    assert_eq!(
        labels_of("text+label\na+x\n", Format::Csv, &options, Labelling::One).unwrap(),
        (vec!["x".into()], vec![])
    );
    // A table without a header, of the columns that are chosen by number.
    let options = DataOptions::of_columns(Some("text=0,label=1".parse().unwrap()));
    assert_eq!(labels_of("a;x\nb;y\n", Format::Csv, &options, Labelling::One).unwrap().0, ["x", "y"]);
}

#[test]
fn several_labels_have_one_separator() {
    let read = |cells: &[&str], separator| {
        let options = DataOptions { label_separator: separator, ..DataOptions::default() };
        let rows: String = cells.iter().map(|cell| format!("x\t{cell}\n")).collect();
        labels_of(&format!("text\tlabels\n{rows}"), Format::Tsv, &options, Labelling::Several)
    };
    assert_eq!(read(&["a|b c", "", "a"], None).unwrap().0, ["a+b c", "", "a"]);
    assert_eq!(
        read(&["a; b"], None).unwrap().1,
        ["data: labels are separated by `;` (choose another with --label-separator)"]
    );
    assert_eq!(read(&["a, b"], None).unwrap(), (vec!["a+b".into()], vec![]));
    let message = read(&["a, b", "c|a"], None).unwrap_err();
    assert!(message.starts_with("data:3: labels are separated by `,` or by `|`"), "{message}");
    assert_eq!(read(&["a, b", "c|a"], Some('|')).unwrap().0, ["a, b", "c+a"]);
    assert!(read(&["a, a"], None).unwrap_err().starts_with("data:2: the label `a` occurs twice"));
}

#[test]
fn columns_of_0_and_1_are_labels() {
    let table = "id,comment_text,toxic,rude\n17,\"a, b\",1,0\n18,c,1,1\n19,d,0,0\n";
    let options = DataOptions::of_columns(Some("text=comment_text".parse().unwrap()));
    let (labels, notes) = labels_of(table, Format::Csv, &options, Labelling::Several).unwrap();
    assert_eq!(labels, ["toxic", "toxic+rude", ""]);
    assert_eq!(
        notes,
        [
            "data: columns that are not read: `id`",
            "data: columns that hold only 0 and 1 are read as labels: toxic, rude"
        ]
    );
    let message = labels_of(table, Format::Csv, &options, Labelling::One).unwrap_err();
    assert!(message.starts_with("data:3: 2 of the columns toxic, rude hold 1; expected one label"), "{message}");
    let single = "text,pos,neg\na,1,0\nb,0.0,1.0\n";
    assert_eq!(labels_of(single, Format::Csv, &DataOptions::default(), Labelling::One).unwrap().0, ["pos", "neg"]);
    let chosen = DataOptions::of_columns(Some("text=text,label=pos,label=neg".parse().unwrap()));
    let message = labels_of("text,pos,neg\na,1,2\n", Format::Csv, &chosen, Labelling::Several).unwrap_err();
    assert!(message.starts_with("data:2: column `neg` holds `2`; expected 0 or 1"), "{message}");
    let records = "{\"text\": \"a\", \"pos\": 1, \"neg\": false}\n";
    assert_eq!(labels_of(records, Format::Jsonl, &chosen, Labelling::One).unwrap().0, ["pos"]);
}

#[test]
fn examples_without_a_label_are_errors_or_left_out() {
    let skipping = DataOptions { skip_unlabelled: true, ..DataOptions::default() };
    let table = "text\tlabel\na\tx\nb\t\nc\ty\n";
    let message = read(table, Format::Tsv, "", true).unwrap_err();
    assert_eq!(message, "data:3: the label is empty; add the label, or leave such examples out with --skip-unlabelled");
    let (labels, notes) = labels_of(table, Format::Tsv, &skipping, Labelling::One).unwrap();
    assert_eq!((labels.len(), notes), (2, vec!["data: examples without a label, left out: 1".to_string()]));
    let records = "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": null}\n{\"text\": \"c\"}\n";
    let message = read(records, Format::Jsonl, "", true).unwrap_err();
    assert!(message.starts_with("data:2: field `label` is null; add the label, or leave"), "{message}");
    assert_eq!(labels_of(records, Format::Jsonl, &skipping, Labelling::One).unwrap().0, ["x"]);
    // An empty list says that a text has none of several labels.
    let records = "{\"text\": \"a\", \"label\": []}\n{\"text\": \"b\", \"label\": [\"x\"]}\n";
    assert_eq!(labels_of(records, Format::Jsonl, &skipping, Labelling::Several).unwrap().0, ["", "x"]);
}

#[test]
fn a_list_of_objects_is_read_as_json_lines_are() {
    let list = "[{\"text\": \"a\", \"label\": [\"x\"]},\n {\"text\": \"b\", \"label\": \"y\"}]";
    let expected = [example("a", None, Some("x"), 1), example("b", None, Some("y"), 2)];
    assert_eq!(read(list, Format::Json, "", true).unwrap(), expected);
}

#[test]
fn faulty_rows_are_left_out_where_they_are_collected() {
    let mut faults = Faults::leave_out(3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "text,label\na,x\nb\n\"c,y\nd \"e\" f,z\ng,\nh,x\n").unwrap();
    let read = read_file(&path, &DataOptions::default(), Labelling::One, &mut faults).unwrap();
    assert_eq!(read.items.iter().map(|example| &*example.text).collect::<Vec<_>>(), ["a", "d \"e\" f", "h"]);
    let lines: Vec<Option<usize>> = faults
        .found
        .iter()
        .map(|fault| match fault {
            Error::Data { line, .. } => *line,
            _ => None,
        })
        .collect();
    assert_eq!(lines, [Some(3), Some(4), Some(6)]);
}

#[test]
fn columns_of_a_model_are_used_where_a_file_has_them() {
    let stored = |columns: &str| DataOptions::default().with_stored(Some(columns), &Default::default()).unwrap();
    let texts = |content: &str, columns: &str| {
        let read = read_with(content.as_bytes(), Format::Tsv, &stored(columns), Labelling::Optional)?;
        Ok::<_, String>(read.items.into_iter().map(|example| example.text).collect::<Vec<_>>())
    };
    assert_eq!(texts("text\tbody\tclass\na\tb\tx\n", "text=body,label=class").unwrap(), ["b"]);
    assert_eq!(texts("text\tbody\na\tb\n", "text=body,label=class").unwrap(), ["b"], "a file without labels");
    assert_eq!(texts("text\na\n", "text=body,label=class").unwrap(), ["a"]);
    assert_eq!(texts("x\ta\ny\tb\n", "text=1,label=0").unwrap(), ["a", "b"]);
    assert_eq!(texts("label\ttext\nx\ta\n", "text=0,label=1").unwrap(), ["a"], "names say more than numbers");
    assert!(texts("x\na\n", "text=body").unwrap_err().contains("no column or field for the text"));
}

#[test]
fn memory_is_limited_by_the_size_of_the_file() {
    let rows = "a\tx\n".repeat(1 << 20);
    let counted = |content: &str, format| read(content, format, "", true).map(|examples| examples.len());
    let message = counted(&format!("text\tlabel\n{rows}"), Format::Tsv).unwrap_err();
    assert!(message.contains("the file has so many small parts"), "{message}");
    let zeros = format!("{{\"text\": \"a\", \"label\": [{}0]}}", "0,".repeat(4 << 20));
    let message = counted(&zeros, Format::Jsonl).unwrap_err();
    assert!(message.contains("too long to be a label"), "{message}");
}

#[test]
fn choices_of_label_studio_are_labels() {
    let export = r#"[{"id": 1, "data": {"text": "a"}, "annotations": [{"result": [{"value": {"choices": ["pos"]},
        "type": "choices"}]}]},
        {"id": 2, "data": {"text": "b"}, "annotations": [{"result": [{"value": {"choices": ["neg", "sad"]},
        "type": "choices"}]}]}]"#;
    let read = |labelling| labels_of(export, Format::Json, &DataOptions::default(), labelling);
    assert_eq!(read(Labelling::Several).unwrap().0, ["pos", "neg+sad"]);
    assert!(read(Labelling::One).unwrap_err().starts_with("data:3: field `label` holds [\"neg\",\"sad\"]"));
    let flat = r#"[{"text": "a", "sentiment": "pos", "id": 1}]"#;
    let options = DataOptions::of_columns(Some("text=text,label=sentiment".parse().unwrap()));
    assert_eq!(labels_of(flat, Format::Json, &options, Labelling::One).unwrap().0, ["pos"]);
}
