//! Finite weights whose products are not: every answer is an error that names the layer, never NaN.

use std::path::Path;

use cloze::data::CorpusOptions;
use cloze::eval::{EvaluationOptions, PretrainingData, evaluate, evaluate_pretraining};
use cloze::infer::{EmbedOptions, Pooling, ReadOptions, Words};
use cloze::model::Batch;
use cloze::params::{Declaration, HeadSet, TaskHead};
use cloze::settings::QuestionSettings;
use cloze::{Config, Error, Model, checkpoint};
use cloze_tokenizer::{Casing, Tokenizer};
use serde_json::Value;

/// A model with these heads; the values of the tensors whose names end so are the largest of f32.
fn model(task: TaskHead, problem: &str, large: &str) -> Model {
    let dir = tempfile::tempdir().unwrap();
    let tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat"].map(str::to_string).to_vec();
    let mut config = Config {
        vocab_size: tokens.len(),
        hidden_size: 16,
        num_attention_heads: 2,
        intermediate_size: 32,
        labels: vec!["B-X".to_string(), "O".to_string()],
        ..Config::tiny()
    };
    if problem == "regression" {
        config.labels.pop();
    }
    config.problem_type = match problem {
        "regression" => Some(cloze::config::ProblemType::Regression),
        "several" => Some(cloze::config::ProblemType::MultiLabelClassification),
        _ => None,
    };
    let heads = HeadSet { pooler: true, mlm: true, nsp: true, task: Some(task) };
    let declaration = Declaration::new(&config, heads);
    checkpoint::save(dir.path(), &config, &declaration, &declaration.initial_weights(0.2, 1)).unwrap();
    Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap().save(dir.path()).unwrap();
    enlarge(&dir.path().join("model.safetensors"), large);
    Model::open(dir.path()).unwrap()
}

fn enlarge(path: &Path, large: &str) {
    let mut file = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let (_, tensor) = tensors.as_object().unwrap().iter().find(|(name, _)| name.ends_with(large)).expect(large);
    let at = |end: usize| 8 + header + tensor["data_offsets"][end].as_u64().unwrap() as usize;
    for number in file[at(0)..at(1)].chunks_exact_mut(4) {
        number.copy_from_slice(&f32::MAX.to_le_bytes());
    }
    std::fs::write(path, file).unwrap();
}

fn place<T>(answer: Result<T, Error>) -> String {
    match answer {
        Err(Error::Overflow { place }) => place,
        Err(other) => panic!("{other}"),
        Ok(_) => "an answer".to_string(),
    }
}

/// Tensors, and the place that overflows.
const LAYERS: [(&str, &str); 3] = [
    ("embeddings.word_embeddings.weight", "the embeddings"),
    ("layer.0.intermediate.dense.weight", "layer 1 of 2"),
    ("layer.1.output.dense.weight", "layer 2 of 2"),
];

#[test]
fn every_answer_names_the_layer() {
    let text = || ["the cat".into()];
    let read = ReadOptions::default();
    for (tensor, expected) in LAYERS.into_iter().chain([("classifier.weight", "the pooler or the head")]) {
        let model = model(TaskHead::Pooled(2), "", tensor);
        assert_eq!(place(model.classify(&text(), read)), expected);
        let several = self::model(TaskHead::Pooled(2), "several", tensor);
        assert_eq!(place(several.label(&text(), read)), expected);
        let number = self::model(TaskHead::Pooled(1), "regression", tensor);
        assert_eq!(place(number.regress(&text(), read)), expected);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dev.tsv");
        std::fs::write(&file, "text\tlabel\nthe cat\tO\n").unwrap();
        assert_eq!(
            place(evaluate(&model, &file, &EvaluationOptions::default(), &mut |_| std::ops::ControlFlow::Continue(()))),
            expected
        );
    }
    for (tensor, expected) in LAYERS.into_iter().chain([("classifier.weight", "the head")]) {
        let model = model(TaskHead::Tokens(2), "", tensor);
        assert_eq!(place(model.label_words(&[Words::Text("the cat")], read, None)), expected);
    }
    for (tensor, expected) in LAYERS.into_iter().chain([("qa_outputs.weight", "the head")]) {
        let model = model(TaskHead::Span, "", tensor);
        assert_eq!(
            place(model.answer(
                &[("the cat", "sat")],
                ReadOptions { max_length: Some(100), ..read },
                QuestionSettings::default()
            )),
            expected
        );
    }
}

#[test]
fn pre_training_heads_and_hidden_states_name_the_layer() {
    let mut batch = Batch::default();
    batch.push(&[2, 5, 6, 3], &[0; 4]);
    for (tensor, expected) in LAYERS {
        let model = model(TaskHead::Pooled(2), "", tensor);
        assert_eq!(place(model.fill("the [MASK]".into(), 3)), expected);
        assert_eq!(place(model.is_next(&[("the cat", "sat").into()], None)), expected);
        assert_eq!(place(model.forward(&batch, false)), expected);
        for pooling in [Pooling::None, Pooling::Cls, Pooling::Mean, Pooling::Max, Pooling::Pooler] {
            let options = EmbedOptions { pooling: Some(std::slice::from_ref(&pooling)), ..EmbedOptions::default() };
            assert_eq!(place(model.embed(&["the cat".into()], options)), expected, "{pooling:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("text.txt");
        std::fs::write(&file, "the cat sat\nthe cat\n\nsat the cat\nthe cat sat\n").unwrap();
        let data = PretrainingData { corpus: CorpusOptions::default(), max_seq_length: Some(16), seed: 1 };
        let found = evaluate_pretraining(&model, &[file], data, &mut |_| std::ops::ControlFlow::Continue(()));
        assert_eq!(place(found), expected);
        // A layer before it has vectors.
        let options = EmbedOptions { layer: Some(0), ..EmbedOptions::default() };
        let expected = if tensor.contains("embeddings") { expected } else { "an answer" };
        assert_eq!(place(model.embed(&["the cat".into()], options)), expected);
    }
    let model = |tensor| self::model(TaskHead::Pooled(2), "", tensor);
    let found = place(model("predictions.transform.dense.weight").fill("the [MASK]".into(), 3));
    assert_eq!(found, "the masked language model head");
    let found = place(model("seq_relationship.weight").is_next(&[("the cat", "sat").into()], None));
    assert_eq!(found, "the pooler or the head");
    assert_eq!(place(model("classifier.weight").forward(&batch, false)), "the head");
}
