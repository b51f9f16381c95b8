//! How much memory a model takes that is only used.

#![cfg(target_os = "linux")]

mod common;

use cloze::Config;
use cloze::checkpoint::save;
use cloze::params::{Declaration, HeadSet};
use common::World;

/// What the program takes without a model: itself, buffers, pieces of tensors on their way.
const PROGRAM_BYTES: f64 = 24e6;

#[test]
fn weights_are_in_memory_once() {
    let world = World::new();
    let config = Config { vocab_size: 1000, hidden_size: 512, num_hidden_layers: 8, ..Config::tiny() };
    let config = Config { num_attention_heads: 8, intermediate_size: 2048, ..config };
    let declaration = Declaration::new(&config, HeadSet { pooler: true, ..HeadSet::default() });
    let weights: Vec<f32> = (0..declaration.len).map(|index| ((index % 97) as f32 - 48.0) / 1e3).collect();
    save(&world.path("model"), &config, &declaration, &weights).unwrap();
    std::fs::copy(world.path("vocab.txt"), world.path("model/vocab.txt")).unwrap();
    world.run("quantize --model model --output small").ok();
    for (model, precision, file) in [
        ("model", "f32", "model/model.safetensors"),
        ("model", "int8", "small/model.int8.safetensors"),
        ("small", "int8", "small/model.int8.safetensors"),
    ] {
        let bench = "bench forward --seq-length 8 --repetitions 1 --threads 2 --json";
        let line = world.run(&format!("{bench} --model {model} --precision {precision}")).ok().answer();
        let weights = world.read(file).len() as f64;
        let peak = line["peak_rss_bytes"].as_f64().unwrap();
        assert!(weights > PROGRAM_BYTES, "{weights}");
        assert!((weights..1.2 * weights + PROGRAM_BYTES).contains(&peak), "{model}, {precision}: {peak} for {weights}");
    }
}
