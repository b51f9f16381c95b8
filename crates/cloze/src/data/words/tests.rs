use super::*;

/// `columns` is "" for none; `Err` is the message.
fn read(content: &[u8], format: Format, columns: &str, labels: bool) -> Result<Vec<Sentence>, String> {
    let options = DataOptions::of_columns((!columns.is_empty()).then(|| columns.parse().unwrap()));
    read_sentences_from(content, format, Path::new("data"), &options, labels)
        .map(|read| read.items)
        .map_err(|error| error.to_string())
}

fn rows(content: &str, columns: &str, labels: bool) -> Result<Vec<Sentence>, String> {
    read(content.as_bytes(), Format::Conll, columns, labels)
}

fn json(content: &str, columns: &str) -> Result<Vec<Sentence>, String> {
    read(content.as_bytes(), Format::Jsonl, columns, true)
}

/// Words and labels are divided by spaces; each word has a line of its own.
fn sentence(words: &str, labels: &str, line: usize) -> Sentence {
    let list = |text: &str| text.split_whitespace().map(str::to_string).collect();
    let word_lines = (line..).zip(words.split_whitespace()).map(|(line, _)| line as u32).collect();
    Sentence { words: list(words), labels: list(labels), line, word_lines, document: 0 }
}

/// The same in one line.
fn in_line(words: &str, labels: &str, line: usize) -> Sentence {
    Sentence { word_lines: Vec::new(), ..sentence(words, labels, line) }
}

#[test]
fn columns_are_divided_by_tabs_or_by_spaces() {
    let of_first = |sentence| Sentence { document: 1, ..sentence };
    let expected = [sentence("EU rejects", "B-ORG O", 3), sentence("Peter", "B-PER", 7)].map(of_first);
    let text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ  B-VP O \n\n\nPeter NNP B-NP B-PER";
    assert_eq!(rows(text, "", true).unwrap(), expected);
    let expected = [sentence("EU rejects", "B-ORG O", 1), sentence("Peter", "B-PER", 4)];
    let text = "\u{feff}EU\tB-ORG\r\nrejects\tO\r\n\t\r\nPeter\t B-PER \r\n";
    assert_eq!(rows(text, "", true).unwrap(), expected);
    // In a file with tabs a space is a part of the word.
    let found = rows("a b\tO\n", "", true).unwrap();
    assert_eq!((found[0].words.as_slice(), found[0].labels.as_slice()), (&["a b".into()][..], &["O".into()][..]));
}

#[test]
fn a_line_of_document_start_ends_a_sentence() {
    let expected = [sentence("a", "O", 1), Sentence { document: 1, ..sentence("b", "O", 3) }];
    assert_eq!(rows("a O\n-DOCSTART- O\nb O\n", "", true).unwrap(), expected);
    assert_eq!(rows("a\tO\n-DOCSTART-\nb\tO\n", "", true).unwrap(), expected);
}

#[test]
fn columns_are_chosen_by_number_or_by_name() {
    let text = "1\tThe\tDET\tO\n2\tcat\tNOUN\tB-X\n";
    assert_eq!(rows(text, "text=1", true).unwrap(), [sentence("The cat", "O B-X", 1)]);
    assert_eq!(rows(text, "text=1,label=2", true).unwrap(), [sentence("The cat", "DET NOUN", 1)]);
    assert_eq!(rows(text, "text=1,label=2", false).unwrap(), [sentence("The cat", "", 1)]);
    let text = "# a comment\nid\tform\tupos\n\n# another one\n1\tThe\tDET\n2\tcat\tNOUN\n";
    let expected = [sentence("The cat", "DET NOUN", 5)];
    assert_eq!(rows(text, "text=form,label=upos", true).unwrap(), expected);
    assert_eq!(rows(text, "text=form", true).unwrap(), expected);
    assert_eq!(rows(text, "label=upos", true).unwrap(), [sentence("1 2", "DET NOUN", 5)]);
}

#[test]
fn comments_are_skipped_and_words_are_not() {
    let expected = [sentence("# 1", "O X", 2), sentence("# a", "O O", 5)];
    assert_eq!(rows("# text = # 1\n# O\n1 X\n\n# O\na O\n", "", true).unwrap(), expected);
    assert_eq!(rows("# text = # 1\n#\tO\n1\tX\n\n#\tO\na\tO\n", "", true).unwrap(), expected);
    // Words alone: `#` has one column, as the others have.
    assert_eq!(rows("# a comment\na\n#\n# \n\n#\nb\n", "", false).unwrap()[0], sentence("a # #", "", 2));
    // Nothing else is there to tell the number of columns.
    assert_eq!(rows("# O\n# X\n", "", true).unwrap(), [sentence("# #", "O X", 1)]);
    // Within a sentence there are no comments.
    assert!(rows("a O\n# text = b\nb O\n", "", true).unwrap_err().starts_with("data:2: expected 2 columns"));
}

#[test]
fn json_lines_have_lists() {
    let text = "{\"words\": [\"New York\", \"is\"], \"labels\": [\"B-LOC\", 0], \"id\": 3}\n\n\
        {\"labels\": [], \"words\": []}\n";
    let found = json(text, "").unwrap();
    assert_eq!(found[0].words, ["New York", "is"]);
    assert_eq!(found[0].labels, ["B-LOC", "0"]);
    assert_eq!(found[1], in_line("", "", 3));
    let text = "{\"tokens\": [\"a\"], \"ner_tags\": [\"O\"], \"labels\": 1}";
    assert_eq!(json(text, "text=tokens,label=ner_tags").unwrap(), [in_line("a", "O", 1)]);
    let unlabelled = read(b"{\"words\": [\"a\"], \"labels\": 7}", Format::Jsonl, "", false);
    assert_eq!(unlabelled.unwrap(), [in_line("a", "", 1)]);
}

/// Columns, with the examples or the message that they give.
#[test]
fn faults_are_named() {
    let labelled = |text: &str| rows(text, "", true).unwrap_err();
    let cases = [
        (labelled(""), "data: there are no sentences in it"),
        (labelled("\n-DOCSTART- -X- O\n \n"), "data: there are no sentences in it"),
        (labelled("\na\nb\n"), "data:2: the first row has 1 column; expected a word and its label"),
        (rows("a b\n", "text=1", true).unwrap_err(), "data:1: word and label are the same column"),
        (labelled("a X O\n\nb O\n"), "data:3: expected 3 columns as in line 1, found 2 columns;"),
        (
            labelled("a\tO\nb O\n"),
            "data:2: expected 2 columns as in line 1, found 1 column; columns are separated by tabs",
        ),
        (labelled("a O\nb c O\n"), "found 3 columns; columns are separated by spaces here"),
        (labelled("a\tO\nb\t \n"), "data:2: the label is empty"),
        (labelled("a\tO\n\tO\n"), "data:2: the word is empty"),
        (rows("a O\n", "text=0,label=3", true).unwrap_err(), "data:1: there is no column 3, counted from 0; the"),
        (rows("w t\na O\n", "text=w,label=x", true).unwrap_err(), "data:1: no column or field `x`; there are `w`, `t`"),
        (rows("a O\n", "text=0,text_b=1", true).unwrap_err(), "data:1: words have no second text"),
        (read(b"a O\nb\xff O\n", Format::Conll, "", true).unwrap_err(), "data:2: byte 2 of the line, 0xFF,"),
        (json("\n", "").unwrap_err(), "data: there are no sentences in it"),
        (json("[1]", "").unwrap_err(), "data:1: not a JSON object: "),
        (json("{\"text\": \"a\"}", "").unwrap_err(), "data:1: no field for the labels of the words"),
        (
            json("{\"words\": \"a\", \"labels\": []}", "").unwrap_err(),
            "data:1: no field for the words (known names: words, tokens), nor a text with labelled",
        ),
        (
            json("{\"words\": [\"a\"]}", "").unwrap_err(),
            "data:1: no field for the labels of the words (known names: labels, label, ner_tags, tags, pos_tags); there are `words`",
        ),
        (json("{\"words\": [\"a\"], \"labels\": []}", "").unwrap_err(), "data:1: 1 words and 0 labels; expected"),
        (json("{\"words\": [1], \"labels\": []}", "").unwrap_err(), "data:1: `words[0]` is 1; expected a string"),
        (json("{\"words\": [\"\"], \"labels\": [1]}", "").unwrap_err(), "data:1: `words[0]` is empty"),
        (json("{\"words\": [\"a\"], \"labels\": [\" \"]}", "").unwrap_err(), "data:1: field `labels[0]` is empty"),
        (json("{\"words\": [], \"labels\": []}", "text=0").unwrap_err(), "data:1: fields have names"),
        (json("{\"words\": [], \"labels\": []}", "text_b=w").unwrap_err(), "data:1: words have no second text"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn the_ending_tells_the_format() {
    let format = |name: &str| format_of(Path::new(name), &DataOptions::default()).map_err(|error| error.to_string());
    for name in ["a.conll", "a.IOB", "a.iob2", "a.bio", "a.txt", "a.tsv"] {
        assert_eq!(format(name).unwrap(), Format::Conll);
    }
    assert_eq!(format("a.jsonl").unwrap(), Format::Jsonl);
    assert_eq!(format("a.conllu").unwrap(), Format::Conllu);
    assert_eq!(format("a.csv").unwrap(), Format::Csv);
    assert_eq!(format("a.tsv.gz").unwrap(), Format::Conll);
    assert!(format("a.doc").unwrap_err().starts_with("a.doc: the ending names no format of examples"));
    let message = read_sentences(Path::new("no/such.conll"), &DataOptions::default(), false).unwrap_err().to_string();
    assert!(message.starts_with("cannot read no/such.conll: "), "{message}");
}

fn noted(content: &str, format: Format, options: &DataOptions) -> (Vec<Sentence>, Vec<String>) {
    let read = read_sentences_from(content.as_bytes(), format, Path::new("data"), options, true).unwrap();
    (read.items, read.notes)
}

#[test]
fn a_tab_in_a_blank_line_says_nothing_about_the_columns() {
    assert_eq!(rows("a O\nb X\n\t\nc O\n", "", true).unwrap(), [sentence("a b", "O X", 1), sentence("c", "O", 4)]);
    // The row with the tab is blamed, not the first one.
    assert!(rows("a O\nb X\nc\tO\n", "", true).unwrap_err().starts_with("data:3: expected 2 columns as in line 1"));
}

#[test]
fn comments_with_tabs_are_no_model_of_the_rows() {
    let text = "#\thttp://de.wikipedia.org [2009-10-17]\n1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n\n\
        #\thttp://b\n1\tEr\tO\tO\n";
    let (sentences, notes) = noted(text, Format::Conll, &DataOptions::default());
    assert_eq!(sentences, [sentence("Schartau sagte", "O O", 2), sentence("Er", "O", 6)]);
    assert_eq!(
        notes,
        [
            "data: column 0 numbers the words, so column 1 is read as the word",
            "data: columns that are not read: `0`, `2`"
        ]
    );
    assert_eq!(rows(text, "text=1,label=2", true).unwrap()[0], sentence("Schartau sagte", "B-PER O", 2));
}

const CONLLU: &str = "# sent_id = 1\n# text = Vámonos al mar\n\
    1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_\n\
    1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_\n\
    2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_\n\
    2.1\tx\tx\tVERB\t_\t_\t_\t_\t_\t_\n\
    3\tmar\tmar\tNOUN\tNN\t_\t1\tobl\t_\t_\n\n";

#[test]
fn conllu_marks_documents() {
    let first = format!("# newdoc id = a\n{CONLLU}{CONLLU}");
    let text = format!("{CONLLU}{first}# newpar\n{CONLLU}# newdoc\n{CONLLU}");
    let sentences = read(text.as_bytes(), Format::Conllu, "", true).unwrap();
    assert_eq!(sentences.iter().map(|sentence| sentence.document).collect::<Vec<_>>(), [0, 1, 1, 1, 2]);
}

#[test]
fn conllu_has_words_ranges_and_empty_nodes() {
    let expected = Sentence { word_lines: vec![4, 5, 7], ..sentence("Vamos nos mar", "VERB PRON NOUN", 4) };
    assert_eq!(read(CONLLU.as_bytes(), Format::Conllu, "", true).unwrap(), std::slice::from_ref(&expected));
    let (sentences, notes) = noted(CONLLU, Format::Conll, &DataOptions::default());
    assert_eq!(sentences, std::slice::from_ref(&expected));
    assert_eq!(notes[0], "data: read as CoNLL-U: the word is column 1, the label column 3");
    for columns in ["text=form,label=deprel", "text=1,label=7"] {
        let labels = read(CONLLU.as_bytes(), Format::Conllu, columns, true).unwrap()[0].labels.join(" ");
        assert_eq!(labels, "root obj obl", "{columns}");
    }
    let message = read(CONLLU.as_bytes(), Format::Conllu, "text=form,label=xpos", true).unwrap_err();
    assert!(message.starts_with("data:4: the label is `_`, which means none"), "{message}");
    let options = DataOptions {
        columns: Some("text=form,label=xpos".parse().unwrap()),
        skip_unlabelled: true,
        ..Default::default()
    };
    let message = read_sentences_from(CONLLU.as_bytes(), Format::Conllu, Path::new("f"), &options, true).unwrap_err();
    assert!(message.to_string().contains("no sentences"), "{message}");
}

#[test]
fn numbers_of_tags_have_the_names_of_a_list() {
    let text = "{\"tokens\": [\"Ann\", \"came\"], \"ner_tags\": [1, 0], \"id\": \"0\"}\n";
    let names = ["O", "B-PER", "I-PER"].map(str::to_string).to_vec();
    let (sentences, notes) = noted(text, Format::Jsonl, &DataOptions { label_names: names, ..DataOptions::default() });
    assert_eq!(sentences, [in_line("Ann came", "B-PER O", 1)]);
    assert_eq!(
        notes,
        [
            "data: fields that are not read: `id`",
            "data: the labels are numbers, read as ids: 0 = O, 1 = B-PER, 2 = I-PER"
        ]
    );
    let (sentences, _) = noted(text, Format::Jsonl, &DataOptions::default());
    assert_eq!(sentences, [in_line("Ann came", "1 0", 1)], "without names");
    let list = format!("[{}]", text.trim());
    assert_eq!(noted(&list, Format::Json, &DataOptions::default()).0, [in_line("Ann came", "1 0", 1)]);
}

#[test]
fn sentences_with_faults_are_left_out_whole() {
    let mut faults = Faults::leave_out(5);
    let text = "a O\nb\nc O\n\nd O\n\ne O\nf O O\ng\n";
    let found = super::read(text.as_bytes(), Format::Conll, Path::new("f"), &DataOptions::default(), true, &mut faults);
    assert_eq!(found.unwrap().items, [sentence("d", "O", 5)]);
    assert_eq!(faults.found.len(), 2);
}

#[test]
fn files_that_hold_words_are_known_by_their_records() {
    let dir = tempfile::tempdir().unwrap();
    let holds = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        holds_words(&path, &DataOptions::default()).unwrap()
    };
    assert!(holds("a.jsonl", "\n{\"tokens\": [\"a\"]}\n"));
    assert!(!holds("b.jsonl", "{\"tokens\": \"a\"}\n"));
    assert!(!holds("c.jsonl", "{\"text\": \"a\"}\n"));
    assert!(!holds("d.jsonl", ""));
    assert!(holds("e.conllu", "") && !holds("f.tsv", "a\tO\n"));
}

#[test]
fn the_first_part_of_a_file_tells_if_it_holds_words() {
    let dir = tempfile::tempdir().unwrap();
    let holds = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        holds_words(&path, &DataOptions::default())
    };
    // An end that is not UTF-8 is a fault of the file, but is not reached here.
    let long = |head: &str, row: &str| [head.as_bytes(), row.repeat(20_000).as_bytes(), b"\xff\n"].concat();
    assert!(holds("a.csv", &long("sentence_id,word,label\n", "1,a,O\n")).unwrap());
    assert!(!holds("b.tsv", &long("text\tlabel\n", "a\tO\n")).unwrap());
    assert!(holds("c.jsonl", &long("", "{\"tokens\": [\"a\"]}\n")).unwrap());
    assert!(holds("short.csv", b"sentence_id,word,label\n1,\xff,O\n").is_err());
    // Those that cannot be told by a part are read whole.
    let record = "{\"tokens\": [\"a\"]}";
    let list = |between: &str| vec![record; 10_000].join(between);
    assert!(holds("d.json", format!("{{\"data\": [{}]}}", list(",\n")).as_bytes()).unwrap());
    assert!(holds("e.json", format!("[{}]", list(", ")).as_bytes()).unwrap());
    let word = "a".repeat(FIRST_PART);
    assert!(holds("f.jsonl", format!("{{\"tokens\": [\"{word}\"]}}\n").as_bytes()).unwrap());
}

#[test]
fn labelled_spans_are_read_in_the_ways_of_many_tools() {
    let expected = |line| in_line("Ann came .", "B-PER O O", line);
    for (format, text) in [
        (Format::Jsonl, r#"{"text": "Ann came.", "entities": [[0, 3, "PER"]]}"#),
        (Format::Jsonl, r#"{"text": "Ann came.", "label": [[0, 3, "PER"]]}"#),
        (
            Format::Jsonl,
            r#"{"id": 3, "text": "Ann came.", "entities": [{"id": 1, "start_offset": 0, "end_offset": 3, "label": "PER"}]}"#,
        ),
        (
            Format::Jsonl,
            r#"{"text": "Ann came.", "tokens": [{"text": "Ann", "start": 0}], "spans": [{"start": 0, "end": 3, "label": "PER"}]}"#,
        ),
        (Format::Jsonl, r#"["Ann came.", {"entities": [[0, 3, "PER"]]}]"#),
        (Format::Json, r#"[["Ann came.", {"entities": [[0, 3, "PER"]]}]]"#),
        (
            Format::Json,
            r#"[{"id": 1, "data": {"text": "Ann came."}, "annotations": [{"result": [{"value":
            {"start": 0, "end": 3, "text": "Ann", "labels": ["PER"]}, "type": "labels"}]}]}]"#,
        ),
        (
            Format::Json,
            r#"[{"text": "Ann came.", "label": [{"start": 0, "end": 3, "text": "Ann", "labels": ["PER"]}], "annotator": 1}]"#,
        ),
    ] {
        assert_eq!(noted(text, format, &DataOptions::default()).0, [expected(1)], "{text}");
    }
    let chosen = r#"{"body": "Ann came.", "ents": [[0, 3, "PER"]]}"#;
    assert_eq!(json(chosen, "text=body,label=ents").unwrap(), [expected(1)]);
    for (text, message) in [
        (r#"{"text": "Ann", "spans": [[0, 9, "PER"]]}"#, "data:1: the span from 0 to 9 is not within the 3 characters"),
        (
            r#"{"text": "Ann", "spans": [[0, 3, "X"], [1, 2, "Y"]]}"#,
            "data:1: the spans of `X` at 0 and of `Y` at 1 overlap",
        ),
        (r#"{"text": "Ann", "spans": 3}"#, "data:1: field `spans` is no list"),
        (r#"{"text": "Ann"}"#, "data:1: no field for the labels of the words"),
    ] {
        let found = json(text, "").unwrap_err();
        assert!(found.starts_with(message), "{found}");
    }
    let (_, notes) = noted(r#"{"text": "12kg", "spans": [[0, 2, "N"]]}"#, Format::Jsonl, &DataOptions::default());
    assert_eq!(notes, ["data: places where a span begins or ends within a word, which is split there: 1"]);
}

#[test]
fn rows_of_thousands_of_columns_are_refused() {
    for row in ["a\t".repeat(1_001), "a ".repeat(1_001)] {
        let message = read(row.as_bytes(), Format::Conll, "", true).unwrap_err();
        assert!(message.contains("data:1: the row has more than 1,000 columns"), "{message}");
    }
    let row = "a\t".repeat(999) + "O";
    assert_eq!(read(row.as_bytes(), Format::Conll, "", true).unwrap()[0].labels, ["O"]);
}
