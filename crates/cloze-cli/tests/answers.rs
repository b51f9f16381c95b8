//! What each command answers with `--json`.

mod common;

use common::{World, keys};
use serde_json::{Value, json};

/// A world with a pre-trained model, a classifier, and a regression.
fn world_with_models() -> World {
    let world = World::new();
    world.pretrain("pretrained", "").ok();
    world.finetune("classifier", "--dropout 0").ok();
    let mut table = "sentence1\tsentence2\tscore\n".to_string();
    for row in 0..16 {
        table.push_str(&format!("the {} cat\ta dog\t{}\n", ["red", "blue"][row % 2], [0.5, 2.0][row % 2]));
    }
    world.write("pairs.tsv", table);
    let regression = common::FINETUNE.replace("classification", "regression");
    let regression = regression.replace("train.tsv", "pairs.tsv").replace("dev.tsv", "pairs.tsv");
    world.run(&format!("{regression} --output regression")).ok();
    world
}

/// Numbers that are the share of something.
fn is_share(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| (0.0..=1.0).contains(&value))
}

#[test]
fn vocab_writes_a_vocabulary_that_tokenize_reads() {
    let world = World::new();
    let mut answer =
        world.run("vocab --input corpus.txt --output vocab --size 40 --min-frequency 1 --json").ok().answer();
    for report in ["text", "coverage", "dead_tokens"] {
        assert!(answer.as_object_mut().unwrap().remove(report).is_some_and(|report| report.is_object()));
    }
    let lines = String::from_utf8(world.read("vocab/vocab.txt")).unwrap().lines().count();
    assert_eq!(answer, json!({ "tokens": lines, "output": "vocab" }));
    assert!((20..=40).contains(&lines), "{lines}");
    for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        assert!(world.json(&format!("vocab/{file}")).is_object());
    }
    let by_folder = world.run_with("tokenize --tokenizer vocab --json", &["--text", "The cat sleeps."]).ok();
    let by_file = world.run_with("tokenize --vocab vocab/vocab.txt --json", &["--text", "The cat sleeps."]).ok();
    assert_eq!(by_folder.stdout, by_file.stdout);
    assert!(!by_folder.answer()["tokens"].as_array().unwrap().contains(&json!("[UNK]")), "{}", by_folder.stdout);

    let again = world.snapshot("vocab");
    world.run("vocab --input corpus.txt --output vocab --size 40 --min-frequency 1 --threads 3 --overwrite").ok();
    assert!(again == world.snapshot("vocab"), "the same text gives the same vocabulary");
}

#[test]
fn tokenize_gives_ids_tokens_offsets_and_types() {
    let world = World::new();
    let pair = json!({
        "ids": [2, 11, 7, 3, 12, 1, 3],
        "tokens": ["[CLS]", "the", "cat", "[SEP]", "a", "[UNK]", "[SEP]"],
        "offsets": [[0, 0], [0, 3], [4, 7], [0, 0], [0, 1], [2, 6], [0, 0]],
        "token_type_ids": [0, 0, 0, 0, 1, 1, 1],
    });
    let from_flags = world.run_with("tokenize --tokenizer vocab.txt --json --text-b", &["A bird", "--text", "The cat"]);
    assert_eq!(from_flags.ok().answer(), pair);
    let input = "\u{feff}The cat\tA bird\r\nÉ cat\n\n".as_bytes();
    let lines = world.run_on(input, "tokenize --tokenizer vocab.txt --json --input -").ok().json();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], pair);
    assert_eq!(lines[1]["offsets"], json!([[0, 0], [0, 1], [2, 5], [0, 0]]), "characters, not bytes");
    assert_eq!(lines[2]["ids"], json!([2, 3]));

    // In a file of plain text a tab is space like any other.
    world.write("one.txt", "The cat\tA dog\n");
    let single = world.run("tokenize --tokenizer vocab.txt --json --input one.txt").ok().answer();
    assert_eq!(single["token_type_ids"], json!([0, 0, 0, 0, 0, 0]));
    // Nothing is cut unless it is asked for, and then it is said.
    world.write("long.txt", "the cat ".repeat(300));
    let long = world.run("tokenize --tokenizer vocab.txt --json --input long.txt").ok();
    assert_eq!(long.answer()["ids"].as_array().unwrap().len(), 602);
    let cut = world.run("tokenize --tokenizer vocab.txt --json --input long.txt --max-length 10").ok();
    assert_eq!(cut.answer()["ids"].as_array().unwrap().len(), 10);
    assert!(cut.stderr.contains("were too long and cut: 1; tokens lost: 592"), "{cut:#?}");
    // A cased vocabulary keeps capitals, which this one has none of.
    let cased = world.run("tokenize --tokenizer vocab.txt --cased --json --text The").ok();
    assert_eq!(cased.answer()["tokens"], json!(["[CLS]", "[UNK]", "[SEP]"]));
    // Readable without --json.
    assert_eq!(world.run("tokenize --tokenizer vocab.txt --text cat").ok().stdout, "[CLS] cat [SEP]\n");
}

#[test]
fn tables_are_read_by_their_ending_and_columns() {
    let world = World::new();
    world.write("a.tsv", "id\tsentence1\tsentence2\n1\tthe cat\t\"a\" dog\n");
    world.write("a.csv", "body,label\n\"the cat, a dog\",x\n");
    world.write("a.jsonl", "{\"text\": \"the cat\", \"text_b\": \"a dog\"}\n");
    let ids = |arguments: &str| {
        world.run(&format!("tokenize --tokenizer vocab.txt --json --input {arguments}")).ok().answer()["ids"].clone()
    };
    assert_eq!(ids("a.tsv"), json!([2, 11, 7, 3, 1, 12, 1, 8, 3]), "a quote is a character like any other");
    assert_eq!(ids("a.csv --columns text=body"), json!([2, 11, 7, 1, 12, 8, 3]));
    assert_eq!(ids("a.jsonl"), json!([2, 11, 7, 3, 12, 8, 3]));
    world.write("b.tsv", "the cat\ta dog\n");
    assert_eq!(ids("b.tsv --columns text=1,text_b=0"), json!([2, 12, 8, 3, 11, 7, 3]), "numbers: no header");
    let from_stdin = world.run_on(b"x\tthe cat\n", "tokenize --tokenizer vocab.txt --json --input - --columns text=1");
    assert_eq!(from_stdin.ok().answer()["ids"], json!([2, 11, 7, 3]));
}

#[test]
fn models_answer_in_the_promised_keys() {
    let world = world_with_models();
    let answer =
        |arguments: &str, text: &str| world.run_with(&format!("{arguments} --json"), &["--text", text]).ok().answer();

    let line = answer("embed --model pretrained", "the cat");
    assert_eq!(keys(&line), ["embedding", "tokens", "windows", "truncated"]);
    assert_eq!((line["embedding"].as_array().unwrap().len(), &line["tokens"]), (16, &json!(4)));
    for pooling in ["cls", "max", "pooler"] {
        assert_ne!(answer(&format!("embed --model pretrained --pooling {pooling}"), "the cat"), line, "{pooling}");
    }
    assert_ne!(answer("embed --model pretrained --layer 1", "the cat"), line);
    let each = answer("embed --model pretrained --pooling none --normalize", "the cat");
    let vectors = each["embedding"].as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let square: f64 = vector.as_array().unwrap().iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
        assert!((square - 1.0).abs() < 1e-5, "{square}");
    }
    let cut = world.run_with("embed --model pretrained --json --max-length 5", &["--text", "the red cat runs ."]).ok();
    assert_eq!((&cut.answer()["tokens"], &cut.answer()["truncated"]), (&json!(5), &json!(2)));
    assert!(cut.stderr.contains("were too long and cut: 1; tokens lost: 2"), "{}", cut.stderr);

    let line = answer("fill --model pretrained --top-k 3", "the [MASK] cat [MASK].");
    assert_eq!(keys(&line), ["text", "masks"]);
    assert_eq!(line["text"], "the [MASK] cat [MASK].");
    let masks = line["masks"].as_array().unwrap();
    assert_eq!((&masks[0]["position"], &masks[1]["position"]), (&json!(2), &json!(4)));
    let candidates = masks[0]["candidates"].as_array().unwrap();
    assert_eq!((candidates.len(), keys(&candidates[0])), (3, vec!["token", "id", "score"]));
    assert!(candidates.iter().all(|candidate| is_share(&candidate["score"])));

    let line = answer("predict --model classifier", "the red cat runs");
    assert_eq!(keys(&line), ["label", "score", "scores", "tokens", "windows", "truncated"]);
    assert_eq!((&line["label"], keys(&line["scores"])), (&json!("red"), vec!["blue", "red"]));
    assert_eq!(line["scores"]["red"], line["score"]);

    let line = answer("predict --model regression --text-b a", "the red cat");
    assert_eq!(keys(&line), ["score", "tokens", "windows", "truncated"]);

    let line = answer("predict --model pretrained --text-b a", "the cat runs.");
    assert_eq!(keys(&line), ["is_next", "tokens", "windows", "truncated"]);
    assert!(is_share(&line["is_next"]));
}

#[test]
fn models_evaluate_in_the_promised_keys() {
    let world = world_with_models();
    let answer = |arguments: &str| world.run(&format!("evaluate --json {arguments}")).ok().answer();
    let line = answer("--model classifier --input dev.tsv");
    let expected = ["task", "examples", "loss", "accuracy", "f1", "macro_f1", "matthews_correlation"];
    assert_eq!(keys(&line), [&expected[..], &["positive_label", "details"]].concat());
    assert_eq!((&line["task"], &line["examples"]), (&json!("classification"), &json!(20)));
    assert_eq!((&line["accuracy"], &line["f1"]), (&json!(1.0), &json!(1.0)), "the label is a word of the text");

    let line = answer("--model regression --input pairs.tsv");
    assert_eq!(keys(&line), ["task", "examples", "loss", "pearson", "spearman", "details"]);

    let line = answer("--model pretrained --input corpus.txt");
    for key in ["task", "examples", "loss", "mlm_loss", "mlm_perplexity", "mlm_accuracy", "nsp_loss", "nsp_accuracy"] {
        assert!(!line[key].is_null(), "{key}: {line}");
    }
    let loss = line["mlm_loss"].as_f64().unwrap();
    assert!((line["mlm_perplexity"].as_f64().unwrap() - loss.exp()).abs() < 1e-9 * loss.exp());
    assert_eq!(line, answer("--model pretrained --input corpus.txt --threads 3"), "fixed masks");
}

#[test]
fn a_text_has_the_same_answer_alone_and_in_a_batch() {
    let world = world_with_models();
    let texts: Vec<String> = (0..70)
        .map(|n| format!("the {} cat {}.", ["red", "blue", "[MASK]"][n % 3], "runs ".repeat(n % 7)))
        .map(|text| if text.contains("[MASK]") { text } else { format!("{text} [MASK]") })
        .collect();
    world.write("texts.txt", texts.join("\n"));
    for command in ["embed --model pretrained", "predict --model classifier", "fill --model pretrained"] {
        let batch = world.run(&format!("{command} --json --input texts.txt --threads 3")).ok().stdout;
        let batch: Vec<&str> = batch.lines().collect();
        assert_eq!(batch.len(), texts.len());
        for at in [0, 1, 5, 6, 34, 69] {
            let alone = world.run_with(&format!("{command} --json --threads 1"), &["--text", &texts[at]]).ok();
            assert_eq!(alone.stdout.trim_end(), batch[at], "{command}, text {at}");
        }
        let from_stdin = world.run_on(texts.join("\n").as_bytes(), &format!("{command} --json --input -")).ok();
        assert_eq!(from_stdin.stdout.lines().collect::<Vec<_>>(), batch);
    }
}

#[test]
fn info_tells_parts_sizes_tokenizer_and_heads() {
    let world = world_with_models();
    let line = world.run("info pretrained --json").ok().answer();
    let parts: u64 = line["parts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(line["parameters"], json!(parts));
    assert_eq!(line["tokenizer"], json!({ "tokens": 14, "cased": false }));
    assert_eq!(line["heads"], json!(["pooler", "masked language model", "next sentence prediction"]));
    assert_eq!(world.run("info regression --json").ok().answer()["heads"], json!(["pooler", "regression"]));
    let readable = world.run("info classifier").ok().stdout;
    for part in
        ["2 layers", "16 wide", "encoder", "14 tokens", "classifier of 2 labels", "blue, red", "up to 16 tokens"]
    {
        assert!(readable.contains(part), "{part}: {readable}");
    }
}

#[test]
fn bench_tells_time_speed_and_memory() {
    let world = World::new();
    let run = |what: &str| world.run(&format!("bench {what} --repetitions 2 --json")).ok().answer();
    let forward = run("forward --preset tiny --batch 2 --seq-length 9");
    let common = ["milliseconds", "tokens_per_second", "gflops", "fraction_of_ceiling"];
    let expected = |last: &[&'static str]| [&common, last].concat();
    assert_eq!(keys(&forward), expected(&["checksum", "peak_rss_bytes"]));
    let train = run("train --preset tiny --lengths 3,7,12");
    assert_eq!(keys(&train), expected(&["losses", "peak_rss_bytes"]));
    let tokenize = run("tokenize --tokenizer vocab.txt --input corpus.txt");
    assert_eq!(keys(&tokenize), ["milliseconds", "tokens_per_second", "bytes_per_second", "peak_rss_bytes"]);
    for line in [&forward, &train, &tokenize] {
        for (key, value) in line.as_object().unwrap().iter().filter(|(key, _)| *key != "checksum") {
            assert!(value.as_f64().unwrap() > 0.0, "{key}: {line}");
        }
    }
    assert_eq!(run("train --preset tiny --lengths 3,7,12 --recompute")["losses"], train["losses"]);
    let readable = world.run("bench forward --preset tiny --repetitions 1").ok().stdout;
    assert!(readable.contains("tokens/s") && readable.contains("% of this machine's ceiling"), "{readable}");
}

#[test]
fn bench_runs_a_model_and_writes_what_others_need_to_compare() {
    let world = World::new();
    world.pretrain("pretrained", "").ok();
    let bench = "bench forward --model pretrained --lengths 3,9 --repetitions 1 --json";
    let line = world.run(&format!("{bench} --output outputs.safetensors --threads 1")).ok().answer();
    assert_eq!(line["checksum"], world.run(&format!("{bench} --threads 3")).ok().answer()["checksum"]);
    assert_ne!(line["checksum"], world.run(&format!("{bench} --seed 2")).ok().answer()["checksum"]);
    let bytes = world.read("outputs.safetensors");
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    for (name, shape) in [
        ("input_ids", json!([12])),
        ("token_type_ids", json!([12])),
        ("lengths", json!([2])),
        ("last_hidden_state", json!([12, 16])),
        ("pooler_output", json!([2, 16])),
    ] {
        assert_eq!(header[name]["shape"], shape, "{name}");
    }
    // The floats are the last ones, and their sum is the checksum.
    let floats = (12 * 16 + 2 * 16) * 4;
    let floats = bytes[bytes.len() - floats..].chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    assert_eq!(line["checksum"], json!(floats.map(f64::from).sum::<f64>()));
    world.run("bench forward --model missing").fails(1, &["missing"]);
    world.run(&bench.replace("3,9", "33")).fails(1, &["33 tokens", "max_position_embeddings"]);
}

#[test]
fn quantize_writes_a_model_that_answers_as_the_source_in_int8() {
    let world = world_with_models();
    let ran = world.run("quantize --model classifier --output small --json").ok();
    let line = ran.answer();
    assert_eq!(keys(&line), ["output", "bytes", "bytes_f32"]);
    assert_eq!(line["output"], "small");
    let lines = |arguments: &str| world.run(&format!("{arguments} --input dev.tsv --json")).ok().stdout;
    assert_eq!(lines("predict --model small"), lines("predict --model classifier --precision int8"));
    assert_eq!(lines("evaluate --model small"), lines("evaluate --model classifier --precision int8"));
    let info = world.run("info small --json").ok().answer();
    assert_eq!((&info["quantized"], &info["precision"]), (&json!(true), &json!("int8")));
    let info = world.run("info classifier --json").ok().answer();
    assert_eq!((&info["quantized"], &info["precision"]), (&json!(false), &json!("f32")));
    assert!(world.run("info small").ok().stdout.contains("stored in int8, computes in int8"));

    world.run("predict --model small --text a --precision bf16").fails(1, &["small", "bf16", "quantized from"]);
    world.run("quantize --model classifier --output small").fails(1, &["small", "--overwrite"]);
    world.run("quantize --model classifier --output small --overwrite").ok();
    world.run("quantize --model small --output smaller").fails(1, &["small", "int8"]);
    world.run("quantize --model missing --output smaller").fails(1, &["missing"]);
    let train = common::FINETUNE.replace("--config config.json --tokenizer vocab.txt", "--model small");
    world.run(&format!("{train} --output tuned")).fails(1, &["small", "train", "quantized from"]);
    world.finetune("small", "").fails(1, &["small already holds a model", "--overwrite"]);
    world.finetune("small", "--overwrite").ok();
    assert!(!world.path("small/model.int8.safetensors").exists(), "a training replaces the whole model");
}
