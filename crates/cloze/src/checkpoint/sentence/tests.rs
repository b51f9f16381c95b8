use tempfile::TempDir;

use super::*;

const TRANSFORMER: &str = r#"{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"}"#;
const POOL: &str = r#"{"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}"#;

fn directory(modules: &str, pooling: &str, transformer: Option<&str>) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join(POOLING)).unwrap();
    fs::write(dir.path().join(MODULES), modules).unwrap();
    fs::write(dir.path().join(POOLING).join(CONFIG), pooling).unwrap();
    if let Some(transformer) = transformer {
        fs::write(dir.path().join(TRANSFORMER_CONFIGS[0]), transformer).unwrap();
    }
    dir
}

#[track_caller]
fn expect_error(dir: &TempDir, parts: &[&str]) {
    let message = SentenceSettings::read(dir.path()).expect_err("an error").to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn what_is_written_reads_back() {
    for (pooling, normalize, max_length) in
        [(Pooling::Cls, false, None), (Pooling::Mean, true, Some(256)), (Pooling::Max, true, Some(1))]
    {
        let dir = TempDir::new().unwrap();
        let settings = SentenceSettings::embedder(pooling, normalize, max_length);
        settings.write(dir.path(), 384).unwrap();
        assert_eq!(SentenceSettings::read(dir.path()).unwrap(), Some(settings));
    }
}

#[test]
fn files_of_new_and_old_releases() {
    let old = r#"{"word_embedding_dimension":384,"pooling_mode_cls_token":false,"pooling_mode_max_tokens":true}"#;
    let dir = directory(&format!("[{TRANSFORMER},{POOL}]"), old, Some(r#"{"max_seq_length":null}"#));
    let expected = SentenceSettings::embedder(Pooling::Max, false, None);
    assert_eq!(SentenceSettings::read(dir.path()).unwrap(), Some(expected));
    let modules = r#"[{"path":"","type":"sentence_transformers.base.modules.transformer.Transformer"},
        {"path":"1_Pooling","type":"sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
        {"path":"2_Normalize","type":"sentence_transformers.base.modules.normalize.Normalize"}]"#;
    for mode in [r#""cls""#, r#"["cls"]"#] {
        let dir = directory(modules, &format!(r#"{{"embedding_dimension":384,"pooling_mode":{mode}}}"#), None);
        let expected = SentenceSettings::embedder(Pooling::Cls, true, None);
        assert_eq!(SentenceSettings::read(dir.path()).unwrap(), Some(expected));
    }
}

#[test]
fn a_model_without_these_files() {
    assert_eq!(SentenceSettings::read(TempDir::new().unwrap().path()).unwrap(), None);
}

#[test]
fn modules_that_are_not_known() {
    let lstm = r#"{"path":"2_LSTM","type":"sentence_transformers.models.LSTM"}"#;
    let dir = directory(&format!("[{TRANSFORMER},{POOL},{lstm}]"), "{}", None);
    expect_error(&dir, &[MODULES, "found Transformer, Pooling, LSTM"]);
    expect_error(&directory(&format!("[{POOL},{TRANSFORMER}]"), "{}", None), &[MODULES, "found Pooling, Transformer"]);
    for path in ["../other", "/etc", "."] {
        let outside = POOL.replace("1_Pooling", path);
        expect_error(&directory(&format!("[{TRANSFORMER},{outside}]"), "{}", None), &[MODULES, "module 1", "inside"]);
    }
    for modules in ["{}", "[]", "[1]", r#"[{"type":"Transformer"}]"#] {
        expect_error(&directory(modules, "{}", None), &[MODULES]);
    }
}

#[test]
fn poolings_that_are_not_known() {
    let modules = format!("[{TRANSFORMER},{POOL}]");
    expect_error(
        &directory(&modules, r#"{"pooling_mode":"median"}"#, None),
        &["1_Pooling", "cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken", "found \"median\""],
    );
    expect_error(&directory(&modules, r#"{"pooling_mode":[]}"#, None), &["1_Pooling", "an empty list"]);
    expect_error(&directory(&modules, r#"{"include_prompt":1}"#, None), &["1_Pooling", "`include_prompt`"]);
    expect_error(
        &directory(&modules, "{}", Some(r#"{"max_seq_length":0}"#)),
        &[TRANSFORMER_CONFIGS[0], "max_seq_length"],
    );
}
