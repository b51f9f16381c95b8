//! Every name of `hidden_act` against what transformers computes under it.

use std::path::Path;

use cloze::Config;
use cloze_kernels::{Cpu, Kernels};
use serde_json::Value;

/// Error of f32 functions whose values reach 40, relative to the value or to 1.
const ERROR_MAX: f64 = 1e-6;

#[test]
fn every_name_is_the_function_of_transformers() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read_to_string(fixtures.join("activations.json")).unwrap();
    let mut fixture: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let numbers = |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
    let x = numbers(&fixture.shift_remove("x").unwrap());
    assert_eq!(fixture.len(), 12);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let kernels = Cpu::new(1).unwrap();
    let buffer = |values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let mut buffer = kernels.activations(values.len()).unwrap();
        kernels.write_activations(&mut buffer, &values).unwrap();
        buffer
    };
    for (name, expected) in &fixture {
        let config = serde_json::json!({
            "vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 1, "num_attention_heads": 3,
            "intermediate_size": 5, "hidden_act": name,
        });
        std::fs::write(&path, config.to_string()).unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.hidden_act.name(), name);
        let (mut y, mut dx) = (buffer(&x), buffer(&vec![1.0; x.len()]));
        kernels.activation_forward(&mut y, &buffer(&x), config.activation(), x.len());
        kernels.activation_backward(&mut dx, &mut buffer(&x), config.activation(), x.len());
        for (found, key) in [(&y, "y"), (&dx, "dy")] {
            for ((found, expected), x) in found.iter().zip(numbers(&expected[key])).zip(&x) {
                let error = (f64::from(*found) - expected).abs() / expected.abs().max(1.0);
                assert!(error < ERROR_MAX, "{name}: {key}({x}) = {found}, expected {expected}");
            }
        }
    }
}
