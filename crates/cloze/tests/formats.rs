//! Every line of the table in docs/guide/formats.md, read from a file.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use cloze::data::{
    DataOptions, DataSettings, Format, Labelling, Read, read_examples, read_label_names, read_questions, read_sentences,
};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Files with which a line of the guide is tried.
struct Case {
    /// The first cell of the line begins with this.
    line: &'static str,
    file: &'static str,
    content: &'static str,
    task: Task,
    /// Texts, labels and notes in short.
    expected: &'static str,
}

enum Task {
    One,
    Several,
    Words,
    Questions,
}

use Task::{One, Questions, Several, Words};

/// Options of the lines that need a flag: columns, delimiter, separator of labels, labels, leaving out.
fn options(line: &str) -> DataOptions {
    let columns = match line {
        "other names" => Some("text=body,label=grade"),
        "no header" => Some("text=0,label=1"),
        _ => None,
    };
    let settings = DataSettings {
        delimiter: (line == "another separator").then_some('+'),
        skip_unlabelled: line == "rows without a label",
        ..DataSettings::default()
    };
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let mut options = DataOptions::new(columns, &settings).unwrap();
    match line {
        "labels 0 and 1 for a model" => options.naming(&names(&["NEGATIVE", "POSITIVE"])),
        "numbers with names in a file" | "labels that only the file of" => {
            options.label_names = names(&["O", "PER"]);
            options
        }
        _ => options,
    }
}

const CASES: &[Case] = &[
    Case {
        line: "`.tsv` with a header",
        file: "a.tsv",
        content: "text\tlabel\n\"a\tx\n",
        task: One,
        expected: "\"a=x",
    },
    Case {
        line: "`.csv` with a header",
        file: "a.csv",
        content: "text,label\n\"a, \"\"b\"\"\",x\n",
        task: One,
        expected: "a, \"b\"=x",
    },
    Case { line: "`.csv` with `;`", file: "a.csv", content: "text;label\na, b;x\n", task: One, expected: "a, b=x (1)" },
    Case { line: "another separator", file: "a.csv", content: "text+label\na+x\n", task: One, expected: "a=x" },
    Case { line: "headers in any case", file: "a.tsv", content: "TEXT\tLabels\na\tx\n", task: One, expected: "a=x" },
    Case {
        line: "`premise`/`hypothesis`",
        file: "a.tsv",
        content: "premise\thypothesis\tlabel\na\tb\tx\n",
        task: One,
        expected: "a|b=x",
    },
    Case { line: "other names", file: "a.tsv", content: "body\tgrade\na\tx\n", task: One, expected: "a=x" },
    Case { line: "no header", file: "a.tsv", content: "a\tx\n", task: One, expected: "a=x" },
    Case {
        line: "an empty first column",
        file: "a.csv",
        content: ",text,label,date\n0,a,x,today\n",
        task: One,
        expected: "a=x (1)",
    },
    Case {
        line: "`.jsonl`, an object a line",
        file: "a.jsonl",
        content: "{\"text\": \"a\", \"label\": \"x\"}",
        task: One,
        expected: "a=x",
    },
    Case {
        line: "`.json`, a list of objects",
        file: "a.json",
        content: "{\"rows\": [{\"text\": \"a\", \"label\": \"x\"}]}",
        task: One,
        expected: "a=x",
    },
    Case {
        line: "`.parquet`",
        file: "texts.parquet",
        content: "",
        task: One,
        expected: "good film=pos bad film=neg fine=pos (2)",
    },
    Case {
        line: "labels `1` and `1.0`",
        file: "a.tsv",
        content: "text\tlabel\na\t1\nb\t1.0\n",
        task: One,
        expected: "a=1 b=1 (1)",
    },
    Case {
        line: "labels 0 and 1 for a model",
        file: "a.tsv",
        content: "text\tlabel\na\t1\n",
        task: One,
        expected: "a=POSITIVE (1)",
    },
    Case {
        line: "numbers with names in a file",
        file: "a.jsonl",
        content: "{\"tokens\": [\"a\"], \"ner_tags\": [1]}",
        task: Words,
        expected: "a/PER (1)",
    },
    Case { line: "labels that only the file of", file: "a.conll", content: "a O\n", task: Words, expected: "a/O" },
    Case {
        line: "rows without a label",
        file: "a.tsv",
        content: "text\tlabel\na\tx\nb\t\n",
        task: One,
        expected: "a=x (1)",
    },
    Case {
        line: "several labels in a cell",
        file: "a.tsv",
        content: "text\tlabels\na\tx;y\n",
        task: Several,
        expected: "a=x+y (1)",
    },
    Case {
        line: "a list of labels or ids",
        file: "a.jsonl",
        content: "{\"text\": \"a\", \"labels\": [\"x\", \"y\"]}",
        task: Several,
        expected: "a=x+y",
    },
    Case {
        line: "a list `[1.0, 0.0, 1.0]`",
        file: "a.jsonl",
        content: "{\"text\": \"a\", \"label\": [1.0, 0.0, 1.0]}",
        task: Several,
        expected: "a=label_0+label_2 (1)",
    },
    Case {
        line: "a column for each label",
        file: "a.csv",
        content: "text,x,y\na,1,0\nb,1,1\n",
        task: Several,
        expected: "a=x b=x+y (1)",
    },
    Case {
        line: "`{\"text\": …, \"label\": [\"positive\"]}`",
        file: "a.jsonl",
        content: "{\"text\": \"a\", \"label\": [\"x\"]}",
        task: One,
        expected: "a=x",
    },
    Case {
        line: "`.conll`, `.iob`",
        file: "a.bio",
        content: "a NN X\n\t\nb NN O\n",
        task: Words,
        expected: "a/X b/O (1)",
    },
    Case {
        line: "a first column that numbers",
        file: "a.tsv",
        content: "1\ta\tX\n2\tb\tO\n",
        task: Words,
        expected: "a/X+b/O (2)",
    },
    Case {
        line: "comments before a sentence",
        file: "a.tsv",
        content: "#\thttp://a\n1\ta\tX\tO\n2\tb\tO\tO\n",
        task: Words,
        expected: "a/O+b/O (2)",
    },
    Case {
        line: "`.conllu`",
        file: "a.conllu",
        content: "# x\n1-2\tab\t_\t_\t_\t_\t_\t_\t_\t_\n1\ta\ta\tDET\t_\t_\t_\t_\t_\t_\n2\tb\tb\tNOUN\t_\t_\t_\t_\t_\t_\n",
        task: Words,
        expected: "a/DET+b/NOUN (1)",
    },
    Case {
        line: "`{\"words\": […]",
        file: "a.json",
        content: "[{\"words\": [\"a\", \"b\"], \"labels\": [\"X\", \"O\"]}]",
        task: Words,
        expected: "a/X+b/O",
    },
    Case {
        line: "`{\"text\": …, \"entities\"",
        file: "a.jsonl",
        content: "{\"text\": \"a b\", \"entities\": [[0, 1, \"X\"]]}",
        task: Words,
        expected: "a/B-X+b/O",
    },
    Case {
        line: "spans as `{\"start\"",
        file: "a.jsonl",
        content: "{\"text\": \"a b\", \"spans\": [{\"start\": 0, \"end\": 1, \"label\": \"X\"}]}",
        task: Words,
        expected: "a/B-X+b/O",
    },
    Case {
        line: "`[\"text\", {\"entities\"",
        file: "a.json",
        content: "[[\"a b\", {\"entities\": [[0, 1, \"X\"]]}]]",
        task: Words,
        expected: "a/B-X+b/O",
    },
    Case {
        line: "`word`, `label` (or `tag`)",
        file: "a.csv",
        content: "Sentence #,Word,Tag\nSentence: 1,a,B-X\n,b,O\nSentence: 2,c,O\n",
        task: Words,
        expected: "a/B-X+b/O c/O",
    },
    Case {
        line: "`.gz` or `.zst` after the ending",
        file: "a.tsv.gz",
        content: "text\tlabel\na\tx\n",
        task: One,
        expected: "a=x",
    },
    Case {
        line: "Label Studio's JSON",
        file: "a.json",
        content: "[{\"data\": {\"text\": \"a\"}, \"annotations\": [{\"result\": [{\"value\": {\"choices\": [\"x\"]}}]}]}]",
        task: One,
        expected: "a=x",
    },
    Case { line: "BRAT's `.ann`", file: "a.ann", content: "T1\tX 0 1\ta\n", task: Words, expected: "a/B-X+b/O" },
    Case {
        line: "SQuAD's `.json`",
        file: "a.json",
        content: "[{\"paragraphs\": [{\"context\": \"a\", \"qas\": [{\"id\": 7, \"question\": \"?\", \"is_impossible\": true, \"answers\": [{\"text\": \"\", \"answer_start\": -1}]}]}]}]",
        task: Questions,
        expected: "7: ",
    },
    Case {
        line: "`{\"question\": …, \"context\"",
        file: "a.jsonl",
        content: "{\"question\": \"?\", \"context\": \"a\", \"answers\": {\"text\": [\"a\"], \"answer_start\": [0]}}",
        task: Questions,
        expected: "1: a@0",
    },
    Case {
        line: "`question,context,answer`",
        file: "a.csv",
        content: "question,context,answer\n?,a b,b\n",
        task: Questions,
        expected: "2: b@2 (1)",
    },
];

fn told<T>(read: Read<T>, item: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = read.items.iter().map(item).collect();
    let notes = if read.notes.is_empty() { String::new() } else { format!(" ({})", read.notes.len()) };
    items.join(" ") + &notes
}

fn read(case: &Case, folder: &Path) -> String {
    let path = folder.join(case.file);
    if case.content.is_empty() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/labelled").join(case.file);
        fs::copy(fixture, &path).unwrap();
    } else if case.file.ends_with(".gz") {
        let mut packed = GzEncoder::new(File::create(&path).unwrap(), Compression::default());
        packed.write_all(case.content.as_bytes()).unwrap();
        packed.finish().unwrap();
    } else {
        fs::write(&path, case.content).unwrap();
    }
    fs::write(folder.join("a.txt"), "a b\n").unwrap();
    let options = options(case.line);
    let labelling = if matches!(case.task, Several) { Labelling::Several } else { Labelling::One };
    match case.task {
        One | Several => told(read_examples(&path, &options, labelling).unwrap(), |example| {
            let pair = example.text_b.as_ref().map_or(String::new(), |text| format!("|{text}"));
            format!("{}{pair}={}", example.text, example.labels.join("+"))
        }),
        Words => told(read_sentences(&path, &options, true).unwrap(), |sentence| {
            let words = sentence.words.iter().zip(&sentence.labels).map(|(word, label)| format!("{word}/{label}"));
            words.collect::<Vec<_>>().join("+")
        }),
        Questions => {
            let squad = read_questions(&path, &options, true).unwrap();
            let read = Read { items: squad.questions, notes: squad.notes };
            told(read, |question| {
                let answers = question.answers.iter().map(|answer| format!("{}@{}", answer.text, answer.start));
                format!("{}: {}", question.id, answers.collect::<Vec<_>>().join("+"))
            })
        }
    }
}

#[test]
fn every_line_of_the_guide_is_read_as_it_says() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(case, folder.path()), case.expected, "{}", case.line);
    }
    let guide = include_str!("../../../docs/guide/formats.md");
    let table = guide.lines().filter(|line| line.starts_with("| ")).skip(1);
    let lines: Vec<&str> = table.map(|line| line.trim_start_matches("| ")).collect();
    assert!(lines.len() > 30);
    for line in &lines {
        assert!(CASES.iter().any(|case| line.starts_with(case.line)), "no test for `{line}`");
    }
    for case in CASES {
        assert!(lines.iter().any(|line| line.starts_with(case.line)), "no line in the guide for `{}`", case.line);
    }
}

#[test]
fn formats_are_named_as_the_guide_names_them() {
    assert!(Format::names().eq(["tsv", "csv", "jsonl", "json", "text", "parquet", "conll", "conllu", "brat"]));
    let missing = read_label_names(Path::new("no/such")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no/such"), "{missing}");
}
