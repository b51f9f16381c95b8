//! Answers of an opened model: the same bits alone and in a batch, from one thread or many.

use cloze::infer::{EmbedOptions, Extent, Long, OpenOptions, Pooling, ReadOptions};
use cloze::model::Batch;
use cloze::{Model, Text};

fn model(threads: usize) -> Model {
    let dir = tempfile::tempdir().unwrap();
    cloze::example_model(dir.path()).unwrap();
    Model::open_with(dir.path(), OpenOptions { threads: Some(threads), ..OpenOptions::default() }).unwrap()
}

fn texts() -> Vec<Text<'static>> {
    vec!["the cat sat".into(), "a".into(), ("the dog", "a cat sat the dog").into(), "".into(), "dog the cat".into()]
}

fn up_to(tokens: usize) -> ReadOptions {
    ReadOptions { max_length: Some(tokens), ..ReadOptions::default() }
}

#[test]
fn answers_are_the_same_alone_and_in_a_batch_and_for_any_number_of_threads() {
    let (one, three) = (model(1), model(3));
    for pooling in [Pooling::None, Pooling::Cls, Pooling::Mean, Pooling::Max, Pooling::Pooler] {
        let options = EmbedOptions { pooling: Some(&[pooling]), ..EmbedOptions::default() };
        let together = one.embed(&texts(), options).unwrap();
        assert_eq!(together, three.embed(&texts(), options).unwrap());
        for (text, expected) in texts().iter().zip(&together) {
            assert_eq!(one.embed(&[*text], options).unwrap()[0], *expected, "{text:?}");
        }
    }
    let together = one.classify(&texts(), ReadOptions::default()).unwrap();
    for (text, expected) in texts().iter().zip(&together) {
        assert_eq!(three.classify(&[*text], ReadOptions::default()).unwrap()[0], *expected);
    }
}

#[test]
fn one_model_serves_many_threads_at_once() {
    let model = model(2);
    let expected = model.classify(&texts(), ReadOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(model.classify(&texts(), ReadOptions::default()).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn forward_gives_all_hidden_states_pooled_and_attention() {
    let model = model(2);
    let mut batch = Batch::default();
    batch.push(&[2, 5, 7, 9, 3], &[0; 5]);
    batch.push(&[2, 6, 3], &[0; 3]);
    let outputs = model.forward(&batch, true).unwrap();
    let plain = model.forward(&batch, false).unwrap();
    assert_eq!(outputs.hidden_states, plain.hidden_states);
    assert_eq!(plain.attention_probabilities, None);
    assert_eq!(outputs.hidden_states.len(), 3);
    assert!(outputs.hidden_states.iter().all(|states| states.len() == 8 * 16));
    assert_eq!(outputs.pooled.as_ref().unwrap().len(), 2 * 16);
    for layer in outputs.attention_probabilities.unwrap() {
        assert_eq!(layer.len(), 2 * (25 + 9));
        for row in layer[..50].chunks(5) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
        }
    }
    // The last layer computed for the first rows alone gives the same pooled output.
    let texts: Vec<Text> = vec!["the cat sat".into(), "a".into()];
    let options = EmbedOptions { pooling: Some(&[Pooling::Pooler]), ..EmbedOptions::default() };
    let pooled = model.embed(&texts, options).unwrap();
    let pooled: Vec<f32> = pooled.into_iter().flat_map(|embedding| embedding.vectors).flatten().collect();
    assert_eq!(outputs.pooled.unwrap(), pooled);
}

#[test]
fn probabilities_add_up_and_truncation_is_counted() {
    let model = model(1);
    for (long, extent) in [
        (Long::Truncate, Extent { tokens: 6, windows: 1, truncated: 4 }),
        (Long::Window, Extent { tokens: 10, windows: 3, truncated: 0 }),
    ] {
        let options = ReadOptions { long: Some(long), ..up_to(6) };
        let answers = model.classify(&["the cat sat the cat sat the cat".into()], options).unwrap();
        assert_eq!(answers[0].extent, extent);
        assert!((answers[0].scores.iter().map(|(_, score)| score).sum::<f64>() - 1.0).abs() < 1e-9);
    }
    let next = model.is_next(&[("the cat", "a dog").into()], None).unwrap();
    assert!((0.0..=1.0).contains(&next[0].is_next));
    let filled = model.fill("the [MASK] sat [MASK]".into(), 4).unwrap();
    assert_eq!(filled.iter().map(|mask| mask.position).collect::<Vec<_>>(), [2, 4]);
    assert!(filled[0].candidates.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn what_a_model_cannot_do_is_an_error() {
    let model = model(1);
    assert!(model.fill("no mask".into(), 3).unwrap_err().to_string().contains("[MASK]"));
    assert!(model.regress(&["a".into()], ReadOptions::default()).unwrap_err().to_string().contains("regression"));
    assert!(model.is_next(&["a".into()], None).unwrap_err().to_string().contains("pairs"));
    let far = EmbedOptions { layer: Some(9), ..EmbedOptions::default() };
    assert!(model.embed(&["a".into()], far).unwrap_err().to_string().contains("layer 9"));
    assert!(model.classify(&["a".into()], up_to(1000)).unwrap_err().to_string().contains("1000"));
}

#[test]
fn a_length_in_the_files_that_no_input_fits_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    cloze::example_model(dir.path()).unwrap();
    for length in [0, 1, 2] {
        std::fs::write(dir.path().join("cloze.json"), format!(r#"{{"max_seq_length": {length}}}"#)).unwrap();
        let model = Model::open(dir.path()).unwrap();
        let wanted = format!("{length} tokens, as its files say");
        let errors = [
            model.classify(&["a".into()], ReadOptions::default()).unwrap_err(),
            model.is_next(&[("a", "cat").into()], None).unwrap_err(),
            model.fill("[MASK]".into(), 1).unwrap_err(),
            model.embed(&["a".into()], EmbedOptions::default()).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.to_string().contains(&wanted)), "{errors:?}");
        assert!(model.classify(&["a".into()], up_to(8)).is_ok());
    }
}
