//! In what two runs differ.

use serde_json::{Map, Value};

use super::RunSettings;

/// A setting that two runs do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the setting.
    pub name: String,
    /// The value that is stored.
    pub then: String,
    /// The value that is asked for.
    pub now: String,
}

/// Settings that change how a result is computed, but no bit of it.
const WITHOUT_EFFECT: [&str; 1] = ["accumulate"];

/// The first field in which two runs of the same kind differ.
pub fn difference(then: &RunSettings, now: &RunSettings) -> Option<Difference> {
    let value = |settings| serde_json::to_value(settings).unwrap_or(Value::Null);
    differing("", &value(then), &value(now))
}

fn differing(name: &str, then: &Value, now: &Value) -> Option<Difference> {
    match (then, now) {
        // A choice, such as where the weights come from, is an object with one key.
        (Value::Object(a), Value::Object(b)) if !is_other_choice(a, b) => {
            let names = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let names = names.filter(|key| !WITHOUT_EFFECT.contains(&key.as_str()));
            names.into_iter().find_map(|key| {
                let find = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                differing(key, &find(a), &find(b))
            })
        }
        _ if then == now => None,
        _ => Some(Difference { name: name.to_string(), then: shown(then), now: shown(now) }),
    }
}

fn is_other_choice(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == 1 && b.len() == 1 && a.keys().next() != b.keys().next()
}

/// A value as a user would write it.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(choice) if choice.len() == 1 => {
            choice.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect()
        }
        Value::Null => "not given".to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Budget, PretrainSettings, Start};

    fn settings() -> PretrainSettings {
        PretrainSettings::new(vec!["a.txt".into()], "vocab", Start::Preset("tiny".into()), 100)
    }

    fn found(other: PretrainSettings) -> Option<(String, String, String)> {
        let found = difference(&RunSettings::Pretrain(settings()), &RunSettings::Pretrain(other));
        found.map(|Difference { name, then, now }| (name, then, now))
    }

    #[test]
    fn a_difference_is_named() {
        assert_eq!(found(settings()), None);
        let other = PretrainSettings { budget: Budget::Steps(200), ..settings() };
        assert_eq!(found(other), Some(("steps".into(), "100".into(), "200".into())));
        let other = PretrainSettings { start: Start::Model("bert".into()), ..settings() };
        assert_eq!(found(other), Some(("start".into(), "preset \"tiny\"".into(), "model \"bert\"".into())));
        let other = PretrainSettings { eval_steps: Some(5), ..settings() };
        assert_eq!(found(other), Some(("eval_steps".into(), "not given".into(), "5".into())));
    }

    #[test]
    fn the_parts_that_a_step_is_computed_in_are_no_difference() {
        let mut other = settings();
        other.update.accumulate = 4;
        assert_eq!(found(other), None);
    }
}
