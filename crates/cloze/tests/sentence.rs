//! Directories of sentence-transformers, against what it computes with them.

use std::fs;
use std::path::{Path, PathBuf};

use cloze::checkpoint::SentenceSettings;
use cloze::infer::{EmbedOptions, Long, Pooling, Prompt, ReadOptions, Task};
use cloze::{Model, Text, quantize};
use serde_json::Value;

/// Error of f32 arithmetic on vectors whose numbers are near 1.
const ERROR_MAX: f64 = 2e-5;
const POOLINGS: [(&str, Pooling); 6] = [
    ("cls", Pooling::Cls),
    ("max", Pooling::Max),
    ("mean", Pooling::Mean),
    ("mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("weightedmean", Pooling::WeightedMean),
    ("lasttoken", Pooling::LastToken),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentence")
}

fn expected() -> Value {
    serde_json::from_str(&fs::read_to_string(fixtures().join("expected.json")).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn expect(model: &Model, options: EmbedOptions, expected: &Value, what: &str) {
    let texts = strings(&self::expected()["texts"]);
    let texts: Vec<Text> = texts.iter().map(|text| text.as_str().into()).collect();
    let expected: Vec<Vec<f64>> = serde_json::from_value(expected.clone()).unwrap();
    let found = model.embed(&texts, options).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.vectors[0].len(), expected.len(), "{what}");
        let norm = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
        let error = found.vectors[0].iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 0.1 && error < ERROR_MAX * norm, "{what}: error {error:e} of {norm}");
    }
}

#[test]
fn prompts_dense_layers_and_dimensions() {
    let model = Model::open(fixtures().join("embedder")).unwrap();
    let expected = &expected()["embedder"];
    let none = EmbedOptions::default();
    assert_eq!(model.default_prompt(), "find the query : ");
    expect(&model, none, &expected["default"], "default prompt");
    expect(&model, EmbedOptions { prompt: Some(Prompt::Text("")), ..none }, &expected["no_prompt"], "no prompt");
    // A prompt that every model has, empty where the file says nothing else.
    expect(
        &model,
        EmbedOptions { prompt: Some(Prompt::Named("document")), ..none },
        &expected["no_prompt"],
        "document",
    );
    expect(&model, EmbedOptions { prompt: Some(Prompt::Named("passage")), ..none }, &expected["passage"], "passage");
    let options = EmbedOptions { prompt: Some(Prompt::Text("a dog ")), dimensions: Some(7), ..none };
    expect(&model, options, &expected["seven_dimensions"], "seven dimensions");
    let options = EmbedOptions { normalize: Some(true), ..none };
    expect(&model, options, &expected["normalized"], "scaled after the dimensions are left out");
}

/// The modules after pooling do not fit one pooling, so a directory without them is needed.
fn without_modules() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join("embedder"), dir.path());
    let path = dir.path().join("modules.json");
    let mut modules: Vec<Value> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    modules.truncate(2);
    fs::write(path, serde_json::to_string(&modules).unwrap()).unwrap();
    fs::remove_file(dir.path().join("config_sentence_transformers.json")).unwrap();
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

#[test]
fn every_pooling_with_and_without_a_prompt_that_is_left_out() {
    let expected = &expected()["embedder"];
    let dir = without_modules();
    let model = Model::open(dir.path()).unwrap();
    for (name, pooling) in POOLINGS {
        let pooling = [pooling];
        let options = EmbedOptions { pooling: Some(&pooling), ..EmbedOptions::default() };
        expect(&model, options, &expected[format!("{name} without prompt")], name);
        let options = EmbedOptions { prompt: Some(Prompt::Text("find the query : ")), ..options };
        expect(&model, options, &expected[name], name);
    }
    let texts: Vec<Text> = vec!["the cat".into()];
    let embed = |pooling: &[Pooling]| {
        let options = EmbedOptions { pooling: Some(pooling), ..EmbedOptions::default() };
        model.embed(&texts, options).map(|found| found[0].vectors[0].clone())
    };
    let both = embed(&[Pooling::Max, Pooling::Cls]).unwrap();
    assert_eq!(both, [embed(&[Pooling::Max]).unwrap(), embed(&[Pooling::Cls]).unwrap()].concat());
    for wrong in [&[][..], &[Pooling::None, Pooling::Cls], &[Pooling::Cls, Pooling::Pooler]] {
        assert!(embed(wrong).unwrap_err().to_string().contains("go with no other"));
    }
}

#[test]
fn what_cannot_be_asked_of_an_embedder() {
    let model = Model::open(fixtures().join("embedder")).unwrap();
    let none = EmbedOptions::default();
    let prompt = "the cat ".repeat(20);
    for (options, part) in [
        (
            EmbedOptions { pooling: Some(&[Pooling::Cls]), ..none },
            "reads vectors of 36 columns, and the pooling gives 12",
        ),
        (
            EmbedOptions { prompt: Some(Prompt::Named("title")), ..none },
            "no prompt `title`; the model's files have document, passage, query",
        ),
        (EmbedOptions { dimensions: Some(8), ..none }, "8 dimensions: the model's vectors have 7"),
        (EmbedOptions { dimensions: Some(0), ..none }, "0 dimensions"),
    ] {
        let message = model.embed(&["a".into()], options).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    // A prompt as long as what is read leaves [SEP].
    let long = EmbedOptions { prompt: Some(Prompt::Text(&prompt)), ..none };
    assert_eq!(model.embed(&["a".into()], long).unwrap()[0].extent.tokens, 14);
    // The prompt alone has the tokens cat, ##s, ##ing; together with the text it is an unknown word.
    let joined = EmbedOptions { prompt: Some(Prompt::Text("catsing")), ..none };
    let message = model.embed(&["q".into()], joined).unwrap_err().to_string();
    assert!(message.contains("text 0: the prompt takes all of its 3 tokens"), "{message}");
}

#[test]
fn tokens_keep_their_vectors_where_modules_work_on_texts() {
    let model = Model::open(fixtures().join("embedder")).unwrap();
    let options =
        EmbedOptions { pooling: Some(&[Pooling::None]), prompt: Some(Prompt::Text("")), ..EmbedOptions::default() };
    let found = &model.embed(&["the cat sat".into()], options).unwrap()[0];
    assert_eq!((found.vectors.len(), found.vectors[0].len()), (5, 12));
    let length = |vector: &[f32]| vector.iter().map(|value| value * value).sum::<f32>();
    assert!(found.vectors.iter().all(|vector| (length(vector) - 1.0).abs() < 1e-5));
}

#[test]
fn the_folder_of_old_releases_and_lower_case_beside_a_cased_tokenizer() {
    let dir = fixtures().join("old_layout");
    let model = Model::open(&dir).unwrap();
    expect(&model, EmbedOptions::default(), &expected()["old_layout"]["default"], "old layout");
    let tokens: Vec<String> = {
        let encoding = model.tokenizer().tokenize("The Cats É ran");
        encoding.ids.iter().map(|&id| model.tokenizer().token(id).unwrap().to_string()).collect()
    };
    assert_eq!(tokens, strings(&expected()["old_layout"]["tokens"]));
    let read = ReadOptions { long: Some(Long::Window), ..ReadOptions::default() };
    let long =
        model.embed(&["the cat sat ".repeat(20).as_str().into()], EmbedOptions { read, ..EmbedOptions::default() });
    assert_eq!(long.unwrap()[0].vectors[0].len(), 24);
}

#[test]
fn a_cross_encoder_has_its_function() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join("cross_encoder"), dir.path());
    let expected = &expected();
    let pairs: Vec<(String, String)> = serde_json::from_value(expected["pairs"].clone()).unwrap();
    let texts: Vec<Text> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str()).into()).collect();
    let path = dir.path().join("config_sentence_transformers.json");
    let own = fs::read_to_string(&path).unwrap();
    for (name, function) in
        [("tanh", None), ("identity", Some("linear.Identity")), ("sigmoid", Some("activation.Sigmoid"))]
    {
        if let Some(function) = function {
            fs::write(&path, own.replace("activation.Tanh", function)).unwrap();
        }
        let model = Model::open(dir.path()).unwrap();
        assert_eq!(model.task(), Some(Task::Regression));
        let found = model.regress(&texts, ReadOptions::default()).unwrap();
        let expected: Vec<f64> = serde_json::from_value(expected["cross_encoder"][name].clone()).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found.score - expected).abs() < ERROR_MAX * expected.abs().max(1.0),
                "{name}: {found:?}, {expected}"
            );
        }
    }
    // Without these files, one label that nothing calls a regression goes through a sigmoid, too.
    for name in ["modules.json", "config_sentence_transformers.json"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let found = Model::open(dir.path()).unwrap().regress(&texts, ReadOptions::default()).unwrap();
    assert!((found[0].score - expected["cross_encoder"]["sigmoid"][0].as_f64().unwrap()).abs() < ERROR_MAX);
}

#[test]
fn a_quantized_model_keeps_all_settings() {
    for name in ["embedder", "old_layout", "cross_encoder"] {
        let output = tempfile::tempdir().unwrap();
        quantize::quantize(&fixtures().join(name), None, &output.path().join("small"), false).unwrap();
        let read = |dir: &Path| SentenceSettings::read(dir).unwrap().unwrap();
        assert_eq!(read(&output.path().join("small")), read(&fixtures().join(name)), "{name}");
        let model = Model::open(output.path().join("small")).unwrap();
        assert!(model.is_quantized());
    }
}
