//! Losses and metrics of classification and regression.

use sha2::{Digest, Sha256};

use crate::Error;
use crate::config::labels::is_label;
use crate::infer::{DEFAULT_THRESHOLD, ReadText, argmax, cross_entropy, logistic, softmax};
use crate::settings::StoredSettings;
use crate::train::{Metrics, Observer};

use super::calibration::{fit_multi_label_temperature, fit_temperature};
use super::confusion::{class_figures, confusion_matrix};
use super::metrics::{accuracy, f1_binary, macro_f1, matthews_correlation, pearson, spearman};
use super::multi_label::{MultiLabelFigures, binary_cross_entropy, multi_label_figures, predict};
use super::results::{Confusion, Figures, for_each_chunk, named};
use super::task::Gold;
use super::thresholds::{Aim, Scored, Sharing, cross_fitted, number_of_folds, tune_thresholds};

/// Start of the names of metrics at thresholds that were tuned on other examples.
pub const CROSS_FITTED: &str = "cross_fitted_";

/// Metrics of texts that may have several labels.
const LABEL_METRICS: [&str; 5] = ["f1", "macro_f1", "precision", "recall", "exact_match"];

/// The figures of [`LABEL_METRICS`].
fn label_figures(found: &MultiLabelFigures) -> [f64; 5] {
    [found.micro_f1, found.macro_f1, found.micro_precision, found.micro_recall, found.subset_accuracy]
}

/// What a model says of texts, and what it should say.
#[derive(Clone, Debug)]
pub(crate) struct TextResults {
    /// Tokens of each text.
    pub lengths: Vec<usize>,
    /// Hash of each text as the model reads it, the same for copies.
    hashes: Vec<u64>,
    logits: Vec<Vec<f64>>,
    gold: Gold,
    labels: Vec<String>,
    /// What logits are divided by before they become probabilities.
    temperature: f64,
    /// Of each label, where a text may have several.
    thresholds: Vec<f64>,
    /// The class whose F1 is measured, where there are two.
    positive: usize,
}

/// Hash of a text or pair as the model reads it.
fn hash(text: &ReadText) -> u64 {
    let mut hasher = Sha256::new();
    for window in &text.windows {
        hasher.update((window.ids.len() as u64).to_le_bytes());
        window.ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
    }
    let digest: [u8; 32] = hasher.finalize().into();
    digest.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte))
}

impl TextResults {
    /// Of texts; `logits_of` computes a row for each.
    pub fn of(
        texts: &[ReadText],
        gold: Gold,
        labels: &[String],
        mut logits_of: impl FnMut(&[ReadText]) -> Result<Vec<Vec<f64>>, Error>,
        observer: &mut Observer,
    ) -> Result<TextResults, Error> {
        let lengths = texts.iter().map(|text| text.tokens).collect();
        let mut logits = Vec::with_capacity(texts.len());
        for_each_chunk(texts.len(), observer, |chunk| {
            logits.extend(logits_of(&texts[chunk])?);
            Ok(())
        })?;
        let thresholds = vec![DEFAULT_THRESHOLD; labels.len()];
        Ok(TextResults {
            lengths,
            hashes: texts.iter().map(hash).collect(),
            logits,
            gold,
            labels: labels.to_vec(),
            temperature: 1.0,
            thresholds,
            positive: 1,
        })
    }

    /// Applies what is stored with the model.
    pub fn apply(&mut self, settings: &StoredSettings) {
        self.temperature = settings.temperature.unwrap_or(1.0);
        self.choose_positive(settings.positive_label.as_deref());
        if let Some(thresholds) = &settings.thresholds {
            self.thresholds.iter_mut().zip(thresholds).for_each(|(own, stored)| *own = *stored);
        }
    }

    /// Measures F1 of this label, if it is one of two.
    pub fn choose_positive(&mut self, label: Option<&str>) {
        let chosen = label.and_then(|label| self.labels.iter().position(|own| is_label(own, label)));
        self.positive = chosen.unwrap_or(self.positive);
    }

    /// The label whose F1 is measured, where there are two.
    pub fn positive_label(&self) -> Option<&str> {
        let is_binary = matches!(self.gold, Gold::Classes(_)) && self.labels.len() == 2;
        is_binary.then(|| self.labels[self.positive].as_str())
    }

    /// The temperature that makes probabilities honest; none for numbers.
    pub fn fitted_temperature(&self) -> Option<f64> {
        match &self.gold {
            Gold::Classes(gold) => Some(fit_temperature(&self.logits, gold)),
            Gold::Labels(gold) => Some(fit_multi_label_temperature(&self.logits, gold)),
            Gold::Values(_) => None,
        }
    }

    /// Chooses the thresholds with the best `aim`, where a text may have several labels.
    pub fn tune(&mut self, aim: Aim) -> Option<Sharing> {
        let Gold::Labels(gold) = &self.gold else { return None };
        let probabilities = self.probabilities_of_labels();
        let scored = Scored { probabilities: &probabilities, gold, texts: &self.hashes };
        let (thresholds, sharing) = tune_thresholds(scored, aim);
        self.thresholds = thresholds;
        Some(sharing)
    }

    /// Parts of the texts for metrics at thresholds that were tuned on other texts.
    pub fn folds(&self) -> usize {
        number_of_folds(&self.hashes)
    }

    /// Threshold of each label.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// The metrics of several labels at thresholds that were tuned for `aim` on other texts.
    pub fn cross_fitted(&self, aim: Aim) -> Metrics {
        let Gold::Labels(gold) = &self.gold else { return Metrics::new() };
        let probabilities = self.probabilities_of_labels();
        let predicted = cross_fitted(Scored { probabilities: &probabilities, gold, texts: &self.hashes }, aim);
        let figures = predicted.map(|predicted| label_figures(&multi_label_figures(&predicted, gold)));
        let names = LABEL_METRICS.iter().map(|name| format!("{CROSS_FITTED}{name}"));
        names.zip(figures.into_iter().flatten()).collect()
    }

    /// The loss first.
    pub fn metrics(&self) -> Metrics {
        let all: Vec<usize> = (0..self.logits.len()).collect();
        let mut metrics = vec![named("loss", self.loss())];
        let figures = self.figures();
        // Undefined where one side is constant.
        metrics.extend(figures.of(&all).into_iter().filter(|(_, value)| !value.is_nan()));
        metrics
    }

    fn loss(&self) -> f64 {
        let rows = self.logits.iter();
        let sum: f64 = match &self.gold {
            Gold::Classes(gold) => rows.zip(gold).map(|(row, &label)| cross_entropy(row, label)).sum(),
            Gold::Labels(gold) => return binary_cross_entropy(&self.logits, gold),
            Gold::Values(gold) => rows.zip(gold).map(|(row, &value)| (row[0] - f64::from(value)).powi(2)).sum(),
        };
        sum / self.logits.len() as f64
    }

    /// The metrics of some of the texts.
    pub fn figures(&self) -> Figures<'_> {
        match &self.gold {
            Gold::Classes(gold) => {
                let predicted = self.classes();
                let two = self.labels.len() == 2;
                let names = if two { &["accuracy", "f1"][..] } else { &["accuracy"] };
                let names = [names, &["macro_f1", "matthews_correlation"]].concat();
                Figures::new(names, move |chosen| {
                    let predicted: Vec<usize> = chosen.iter().map(|&at| predicted[at]).collect();
                    let gold: Vec<usize> = chosen.iter().map(|&at| gold[at]).collect();
                    let mut values = vec![accuracy(&predicted, &gold)];
                    if two {
                        values.push(f1_binary(&predicted, &gold, self.positive));
                    }
                    values.extend([macro_f1(&predicted, &gold), matthews_correlation(&predicted, &gold)]);
                    values
                })
            }
            Gold::Labels(gold) => {
                let predicted = self.label_sets();
                Figures::new(LABEL_METRICS.to_vec(), move |chosen| {
                    let predicted: Vec<&[bool]> = chosen.iter().map(|&at| predicted[at].as_slice()).collect();
                    let gold: Vec<&[bool]> = chosen.iter().map(|&at| gold[at].as_slice()).collect();
                    label_figures(&multi_label_figures(&predicted, &gold)).to_vec()
                })
            }
            Gold::Values(gold) => Figures::new(vec!["pearson", "spearman"], move |chosen| {
                let predicted: Vec<f64> = chosen.iter().map(|&at| self.logits[at][0]).collect();
                let gold: Vec<f64> = chosen.iter().map(|&at| f64::from(gold[at])).collect();
                [pearson, spearman].map(|of| of(&predicted, &gold).unwrap_or(f64::NAN)).to_vec()
            }),
        }
    }

    /// Names of the classes, where each text has one.
    pub fn names_of_classes(&self) -> Option<Vec<String>> {
        matches!(self.gold, Gold::Classes(_)).then(|| self.labels.clone())
    }

    /// Whether each text has exactly the labels that it should; none for numbers.
    pub fn is_right(&self) -> Option<Vec<bool>> {
        match &self.gold {
            Gold::Classes(gold) => Some(self.classes().iter().zip(gold).map(|(a, b)| a == b).collect()),
            Gold::Labels(gold) => Some(self.label_sets().iter().zip(gold).map(|(a, b)| a == b).collect()),
            Gold::Values(_) => None,
        }
    }

    /// How often each class is taken for each, and the figures of each class or label.
    pub fn confusion(&self) -> Confusion {
        let of = |figures: Vec<_>| self.labels.iter().cloned().zip(figures).collect();
        match &self.gold {
            Gold::Classes(gold) => {
                let matrix = confusion_matrix(&self.classes(), gold, self.labels.len());
                Confusion { classes: of(class_figures(&matrix)), matrix }
            }
            Gold::Labels(gold) => {
                let classes = of(multi_label_figures(&self.label_sets(), gold).labels);
                Confusion { classes, matrix: Vec::new() }
            }
            Gold::Values(_) => Confusion::default(),
        }
    }

    /// The probability of what was predicted, and whether it was right: of each class, or each label by itself.
    pub fn confidences(&self) -> (Vec<f64>, Vec<bool>) {
        match &self.gold {
            Gold::Classes(gold) => {
                let of = |(row, &gold): (&Vec<f64>, &usize)| {
                    let best = argmax(row);
                    (self.softmax(row)[best], best == gold)
                };
                self.logits.iter().zip(gold).map(of).unzip()
            }
            Gold::Labels(gold) => {
                let decision = |(p, &has): (f64, &bool)| (p.max(1.0 - p), (p >= 0.5) == has);
                let of = |(row, gold): (Vec<f64>, &Vec<bool>)| row.into_iter().zip(gold).map(decision).collect();
                let all: Vec<Vec<_>> = self.probabilities_of_labels().into_iter().zip(gold).map(of).collect();
                all.into_iter().flatten().unzip()
            }
            Gold::Values(_) => (Vec::new(), Vec::new()),
        }
    }

    /// What a text should give, and what the model says.
    pub fn answer(&self, at: usize) -> (String, String) {
        let row = &self.logits[at];
        match &self.gold {
            Gold::Classes(gold) => (self.labels[gold[at]].clone(), self.labels[argmax(row)].clone()),
            Gold::Labels(gold) => {
                let names = |has: &[bool]| -> String {
                    let own = self.labels.iter().zip(has).filter(|(_, has)| **has).map(|(label, _)| label.as_str());
                    own.collect::<Vec<_>>().join(", ")
                };
                (names(&gold[at]), names(&self.label_set(row)))
            }
            Gold::Values(gold) => (gold[at].to_string(), format!("{:.3}", row[0])),
        }
    }

    /// The probability of the class that a text is given.
    pub fn probability(&self, at: usize) -> Option<f64> {
        let row = &self.logits[at];
        matches!(self.gold, Gold::Classes(_)).then(|| self.softmax(row)[argmax(row)])
    }

    fn classes(&self) -> Vec<usize> {
        self.logits.iter().map(|row| argmax(row)).collect()
    }

    fn label_sets(&self) -> Vec<Vec<bool>> {
        self.logits.iter().map(|row| self.label_set(row)).collect()
    }

    fn label_set(&self, row: &[f64]) -> Vec<bool> {
        predict(&self.probabilities(row), &self.thresholds)
    }

    fn probabilities_of_labels(&self) -> Vec<Vec<f64>> {
        self.logits.iter().map(|row| self.probabilities(row)).collect()
    }

    /// Of each label by itself.
    fn probabilities(&self, row: &[f64]) -> Vec<f64> {
        row.iter().map(|logit| logistic(logit / self.temperature)).collect()
    }

    fn softmax(&self, row: &[f64]) -> Vec<f64> {
        softmax(&row.iter().map(|logit| logit / self.temperature).collect::<Vec<_>>())
    }
}
