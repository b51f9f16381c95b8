//! Which head a directory is read with, and what is noted of the choice.

use safetensors::Dtype;

use super::tests::{Stored, expect_error, model_with, small_config};
use super::*;

/// A directory with all heads and a pooler that calls itself these classes, with these labels.
fn open(architectures: &[&str], labels: [&str; 3], change: impl FnOnce(&mut Vec<Stored>)) -> Result<Checkpoint, Error> {
    let config = Config {
        architectures: architectures.iter().map(|name| name.to_string()).collect(),
        labels: labels.map(String::from).to_vec(),
        ..small_config()
    };
    model_with(&config, change).open()
}

const PLAIN: [&str; 3] = ["bad", "good", "neither"];
const ENTITIES: [&str; 3] = ["O", "B-PER", "I-PER"];

fn remove(tensors: &mut Vec<Stored>, part: &str) {
    let before = tensors.len();
    tensors.retain(|tensor| !tensor.name.contains(part));
    assert!(tensors.len() < before, "{part}");
}

fn add_span(tensors: &mut Vec<Stored>, rows: usize) {
    for (name, shape) in [("qa_outputs.weight", vec![rows, 6]), ("qa_outputs.bias", vec![rows])] {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        tensors.push(Stored { name: name.to_string(), dtype: Dtype::F32, shape, bytes });
    }
}

#[test]
fn a_known_class_decides_without_a_note() {
    for (class, labels, head) in [
        ("BertForSequenceClassification", ENTITIES, TaskHead::Pooled(3)),
        ("BertForTokenClassification", PLAIN, TaskHead::Tokens(3)),
        ("BertForQuestionAnswering", PLAIN, TaskHead::Span),
    ] {
        let checkpoint = open(&["Unknown", class], labels, |tensors| add_span(tensors, 2)).unwrap();
        assert_eq!((checkpoint.heads().task, checkpoint.notes()), (Some(head), &[][..]), "{class}");
    }
}

#[test]
fn without_a_known_class_tensors_and_labels_decide_with_a_note() {
    let none: fn(&mut Vec<Stored>) = |_| {};
    let without_pooler: fn(&mut Vec<Stored>) = |tensors| remove(tensors, "pooler");
    let of_answers: fn(&mut Vec<Stored>) = |tensors| {
        remove(tensors, "classifier");
        add_span(tensors, 2);
    };
    for (architectures, labels, change, head, class) in [
        (&[][..], PLAIN, none, TaskHead::Pooled(3), "BertForSequenceClassification"),
        (&[], ENTITIES, none, TaskHead::Tokens(3), "BertForTokenClassification"),
        (&["AntiBERTy"], ENTITIES, none, TaskHead::Tokens(3), "BertForTokenClassification"),
        (&[], PLAIN, without_pooler, TaskHead::Tokens(3), "BertForTokenClassification"),
        (&[], PLAIN, of_answers, TaskHead::Span, "BertForQuestionAnswering"),
    ] {
        let checkpoint = open(architectures, labels, change).unwrap();
        assert_eq!(checkpoint.heads().task, Some(head), "{class}");
        let [note] = checkpoint.notes() else { panic!("{:?}", checkpoint.notes()) };
        assert!(note.contains(class), "{note}");
        let why = if architectures.is_empty() { "architectures is not set" } else { "AntiBERTy, which is not known" };
        assert!(note.contains(why), "{note}");
    }
    let checkpoint = open(&["AntiBERTy"], PLAIN, |tensors| remove(tensors, "classifier")).unwrap();
    assert_eq!((checkpoint.heads().task, checkpoint.notes()), (None, &[][..]), "there is nothing to choose");
}

#[test]
fn other_uses_are_refused_by_name() {
    for class in ["BertForMultipleChoice", "BertLMHeadModel", "BertForCausalLM"] {
        expect_error(open(&[class], PLAIN, |_| {}), &["config.json", "`architectures`", class, "cannot be used"]);
    }
}

#[test]
fn a_pooler_that_a_head_needs_must_be_there() {
    for (class, head) in [
        ("BertForSequenceClassification", "classifier.weight"),
        ("BertForPreTraining", "cls.seq_relationship.weight"),
        ("BertForNextSentencePrediction", "cls.seq_relationship.weight"),
    ] {
        let without = open(&[class], PLAIN, |tensors| remove(tensors, "pooler"));
        expect_error(without, &["model.safetensors", "`bert.pooler.dense.weight`", "missing", class, head]);
    }
    for class in ["BertForTokenClassification", "BertForMaskedLM", "BertModel"] {
        assert!(!open(&[class], PLAIN, |tensors| remove(tensors, "pooler")).unwrap().heads().pooler, "{class}");
    }
}

#[test]
fn a_class_and_tensors_that_disagree_are_noted() {
    for class in ["BertModel", "BertForMaskedLM", "BertForPreTraining"] {
        let checkpoint = open(&[class], PLAIN, |_| {}).unwrap();
        assert_eq!(checkpoint.heads(), HeadSet { pooler: true, mlm: true, nsp: true, task: None });
        assert!(checkpoint.notes()[0].contains(&format!("names {class}, so the head classifier.weight is not used")));
        let report = checkpoint.report(&Declaration::new(checkpoint.config(), checkpoint.heads())).unwrap();
        assert_eq!(report.unused, ["classifier.bias", "classifier.weight"]);
    }
    let checkpoint = open(&["BertForQuestionAnswering"], PLAIN, |_| {}).unwrap();
    assert_eq!(checkpoint.heads().task, None);
    assert!(checkpoint.notes()[0].contains("there is no tensor qa_outputs.weight"), "{:?}", checkpoint.notes());
    let wrong = open(&["BertForQuestionAnswering"], PLAIN, |tensors| add_span(tensors, 3));
    expect_error(wrong, &["`qa_outputs.weight`", "two rows", "found 3"]);
}
