//! Labelled examples, words and questions: each file as the trainings read it, and as `check` does.

use std::fs;
use std::path::{Path, PathBuf};

use cloze::check::{CheckSettings, Depth, check};
use cloze::data::{
    DataOptions, Format, Labelling, label_set, labelling, read_examples, read_examples_from, read_questions_from,
    read_sentences_from, squad,
};
use cloze::settings::FinetuneTask;

use super::packed::{from_gzip, gzip};
use super::{LONG, Run, TIMES, Target, WORDS, fixtures, long_texts, told, write};
use crate::mutate::Shape;

pub const TSV: Target = Target {
    name: "table-tsv",
    what: "examples in .tsv",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| texts(&["text\tlabel\ngood film\tpos\nbad \"film\"\tneg\n", "sentence1\tsentence2\tscore\na\tb\t0.5\n"]),
    prepare: |folder| table(folder, "input.tsv", Format::Tsv),
};

pub const CSV: Target = Target {
    name: "table-csv",
    what: "examples in .csv",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        texts(&[
            "text,label\n\"good, film\",pos\n\"bad \"\"film\"\"\nit was\",neg\n",
            "sentence1;sentence2;label\na;b;1\n",
            "\"Great film,pos\nhe said \"no\" and left,neg\nfine,pos\n",
        ])
    },
    prepare: |folder| table(folder, "input.csv", Format::Csv),
};

pub const JSONL: Target = Target {
    name: "table-jsonl",
    what: "examples in .jsonl",
    shape: Shape::JsonLines,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        texts(&[
            "{\"text\": \"good\", \"label\": \"pos\"}\n{\"text\": \"bad\", \"text_b\": \"film\", \"label\": 1}\n",
            "{\"text\": \"good\", \"label\": [\"a\", \"b\"]}\n{\"text\": \"bad\", \"label\": [1.0, 0.0]}\n",
        ])
    },
    prepare: |folder| table(folder, "input.jsonl", Format::Jsonl),
};

pub const TXT: Target = Target {
    name: "table-txt",
    what: "texts in .txt",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| texts(&["good film\n\nbad film\r\n"]),
    prepare: |folder| table(folder, "input.txt", Format::Text),
};

pub const COLUMNS: Target = Target {
    name: "columns",
    what: "the argument of --columns, and a table read with it",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| texts(&["text=a,label=b", "text=0,text_b=1,label=2", "text=a"]),
    prepare: |_| {
        Box::new(|input| {
            let spec = String::from_utf8_lossy(input);
            let options = DataOptions::new(Some(&spec), &Default::default());
            told(options, |options| {
                [("a\tb\tc\nx\ty\tz\n", Format::Tsv), ("{\"a\": \"x\", \"b\": 1}\n", Format::Jsonl)]
                    .map(|(table, format)| {
                        let name = Path::new("table");
                        let examples =
                            read_examples_from(table.as_bytes(), format, name, &options, Labelling::Optional);
                        told(examples, |read| read.items.len().to_string())
                    })
                    .concat()
            })
        })
    },
};

pub const CONLL: Target = Target {
    name: "conll",
    what: "labelled words in columns",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: WORDS,
    seeds: |_| {
        columns(&[
            "-DOCSTART- O\n\nAnn B-PER\ncame O\n\n# text = Oslo\nOslo S-LOC\n",
            "1\tAnn\t_\tPROPN\n1-2\tx\t_\t_\n2.1\ty\t_\tVERB\n",
        ])
    },
    prepare: |folder| words(folder, "input.conll", Format::Conll),
};

pub const WORDS_JSONL: Target = Target {
    name: "words-jsonl",
    what: "labelled words in .jsonl",
    shape: Shape::JsonLines,
    length_max: LONG,
    bytes_times: WORDS,
    seeds: |_| {
        texts(&[
            "{\"words\": [\"Ann\", \"came\"], \"labels\": [\"B-PER\", \"O\"]}\n{\"words\": [], \"labels\": []}\n",
            "{\"text\": \"Ann came.\", \"entities\": [[0, 3, \"PER\"], {\"start\": 4, \"end\": 8, \"label\": \"V\"}]}\n",
            "[\"Ann came.\", {\"entities\": [[0, 3, \"PER\"]]}]\n",
        ])
    },
    prepare: |folder| words(folder, "input.jsonl", Format::Jsonl),
};

pub const SQUAD: Target = Target {
    name: "squad",
    what: "questions in the format of SQuAD",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        texts(&[r#"{"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": "Ann came to Oslo. Bob ran.",
            "qas": [{"id": "1", "question": "Who came?", "answers": [{"text": "Ann", "answer_start": 0}]},
            {"id": "2", "question": "Why?", "is_impossible": true, "answers": [], "plausible_answers": []}]}]}]}"#])
    },
    prepare: |folder| questions(folder, "input.json", Format::Json),
};

pub const QUESTION_LINES: Target = Target {
    name: "question-lines",
    what: "questions to answer in .jsonl",
    shape: Shape::JsonLines,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        texts(&[
            "{\"id\": \"a\", \"question\": \"Who?\", \"context\": \"Ann.\"}\n{\"question\": \"Why?\", \"context\": \"\"}\n",
        ])
    },
    prepare: |folder| questions(folder, "input.jsonl", Format::Jsonl),
};

pub const QUESTIONS_CSV: Target = Target {
    name: "questions-csv",
    what: "questions in .csv",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| texts(&["question,context,answer\nWho?,\"Ann, here.\",Ann\nWhy?,Ann,\n"]),
    prepare: |folder| questions(folder, "input.csv", Format::Csv),
};

pub const JSON: Target = Target {
    name: "table-json",
    what: "examples in .json",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| {
        texts(&[
            "[{\"text\": \"good\", \"label\": \"pos\"}, {\"text\": \"bad\", \"label\": \"neg\"}]",
            r#"[{"data": {"text": "a"}, "annotations": [{"result": [{"value": {"choices": ["x"]}}]}]}]"#,
        ])
    },
    prepare: |folder| table(folder, "input.json", Format::Json),
};

pub const LABEL_STUDIO: Target = Target {
    name: "label-studio",
    what: "spans in Label Studio's export",
    shape: Shape::Json,
    length_max: LONG,
    bytes_times: WORDS,
    seeds: |_| {
        texts(&[r#"[{"data": {"text": "Ann came"}, "annotations": [{"was_cancelled": false, "result": [{"value":
            {"start": 0, "end": 3, "text": "Ann", "labels": ["PER"]}}]}]}]"#])
    },
    prepare: |folder| words(folder, "input.json", Format::Json),
};

pub const CONLLU: Target = Target {
    name: "conllu",
    what: "words in CoNLL-U",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: WORDS,
    seeds: |_| columns(&["# a\n1-2\tab\t_\t_\t_\t_\t_\t_\t_\t_\n1\ta\ta\tDET\t_\t_\t_\t_\t_\t_\n\n"]),
    prepare: |folder| words(folder, "input.conllu", Format::Conllu),
};

pub const BRAT: Target = Target {
    name: "brat",
    what: "BRAT's annotations of a text",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: WORDS,
    seeds: |_| texts(&["T1\tPER 0 7\tAnn Lee\nR1\tx Arg1:T1 Arg2:T2\nT2\tLOC 28 36\tNew York\n"]),
    prepare: |folder| {
        write(&folder.join("input.txt"), b"Ann Lee came.\n\nShe lives in New\nYork.\n");
        words(folder, "input.ann", Format::Brat)
    },
};

pub const PARQUET: Target = Target {
    name: "labelled-parquet",
    what: "examples, words and questions in .parquet",
    shape: Shape::Bytes,
    length_max: LONG,
    bytes_times: WORDS,
    seeds: |_| {
        let folder = fixtures().join("labelled");
        let names = ["texts", "texts-zstd-1", "texts-zstd-2", "tokens", "questions", "flags"];
        names.iter().map(|name| fs::read(folder.join(format!("{name}.parquet"))).expect("a fixture")).collect()
    },
    prepare: |folder| {
        let mut table = table(folder, "input.parquet", Format::Parquet);
        let mut words = words(folder, "input.parquet", Format::Parquet);
        let mut questions = questions(folder, "input.parquet", Format::Parquet);
        Box::new(move |input| table(input) + &words(input) + &questions(input))
    },
};

pub const WORD_TABLE: Target = Target {
    name: "word-table",
    what: "labelled words in .csv and .tsv with a column of sentences",
    shape: Shape::Text,
    length_max: LONG,
    bytes_times: WORDS,
    seeds: |_| {
        let rows = "1,a,O\n".repeat(LONG / 6);
        texts(&[
            "Sentence #,Word,POS,Tag\nSentence: 1,London,NNP,B-geo\n,\",\",\",\",O\nSentence: 2,Bob,NNP,B-per\n",
            "sentence_id\tword\tlabel\n1\t\"\tO\n1\tHi\tO\n1\t\"\tO\n2\tBob\tB-per\n",
            &format!("sentence_id,word,label\n{rows}"),
        ])
    },
    prepare: |folder| {
        let mut commas = words(folder, "input.csv", Format::Csv);
        let mut tabs = words(folder, "input.tsv", Format::Tsv);
        Box::new(move |input| commas(input) + &tabs(input))
    },
};

pub const GZIP: Target = Target {
    name: "table-gzip",
    what: "examples in .tsv.gz and .jsonl.gz, read from files",
    shape: Shape::Packed { unpack: from_gzip, pack: |contents, _| gzip(contents), inner: &Shape::Text },
    length_max: LONG,
    bytes_times: TIMES,
    seeds: |_| vec![gzip(b"text\tlabel\ngood\tpos\nbad\tneg\n"), gzip(b"{\"text\": \"a\", \"label\": \"x\"}\n")],
    prepare: |folder| {
        let paths = ["input.tsv.gz", "input.jsonl.gz"].map(|name| folder.join(name));
        Box::new(move |input| {
            let one = |path: &PathBuf| {
                write(path, input);
                let read = read_examples(path, &DataOptions::default(), Labelling::One);
                told(read, |read| format!("{} examples", read.items.len()))
                    + &checked(path, FinetuneTask::Classification)
            };
            paths.iter().map(one).collect()
        })
    },
};

/// These, and what there may be too much of.
fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).chain(long_texts()).collect()
}

/// The same of words with labels: a row of many columns, and files of little but words and labels.
fn columns(columns: &[&str]) -> Vec<Vec<u8>> {
    let wide = format!("# I-PER\n\ta{}\tO\n", "\t".repeat(LONG));
    let short = ["a\tO\n", "a\tO\n\n"].map(|rows| rows.repeat(4 * LONG / rows.len()).into_bytes());
    [texts(columns), vec![wide.into_bytes()], short.to_vec()].concat()
}

fn table(folder: &Path, name: &str, format: Format) -> Run {
    let path = folder.join(name);
    Box::new(move |input| {
        write(&path, input);
        let mut answers = String::new();
        for labelling in [Labelling::Optional, Labelling::One, Labelling::Several] {
            let options = DataOptions::default();
            answers += &told(read_examples_from(input, format, &path, &options, labelling), |read| {
                let labels = label_set(&read.items);
                format!("{} examples, {} labels {:?}", read.items.len(), labels.len(), read.notes)
            });
        }
        answers + &checked(&path, FinetuneTask::Classification) + &checked(&path, FinetuneTask::MultiLabel)
    })
}

fn questions(folder: &Path, name: &str, format: Format) -> Run {
    let path = folder.join(name);
    Box::new(move |input| {
        write(&path, input);
        let mut answers = String::new();
        for needs_answers in [false, true] {
            let options = DataOptions::default();
            answers += &told(read_questions_from(input, format, &path, &options, needs_answers), |read| {
                for question in &read.questions {
                    if let Some(span) = squad::aligned_span(question) {
                        let chars = question.context.chars().count();
                        assert!(span.start <= span.end && span.end <= chars, "{span:?} of {chars} characters");
                    }
                }
                format!("{} questions, {} elsewhere", read.questions.len(), squad::misaligned(&read.questions).len())
            });
        }
        answers + &checked(&path, FinetuneTask::Questions)
    })
}

fn words(folder: &Path, name: &str, format: Format) -> Run {
    let path = folder.join(name);
    Box::new(move |input| {
        write(&path, input);
        let mut answers = String::new();
        for needs_labels in [false, true] {
            let options = DataOptions::default();
            answers += &told(read_sentences_from(input, format, &path, &options, needs_labels), |read| {
                let sentences = read.items;
                let scheme = labelling::detect(&sentences);
                let violations = labelling::check(&sentences, scheme).len();
                for sentence in &sentences {
                    assert!(sentence.labels.is_empty() || sentence.labels.len() == sentence.words.len());
                }
                format!("{} sentences, {scheme:?}, {violations} violations", sentences.len())
            });
        }
        answers + &checked(&path, FinetuneTask::Tokens)
    })
}

/// Answer of `cloze check`.
fn checked(path: &Path, task: FinetuneTask) -> String {
    told(check(&CheckSettings::new(task, path), Depth::Quick, Some(1)), |report| {
        report.findings.iter().map(|finding| format!("{finding:?}")).collect()
    })
}
