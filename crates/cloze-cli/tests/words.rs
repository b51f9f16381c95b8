//! Messages of the program, and defaults that fit the model.

mod common;

use common::World;

#[test]
fn the_longest_sequence_is_by_default_what_the_model_reads() {
    // The model has 32 positions, fewer than the default of 128.
    let world = World::new();
    for (training, output) in [(common::PRETRAIN, "pretrained"), (common::FINETUNE, "finetuned")] {
        let training = training.replace("--max-seq-length 24", "").replace("--max-seq-length 16", "");
        world.run(&format!("{training} --output {output}")).ok();
        let settings = &world.json(&format!("{output}/cloze.json"))["run"]["settings"];
        let settings = settings.get("pretrain").or(settings.get("finetune")).unwrap();
        assert_eq!(settings["max_seq_length"], 32, "{output}");
    }
    let check = "check --task classification --model finetuned --train train.tsv --json";
    let ran = world.run(check);
    assert!(!ran.stdout.contains("max_position_embeddings"), "{ran:#?}");
}

#[test]
fn a_run_that_cannot_be_made_longer_says_what_does() {
    let world = World::new();
    world.pretrain("model", "").ok();
    let longer = common::PRETRAIN.replace("--steps 12", "--steps 24");
    let parts = ["is finished", "steps = 12, now it is 24", "--model model and another --output", "--overwrite"];
    world.run(&format!("{longer} --output model")).fails(1, &parts);
    let on = longer.replace("--config config.json", "--model model");
    world.run(&format!("{on} --output more")).ok();
}

#[test]
fn a_model_that_is_not_there_is_told_how_to_get() {
    let world = World::new();
    for command in [
        "predict --model bert-base-uncased --text a",
        "info bert-base-uncased",
        "compare bert-base-uncased other --data dev.tsv",
        "quantize --model bert-base-uncased --output o",
        "vocab extend --model bert-base-uncased --input corpus.txt --add 3 --output o",
        "check --task classification --model bert-base-uncased --train train.tsv",
        "finetune --task classification --model bert-base-uncased --train train.tsv --dev dev.tsv --output o",
        "pretrain --input corpus.txt --model bert-base-uncased --steps 3 --output o",
        "bench forward --model bert-base-uncased",
    ] {
        let parts = ["no folder bert-base-uncased", "hf download google-bert/bert-base-uncased"];
        world.run(command).fails(1, &parts);
    }
    assert!(!world.path("o").exists());
}

#[test]
fn quantize_tells_the_size_it_has_reached() {
    let world = World::new();
    world.finetune("model", "").ok();
    let answer = world.run("quantize --model model --output small --json").ok().answer();
    let share = 100.0 * answer["bytes"].as_f64().unwrap() / answer["bytes_f32"].as_f64().unwrap();
    let ran = world.run("quantize --model model --output small --overwrite").ok();
    assert!(ran.stdout.contains(&format!(", {share:.0} % of its size in f32")), "{share} {}", ran.stdout);
    assert!(share > 26.0, "of a small model, most are embeddings, which keep their size");
}
