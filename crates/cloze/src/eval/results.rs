//! What a model says of the examples of a data set, and all that follows from it.

use std::ops::Range;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::Error;
use crate::settings::StoredSettings;
use crate::train::{Event, Metrics, Observer};

use super::answers::AnswerResults;
use super::bootstrap::{Comparison, Interval, comparisons, intervals, mcnemar};
use super::calibration::{Bin, expected_calibration_error, reliability};
use super::confusion::ClassFigures;
use super::evaluate::Source;
use super::slices::{Slice, by_length};
use super::texts::TextResults;
use super::thresholds::Aim;
use super::tuning::Tuning;
use super::words::WordResults;

/// Examples between two reports of progress.
const EXAMPLES_AT_A_TIME: usize = 256;

/// Mistakes that are told of.
const MISTAKES: usize = 100;

/// What a model says of the examples of a data set, beside what it should say.
#[derive(Clone, Debug)]
pub(crate) enum Results {
    Texts(TextResults),
    Words(WordResults),
    Answers(AnswerResults),
}

/// How good a model is beyond its metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details {
    /// Where the metrics would lie on other data of the kind.
    #[serde(serialize_with = "as_map")]
    pub intervals: Vec<(String, Interval)>,
    /// The figures of each class, label, or type of entity.
    #[serde(serialize_with = "as_map")]
    pub classes: Vec<(String, ClassFigures)>,
    /// How often each gold class is taken for each: `[gold][predicted]`; empty where an example has no class.
    pub confusion: Vec<Vec<usize>>,
    /// The label whose F1 is among the metrics, of two labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive_label: Option<String>,
    /// How thresholds were chosen, if these are the examples that chose them: metrics that have a `cross_fitted_` one
    /// beside them are then too good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// Names of the rows and columns of the confusion matrix.
    pub labels: Vec<String>,
    /// Whether probabilities are what they say.
    pub calibration: Option<Calibration>,
    /// Metrics of examples of similar length.
    pub slices: Vec<Slice<Map<String, Value>>>,
    /// What was answered wrong, the surest first.
    pub mistakes: Vec<Mistake>,
}

/// Whether probabilities are what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The expected calibration error.
    pub error: f64,
    /// Confidence and accuracy, by confidence.
    pub bins: Vec<Bin>,
}

/// An example that was answered wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where it stands: a line, or the id of a question.
    pub place: String,
    /// The example.
    pub text: String,
    /// What it should give.
    pub gold: String,
    /// What the model says.
    pub predicted: String,
    /// How sure it is.
    pub probability: Option<f64>,
}

/// The figures of each class, and how often each gold class is taken for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confusion {
    pub classes: Vec<(String, ClassFigures)>,
    pub matrix: Vec<Vec<usize>>,
}

/// Gives metrics of the examples at some indices.
type OfChosen<'a> = Box<dyn Fn(&[usize]) -> Vec<f64> + 'a>;

/// The metrics of any choice of examples.
pub(crate) struct Figures<'a> {
    names: Vec<&'static str>,
    of: OfChosen<'a>,
}

impl<'a> Figures<'a> {
    /// `of` gives as many figures as there are names, for the examples at some indices; NaN what is not defined.
    pub fn new(names: Vec<&'static str>, of: impl Fn(&[usize]) -> Vec<f64> + 'a) -> Figures<'a> {
        Figures { names, of: Box::new(of) }
    }

    /// Names and figures.
    pub fn of(&self, chosen: &[usize]) -> Metrics {
        self.names.iter().zip((self.of)(chosen)).map(|(name, value)| named(name, value)).collect()
    }
}

/// Named things as an object.
pub(super) fn as_map<V: Serialize, S: Serializer>(pairs: &[(String, V)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// Works through the examples in chunks, and tells how far it is.
pub(crate) fn for_each_chunk(
    examples: usize,
    observer: &mut Observer,
    mut work: impl FnMut(Range<usize>) -> Result<(), Error>,
) -> Result<(), Error> {
    for first in (0..examples).step_by(EXAMPLES_AT_A_TIME) {
        let end = examples.min(first + EXAMPLES_AT_A_TIME);
        work(first..end)?;
        let _ = observer(&Event::Progress { what: "evaluating", done: end as u64, total: examples as u64 });
    }
    Ok(())
}

/// A metric.
pub(crate) fn named(name: &str, value: f64) -> (String, f64) {
    (name.to_string(), value)
}

impl Results {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.lengths().len()
    }

    /// The loss first.
    pub fn metrics(&self) -> Result<Metrics, Error> {
        match self {
            Results::Texts(results) => Ok(results.metrics()),
            Results::Words(results) => Ok(results.metrics()),
            Results::Answers(results) => results.metrics(),
        }
    }

    /// Finds on these examples what is stored with a model: thresholds for the metric that chose its weights, and with
    /// `calibrate` a temperature. `source` is where the examples come from.
    pub fn tune(&mut self, settings: &mut StoredSettings, calibrate: bool, metric: &str, source: &Source) {
        if calibrate {
            settings.temperature = match self {
                Results::Texts(results) => results.fitted_temperature(),
                Results::Words(results) => Some(results.fitted_temperature()),
                Results::Answers(_) => None,
            };
            self.apply(settings);
        }
        match self {
            Results::Texts(results) => {
                let aim = Aim::of_metric(metric);
                if let Some(sharing) = results.tune(aim) {
                    settings.thresholds = Some(results.thresholds().to_vec());
                    settings.tuning = Some(Tuning::new(aim, sharing, results.folds(), source));
                }
            }
            Results::Words(_) => {}
            Results::Answers(results) => {
                if let (Some(questions), Some(threshold)) = (&mut settings.questions, results.tuned_threshold()) {
                    questions.answers.null_threshold = Some(threshold);
                }
            }
        }
        self.apply(settings);
    }

    /// The metrics of several labels at thresholds that were tuned as `tuning` says, each time on other examples.
    pub fn cross_fitted(&self, tuning: &Tuning) -> Metrics {
        match self {
            Results::Texts(results) => results.cross_fitted(Aim::of_metric(&tuning.metric)),
            Results::Words(_) | Results::Answers(_) => Metrics::new(),
        }
    }

    /// Applies what is stored with a model.
    pub fn apply(&mut self, settings: &StoredSettings) {
        match self {
            Results::Texts(results) => results.apply(settings),
            Results::Words(results) => results.apply(settings),
            Results::Answers(results) => results.apply(settings),
        }
    }

    /// Everything beyond the metrics. `example` gives an example's place, and the text or the words that it is made
    /// of.
    pub fn details(&self, seed: u64, example: impl Fn(usize) -> (String, String, Vec<String>)) -> Details {
        let figures = self.figures();
        let of_all = intervals(self.len(), seed, |chosen| (figures.of)(chosen));
        let confusion = match self {
            Results::Texts(results) => results.confusion(),
            Results::Words(results) => results.confusion(),
            Results::Answers(_) => Confusion::default(),
        };
        Details {
            intervals: figures
                .names
                .iter()
                .zip(of_all)
                .filter_map(|(name, of)| Some((name.to_string(), of?)))
                .collect(),
            positive_label: match self {
                Results::Texts(results) => results.positive_label().map(str::to_string),
                Results::Words(_) | Results::Answers(_) => None,
            },
            tuning: None,
            labels: self.labels().unwrap_or_default(),
            classes: confusion.classes,
            confusion: confusion.matrix,
            calibration: self.calibration(),
            slices: by_length(self.lengths(), |chosen| {
                let defined = figures.of(chosen).into_iter().filter(|(_, value)| !value.is_nan());
                defined.map(|(name, value)| (name, value.into())).collect()
            }),
            mistakes: self.mistakes(example),
        }
    }

    /// Compares two models on the same examples: each metric of the first less that of the second, and where examples
    /// are right or wrong, McNemar's exact test.
    pub fn compare(&self, other: &Results, seed: u64) -> (Vec<(String, Comparison)>, Option<f64>) {
        let (own, others) = (self.figures(), other.figures());
        // Models with other labels may have other metrics, too.
        let place = |name: &&'static str| Some((*name, others.names.iter().position(|other| other == name)?));
        let (names, places): (Vec<&str>, Vec<usize>) = own.names.iter().filter_map(place).unzip();
        let differences = |chosen: &[usize]| -> Vec<f64> {
            let (first, second) = (own.of(chosen), (others.of)(chosen));
            let first = first.iter().filter(|(name, _)| names.contains(&name.as_str()));
            first.zip(&places).map(|((_, value), &place)| value - second[place]).collect()
        };
        let compared = names.iter().zip(comparisons(self.len(), seed, differences));
        let compared = compared.filter_map(|(name, comparison)| Some((name.to_string(), comparison?))).collect();
        let test = self.is_right().zip(other.is_right()).map(|(a, b)| mcnemar(&a, &b));
        (compared, test)
    }

    fn figures(&self) -> Figures<'_> {
        match self {
            Results::Texts(results) => results.figures(),
            Results::Words(results) => results.figures(),
            Results::Answers(results) => results.figures(),
        }
    }

    fn lengths(&self) -> &[usize] {
        match self {
            Results::Texts(results) => &results.lengths,
            Results::Words(results) => &results.lengths,
            Results::Answers(results) => &results.lengths,
        }
    }

    fn is_right(&self) -> Option<Vec<bool>> {
        match self {
            Results::Texts(results) => results.is_right(),
            Results::Words(results) => Some(results.is_right()),
            Results::Answers(results) => Some(results.is_right()),
        }
    }

    fn labels(&self) -> Option<Vec<String>> {
        match self {
            Results::Texts(results) => results.names_of_classes(),
            Results::Words(results) => Some(results.names_of_classes()),
            Results::Answers(_) => None,
        }
    }

    fn calibration(&self) -> Option<Calibration> {
        let (confidences, is_right) = match self {
            Results::Texts(results) => results.confidences(),
            Results::Words(results) => results.confidences(),
            Results::Answers(results) => results.confidences(),
        };
        let bins = reliability(&confidences, &is_right);
        (!confidences.is_empty()).then(|| Calibration { error: expected_calibration_error(&bins), bins })
    }

    /// The surest first; then, and among equals, in the order of the file.
    fn mistakes(&self, example: impl Fn(usize) -> (String, String, Vec<String>)) -> Vec<Mistake> {
        let wrong = self.is_right().unwrap_or_default().into_iter().enumerate().filter(|(_, right)| !right);
        let mut wrong: Vec<(usize, Option<f64>)> = wrong.map(|(at, _)| (at, self.probability(at))).collect();
        wrong.sort_by(|a, b| b.1.unwrap_or(0.0).total_cmp(&a.1.unwrap_or(0.0)));
        wrong.truncate(MISTAKES);
        let mistake = |(at, probability)| {
            let (place, text, words) = example(at);
            let (gold, predicted) = match self {
                Results::Texts(results) => results.answer(at),
                Results::Words(results) => results.answer(at, &words),
                Results::Answers(results) => results.answer(at),
            };
            Mistake { place, text, gold, predicted, probability }
        };
        wrong.into_iter().map(mistake).collect()
    }

    /// How sure the model is of its answer to an example, where it is one answer.
    fn probability(&self, at: usize) -> Option<f64> {
        match self {
            Results::Texts(results) => results.probability(at),
            Results::Words(_) => None,
            Results::Answers(results) => Some(results.nbest[at].answer().probability),
        }
    }
}
