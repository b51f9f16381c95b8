//! How the vectors of a text's tokens become one vector: the file of the module Pooling.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::{Fields, short};
use crate::error::Error;

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Vector of the first token.
    Cls,
    /// Largest value of each column over all tokens.
    Max,
    /// Mean over all tokens.
    Mean,
    /// Sum over all tokens, divided by the root of their number.
    MeanSqrtLen,
    /// Mean over all tokens, the n-th weighted by n.
    WeightedMean,
    /// Vector of the last token, `[SEP]`.
    LastToken,
}

impl Pooling {
    /// Name of each mode in new files, and its flag in old ones, in the order in which old files join their vectors.
    const NAMES: [(&str, &str, Pooling); 6] = [
        ("cls", "pooling_mode_cls_token", Pooling::Cls),
        ("max", "pooling_mode_max_tokens", Pooling::Max),
        ("mean", "pooling_mode_mean_tokens", Pooling::Mean),
        ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
        ("weightedmean", "pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
        ("lasttoken", "pooling_mode_lasttoken", Pooling::LastToken),
    ];

    /// Name in the files of sentence-transformers.
    pub fn name(self) -> &'static str {
        Pooling::NAMES.iter().find(|(_, _, mode)| *mode == self).map_or("", |(name, ..)| name)
    }
}

/// The modes of a pooling module, whose vectors stand side by side, and whether a prompt's tokens are pooled, too.
pub(super) fn read(path: &Path) -> Result<(Vec<Pooling>, bool), Error> {
    let mut fields = Fields::read(path)?;
    let include_prompt = fields.boolean("include_prompt")?.unwrap_or(true);
    // New files name the mode, or list several; old ones have a flag for each.
    let named = match fields.take("pooling_mode") {
        Some(Value::Array(list)) if list.is_empty() => {
            return Err(fields.error("pooling_mode", "an empty list".to_string()));
        }
        Some(Value::Array(list)) => list,
        Some(value) => vec![value],
        None => Vec::new(),
    };
    let mut chosen = Vec::new();
    for name in &named {
        match Pooling::NAMES.iter().find(|(mode, ..)| name.as_str() == Some(mode)) {
            Some(&(_, _, mode)) => chosen.push(mode),
            None => {
                let known = Pooling::NAMES.map(|(mode, ..)| mode).join(", ");
                return Err(fields.error("pooling_mode", format!("expected some of {known}, found {}", short(name))));
            }
        }
    }
    for (_, flag, mode) in Pooling::NAMES {
        if fields.boolean(flag)? == Some(true) && named.is_empty() {
            chosen.push(mode);
        }
    }
    if chosen.is_empty() {
        // The default of sentence-transformers.
        chosen.push(Pooling::Mean);
    }
    Ok((chosen, include_prompt))
}

/// Contents of the file, in the form that old and new releases read. The flags cannot state an order of their own, so
/// poolings in another order are named in a list.
pub(super) fn contents(pooling: &[Pooling], include_prompt: bool, hidden_size: usize) -> Value {
    let mut map = Map::from_iter([("word_embedding_dimension".to_string(), Value::from(hidden_size))]);
    let by_flags: Vec<Pooling> =
        Pooling::NAMES.iter().map(|&(_, _, mode)| mode).filter(|mode| pooling.contains(mode)).collect();
    if by_flags == pooling {
        for (_, flag, mode) in Pooling::NAMES {
            map.insert(flag.into(), pooling.contains(&mode).into());
        }
    } else {
        map.insert("pooling_mode".into(), pooling.iter().map(|mode| Value::from(mode.name())).collect());
    }
    if !include_prompt {
        // Old releases do not know the key, and that it is true is the default of new ones.
        map.insert("include_prompt".into(), false.into());
    }
    map.into()
}
