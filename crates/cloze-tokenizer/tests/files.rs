//! Files: what is written can be read again, and what is damaged, hostile or of another kind of
//! tokenizer is refused with a reason.

use std::fs::{self, File};
use std::path::Path;

use cloze_tokenizer::{Casing, Error, Tokenizer, TokenizerFile};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKENS: [&str; 12] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cafe", "##s", ",", "é", "中", "The"];

fn tokenizer(casing: Casing) -> Tokenizer {
    Tokenizer::from_tokens(TOKENS.map(String::from).to_vec(), casing).unwrap()
}

/// A directory with the files of [`tokenizer`].
fn saved(casing: Casing) -> TempDir {
    let dir = TempDir::new().unwrap();
    tokenizer(casing).save(dir.path()).unwrap();
    dir
}

fn open(path: &Path) -> Result<Tokenizer, Error> {
    Tokenizer::open(path, Casing::Uncased)
}

/// The message of an error, which must name the path.
fn refused(path: &Path) -> String {
    let message = open(path).expect_err("an error").to_string();
    let dir = path.parent().unwrap().display().to_string();
    assert!(message.contains(&dir), "{message}");
    message
}

/// Changes one JSON file of a saved tokenizer and says how it is then refused.
fn refused_with(file: &str, change: impl FnOnce(&mut Value)) -> String {
    let dir = saved(Casing::Uncased);
    edit(dir.path(), file, change);
    let message = refused(dir.path());
    assert!(message.contains(file), "{message}");
    message
}

fn edit(dir: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = dir.join(file);
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(&path, value.to_string()).unwrap();
}

#[test]
fn what_is_saved_opens_as_it_was() {
    for casing in [Casing::Uncased, Casing::Cased] {
        let dir = saved(casing);
        let names = ["vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), names.len());
        let text = "The cafés, [MASK] thé\u{301} 中";
        let expected = tokenizer(casing).encode(text, None);

        let opened = open(dir.path()).unwrap();
        assert_eq!(opened.encode(text, None), expected);
        assert_eq!((opened.casing(), opened.model_max_length()), (casing, None));
        assert_eq!(open(&dir.path().join("tokenizer.json")).unwrap().encode(text, None), expected);
        assert_eq!(Tokenizer::open(&dir.path().join("vocab.txt"), casing).unwrap().encode(text, None), expected);
        // Without tokenizer.json, tokenizer_config.json says how text is normalized.
        fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
        assert_eq!(open(dir.path()).unwrap().encode(text, None), expected);
    }
}

#[test]
fn saving_twice_writes_the_same_bytes() {
    let (first, second) = (saved(Casing::Cased), TempDir::new().unwrap());
    open(first.path()).unwrap().save(second.path()).unwrap();
    for entry in fs::read_dir(first.path()).unwrap() {
        let path = entry.unwrap().path();
        let other = second.path().join(path.file_name().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), fs::read_to_string(other).unwrap());
    }
}

#[test]
fn unusual_settings_are_kept() {
    let dir = saved(Casing::Uncased);
    edit(dir.path(), "tokenizer.json", |json| {
        json["normalizer"]["clean_text"] = json!(false);
        json["normalizer"]["strip_accents"] = json!(false);
        json["model"]["max_input_chars_per_word"] = json!(3);
        json["truncation"] = json!({"max_length": 128, "strategy": "OnlyFirst", "stride": 0});
        json["padding"] = json!({"strategy": "BatchLongest"});
        let added = json!({"id": 12, "content": "<E1>", "lstrip": true, "special": false, "normalized": true});
        json["added_tokens"].as_array_mut().unwrap().push(added);
    });
    edit(dir.path(), "tokenizer_config.json", |json| {
        json["strip_accents"] = json!(false);
        json["model_max_length"] = json!(256);
        json["truncation_side"] = json!("left");
    });
    let again = TempDir::new().unwrap();
    open(dir.path()).unwrap().save(again.path()).unwrap();
    for path in [dir.path(), again.path()] {
        let opened = open(path).unwrap();
        assert_eq!(opened.model_max_length(), Some(256));
        assert_eq!(opened.truncation_max_length(), Some(128));
        assert_eq!(opened.encode("the , é", Some(4)).ids, [2, 8, 9, 3]);
        assert_eq!(opened.encode_pair("the ,", "é é é", Some(7)).ids, [2, 8, 3, 9, 9, 9, 3]);
        assert_eq!(opened.tokenize("é the cafe the <e1>").ids, [9, 5, 1, 5, 12]);
        assert_eq!((opened.vocab_size(), opened.id("<E1>")), (13, Some(12)));
    }
}

#[test]
fn bert_processing_is_as_good_as_a_template() {
    let dir = saved(Casing::Uncased);
    edit(dir.path(), "tokenizer.json", |json| {
        json["post_processor"] = json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]});
    });
    assert_eq!(open(dir.path()).unwrap().encode("the", None).ids, [2, 5, 3]);
}

#[test]
fn another_prefix_is_heeded() {
    let dir = saved(Casing::Uncased);
    edit(dir.path(), "tokenizer.json", |json| {
        json["model"]["continuing_subword_prefix"] = json!("c");
        json["decoder"]["prefix"] = json!("c");
    });
    let opened = open(dir.path()).unwrap();
    // `cafe` now is `afe` inside a word.
    assert_eq!(opened.tokenize("theafe cafe").ids, [5, 6, 6]);
    assert_eq!(opened.decode(&[5, 6], true), "theafe");
}

#[test]
fn a_limit_that_is_none_is_none() {
    for limit in [json!(1e30), json!(null), serde_json::from_str("1000000000000000019884624838656").unwrap()] {
        let dir = saved(Casing::Uncased);
        edit(dir.path(), "tokenizer_config.json", |json| json["model_max_length"] = limit);
        assert_eq!(open(dir.path()).unwrap().model_max_length(), None);
    }
}

#[test]
fn a_token_on_two_lines_keeps_its_last_id_in_every_file() {
    let tokens = [&TOKENS[..], &["the", "x"]].concat().into_iter().map(String::from).collect();
    let dir = TempDir::new().unwrap();
    Tokenizer::from_tokens(tokens, Casing::Uncased).unwrap().save(dir.path()).unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("vocab.txt")] {
        let opened = open(&path).unwrap();
        assert_eq!((opened.vocab_size(), opened.id("the"), opened.token(5)), (14, Some(12), Some("the")));
    }
    // The object in tokenizer.json alone cannot say what the other id is.
    let message = refused(&dir.path().join("tokenizer.json"));
    assert!(message.contains("model.vocab: expected ids from 0 to 12, each once, found 13 for \"x\""), "{message}");
}

#[test]
fn a_plain_vocabulary_takes_its_settings_from_the_config_or_the_caller() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("vocab.txt"), TOKENS.join("\n")).unwrap();
    assert_eq!(Tokenizer::open(dir.path(), Casing::Cased).unwrap().casing(), Casing::Cased);
    let config = r#"{"do_lower_case": true, "tokenize_chinese_chars": false, "mask_token": {"content": "[MASK]"},
        "added_tokens_decoder": {"4": {"content": "[MASK]", "lstrip": true, "special": true},
                                 "12": {"content": "<x>", "special": true}}}"#;
    fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    let opened = Tokenizer::open(dir.path(), Casing::Cased).unwrap();
    assert_eq!(opened.casing(), Casing::Uncased);
    assert_eq!(opened.tokenize("THE [MASK]a中<x>").ids, [5, 4, 1, 12]);
    assert_eq!(opened.tokenize("THE [MASK]").offsets, [(0, 3), (3, 10)]);
}

#[test]
fn tokens_that_old_files_add_are_found() {
    let dir = TempDir::new().unwrap();
    let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
    write("vocab.txt", &TOKENS.join("\n"));
    write("added_tokens.json", r#"{"<NEW>": 12, "the": 5, "[S]": 13}"#);
    write("special_tokens_map.json", r#"{"additional_special_tokens": ["[S]"]}"#);
    let opened = Tokenizer::open(dir.path(), Casing::Uncased).unwrap();
    assert_eq!((opened.vocab_size(), opened.id("[S]")), (14, Some(13)));
    // Tokens that are not special are found in normalized text, others as they are written.
    assert_eq!(opened.tokenize("<new>[S][s]").ids, [12, 13, 1, 1, 1]);
    for (text, expected) in [
        (r#"{"<new>": 13}"#, "id 12 for the next token beyond the vocabulary"),
        (r#"{"the": 12}"#, "id 5, once"),
        (r#"{"": 12}"#, "at least one character"),
        (r#"{"<new>": "12"}"#, "<new>: expected an integer"),
        (r#"{"<new>": 12, "<new>": 12}"#, "comes twice"),
    ] {
        write("added_tokens.json", text);
        assert!(refused(dir.path()).contains(expected), "{}", refused(dir.path()));
    }
    assert!(refused(dir.path()).contains("added_tokens.json"));
}

#[test]
fn declared_special_tokens_are_found_in_a_text() {
    let dir = TempDir::new().unwrap();
    let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
    let remove = |file: &str| fs::remove_file(dir.path().join(file)).unwrap();
    let ids = |text: &str| Tokenizer::open(dir.path(), Casing::Uncased).unwrap().tokenize(text).ids;
    let tokens: Vec<&str> = TOKENS.iter().copied().chain(["[unused1]", "[bos]"]).collect();
    write("vocab.txt", &tokens.join("\n"));
    assert_eq!(ids("the [unused1]"), [5, 1, 1, 1]);
    let list = r#"{"additional_special_tokens": ["[unused1]", "<x>"]}"#;
    for file in ["special_tokens_map.json", "tokenizer_config.json"] {
        write(file, list);
        assert_eq!(ids("the [unused1] <x>"), [5, 12, 14], "{file}");
        remove(file);
    }
    for config in [
        r#"{"extra_special_tokens": ["[unused1]"], "bos_token": "[bos]"}"#,
        r#"{"extra_special_tokens": {"name": "[unused1]"}, "bos_token": {"content": "[bos]"}, "eos_token": null}"#,
        r#"{"model_specific_special_tokens": {"a": "[bos]", "b": {"content": "[unused1]"}}}"#,
    ] {
        write("tokenizer_config.json", config);
        assert_eq!(ids("[bos][unused1]"), [13, 12], "{config}");
    }
    // Flags, also of the tokens that every BERT has; those of the list with ids count first.
    let flags = r#"{"mask_token": {"content": "[MASK]", "lstrip": true}, "additional_special_tokens": ["[bos]"]}"#;
    write("tokenizer_config.json", flags);
    let offsets = |text: &str| Tokenizer::open(dir.path(), Casing::Uncased).unwrap().tokenize(text).offsets;
    assert_eq!(offsets("the [MASK] [bos]"), [(0, 3), (3, 10), (11, 16)]);
    let with_ids = flags.replacen('{', r#"{"added_tokens_decoder": {"13": {"content": "[bos]", "lstrip": true}},"#, 1);
    write("tokenizer_config.json", &with_ids);
    assert_eq!(offsets("the [MASK] [bos]"), [(0, 3), (3, 10), (10, 16)]);
}

#[test]
fn special_tokens_are_declared_beside_a_tokenizer_json() {
    let dir = saved(Casing::Uncased);
    edit(dir.path(), "tokenizer_config.json", |json| json["extra_special_tokens"] = json!(["The", "<x>"]));
    let opened = open(dir.path()).unwrap();
    // One of the vocabulary is recognised; for another there is no id.
    assert_eq!(opened.tokenize("The the<x>").ids, [11, 5, 1, 1, 1]);
    let notes: Vec<String> = opened.notes().iter().map(|note| note.to_string()).collect();
    assert!(notes.len() == 1 && notes[0].contains("\"<x>\" has no id"), "{notes:?}");
}

#[test]
fn the_side_that_is_cut() {
    let dir = saved(Casing::Uncased);
    let cut = |dir: &TempDir| {
        let opened = open(dir.path()).unwrap();
        let single = opened.encode("the cafe ,", Some(4));
        assert_eq!(single.truncated, 1);
        (single.ids[1..3].to_vec(), opened.encode_pair("the cafe", ", the cafe", Some(5)).ids)
    };
    let right = (vec![5, 6], vec![2, 5, 3, 8, 3]);
    let left = (vec![6, 8], vec![2, 6, 3, 6, 3]);
    assert_eq!(cut(&dir), right);
    edit(dir.path(), "tokenizer.json", |json| json["truncation"] = json!({"max_length": 9, "direction": "Left"}));
    assert_eq!(cut(&dir), left);
    // `transformers` asks its own file first.
    edit(dir.path(), "tokenizer_config.json", |json| json["truncation_side"] = json!("right"));
    assert_eq!(cut(&dir), right);
    edit(dir.path(), "tokenizer_config.json", |json| json["truncation_side"] = json!("left"));
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    assert_eq!(cut(&dir), left);
    let words = open(dir.path()).unwrap().encode_words(&["the", "cafe", ","], Some(3));
    assert_eq!((words.ids, words.words, words.truncated), (vec![2, 8, 3], vec![None, Some(2), None], 2));
}

#[test]
fn a_missing_path() {
    let dir = TempDir::new().unwrap();
    assert!(refused(&dir.path().join("nowhere")).contains("cannot be read"));
    assert!(refused(dir.path()).contains("expected tokenizer.json or vocab.txt"));
}

#[test]
fn a_vocabulary_that_is_none() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("vocab.txt");
    for (bytes, expected) in
        [(&b""[..], "empty"), (b"[PAD]\nthe\n", "no token [UNK]"), (b"[PAD]\n[UNK]\n\xFF\xFE\n", "line 3 is not UTF-8")]
    {
        fs::write(&path, bytes).unwrap();
        assert!(refused(&path).contains(expected), "{}", refused(&path));
        assert!(refused(dir.path()).contains(expected));
    }
}

#[test]
fn a_file_without_end() {
    let dir = TempDir::new().unwrap();
    for name in ["vocab.txt", "tokenizer.json"] {
        let path = dir.path().join(name);
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(refused(&path).contains("larger than"));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_no_regular_one() {
    use std::os::unix::fs::symlink;
    for name in ["vocab.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"]
    {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("vocab.txt"), TOKENS.join("\n")).unwrap();
        assert!(open(dir.path()).is_ok());
        let path = dir.path().join(name);
        let _ = fs::remove_file(&path);
        symlink("/dev/zero", &path).unwrap();
        assert!(refused(dir.path()).contains(&format!("{name}: cannot be read: not a regular file")));
        fs::remove_file(&path).unwrap();
        // A model of which a file is missing must not be read as one without that file.
        symlink("/nowhere/blob", &path).unwrap();
        assert!(refused(dir.path()).contains(&format!("{name}: cannot be read: a link to /nowhere/blob")));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(refused(dir.path()).contains("not a regular file"));
    }
}

#[test]
fn a_name_that_comes_twice() {
    for (file, name) in
        [("tokenizer.json", "lowercase"), ("tokenizer.json", "the"), ("tokenizer_config.json", "do_lower_case")]
    {
        let dir = saved(Casing::Uncased);
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let field = format!("\"{name}\": ");
        fs::write(&path, text.replacen(&field, &format!("{field}5, {field}"), 1)).unwrap();
        let message = refused(dir.path());
        assert!(message.contains(file) && message.contains(&format!("{name:?} comes twice")), "{message}");
    }
}

#[test]
fn a_byte_order_mark_before_a_vocabulary() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("vocab.txt"), format!("\u{FEFF}{}", TOKENS.join("\r\n"))).unwrap();
    assert_eq!(open(dir.path()).unwrap().tokenize("[PAD] the").ids, [0, 5]);
}

#[test]
fn a_cased_vocabulary_of_which_nobody_says_so() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("vocab.txt");
    fs::write(&path, TOKENS.join("\n")).unwrap();
    for path in [dir.path(), &path] {
        let opened = Tokenizer::open(path, None).unwrap();
        assert_eq!((opened.casing(), opened.tokenize("The").ids), (Casing::Cased, vec![11]));
        let notes: Vec<String> = opened.notes().iter().map(|note| note.to_string()).collect();
        assert!(notes.len() == 1 && notes[0].contains("\"The\": read as cased"), "{notes:?}");
        // Whoever is told is not in doubt.
        for casing in [Casing::Cased, Casing::Uncased] {
            let opened = Tokenizer::open(path, casing).unwrap();
            assert_eq!((opened.casing(), opened.notes().len()), (casing, 0));
        }
    }
    fs::write(dir.path().join("tokenizer_config.json"), r#"{"do_lower_case": true}"#).unwrap();
    let opened = Tokenizer::open(dir.path(), None).unwrap();
    assert_eq!((opened.casing(), opened.notes().len()), (Casing::Uncased, 0));
    fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    fs::write(&path, TOKENS[..11].join("\n")).unwrap();
    assert_eq!(Tokenizer::open(dir.path(), None).unwrap().casing(), Casing::Uncased);
}

#[test]
fn json_that_is_cut_or_nested_without_end() {
    let dir = saved(Casing::Uncased);
    let path = dir.path().join("tokenizer.json");
    let whole = fs::read(&path).unwrap();
    for bytes in [&whole[..whole.len() / 2], b"", &[b'['; 100_000], &whole[1..]] {
        fs::write(&path, bytes).unwrap();
        assert!(refused(dir.path()).contains("not valid JSON"));
    }
    for value in ["null", "[]", "7", "\"vocab\""] {
        fs::write(&path, value).unwrap();
        assert!(refused(dir.path()).contains("expected an object"));
    }
}

#[test]
fn ids_that_ask_for_a_giant_list_or_leave_holes() {
    for id in [json!(u64::MAX), json!(4294967296u64), json!(12), json!(-1), json!(5.5), json!("5"), json!(null)] {
        let message = refused_with("tokenizer.json", |json| json["model"]["vocab"]["the"] = id.clone());
        assert!(message.contains("model.vocab") && message.contains(&format!("found {id}")), "{message}");
    }
    let message = refused_with("tokenizer.json", |json| json["model"]["vocab"]["the"] = json!(6));
    assert!(message.contains("6 for both \"cafe\" and \"the\""), "{message}");
    let message = refused_with("tokenizer.json", |json| json["model"]["vocab"] = json!({}));
    assert!(message.contains("no token [PAD]"), "{message}");
}

#[test]
fn added_tokens_that_do_not_fit_the_vocabulary() {
    let added = |id: Value, content: &str| json!({"id": id, "content": content});
    for (token, expected) in [
        (added(json!(13), "<x>"), "id 12 for the next token beyond the vocabulary, found 13"),
        (added(json!(4294967295u32), "<x>"), "found 4294967295"),
        (added(json!(u64::MAX), "<x>"), "added_tokens[5].id"),
        (added(json!(6), "the"), "id 5, once, found 6 for \"the\""),
        (added(json!(4), "[MASK]"), "id 4, once"),
        (added(json!(12), ""), "content"),
        (json!({"id": 12, "content": "x", "single_word": "yes"}), "single_word: expected true or false"),
        (json!({"id": 12, "content": "x".repeat(513)}), "has 513 bytes"),
        (json!({"id": 12, "content": 5}), "added_tokens[5].content: expected a string, found 5"),
        (json!("<x>"), "added_tokens[5].id"),
    ] {
        let message = refused_with("tokenizer.json", |json| json["added_tokens"].as_array_mut().unwrap().push(token));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn other_kinds_of_tokenizer() {
    for (field, value) in [
        ("/model/type", json!("BPE")),
        ("/model/unk_token", json!("<unk>")),
        ("/model/continuing_subword_prefix", json!(null)),
        ("/model/max_input_chars_per_word", json!("100")),
        ("/normalizer/type", json!("Lowercase")),
        ("/normalizer", json!({"type": "Sequence", "normalizers": []})),
        ("/normalizer/lowercase", json!(1)),
        ("/pre_tokenizer", json!(null)),
        ("/pre_tokenizer/type", json!("Whitespace")),
        ("/post_processor", json!(null)),
        ("/post_processor/type", json!("RobertaProcessing")),
        ("/post_processor/single/0/SpecialToken/id", json!("[SEP]")),
        ("/post_processor/pair/3/Sequence/type_id", json!(0)),
        ("/post_processor/special_tokens/[CLS]/ids/0", json!(101)),
        ("/decoder/type", json!("ByteLevel")),
        ("/decoder/prefix", json!("@@")),
        ("/truncation", json!({"max_length": -1})),
        ("/truncation", json!({"max_length": 9, "direction": "left"})),
        ("/truncation", json!({"max_length": 9, "strategy": "Longest"})),
        ("/added_tokens", json!({})),
        ("/version", json!("2.0")),
    ] {
        let message = refused_with("tokenizer.json", |json| *json.pointer_mut(field).unwrap() = value);
        let name = field.split('/').find(|part| !part.is_empty()).unwrap();
        assert!(message.contains("not a BERT tokenizer") && message.contains(name), "{message}");
    }
    for section in ["model", "normalizer", "pre_tokenizer", "post_processor"] {
        let message = refused_with("tokenizer.json", |json| drop(json.as_object_mut().unwrap().remove(section)));
        assert!(message.contains(&format!(": {section}.")), "{message}");
    }
}

#[test]
fn a_config_that_contradicts_or_is_none() {
    for (field, value, expected) in [
        ("do_lower_case", json!(false), "is false, but the normalizer in tokenizer.json beside it has true"),
        ("strip_accents", json!(false), "is false, but"),
        ("tokenize_chinese_chars", json!(false), "is false, but"),
        ("truncation_side", json!("top"), "expected \"right\" or \"left\""),
        ("additional_special_tokens", json!("<x>"), "expected an array"),
        ("extra_special_tokens", json!([5]), "extra_special_tokens[0].content"),
        ("do_lower_case", json!("yes"), "expected true or false"),
        ("cls_token", json!("<s>"), "expected \"[CLS]\", found \"<s>\""),
        ("mask_token", json!({"content": "<mask>"}), "mask_token.content"),
        ("model_max_length", json!(-1), "a whole number of tokens"),
        ("model_max_length", json!("512"), "expected a number"),
        ("added_tokens_decoder", json!({"x": {}}), "ids as names"),
    ] {
        let message = refused_with("tokenizer_config.json", |json| json[field] = value);
        assert!(message.contains(field) && message.contains(expected), "{message}");
    }
}

#[test]
fn what_a_config_does_not_say_contradicts_too() {
    for (field, value, found) in [
        ("strip_accents", json!(false), "strip_accents is not set, which means true"),
        ("lowercase", json!(false), "do_lower_case is not set, which means true"),
        ("handle_chinese_chars", json!(false), "tokenize_chinese_chars is not set, which means true"),
    ] {
        for silent in [json!({"model_max_length": 512}), json!({"strip_accents": null}), json!({"do_lower_case": null})]
        {
            let dir = saved(Casing::Uncased);
            edit(dir.path(), "tokenizer.json", |json| json["normalizer"][field] = value.clone());
            edit(dir.path(), "tokenizer_config.json", |json| *json = silent.clone());
            let message = refused(dir.path());
            assert!(message.contains(found), "{message}");
            // A class that takes everything from tokenizer.json has no settings of its own.
            edit(dir.path(), "tokenizer_config.json", |json| {
                json["tokenizer_class"] = json!("PreTrainedTokenizerFast")
            });
            assert!(open(dir.path()).is_ok());
        }
    }
    // Without lower case nothing is stripped either way.
    let dir = saved(Casing::Cased);
    edit(dir.path(), "tokenizer.json", |json| json["normalizer"]["strip_accents"] = json!(false));
    assert!(open(dir.path()).is_ok());
}

#[test]
fn one_of_contradicting_files_can_be_chosen() {
    let dir = saved(Casing::Uncased);
    edit(dir.path(), "tokenizer.json", |json| json["normalizer"]["strip_accents"] = json!(false));
    assert!(refused(dir.path()).contains("--tokenizer-file"));
    let ids = |file| Tokenizer::open_by(dir.path(), None, Some(file)).unwrap().tokenize("The é").ids;
    assert_eq!(ids(TokenizerFile::TokenizerJson), [5, 9]);
    assert_eq!(ids(TokenizerFile::TokenizerConfigJson), [5, 1]);
    assert_eq!(ids(TokenizerFile::VocabTxt), [11, 9]);
    // The path of a file chooses, too.
    for (file, expected) in [("tokenizer.json", [5, 9]), ("tokenizer_config.json", [5, 1]), ("vocab.txt", [11, 9])] {
        let opened = Tokenizer::open(&dir.path().join(file), None).unwrap();
        assert_eq!(opened.tokenize("The é").ids, expected, "{file}");
    }
    for (name, file) in TokenizerFile::NAMES {
        fs::remove_file(dir.path().join(name)).unwrap();
        let error = Tokenizer::open_by(dir.path(), None, Some(file)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("cannot be read"), "{error}");
    }
}

#[test]
fn a_broken_vocab_txt_beside_a_whole_tokenizer_json_is_not_asked() {
    let dir = saved(Casing::Uncased);
    fs::write(dir.path().join("vocab.txt"), b"\xFF").unwrap();
    assert!(open(dir.path()).is_ok());
    edit(dir.path(), "tokenizer.json", |json| json["model"]["vocab"]["the"] = json!(12));
    assert!(refused(dir.path()).contains("vocab.txt: line 1 is not UTF-8"));
    // Of other tokens than those of tokenizer.json, it fills no holes.
    fs::write(dir.path().join("vocab.txt"), TOKENS.join("\n") + "\nother").unwrap();
    assert!(refused(dir.path()).contains("12 for \"the\""));
}

#[test]
fn a_vocabulary_of_another_class() {
    let dir = saved(Casing::Uncased);
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    for (class, is_bert) in
        [("BertTokenizerFast", true), ("DistilBertTokenizer", true), ("BertJapaneseTokenizer", false)]
    {
        edit(dir.path(), "tokenizer_config.json", |json| json["tokenizer_class"] = json!(class));
        assert_eq!(open(dir.path()).is_ok(), is_bert, "{class}");
    }
    assert!(refused(dir.path()).contains("tokenizer_class: expected BertTokenizer"));
}

#[test]
fn a_place_that_cannot_be_written() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    let error = tokenizer(Casing::Cased).save(&file).unwrap_err();
    assert!(matches!(error, Error::Write { .. }) && error.to_string().contains("file"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");

    // A directory where a file has to go: nothing half-written stays.
    fs::create_dir_all(dir.path().join("model/vocab.txt/inside")).unwrap();
    let error = tokenizer(Casing::Cased).save(&dir.path().join("model")).unwrap_err();
    assert!(error.to_string().contains("vocab.txt: cannot be written"), "{error}");
    assert_eq!(fs::read_dir(dir.path().join("model")).unwrap().count(), 1);
}

#[test]
fn a_token_that_would_break_the_lines_of_a_vocabulary() {
    let dir = TempDir::new().unwrap();
    for token in ["a\nb", "a ", "\r"] {
        let tokens = TOKENS.iter().copied().chain([token]).map(String::from).collect();
        let error = Tokenizer::from_tokens(tokens, Casing::Cased).unwrap().save(dir.path()).unwrap_err();
        assert!(matches!(error, Error::UnwritableToken { id: 12, .. }));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
