//! How much memory a training takes, and how a step is computed in less.

use crate::heads::ROWS_AT_A_TIME;
use crate::params::Declaration;
use crate::{Config, Error};

/// What a run takes beside all that is counted here: plans of instances, batches, the memory of threads.
const OVERHEAD: u64 = 32 << 20;

/// How a step is computed: the result is the same to the bit for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Consecutive parts of the batch.
    pub parts: usize,
    /// Whether each layer is computed a second time in backward.
    pub recompute: bool,
}

/// The fastest plan for a batch of `sequences` of `tokens` each that needs no more than `limit` bytes in all, besides
/// `resident` that are taken already; in `parts` parts at least.
///
/// # Errors
/// If there is none, with the bytes that the smallest one needs.
pub(crate) fn plan(
    limit: u64,
    resident: u64,
    config: &Config,
    declaration: &Declaration,
    sequences: usize,
    tokens: usize,
    parts: usize,
) -> Result<Plan, Error> {
    let fixed = (resident + OVERHEAD) as f64 + bytes_of_parameters(config, declaration);
    let needed = |plan: Plan| {
        fixed + (sequences.div_ceil(plan.parts) * tokens) as f64 * bytes_of_a_token(config, plan.recompute)
    };
    let fits = |recompute| {
        let mut plans = (parts..=sequences).map(|parts| Plan { parts, recompute });
        plans.find(|&plan| needed(plan) <= limit as f64)
    };
    fits(false).or_else(|| fits(true)).ok_or_else(|| {
        let least = needed(Plan { parts: sequences, recompute: true });
        let gib = |bytes: f64| bytes / f64::from(1 << 30);
        Error::Settings(format!(
            "a limit of {:.2} GiB is too little: with one sequence of {tokens} tokens at a time about {:.2} GiB are \
             needed, {:.2} of them for weights, gradients, moments and what is read",
            gib(limit as f64),
            gib(least),
            gib(fixed)
        ))
    })
}

/// Weights, gradients and two moments; the matrices once more as they are multiplied with; and the copy of weights
/// and moments that becomes a checkpoint. With a masked language model also the word embeddings, as a table and as the
/// decoder, and some rows of logits. All in f32.
pub(crate) fn bytes_of_parameters(config: &Config, declaration: &Declaration) -> f64 {
    let packed = declaration.parameters.iter().filter(|parameter| parameter.is_encoder_weight());
    let packed: usize = packed.map(|parameter| parameter.span.len).sum();
    let words = match declaration.heads.mlm {
        true => config.vocab_size * (2 * config.hidden_size + ROWS_AT_A_TIME),
        false => 0,
    };
    4.0 * (7 * declaration.len + packed + words) as f64
}

/// What a token leaves for backward: in each layer its input, query, key and value, context, both LayerNorms with
/// their outputs, and what stands before the activation; once the embeddings and the gradients on the way back. Of
/// layers that are computed again, the inputs are kept alone, and the rest is there once.
pub(crate) fn bytes_of_a_token(config: &Config, recompute: bool) -> f64 {
    let (hidden, intermediate, layers) = (config.hidden_size, config.intermediate_size, config.num_hidden_layers);
    let layer = 8 * hidden + intermediate + config.num_attention_heads;
    let once = 11 * hidden + 2 * intermediate;
    let kept = if recompute { layers * hidden + layer } else { layers * layer };
    4.0 * (kept + once) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::HeadSet;

    #[test]
    fn less_memory_gives_smaller_parts_then_recomputation_then_an_error() {
        let config = Config::preset("mini").unwrap();
        let heads = HeadSet { mlm: true, nsp: true, pooler: true, task: None };
        let declaration = Declaration::new(&config, heads);
        let plan = |mebibytes: u64| plan(mebibytes << 20, 0, &config, &declaration, 64, 128, 2);
        let mut before = plan(1 << 14).unwrap();
        assert_eq!(before, Plan { parts: 2, recompute: false });
        let mut seen = 0;
        for mebibytes in (0..1000).rev() {
            let Ok(now) = plan(mebibytes) else { break };
            let no_faster = match (before.recompute, now.recompute) {
                (true, false) => false,
                (false, true) => true,
                _ => now.parts >= before.parts,
            };
            assert!(no_faster, "{now:?} after {before:?}");
            seen += u32::from(now != before);
            before = now;
        }
        assert!(seen > 5 && before == Plan { parts: 64, recompute: true }, "{seen} plans, the last {before:?}");
        let message = plan(200).unwrap_err().to_string();
        assert!(message.contains("with one sequence of 128 tokens at a time about 0.4"), "{message}");
    }
}
