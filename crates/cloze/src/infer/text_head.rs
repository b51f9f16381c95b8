//! Meaning of the outputs of a head on texts: one class, several labels, or numbers.
//!
//! As Hugging Face's pipeline and sentence-transformers' cross-encoders show them: `problem_type` decides; a single
//! output that it does not call a regression goes through a sigmoid; and a function that a cross-encoder's files name
//! goes before both.

use crate::checkpoint::{SentenceSettings, score_function};
use crate::config::{Config, ProblemType};
use crate::error::Error;

use super::classify::logistic;

/// Meaning of the outputs of a head on texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextHead {
    /// One class: softmax.
    Classes,
    /// Any number of labels: a sigmoid each.
    Labels,
    /// Numbers.
    Values(ScoreFunction),
}

/// Function on the number of a regression or cross-encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreFunction {
    /// The number as it is.
    #[default]
    Identity,
    /// `1 / (1 + exp(−x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
}

/// Names that torch has for the functions of cross-encoders.
const FUNCTIONS: [(&str, Named); 4] = [
    ("torch.nn.modules.linear.Identity", Named::Score(ScoreFunction::Identity)),
    ("torch.nn.modules.activation.Sigmoid", Named::Score(ScoreFunction::Sigmoid)),
    ("torch.nn.modules.activation.Tanh", Named::Score(ScoreFunction::Tanh)),
    ("torch.nn.modules.activation.Softmax", Named::Softmax),
];

#[derive(Clone, Copy)]
enum Named {
    Score(ScoreFunction),
    Softmax,
}

impl ScoreFunction {
    /// `function(x)`
    pub fn apply(self, x: f64) -> f64 {
        match self {
            ScoreFunction::Identity => x,
            ScoreFunction::Sigmoid => logistic(x),
            ScoreFunction::Tanh => x.tanh(),
        }
    }
}

impl TextHead {
    /// Meaning of the outputs of a head with this many labels.
    ///
    /// # Errors
    /// If a cross-encoder's files name a function that is not known, or not for so many labels.
    pub(super) fn of(config: &Config, settings: Option<&SentenceSettings>, labels: usize) -> Result<TextHead, Error> {
        let (one, problem) = (labels == 1, config.problem_type);
        let Some(name) = score_function(settings, config) else {
            return Ok(match problem {
                Some(ProblemType::Regression) => TextHead::Values(ScoreFunction::Identity),
                Some(ProblemType::MultiLabelClassification) => TextHead::Labels,
                _ if one => TextHead::Values(ScoreFunction::Sigmoid),
                _ => TextHead::Classes,
            });
        };
        // Old spellings leave out the module: torch.nn.Sigmoid.
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_string();
        let known = |(own, _): &&(&str, Named)| name.starts_with("torch.nn.") && last(own) == last(name);
        match (FUNCTIONS.iter().find(known).map(|(_, named)| *named), problem) {
            (Some(Named::Score(function)), _) if one => Ok(TextHead::Values(function)),
            (Some(Named::Score(ScoreFunction::Sigmoid)), _) => Ok(TextHead::Labels),
            (Some(Named::Score(ScoreFunction::Identity)), Some(ProblemType::Regression)) => {
                Ok(TextHead::Values(ScoreFunction::Identity))
            }
            (Some(Named::Score(ScoreFunction::Identity)), Some(ProblemType::MultiLabelClassification)) => {
                Ok(TextHead::Labels)
            }
            // The order of the scores is that of the probabilities.
            (Some(Named::Score(ScoreFunction::Identity) | Named::Softmax), _) if !one => Ok(TextHead::Classes),
            _ => Err(Error::Settings(format!(
                "the files of the model name the function {name} for its scores (activation_fn), which cannot be \
                 applied to {labels} labels; known are Identity and Sigmoid of any number, Tanh of one, Softmax of several"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(problem_type: Option<ProblemType>, function: Option<&str>, labels: usize) -> Result<TextHead, Error> {
        let settings = SentenceSettings { activation: function.map(str::to_string), ..SentenceSettings::default() };
        TextHead::of(&Config { problem_type, ..Config::tiny() }, Some(&settings), labels)
    }

    #[test]
    fn without_a_function_the_kind_of_problem_decides() {
        use ProblemType::*;
        for (problem, labels, expected) in [
            (Some(Regression), 1, TextHead::Values(ScoreFunction::Identity)),
            (Some(Regression), 3, TextHead::Values(ScoreFunction::Identity)),
            (Some(MultiLabelClassification), 1, TextHead::Labels),
            (Some(MultiLabelClassification), 3, TextHead::Labels),
            (Some(SingleLabelClassification), 3, TextHead::Classes),
            // Softmax of one number would be 1 whatever the text.
            (Some(SingleLabelClassification), 1, TextHead::Values(ScoreFunction::Sigmoid)),
            (None, 1, TextHead::Values(ScoreFunction::Sigmoid)),
            (None, 2, TextHead::Classes),
        ] {
            assert_eq!(head(problem, None, labels).unwrap(), expected, "{problem:?}, {labels}");
        }
    }

    #[test]
    fn a_named_function_goes_before() {
        for (function, labels, expected) in [
            ("torch.nn.modules.linear.Identity", 1, TextHead::Values(ScoreFunction::Identity)),
            ("torch.nn.Sigmoid", 1, TextHead::Values(ScoreFunction::Sigmoid)),
            ("torch.nn.modules.activation.Tanh", 1, TextHead::Values(ScoreFunction::Tanh)),
            ("torch.nn.modules.linear.Identity", 3, TextHead::Classes),
            ("torch.nn.modules.activation.Sigmoid", 3, TextHead::Labels),
            ("torch.nn.modules.activation.Softmax", 3, TextHead::Classes),
        ] {
            assert_eq!(head(None, Some(function), labels).unwrap(), expected, "{function}, {labels}");
        }
        for (function, labels) in [
            ("torch.nn.modules.activation.ReLU", 1),
            ("torch.nn.Softmax", 1),
            ("torch.nn.Tanh", 2),
            ("mine.Sigmoid", 1),
        ] {
            let message = head(None, Some(function), labels).unwrap_err().to_string();
            assert!(message.contains(function) && message.contains("activation_fn"), "{message}");
        }
    }

    #[test]
    fn functions_in_config_json_are_those_of_older_releases() {
        let of = |key: &str, value: serde_json::Value| {
            let other = serde_json::Map::from_iter([(key.to_string(), value)]);
            TextHead::of(&Config { other, ..Config::tiny() }, None, 1).unwrap()
        };
        let identity = "torch.nn.modules.linear.Identity";
        let expected = TextHead::Values(ScoreFunction::Identity);
        assert_eq!(of("sbert_ce_default_activation_function", identity.into()), expected);
        assert_eq!(of("sentence_transformers", json!({ "activation_fn": identity, "version": "4.1" })), expected);
    }
}
