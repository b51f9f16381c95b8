//! How long a pre-training is, and how long its sequences are.

use serde::{Deserialize, Serialize};

use crate::Error;

/// How long a pre-training is. All but steps become a number of steps when the run begins, which is stored with it; that
/// of a time follows the speed of the machine on the way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Optimizer steps.
    Steps(u64),
    /// Passes over the instances.
    Epochs(f64),
    /// Tokens trained on, special tokens included.
    Tokens(u64),
    /// Seconds of the whole run, without the time between an interruption and its end.
    Seconds(f64),
}

impl Budget {
    /// Refuses a budget of nothing.
    pub(crate) fn check(self) -> Result<(), Error> {
        let (number, flag) = match self {
            Budget::Steps(steps) => (steps as f64, "--steps"),
            Budget::Epochs(epochs) => (epochs, "--epochs"),
            Budget::Tokens(tokens) => (tokens as f64, "--tokens"),
            Budget::Seconds(seconds) => (seconds, "--time"),
        };
        if number.is_finite() && number > 0.0 {
            return Ok(());
        }
        Err(Error::Settings(format!("{number} trains nothing; give {flag} a number above 0")))
    }
}

/// A stretch of a pre-training whose sequences have the same maximum length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Tokens of a sequence at most.
    pub max_seq_length: usize,
    /// Share of the steps.
    pub share: f64,
}

/// Refuses shares that are not those of one whole.
pub(crate) fn check_phases(phases: &[Phase]) -> Result<(), Error> {
    let sum: f64 = phases.iter().map(|phase| phase.share).sum();
    if phases.iter().any(|phase| !(phase.share > 0.0 && phase.share <= 1.0)) || (sum - 1.0).abs() > 1e-6 {
        let shares: Vec<String> = phases.iter().map(|phase| phase.share.to_string()).collect();
        return Err(Error::Settings(format!(
            "the phases have the shares {}; they must be above 0 and add up to 1",
            shares.join(", ")
        )));
    }
    Ok(())
}

/// The step, from 0, at which each of these phases ends, of `steps` in all. A phase may be too short to have any.
pub(crate) fn phase_ends(phases: &[Phase], steps: u64) -> Vec<u64> {
    let mut shares = 0.0;
    let mut ends: Vec<u64> = phases
        .iter()
        .map(|phase| {
            shares += phase.share;
            ((shares * steps as f64).round() as u64).min(steps)
        })
        .collect();
    if let Some(last) = ends.last_mut() {
        *last = steps;
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(shares: &[f64]) -> Vec<Phase> {
        shares.iter().map(|&share| Phase { max_seq_length: 128, share }).collect()
    }

    #[test]
    fn phases_share_out_the_steps() {
        assert_eq!(phase_ends(&phases(&[0.9, 0.1]), 1000), [900, 1000]);
        assert_eq!(phase_ends(&phases(&[0.3, 0.3, 0.4]), 7), [2, 4, 7]);
        assert_eq!(phase_ends(&phases(&[1.0]), 5), [5]);
        assert_eq!(phase_ends(&phases(&[0.1, 0.9]), 1), [0, 1]);
    }

    #[test]
    fn shares_must_be_those_of_a_whole() {
        assert!(check_phases(&phases(&[0.9, 0.1])).is_ok());
        assert!(check_phases(&phases(&[0.1; 10])).is_ok());
        for shares in [&[0.9][..], &[0.9, 0.2], &[1.0, 0.0], &[1.5, -0.5], &[f64::NAN, 1.0], &[]] {
            let message = check_phases(&phases(shares)).unwrap_err().to_string();
            assert!(message.contains("add up to 1"), "{message}");
        }
    }

    #[test]
    fn a_budget_of_nothing_is_refused() {
        assert!(Budget::Epochs(0.1).check().is_ok());
        for (budget, flag) in [
            (Budget::Steps(0), "--steps"),
            (Budget::Epochs(-1.0), "--epochs"),
            (Budget::Tokens(0), "--tokens"),
            (Budget::Seconds(f64::NAN), "--time"),
        ] {
            assert!(budget.check().unwrap_err().to_string().contains(flag));
        }
    }
}
