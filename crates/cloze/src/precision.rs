//! The numbers that products are computed with: their names on the command line and in `cloze.json`, and
//! which of them train.

pub use cloze_kernels::Precision;

use crate::Error;

/// Every precision and its name.
pub const NAMES: [(&str, Precision); 3] =
    [("f32", Precision::F32), ("bf16", Precision::Bf16), ("int8", Precision::Int8)];

/// The name of a precision.
pub fn name(precision: Precision) -> &'static str {
    NAMES.iter().find(|(_, other)| *other == precision).map_or("", |(name, _)| name)
}

/// The precision of this name.
pub fn named(name: &str) -> Option<Precision> {
    NAMES.iter().find(|(other, _)| *other == name).map(|(_, precision)| *precision)
}

/// Refuses a precision that cannot be trained in.
pub fn check_training(precision: Precision) -> Result<(), Error> {
    match precision {
        Precision::F32 | Precision::Bf16 => Ok(()),
        Precision::Int8 => Err(Error::Settings(
            "training computes in f32 or bf16; int8 is for using a model that is trained".to_string(),
        )),
    }
}

/// A precision as its name, for fields of stored settings.
pub(crate) mod stored {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{Precision, name, named};

    pub fn serialize<S: Serializer>(precision: &Precision, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name(*precision))
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Precision, D::Error> {
        let text = String::deserialize(deserializer)?;
        named(&text).ok_or_else(|| D::Error::custom(format!("no precision `{}`", text.escape_debug())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for (text, precision) in NAMES {
            assert_eq!((name(precision), named(text)), (text, Some(precision)));
        }
        assert_eq!(named("f64"), None);
    }
}
