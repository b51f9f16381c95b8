use std::fs;
use std::path::PathBuf;

use super::*;
use crate::data::{DataOptions, Labelling, read_examples, read_questions, read_sentences};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// All rows, as JSON.
fn rows(path: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for_each_row(path, &mut |row, _| {
        found.push(row.to_string());
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    Ok(found)
}

#[test]
fn rows_are_objects() {
    let questions = rows(&fixture("labelled/questions.parquet")).unwrap();
    assert_eq!(
        questions[0],
        r#"{"id":"a","title":"t","context":"Ann came.","question":"Who came?","answers":{"text":["Ann"],"answer_start":[0]}}"#
    );
    assert!(questions[1].ends_with(r#""answers":{"text":[],"answer_start":[]}}"#));
}

#[test]
fn pages_with_zstd_hold_the_same_rows() {
    let expected = rows(&fixture("labelled/texts.parquet")).unwrap();
    assert_eq!(expected[1], r#"{"text":"bad film","label":0,"idx":8}"#);
    for name in ["texts-zstd-1", "texts-zstd-2"] {
        assert_eq!(rows(&fixture(&format!("labelled/{name}.parquet"))).unwrap(), expected, "{name}");
    }
    let all = rows(&fixture("documents/snappy.parquet")).unwrap();
    let zstd = rows(&fixture("documents/zstd.parquet")).unwrap();
    assert!(all.len() > 50 && all.len() == zstd.len());
    // The other file has one column more.
    for (zstd, row) in zstd.iter().zip(&all) {
        assert!(row.starts_with(zstd.trim_end_matches('}')), "{zstd}");
    }
}

#[test]
fn labelled_parquet_is_read_for_every_task() {
    let options = DataOptions::default();
    let texts = read_examples(&fixture("labelled/texts.parquet"), &options, Labelling::One).unwrap();
    let labels: Vec<&str> = texts.items.iter().map(|example| example.label()).collect();
    assert_eq!(labels, ["pos", "neg", "pos"], "by the names in the file");
    assert_eq!(texts.notes.len(), 2, "{:?}", texts.notes);
    let unnamed = read_examples(&fixture("labelled/texts-zstd-1.parquet"), &options, Labelling::One).unwrap();
    assert_eq!(unnamed.items[0].label(), "1");
    let flags = read_examples(&fixture("labelled/flags.parquet"), &options, Labelling::Several).unwrap();
    assert_eq!(flags.items[0].labels.join("+"), "label_0+label_2");
    let words = read_sentences(&fixture("labelled/tokens.parquet"), &options, true).unwrap();
    assert_eq!(
        (words.items[0].words.join(" "), words.items[0].labels.join(" ")),
        ("Ann Lee came".to_string(), "B-PER I-PER O".to_string())
    );
    let questions = read_questions(&fixture("labelled/questions.parquet"), &options, true).unwrap().questions;
    assert_eq!((questions[0].answers[0].text.as_str(), questions[1].is_impossible), ("Ann", true));
}

/// Files that fuzzing found: each made crate `parquet` panic.
#[test]
fn damage_that_makes_others_panic_is_told() {
    for name in ["damaged-1", "damaged-2", "damaged-3", "damaged-4"] {
        let error = rows(&fixture(&format!("documents/{name}.parquet"))).unwrap_err();
        assert!(error.contains(&format!("{name}.parquet")), "{error}");
        assert!(error.contains("damaged") || error.contains("not a whole Parquet file"), "{error}");
    }
}

#[test]
fn bytes_that_are_changed_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut errors = 0;
    for name in ["labelled/questions", "labelled/tokens", "labelled/texts-zstd-2", "documents/row-groups"] {
        let whole = fs::read(fixture(&format!("{name}.parquet"))).unwrap();
        for at in (0..whole.len()).step_by(31) {
            for damage in [0x01, 0x10, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] ^= damage;
                fs::write(&path, &bytes).unwrap();
                errors += usize::from(rows(&path).is_err());
            }
        }
    }
    assert!(errors > 300, "{errors}");
}

#[test]
fn names_of_classes_are_found() {
    assert_eq!(class_names(&fixture("labelled/texts.parquet"), "label"), ["neg", "pos"]);
    assert_eq!(class_names(&fixture("labelled/tokens.parquet"), "ner_tags"), ["O", "B-PER", "I-PER"]);
    assert_eq!(class_names(&fixture("labelled/texts.parquet"), "idx"), Vec::<String>::new());
    assert_eq!(class_names(&fixture("labelled/texts-zstd-1.parquet"), "label"), Vec::<String>::new());
}
