//! What is wrong with files from outside is told with file, line, tensor or column and a remedy; what was
//! written before stays as it was.

mod common;

use common::World;

/// A world with a fine-tuned `classifier` and a pre-trained `pretrained`.
fn world_with_models() -> World {
    let world = World::new();
    world.pretrain("pretrained", "").ok();
    world.finetune("classifier", "").ok();
    world
}

/// Commands that read a file of texts, and one more way to read each kind of file.
fn readers(file: &str) -> Vec<String> {
    let with = |training: &str, flag: &str, name: &str| {
        training.replace(&format!("{flag} {name}"), &format!("{flag} {file}")) + " --output new"
    };
    let mut readers: Vec<String> =
        ["embed --model pretrained", "predict --model classifier", "fill --model pretrained"]
            .map(|command| format!("{command} --input {file}"))
            .to_vec();
    readers.push(format!("tokenize --tokenizer vocab.txt --input {file}"));
    readers.push(format!("bench tokenize --tokenizer vocab.txt --input {file}"));
    if file.ends_with(".txt") {
        readers.push(with(common::PRETRAIN, "--input", "corpus.txt"));
        readers.push(format!("{} --output new --dev {file}", common::PRETRAIN.replace("--dev-fraction 0.1", "")));
        readers.push(format!("vocab --input {file} --output new-vocab --size 40"));
        readers.push(format!("evaluate --model pretrained --input {file}"));
    } else {
        readers.push(with(common::FINETUNE, "--train", "train.tsv"));
        readers.push(with(common::FINETUNE, "--dev", "dev.tsv"));
        readers.push(format!("evaluate --model classifier --input {file}"));
    }
    readers
}

#[test]
fn files_that_are_not_utf8_are_named_with_the_line() {
    let world = world_with_models();
    world.write("bad.txt", b"the cat runs.\nthe d\xF6g\n");
    world.write("bad.tsv", b"text\tlabel\nthe cat\tred\nthe d\xF6g\tred\n");
    for command in readers("bad.txt") {
        world.run(&command).fails(1, &["bad.txt:2", "not UTF-8", "iconv"]);
    }
    for command in readers("bad.tsv") {
        world.run(&command).fails(1, &["bad.tsv:3", "not UTF-8", "iconv"]);
    }
    let ran = world.run_on(b"the cat\n\xFF\n", "tokenize --tokenizer vocab.txt --input -");
    let ran = ran.fails(1, &["standard input:2", "not UTF-8", "iconv"]);
    assert_eq!(ran.stdout, "[CLS] the cat [SEP]\n", "what came before is answered");
    world.write("bad-vocab.txt", b"[PAD]\n[UNK]\nd\xF6g\n");
    world.run("tokenize --tokenizer bad-vocab.txt --text a").fails(1, &["bad-vocab.txt", "line 3", "not UTF-8"]);
}

#[test]
fn empty_and_missing_files_are_named() {
    let world = world_with_models();
    for name in ["empty.txt", "empty.tsv", "empty.jsonl", "empty.csv"] {
        world.write(name, "");
        for command in readers(name) {
            world.run(&command).fails(1, &[name]);
        }
    }
    world.write("header.tsv", "text\tlabel\n");
    world.write("space.txt", " \n\n");
    world.run(&readers("header.tsv")[5]).fails(1, &["header.tsv", "no examples"]);
    world.run("vocab --input space.txt --output new-vocab").fails(1, &["no words"]);
    world.run(&readers("space.txt")[5]).fails(1, &["space.txt"]);
    for command in readers("missing.txt").into_iter().chain(readers("missing.tsv")) {
        world.run(&command).fails(1, &["missing.", "No such file"]);
    }
    world.run("info missing").fails(1, &["missing"]);
    world.run("tokenize --tokenizer missing --text a").fails(1, &["missing"]);
    world.write("empty-vocab.txt", "");
    world.run("tokenize --tokenizer empty-vocab.txt --text a").fails(1, &["empty-vocab.txt", "empty"]);
    world.run("predict --model classifier --input train.xlsx").fails(1, &["train.xlsx", "--format", "tsv, csv, jsonl"]);
}

#[test]
fn missing_columns_are_named_with_those_there_are() {
    let world = world_with_models();
    world.write("title.tsv", "title\tgrade\nthe cat\tred\n");
    for command in readers("title.tsv").into_iter().filter(|command| !command.starts_with("bench")) {
        let command = command.replace("fill", "predict").replace("pretrained", "classifier");
        world.run(&command).fails(1, &["title.tsv:1", "column", "`title`, `grade`", "--columns"]);
    }
    let chosen = "evaluate --model classifier --input title.tsv --columns text=title";
    world.run(chosen).fails(1, &["title.tsv:1", "label", "`title`, `grade`"]);
    world.run(&format!("{chosen},label=grade")).ok();
    world.run("predict --model classifier --input title.tsv --columns text=9").fails(1, &["title.tsv:1", "column 9"]);
    world.write("title.jsonl", "{\"text\": \"a\", \"label\": \"red\"}\n{\"title\": \"a\"}\n");
    world.run("evaluate --model classifier --input title.jsonl").fails(1, &["title.jsonl:2", "`title`"]);
    world.write("ragged.tsv", "text\tlabel\nthe cat\n");
    world.run("evaluate --model classifier --input ragged.tsv").fails(1, &["ragged.tsv:2", "1 column,"]);
}

#[test]
fn unknown_labels_are_named_with_line_and_the_known_ones() {
    let world = world_with_models();
    world.write("pink.tsv", "text\tlabel\nthe cat\tred\nthe dog\tpink\n");
    world.run("evaluate --model classifier --input pink.tsv").fails(1, &["pink.tsv:3", "`pink`", "blue, red"]);
    let finetune = common::FINETUNE.replace("--dev dev.tsv", "--dev pink.tsv");
    world.run(&format!("{finetune} --output new")).fails(1, &["pink.tsv:3", "`pink`", "blue, red"]);
    let regression = common::FINETUNE.replace("classification", "regression");
    world.run(&format!("{regression} --output new")).fails(1, &["train.tsv:2", "`red` is no number"]);
    world.write("same.tsv", "text\tlabel\nthe cat\tred\nthe dog\tred\n");
    let same = common::FINETUNE.replace("--train train.tsv", "--train same.tsv");
    world.run(&format!("{same} --output new")).fails(1, &["same.tsv", "`red`", "two or more"]);
}

#[test]
fn a_vocabulary_of_another_model_is_refused() {
    let world = world_with_models();
    let larger = String::from_utf8(world.read("vocab.txt")).unwrap() + "bird\nfish\n";
    world.write("larger.txt", &larger);
    let parts = ["larger.txt", "16 tokens", "14"];
    world.run(&(common::PRETRAIN.replace("vocab.txt", "larger.txt") + " --output new")).fails(1, &parts);
    world.run(&(common::FINETUNE.replace("vocab.txt", "larger.txt") + " --output new")).fails(1, &parts);
    let continued = common::FINETUNE.replace("--config config.json", "--model pretrained");
    world.run(&(continued.replace("vocab.txt", "larger.txt") + " --output new")).fails(1, &parts);
    std::fs::remove_file(world.path("classifier/tokenizer.json")).unwrap();
    world.write("classifier/vocab.txt", larger);
    for command in ["predict --model classifier --text a", "info classifier"] {
        world.run(command).fails(1, &["classifier", "16 tokens", "14", "tokenizer that belongs to the model"]);
    }
    let smaller = String::from_utf8(world.read("vocab.txt")).unwrap().replace("sleeps\n", "");
    world.write("classifier/vocab.txt", smaller);
    let ran = world.run("predict --model classifier --text a").ok();
    assert!(ran.stderr.contains("classifier: the vocabulary has 13 tokens"), "{}", ran.stderr);
    world.write("no-mask.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\ncat\n");
    world.run("tokenize --tokenizer no-mask.txt --text a").fails(1, &["no-mask.txt", "no token [MASK]"]);
}

#[test]
fn damaged_weights_are_named_with_file_and_tensor() {
    let world = world_with_models();
    let whole = world.weights("classifier");
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for length in [0, 4, 8, header / 2, header, header + 100, whole.len() - 1] {
        world.write("classifier/model.safetensors", &whole[..length]);
        for command in
            ["predict --model classifier --text a", "info classifier", "evaluate --model classifier --input dev.tsv"]
        {
            world.run(command).fails(1, &["classifier/model.safetensors"]);
        }
    }
    let mut infinite = whole.clone();
    let last = infinite.len() - 4;
    infinite[last..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    world.write("classifier/model.safetensors", infinite);
    world.run("info classifier").fails(1, &["classifier/model.safetensors", "tensor `", "damaged"]);

    world.write("classifier/model.safetensors", &whole);
    let config = String::from_utf8(world.read("classifier/config.json")).unwrap();
    world.write("classifier/config.json", config.replace("\"hidden_size\": 16", "\"hidden_size\": 32"));
    world.run("info classifier").fails(1, &["model.safetensors", "tensor `", "expected shape"]);
    world.write("classifier/config.json", &config[..config.len() / 2]);
    world.run("info classifier").fails(1, &["classifier/config.json"]);
}

#[test]
fn a_text_that_cannot_be_answered_is_named_with_its_line() {
    let world = world_with_models();
    world.run("fill --model pretrained --text cat").fails(1, &["--text", "[MASK]"]);
    world.run("fill --model classifier --text [MASK]").fails(1, &["classifier", "no masked language model head"]);
    let singles = world.run_on(b"the cat\ta dog\nthe cat\n", "predict --model pretrained --input -");
    singles.fails(1, &["standard input:2", "single text", "pairs"]);
    world.pretrain("masks", "--objective mlm").ok();
    world.run("predict --model masks --text a").fails(1, &["masks", "no head", "cloze finetune"]);
    world.run("embed --model masks --text a --pooling pooler").fails(1, &["no pooler"]);
    world.run("embed --model masks --text a --layer 9").fails(1, &["layer 9", "0 (embeddings) to 2"]);
    world.run("embed --model masks --text a --max-length 99").fails(1, &["99", "3 to 32"]);
}

#[test]
fn outputs_that_cannot_be_made_are_named_and_nothing_is_lost() {
    let world = world_with_models();
    world.write("file", "in the way");
    let outputs = [
        "vocab --input corpus.txt --size 40 --output file".to_string(),
        "vocab --input corpus.txt --size 40 --output file/vocab".to_string(),
        format!("{} --output file", common::PRETRAIN),
        format!("{} --output file/model", common::PRETRAIN),
        format!("{} --output file", common::FINETUNE),
        format!("{} --output file/model --overwrite", common::FINETUNE),
        "quickstart --output file/quickstart".to_string(),
    ];
    for command in outputs {
        world.run(&command).fails(1, &["cannot create", "file"]);
    }
    assert_eq!(world.read("file"), b"in the way");
}

#[test]
fn a_training_that_fails_leaves_what_was_there() {
    let world = world_with_models();
    world.write("bad.tsv", "title\tgrade\nthe cat\tred\n");
    world.write("bad.txt", b"\xFF\n");
    let (classifier, pretrained) = (world.snapshot("classifier"), world.snapshot("pretrained"));
    for overwrite in ["", "--overwrite"] {
        let finetune = common::FINETUNE.replace("--train train.tsv", "--train bad.tsv");
        world.run(&format!("{finetune} --output classifier {overwrite}")).fails(1, &[]);
        let pretrain = common::PRETRAIN.replace("--input corpus.txt", "--input bad.txt");
        world.run(&format!("{pretrain} --output pretrained {overwrite}")).fails(1, &[]);
        let too_long = common::PRETRAIN.replace("--max-seq-length 24", "--max-seq-length 99");
        world.run(&format!("{too_long} --output pretrained {overwrite}")).fails(1, &[]);
    }
    assert!(classifier == world.snapshot("classifier"));
    assert!(pretrained == world.snapshot("pretrained"));

    world.run("vocab --input corpus.txt --size 40 --output vocab").ok();
    let vocab = world.snapshot("vocab");
    world.run("vocab --input corpus.txt --output vocab").fails(1, &["vocab already holds a vocabulary", "--overwrite"]);
    world.run("vocab --input bad.txt --output vocab --overwrite").fails(1, &["bad.txt:1"]);
    world.run("vocab --input corpus.txt --size 4 --output vocab --overwrite").fails(1, &["4 tokens is too small"]);
    assert!(vocab == world.snapshot("vocab"));
}
