//! Help at terminals of any width.

mod common;

use common::World;

/// Every command, and what leads to it.
const COMMANDS: [&str; 22] = [
    "",
    "quickstart",
    "vocab",
    "vocab extend",
    "tokenize",
    "instances",
    "prepare",
    "pretrain",
    "check",
    "finetune",
    "evaluate",
    "compare",
    "report",
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

fn help(world: &World, command: &str, columns: usize, flag: &str) -> String {
    let mut command = world.command(&format!("{command} {flag}"));
    let ran = command.env("COLUMNS", columns.to_string()).output().unwrap();
    common::Ran::from(ran).ok().stdout
}

#[test]
fn no_word_is_broken_at_any_width() {
    let world = World::new();
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
            let wide = words(&help(&world, command, 500, flag));
            for columns in [60, 80, 100, 160] {
                let text = help(&world, command, columns, flag);
                for line in text.lines() {
                    assert!(line.chars().count() <= columns, "{command} {flag} at {columns}: {line}");
                }
                assert_eq!(words(&text), wide, "{command} {flag} at {columns}");
            }
        }
    }
}

#[test]
fn wrong_usage_names_the_usage_of_its_command() {
    let world = World::new();
    for (arguments, usage) in [
        ("pretrain --input c --preset tiny --steps 1 --output o", "Usage: cloze pretrain"),
        ("finetune --task classification --train t --dev d --output o", "Usage: cloze finetune"),
        (&format!("{} --output o --precision int8", common::FINETUNE), "Usage: cloze finetune"),
        ("bench train --preset tiny --precision int8", "Usage: cloze bench train"),
        ("quickstart --precision int8", "Usage: cloze quickstart"),
        ("quickstart --steps 0", "expected a whole number, 1 or more"),
    ] {
        world.run(arguments).fails(2, &[usage]);
    }
}
