//! Help, and exit code 2 for wrong usage.

mod common;

use common::World;

const COMMANDS: [&str; 17] = [
    "quickstart",
    "vocab",
    "vocab extend",
    "tokenize",
    "instances",
    "pretrain",
    "finetune",
    "evaluate",
    "predict",
    "fill",
    "embed",
    "quantize",
    "bench",
    "bench forward",
    "bench train",
    "bench tokenize",
    "info",
];

#[test]
fn every_help_has_an_example_and_goes_to_standard_output() {
    let world = World::new();
    for command in COMMANDS {
        let ran = world.run(&format!("{command} --help")).ok();
        assert!(ran.stdout.contains("Example") && ran.stdout.contains(&format!("cloze {command}")), "{ran:#?}");
        for flag in ["--seed", "--threads", "--precision", "--json"] {
            assert!(ran.stdout.contains(flag), "{command}: {flag}");
        }
    }
    assert!(world.run("--help").ok().stdout.contains("Example"));
    assert!(world.run("--version").ok().stdout.starts_with("cloze "));
}

#[test]
fn wrong_usage_ends_with_exit_code_2() {
    let world = World::new();
    let pretrain = common::PRETRAIN;
    let finetune = common::FINETUNE;
    let cases = [
        ("", "Usage"),
        ("learn", "unrecognized subcommand"),
        ("tokenize --text a", "--tokenizer"),
        ("tokenize --tokenizer vocab.txt", "--input"),
        ("tokenize --tokenizer vocab.txt --text a --input -", "cannot be used with"),
        ("tokenize --tokenizer vocab.txt --text-b b", "--text"),
        ("tokenize --tokenizer vocab.txt --input a.tsv --columns title=1", "none of text, text_b, label"),
        ("embed --model m --text a --pooling sum", "possible values: none, cls, mean, max"),
        ("embed --model m --text a --layer last", "--layer"),
        ("embed --model m --text a --threads 0", "--threads"),
        ("embed --model m --text a --precision f64", "possible values: f32, bf16, int8"),
        ("fill --model m --text a --top-k 0", "--top-k"),
        ("finetune --task classification --config c --train t --dev d --output o", "--tokenizer"),
        ("finetune --task classification --train t --dev d --output o", "--preset"),
        (&format!("{finetune} --output o --optimizer lamb"), "possible values: bert-adam, adamw"),
        (&format!("{finetune} --output o --dropout 1"), "below 1"),
        (&format!("{finetune} --output o --accumulate 0"), "--accumulate"),
        (&format!("{finetune} --output o --long cut"), "possible values: truncate, window"),
        (pretrain, "--output"),
        (&format!("{pretrain} --output o --preset tiny"), "cannot be used with"),
        (&format!("{pretrain} --output o --warmup 2"), "from 0 to 1"),
        (&format!("{pretrain} --output o --clip 0"), "above 0"),
        (&format!("{pretrain} --output o --weight-decay nan"), "0 or more"),
        ("pretrain --input c --preset tiny --steps 1 --output o", "--tokenizer"),
        ("pretrain --input c --tokenizer v --preset huge --steps 1 --output o", "possible values: tiny, mini, small"),
        ("pretrain --input c --tokenizer v --preset tiny --steps 0 --output o", "--steps"),
        ("bench forward --preset tiny --batch 2 --lengths 3,4", "cannot be used with"),
        ("bench forward", "--preset"),
        ("bench forward --preset tiny --model m", "cannot be used with"),
        ("bench train --preset huge", "tiny, mini, small"),
        (&format!("{pretrain} --output o --precision int8"), "f32 or bf16"),
        (&format!("{finetune} --output o --precision int8"), "f32 or bf16"),
        ("bench train --preset tiny --precision int8", "f32 or bf16"),
        ("quickstart --output o --precision int8", "f32 or bf16"),
    ];
    for (arguments, part) in cases {
        let ran = world.run(arguments).fails(2, &[part]);
        assert_eq!(ran.stdout, "", "{arguments}");
    }
    assert!(!world.path("o").exists(), "wrong usage writes nothing");
}

#[test]
fn a_reader_that_has_heard_enough_is_no_error() {
    let world = World::new();
    world.write("many.txt", "the cat runs .\n".repeat(20_000));
    let mut command = world.command("tokenize --tokenizer vocab.txt --input many.txt --json");
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    common::Ran::from(child.wait_with_output().unwrap()).ok();
}
