//! First weights of a model that starts from nothing.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::params::{Declaration, Initialization, Parameter};

/// How the weights of a new model are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstWeights {
    /// As BERT's: a truncated normal with the deviation `initializer_range`.
    #[default]
    Bert,
    /// Deviations that suit the width, and a first layer whose heads look at the neighbors of a token.
    ///
    /// A small model with [`FirstWeights::Bert`] spends thousands of steps near the loss of word frequencies: attention
    /// is uniform at first, so that a masked token sees the mean of all tokens, and nothing tells the heads where to
    /// look. Here position `t` starts as the sinusoids `sin(w_i t)`, `cos(w_i t)`. Key rows copy some of these pairs, and
    /// query rows copy them rotated by the angle `w_i d`. So the score of a query at `t` and a key at `u` is a sum of
    /// `cos(w_i (t + d - u))`, which is greatest at `u = t + d`, and head after head has d = -1, 1, -2, 2, ….
    ///
    /// The output bias of the masked language model starts as the logarithm of each token's frequency. Else the first
    /// thousand steps teach that frequency to all rows of the word embeddings, at the cost of what tells words apart.
    ///
    /// The weights are only where training starts: it changes them like any others.
    Neighbors,
}

/// Angles a position of the fastest and the slowest pair of sinusoids, in radians: periods of 2 and 63 positions.
const FASTEST: f64 = std::f64::consts::PI;
const SLOWEST: f64 = 0.1;
/// Factor of the copied pairs in query and key. With 32 pairs the score at the neighbor is 5.8, e^5.8 = 320 times the
/// weight of a token that is far away; 0.8 and 1.6 learn more slowly.
const SHARPNESS: f64 = 1.2;

impl FirstWeights {
    /// The names, as they are stored and as users give them.
    pub const NAMES: [(&'static str, FirstWeights); 2] =
        [("bert", FirstWeights::Bert), ("neighbors", FirstWeights::Neighbors)];

    /// Draws the weights of all parameters, in arena order. Each depends on the seed and the parameter's name alone.
    ///
    /// `token_counts` tells how often each token occurs in the text to train on, `[vocab]`; empty where nobody knows.
    pub fn draw(self, config: &Config, declaration: &Declaration, token_counts: &[u64], seed: u64) -> Vec<f32> {
        match self {
            FirstWeights::Bert => declaration.initial_weights(config.initializer_range, seed),
            FirstWeights::Neighbors => neighbors(config, declaration, token_counts, seed),
        }
    }
}

fn neighbors(config: &Config, declaration: &Declaration, token_counts: &[u64], seed: u64) -> Vec<f32> {
    let mut weights = vec![0.0; declaration.len];
    for parameter in &declaration.parameters {
        let deviation = deviation(config, parameter);
        Declaration::initialize(parameter, deviation, seed, &mut weights[parameter.span.range()]);
    }
    let of = |name: &str| declaration.parameters.iter().find(|parameter| parameter.name == name);
    if let Some(positions) = of("bert.embeddings.position_embeddings.weight") {
        sinusoids(config, &mut weights[positions.span.range()]);
    }
    if let Some(bias) = of("cls.predictions.bias") {
        log_frequencies(token_counts, &mut weights[bias.span.range()]);
    }
    for (part, is_query) in [("query", true), ("key", false)] {
        if let Some(matrix) = of(&format!("bert.encoder.layer.0.attention.self.{part}.weight")) {
            look_at_neighbors(config, is_query, &mut weights[matrix.span.range()]);
        }
    }
    weights
}

/// The deviation of a parameter: 1/√inputs of a linear layer keeps the size of what goes through it at any width.
/// Tables keep that of the configuration, since LayerNorm follows; segments count half, so that words and positions lead.
fn deviation(config: &Config, parameter: &Parameter) -> f64 {
    let is_table = parameter.name.starts_with("bert.embeddings.");
    match parameter.initialization {
        Initialization::TruncatedNormal if !is_table => 1.0 / (parameter.columns() as f64).sqrt(),
        _ if parameter.name.contains("token_type") => config.initializer_range / 2.0,
        _ => config.initializer_range,
    }
}

/// The angle a position of pair `pair` of the hidden columns.
fn angle(pair: usize, pairs: usize) -> f64 {
    let place = pair as f64 / (pairs - 1).max(1) as f64;
    FASTEST * (SLOWEST / FASTEST).powf(place)
}

/// Position embeddings `[positions, hidden]`: columns 2i and 2i + 1 hold sine and cosine, as large as words are.
fn sinusoids(config: &Config, table: &mut [f32]) {
    let (hidden, amplitude) = (config.hidden_size, config.initializer_range * std::f64::consts::SQRT_2);
    for (position, row) in table.chunks_exact_mut(hidden).enumerate() {
        for (pair, values) in row.chunks_exact_mut(2).enumerate() {
            let (sine, cosine) = (angle(pair, hidden / 2) * position as f64).sin_cos();
            values[0] = (amplitude * sine) as f32;
            values[1] = (amplitude * cosine) as f32;
        }
    }
}

/// The output bias `[vocab]`: logarithms of frequencies, whose mean is 0. Each token is counted once more than it occurs.
fn log_frequencies(counts: &[u64], bias: &mut [f32]) {
    let logs: Vec<f64> = counts.iter().map(|&count| (count as f64 + 1.0).ln()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
    for (value, log) in bias.iter_mut().zip(logs) {
        *value = (log - mean) as f32;
    }
}

/// Query or key `[hidden, hidden]` of the first layer; what was drawn stays as noise of the configuration's deviation.
fn look_at_neighbors(config: &Config, is_query: bool, weight: &mut [f32]) {
    let (hidden, size) = (config.hidden_size, config.heads().size);
    let pairs = hidden / 2;
    let noise = (config.initializer_range * (hidden as f64).sqrt()) as f32;
    weight.iter_mut().for_each(|value| *value *= noise);
    for head in 0..config.num_attention_heads {
        for k in 0..size / 2 {
            // Pairs from the fastest to the slowest, evenly.
            let pair = k * (pairs - 1) / (size / 2 - 1).max(1);
            // sin(w(t + d)) = sin(wt) cos(wd) + cos(wt) sin(wd), and so for the cosine.
            let shift = if is_query { angle(pair, pairs) * offset(head) } else { 0.0 };
            let (sine, cosine) = shift.sin_cos();
            let row = (head * size + 2 * k) * hidden + 2 * pair;
            for (place, value) in [(row, cosine), (row + 1, sine), (row + hidden, -sine), (row + hidden + 1, cosine)] {
                weight[place] += (SHARPNESS * value) as f32;
            }
        }
    }
}

/// The neighbor that a head looks at: -1, 1, -2, 2, ….
fn offset(head: usize) -> f64 {
    let distance = (head / 2 + 1) as f64;
    if head.is_multiple_of(2) { -distance } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::HeadSet;

    const HEADS: HeadSet = HeadSet { pooler: true, mlm: true, nsp: true, task: None };
    /// Tokens of the text that the heads look at.
    const TOKENS: usize = 40;

    fn values<'a>(declaration: &Declaration, weights: &'a [f32], name: &str) -> &'a [f32] {
        let parameter = declaration.parameters.iter().find(|parameter| parameter.name == name);
        &weights[parameter.unwrap_or_else(|| panic!("no {name}")).span.range()]
    }

    fn normalized(row: Vec<f64>) -> Vec<f64> {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / row.len() as f64;
        row.iter().map(|x| (x - mean) / variance.sqrt()).collect()
    }

    fn product(weight: &[f32], x: &[f64]) -> Vec<f64> {
        weight.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
    }

    /// The mean weight that a head of the first layer gives the token `distance` away, of [`TOKENS`] different words.
    fn attention(config: &Config, weights: FirstWeights, head: usize, distance: isize) -> f64 {
        let declaration = Declaration::new(config, HEADS);
        let weights = weights.draw(config, &declaration, &[], 7);
        let of = |name: &str| values(&declaration, &weights, name);
        let (hidden, size) = (config.hidden_size, config.heads().size);
        let rows = |table: &str, index: usize| {
            let table = of(&format!("bert.embeddings.{table}_embeddings.weight"));
            table[index * hidden..(index + 1) * hidden].to_vec()
        };
        let (mut queries, mut keys) = (Vec::new(), Vec::new());
        for token in 0..TOKENS {
            let tables = [rows("word", 31 * token + 5), rows("position", token), rows("token_type", 0)];
            let sum = (0..hidden).map(|column| tables.iter().map(|row| f64::from(row[column])).sum()).collect();
            let x = normalized(sum);
            queries.push(product(of("bert.encoder.layer.0.attention.self.query.weight"), &x));
            keys.push(product(of("bert.encoder.layer.0.attention.self.key.weight"), &x));
        }
        let columns = head * size..(head + 1) * size;
        let (mut sum, mut count) = (0.0, 0);
        for (token, query) in queries.iter().enumerate() {
            let Some(target) = token.checked_add_signed(distance).filter(|&target| target < TOKENS) else { continue };
            let score = |key: &Vec<f64>| {
                let score: f64 = columns.clone().map(|column| query[column] * key[column]).sum();
                (score / (size as f64).sqrt()).exp()
            };
            sum += score(&keys[target]) / keys.iter().map(score).sum::<f64>();
            count += 1;
        }
        sum / f64::from(count)
    }

    #[test]
    fn heads_look_at_neighbors() {
        for (name, offsets) in [("tiny", vec![-1, 1]), ("mini", vec![-1, 1, -2, 2])] {
            let config = Config { vocab_size: 2000, ..Config::preset(name).unwrap() };
            for (head, &offset) in offsets.iter().enumerate() {
                let weight = attention(&config, FirstWeights::Neighbors, head, offset);
                assert!(weight * TOKENS as f64 > 5.0, "{name}, head {head}: {weight} on the token {offset} away");
                // All tokens get about the same of a head of BERT's first weights.
                let uniform = attention(&config, FirstWeights::Bert, head, offset);
                assert!((uniform * TOKENS as f64 - 1.0).abs() < 0.2, "{name}, head {head}: {uniform}");
            }
        }
    }

    #[test]
    fn what_goes_through_a_layer_keeps_its_size() {
        let config = Config { vocab_size: 50, ..Config::tiny() };
        let declaration = Declaration::new(&config, HEADS);
        let weights = FirstWeights::Neighbors.draw(&config, &declaration, &[], 1);
        for (name, inputs) in [
            ("bert.encoder.layer.1.attention.self.query.weight", 128.0),
            ("bert.encoder.layer.0.attention.self.value.weight", 128.0),
            ("bert.encoder.layer.1.output.dense.weight", 512.0),
            ("cls.predictions.transform.dense.weight", 128.0),
        ] {
            let values = values(&declaration, &weights, name);
            let mean_square = values.iter().map(|value| f64::from(value * value)).sum::<f64>() / values.len() as f64;
            // A normal cut at two deviations has variance 0.774.
            assert!((mean_square * inputs - 0.774).abs() < 0.05, "{name}: {mean_square}");
        }
    }

    #[test]
    fn the_output_bias_is_that_of_word_frequencies() {
        let config = Config { vocab_size: 4, ..Config::tiny() };
        let declaration = Declaration::new(&config, HEADS);
        let weights = FirstWeights::Neighbors.draw(&config, &declaration, &[0, 1, 3, 7], 1);
        let bias = values(&declaration, &weights, "cls.predictions.bias");
        assert!((bias.iter().sum::<f32>()).abs() < 1e-6, "{bias:?}");
        for pair in bias.windows(2) {
            assert!((pair[1] - pair[0] - 2f32.ln()).abs() < 1e-6, "{bias:?}");
        }
    }

    #[test]
    fn names_are_those_stored() {
        for (name, weights) in FirstWeights::NAMES {
            assert_eq!(serde_json::to_value(weights).unwrap(), name);
        }
    }

    #[test]
    fn draws_depend_on_the_seed_alone() {
        let config = Config { vocab_size: 50, ..Config::tiny() };
        let declaration = Declaration::new(&config, HEADS);
        let draw = |seed| FirstWeights::Neighbors.draw(&config, &declaration, &[], seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
