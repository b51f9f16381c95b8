//! The many spellings of a tensor's name, and the one that is declared.

use crate::params::Parameter;

/// The tensors that repeat another one, and the one they repeat.
pub(super) const TIED: [(&str, &str); 2] = [
    ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
];

/// The name of the scales of a weight in int8, one for each of its rows.
pub(crate) fn scale_name(weight: &Parameter) -> String {
    format!("{}_scale", weight.name)
}

/// The declared spelling of a stored name: with the prefix `bert.` that files of a bare encoder lack,
/// and with `weight` and `bias` where old files have `gamma` and `beta`.
pub(super) fn canonical(stored: &str) -> String {
    let encoder = ["embeddings.", "encoder.", "pooler."].iter().any(|part| stored.starts_with(part));
    let name = if encoder { format!("bert.{stored}") } else { stored.to_string() };
    if let Some(stem) = name.strip_suffix("LayerNorm.gamma") {
        format!("{stem}LayerNorm.weight")
    } else if let Some(stem) = name.strip_suffix("LayerNorm.beta") {
        format!("{stem}LayerNorm.bias")
    } else {
        name
    }
}

/// Whether a tensor holds nothing that a model needs: old files store the numbers 0, 1, 2 … as
/// positions, and the decoder repeats what is elsewhere.
pub(super) fn is_redundant(canonical: &str) -> bool {
    canonical == "bert.embeddings.position_ids" || TIED.iter().any(|(name, _)| *name == canonical)
}

/// A name from outside as it may stand in a message: short, and without control characters.
pub(super) fn printable(name: &str) -> String {
    const LENGTH_MAX: usize = 120;
    let escaped: String = name.chars().take(LENGTH_MAX).flat_map(char::escape_debug).collect();
    if name.chars().nth(LENGTH_MAX).is_some() { format!("{escaped}…") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (stored, declared) in [
            ("bert.pooler.dense.weight", "bert.pooler.dense.weight"),
            ("pooler.dense.weight", "bert.pooler.dense.weight"),
            ("embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
            ("bert.encoder.layer.3.output.LayerNorm.beta", "bert.encoder.layer.3.output.LayerNorm.bias"),
            ("cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.weight"),
            ("classifier.weight", "classifier.weight"),
            ("encoderish.gamma", "encoderish.gamma"),
        ] {
            assert_eq!(canonical(stored), declared);
        }
    }

    #[test]
    fn printable_names_are_short_and_without_control_characters() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable(&"x".repeat(500)).chars().count(), 121);
    }
}
