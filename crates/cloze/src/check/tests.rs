use std::fs;

use tempfile::TempDir;

use super::*;

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\n";

/// A folder with files, and settings that name `train` and `dev` in it.
struct Files {
    dir: TempDir,
    settings: CheckSettings,
}

impl Files {
    /// Files with these names and contents, the first to train on, the second to evaluate on.
    fn new(task: FinetuneTask, files: &[(&str, &str)]) -> Files {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        files.iter().for_each(|(name, text)| write(name, text));
        write("vocab.txt", VOCABULARY);
        let path = |at: usize| files.get(at).map(|(name, _)| dir.path().join(name));
        let mut settings = CheckSettings::new(task, path(0).unwrap());
        settings.dev = path(1);
        settings.tokenizer = Some(dir.path().join("vocab.txt"));
        settings.batch_size = 1;
        Files { dir, settings }
    }

    fn report(&self) -> CheckReport {
        check(&self.settings, Depth::Full, Some(1)).unwrap()
    }

    /// Of the findings of one kind: severity, file, line, how many.
    fn found(&self, kind: &str) -> Vec<(Severity, String, Option<usize>, usize)> {
        let report = self.report();
        let of_kind = report.findings.iter().filter(|finding| finding.kind == kind);
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        of_kind.map(|found| (found.severity, name(&found.path), found.line, found.count)).collect()
    }

    /// The only finding of a kind.
    fn only(&self, kind: &str) -> Finding {
        let mut found = self.report().findings;
        found.retain(|finding| finding.kind == kind);
        assert_eq!(found.len(), 1, "{kind}: {found:#?}");
        found.remove(0)
    }
}

fn texts(train: &str, dev: &str) -> Files {
    Files::new(FinetuneTask::Classification, &[("train.tsv", train), ("dev.tsv", dev)])
}

fn one(
    severity: Severity,
    file: &str,
    line: Option<usize>,
    count: usize,
) -> Vec<(Severity, String, Option<usize>, usize)> {
    vec![(severity, file.to_string(), line, count)]
}

use Severity::{Error as Bad, Note, Warning};

#[test]
fn good_files_have_no_findings() {
    let files = texts("text\tlabel\na b\tx\nc\ty\n", "text\tlabel\nd\ty\ne\tx\n");
    let report = files.report();
    assert_eq!(report.findings, []);
    assert_eq!(report.files.iter().map(|file| file.examples).collect::<Vec<_>>(), [2, 2]);
    let label = |label: &str| LabelCount { label: label.to_string(), train: 1, dev: 1 };
    assert_eq!(report.labels, [label("x"), label("y")]);
    let lengths = &report.lengths[0];
    assert_eq!((lengths.tokens, lengths.median, lengths.max, lengths.words), (7, 3, 4, 3));
    assert_eq!(lengths.histogram[0], Bar { up_to: Some(8), examples: 2 });
    assert_eq!(report.estimate, None, "without a model");
}

#[test]
fn broken_lines_are_all_told_and_the_rest_is_checked() {
    let files = texts("text\tlabel\na\tx\nb\nc\ty\td\nd\ty\ne\t\na\tx\n", "text\tlabel\nd\tz\n");
    let finding = files.only("data");
    assert_eq!((finding.severity, finding.line, finding.count), (Bad, Some(3), 3));
    let places: Vec<_> = finding.places.iter().map(|place| (place.line.unwrap(), place.what.as_str())).collect();
    let expected = [
        (3, "1 column, where the first row has 2"),
        (4, "3 columns, where the first row has 2"),
        (6, "the label is empty; add the label, or leave such examples out with --skip-unlabelled"),
    ];
    assert_eq!(places, expected);
    assert_eq!(files.found("duplicate"), one(Warning, "train.tsv", Some(7), 1));
    assert_eq!(files.found("unknown-label"), one(Bad, "dev.tsv", Some(2), 1));
}

#[test]
fn a_file_that_cannot_be_read_leaves_the_other_one() {
    let files = texts("title\tlabel\na\tx\n", "text\tlabel\na\tx\na\tx\n");
    assert_eq!(files.found("data"), one(Bad, "train.tsv", Some(1), 1));
    assert_eq!(files.found("duplicate"), one(Warning, "dev.tsv", Some(3), 1));
    assert_eq!(files.found("unknown-label"), []);
    let mut files = texts("text\tlabel\na\tx\nb\ty\n", "");
    files.settings.dev = Some(files.dir.path().join("missing.tsv"));
    assert!(files.only("data").message.contains("No such file"));
    assert_eq!(files.report().files.len(), 1);
    let files = Files::new(FinetuneTask::Classification, &[("train.csv", "text,label\n\"a,x\nb,y\n")]);
    assert!(files.only("data").places[0].what.contains("never closed"));
}

#[test]
fn labels_are_compared() {
    let train = format!("text\tlabel\n{}a\ty\nb\tY \n", "c\tx\n".repeat(11));
    let files = texts(&train, "text\tlabel\na\tx\nb\tz\nc\tz\n");
    assert_eq!(files.found("unknown-label"), one(Bad, "dev.tsv", Some(3), 2));
    let unbalanced = files.only("unbalanced-labels");
    assert!(unbalanced.message.starts_with("the label `x` occurs 11 times, "), "{}", unbalanced.message);
    assert!(unbalanced.message.contains("--class-weights balanced"));
    assert_eq!(files.only("label-spelling").places[0].what, "`Y` and `y`");
    assert!(files.only("label-not-in-dev").message.ends_with("Y, y"));
    let balanced =
        Files { settings: CheckSettings { class_weights: ClassWeights::Balanced, ..files.settings }, ..files };
    assert_eq!(balanced.found("unbalanced-labels"), []);
    let files = texts("text\tlabel\na\tx\nb\tx\n", "text\tlabel\nc\tx\n");
    assert_eq!(files.found("one-class"), one(Bad, "train.tsv", None, 1));
    let rows: String = (0..21).map(|row| format!("a{row}\t{row}.5\n")).collect();
    let files = texts(&format!("text\tlabel\n{rows}"), "text\tlabel\nc\t0.5\n");
    assert!(files.only("many-labels").message.contains("--task regression"));
}

#[test]
fn values_are_numbers() {
    let train = "text\tlabel\na\t1\nb\tgood\nc\t2.0\nc\t2\nc\tnan\n";
    let files = Files::new(FinetuneTask::Regression, &[("train.tsv", train)]);
    assert_eq!(files.found("not-a-number"), one(Bad, "train.tsv", Some(3), 2));
    assert_eq!(files.found("duplicate"), one(Warning, "train.tsv", Some(5), 1));
    assert_eq!(files.report().files[0].values, Some(Values { min: 1.0, mean: 5.0 / 3.0, max: 2.0 }));
    let files = Files::new(FinetuneTask::Regression, &[("train.tsv", "text\tlabel\na\t1\nb\t1e40\n")]);
    assert_eq!(files.found("too-large"), one(Bad, "train.tsv", Some(3), 1));
    assert_eq!(files.found("one-value"), [], "of labels that are broken nothing follows");
    let files = Files::new(FinetuneTask::Regression, &[("train.tsv", "text\tlabel\na\t1\nb\t1.0\n")]);
    assert_eq!(files.found("one-value"), one(Warning, "train.tsv", None, 1));
}

#[test]
fn several_labels_are_a_set() {
    let train = "text\tlabel\na\tx,y\na\ty,x\nb\t\n";
    let files = Files::new(FinetuneTask::MultiLabel, &[("train.tsv", train), ("dev.tsv", "text\tlabel\nd\tx,z\n")]);
    assert_eq!(files.found("duplicate"), one(Warning, "train.tsv", Some(3), 1));
    assert_eq!(files.found("unknown-label"), one(Bad, "dev.tsv", Some(2), 1));
}

#[test]
fn texts_without_tokens_are_told_from_empty_ones() {
    let files = texts("text\tlabel\n \tx\n\u{200b}\ty\na\tx\n", "text\tlabel\nb\ty\n\t\tx\n");
    assert_eq!(files.found("empty-text"), one(Warning, "train.tsv", Some(2), 1));
    assert_eq!(files.found("no-token"), one(Warning, "train.tsv", Some(3), 1));
    assert_eq!(files.only("no-token").places[0].what, "`\\u{200b}`");
}

#[test]
fn words_without_tokens_and_broken_schemes_have_lines() {
    let train = "a\tB-X\nb\tI-X\n\t\nc\tO\n\u{200b}\tO\nd\tI-X\n\n\u{feff}\tO\na\tB-Y\n";
    let dev = "a\tB-X\nb\tB-Z\n";
    let files = Files::new(FinetuneTask::Tokens, &[("train.conll", train), ("dev.conll", dev)]);
    assert_eq!(files.found("no-token"), one(Warning, "train.conll", Some(5), 2));
    assert_eq!(files.only("no-token").places[1].what, "word 1 `\\u{feff}`, labelled `O`");
    assert_eq!(files.found("label-scheme"), one(Warning, "train.conll", Some(6), 1));
    assert_eq!(files.found("blank-separator"), one(Note, "train.conll", Some(3), 1));
    assert_eq!(files.found("unknown-label"), one(Bad, "dev.conll", Some(2), 1));
    let report = files.report();
    assert_eq!((report.files[0].words, report.files[0].scheme), (Some(7), Some("IOB2")));
}

#[test]
fn a_broken_row_takes_its_sentence_with_it() {
    let train = "a\tO\nb\tB-X\n\nc\tB-X\nd\nd\tI-X\n\ne\tO\n";
    let files = Files::new(FinetuneTask::Tokens, &[("train.conll", train)]);
    assert_eq!(files.found("data"), one(Bad, "train.conll", Some(5), 1));
    assert_eq!(files.found("label-scheme"), [], "I-X is not left behind without its B-X");
    assert_eq!(files.report().files[0].examples, 2);
}

#[test]
fn unknown_words_are_counted() {
    let files = texts("text\tlabel\na zebra b\tx\nzebra ox\ty\n", "text\tlabel\nc\tx\nd\ty\n");
    let finding = files.only("unknown-words");
    assert_eq!((finding.severity, finding.line, finding.count), (Warning, Some(2), 2));
    assert!(finding.message.contains("3 of 5 (60.00 %), 2 different"), "{}", finding.message);
    let places: Vec<_> = finding.places.iter().map(|place| (place.line, place.what.as_str())).collect();
    assert_eq!(places, [(Some(2), "`zebra` 2 times"), (Some(3), "`ox` once")]);
    let many = format!("text\tlabel\n{}zebra\tx\nb\ty\n", "a a a a a a a a a a\tx\n".repeat(10));
    assert_eq!(texts(&many, "text\tlabel\nc\tx\nd\ty\n").only("unknown-words").severity, Note);
}

#[test]
fn a_vocabulary_in_another_case_is_told() {
    let mut files = texts("text\tlabel\nA b\tx\nc\ty\n", "text\tlabel\nd\tx\nE\ty\n");
    assert_eq!(files.found("casing"), []);
    files.settings.cased = true;
    let finding = files.only("casing");
    assert!(finding.message.contains("in 2 of 4 examples; leave --cased out"), "{}", finding.message);
    files.settings.cased = false;
    fs::write(files.dir.path().join("vocab.txt"), VOCABULARY.to_string() + "A\nBerlin\n").unwrap();
    // Nothing says that it is not cased, so it is taken as such.
    assert!(files.only("tokenizer").message.contains("\"Berlin\": read as cased"));
    fs::write(files.dir.path().join("tokenizer_config.json"), r#"{"do_lower_case": true}"#).unwrap();
    files.settings.tokenizer = Some(files.dir.path().to_path_buf());
    assert!(files.only("casing").message.contains("2 tokens of the vocabulary (28.6 %) have capitals"));
}

#[test]
fn long_examples_are_told_with_what_is_lost() {
    let long = "a ".repeat(18);
    let files = texts(&format!("text\tlabel\n{long}\tx\nb\ty\n"), "text\tlabel\nd\tx\ne\ty\n");
    assert_eq!(files.found("long-examples"), []);
    let settings = CheckSettings { max_seq_length: 10, ..files.settings.clone() };
    let files = Files { settings, ..files };
    let finding = files.only("long-examples");
    assert_eq!((finding.severity, finding.path.file_name().unwrap().to_str()), (Warning, Some("train.tsv")));
    assert!(finding.message.contains("1 of 2 (50.0 %)"), "{}", finding.message);
    // 10 of 20 + 3 tokens.
    assert!(finding.message.contains("43.5 % of all tokens"), "{}", finding.message);
    let files = Files { settings: CheckSettings { long: Long::Window, ..files.settings.clone() }, ..files };
    assert_eq!(files.only("long-examples").severity, Note);
    let cut = files.report().lengths[0].cuts[0];
    assert_eq!((cut.max_seq_length, cut.examples, cut.tokens), (64, 0.0, 0.0));
}

/// Questions on one text.
fn squad(context: &str, questions: &[(&str, &str, usize)]) -> String {
    let question = |&(id, answer, start): &(&str, &str, usize)| {
        let answers = [serde_json::json!({ "text": answer, "answer_start": start })];
        serde_json::json!({ "id": id, "question": format!("{id}?"), "answers": answers })
    };
    let questions: Vec<_> = questions.iter().map(question).collect();
    serde_json::json!({ "data": [{ "paragraphs": [{ "context": context, "qas": questions }] }] }).to_string()
}

#[test]
fn questions_are_checked() {
    let train = squad("a b c", &[("a", "b", 2), ("b", "a", 4)]);
    let dev = squad("a b c", &[("a", "c", 4)]);
    let files = Files::new(FinetuneTask::Questions, &[("train.json", &train), ("dev.json", &dev)]);
    assert_eq!(files.found("misaligned-answer"), one(Warning, "train.json", None, 1));
    assert_eq!(files.found("shared-context"), one(Warning, "dev.json", None, 1));
    assert_eq!(files.found("leak"), one(Warning, "dev.json", None, 1));
    let answered = LabelCount { label: "answered".to_string(), train: 2, dev: 1 };
    assert_eq!(files.report().labels, [answered]);
    let beyond = squad("a b c", &[("a", "b", 5)]);
    let files = Files::new(FinetuneTask::Questions, &[("train.json", &beyond), ("dev.json", &dev)]);
    assert!(files.only("data").places[0].what.contains("data[0].paragraphs[0].qas[0].answers[0].answer_start"));
    assert_eq!(files.report().files.len(), 1);
    let long = "a ".repeat(65);
    let train = squad("a b c", &[(&long, "b", 2)]);
    let files = Files::new(FinetuneTask::Questions, &[("train.json", &train)]);
    assert!(files.only("long-question").places[0].what.contains("of 66 tokens"));
}

#[test]
fn a_question_that_is_impossible_and_answered_is_told_whatever_the_space_around_it() {
    let question = |id: &str, question: &str, is_impossible: bool| {
        let answers = if is_impossible { vec![] } else { vec![serde_json::json!({ "text": "b", "answer_start": 2 })] };
        serde_json::json!({ "id": id, "question": question, "is_impossible": is_impossible, "answers": answers })
    };
    let questions = [question("a", "which?", false), question("b", "which? ", true), question("c", "which?", false)];
    let train = serde_json::json!({ "data": [{ "paragraphs": [{ "context": "a b c", "qas": questions }] }] });
    let files = Files::new(FinetuneTask::Questions, &[("train.json", &train.to_string())]);
    let expected = "question b `which?` is `impossible`, in question a `answered`";
    assert_eq!(files.only("contradiction").places[0].what, expected);
    assert_eq!(files.found("duplicate"), one(Warning, "train.json", None, 1));
}

#[test]
fn settings_are_compared_with_the_model_and_the_data() {
    let mut files = texts("text\tlabel\na\t0\nb\t1\nc\t2\n", "text\tlabel\nd\t2\n");
    let dir = files.dir.path().join("model");
    crate::example_model(&dir).unwrap();
    files.settings.start = Some(Start::Model(dir));
    files.settings.tokenizer = None;
    files.settings.max_seq_length = 16;
    files.settings.batch_size = 4;
    let finding = files.only("head-labels");
    assert_eq!(finding.severity, Bad);
    assert!(finding.message.contains("knows the labels no, yes, but not 0, 1, 2; --new-head"), "{}", finding.message);
    assert_eq!(files.found("batch-size"), one(Warning, "train.tsv", None, 1));
    let estimate = files.report().estimate.unwrap();
    assert_eq!(estimate.steps, 3);
    assert!(estimate.seconds > 0.0 && estimate.bytes_of_activations > 0.0, "{estimate:?}");
    // 10 + 512 + 2 rows of embeddings of 16 and their LayerNorm, two layers, the pooler, and 3 labels.
    let layer = 4 * 16 * 17 + (16 + 1) * 32 + (32 + 1) * 16 + 4 * 16;
    assert_eq!(estimate.parameters, 16 * 524 + 32 + 2 * layer + 16 * 17 + 3 * 17);
    // Seven times all of them, and the matrices of the layers once more.
    let matrices = 2 * (4 * 16 * 16 + 2 * 16 * 32);
    assert_eq!(estimate.bytes_of_parameters, 4.0 * (7 * estimate.parameters + matrices) as f64);
    files.settings.new_head = true;
    files.settings.max_seq_length = 513;
    files.settings.accumulate = 5;
    assert_eq!(files.found("head-labels"), []);
    assert!(files.only("max-seq-length").message.contains("up to 512 tokens"));
    assert_eq!(files.found("accumulate"), one(Bad, "train.tsv", None, 1));
    assert_eq!(files.report().estimate, None);
    fs::write(files.dir.path().join("vocab.txt"), VOCABULARY.to_string() + "f\ng\n").unwrap();
    files.settings.tokenizer = Some(files.dir.path().join("vocab.txt"));
    assert!(files.only("vocabulary").message.contains("12 tokens, the model's word embeddings have 10"));
    files.settings.start = Some(Start::Model(files.dir.path().join("missing")));
    assert_eq!(files.found("model"), one(Bad, "missing", None, 1));
}

#[test]
fn a_head_that_knows_more_labels_makes_them_known() {
    let mut files = texts("text\tlabel\na\tno\nb\tno\n", "text\tlabel\nd\tyes\n");
    let dir = files.dir.path().join("model");
    crate::example_model(&dir).unwrap();
    files.settings.start = Some(Start::Model(dir));
    files.settings.tokenizer = None;
    assert_eq!(files.found("unknown-label"), []);
    files.settings.task = FinetuneTask::Regression;
    assert_eq!(files.found("not-a-number").len(), 2);
    assert!(files.only("head-labels").message.contains("a head for labels of texts, which is another task"));
    files.settings.task = FinetuneTask::Classification;
    files.settings.start = None;
    files.settings.tokenizer = Some(files.dir.path().join("vocab.txt"));
    assert_eq!(files.found("unknown-label"), one(Bad, "dev.tsv", Some(2), 1));
}

#[test]
fn the_quick_check_reads_and_compares_but_does_not_tokenize() {
    let files = texts("text\tlabel\nzebra\tx\nb\ty\n", "text\tlabel\nzebra\tx\n");
    let report = check(&files.settings, Depth::Quick, None).unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, ["leak", "label-not-in-dev"]);
    assert_eq!((report.lengths.len(), report.estimate), (0, None));
}
