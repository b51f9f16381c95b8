//! The losses of tasks, and the gradients of their logits.
//!
//! A head has a handful of numbers for each text or token, so its loss is computed here, in f64, and not by the
//! kernels.

use super::Tally;
use super::tally::Judged;
use super::targets::{Targets, TrainingBatch};

/// How the logits of an example's windows become those of the example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowPooling {
    /// Their mean.
    #[default]
    Mean,
    /// The largest of each.
    Max,
}

impl WindowPooling {
    /// One row of `outputs` numbers from rows `[count, outputs]`.
    pub fn pool(self, rows: &[f64], outputs: usize) -> Vec<f64> {
        let count = rows.len() / outputs;
        let column = |at: usize| rows.iter().skip(at).step_by(outputs).copied();
        let pooled = |at: usize| match self {
            WindowPooling::Mean => column(at).sum::<f64>() / count as f64,
            WindowPooling::Max => column(at).fold(f64::NEG_INFINITY, f64::max),
        };
        (0..outputs).map(pooled).collect()
    }

    /// Backward of [`WindowPooling::pool`]: `rows` become their own gradient, from that of the pooled row. Of
    /// equal largest ones the first has it.
    fn spread(self, rows: &mut [f64], pooled: &[f64]) {
        let outputs = pooled.len();
        let count = rows.len() / outputs;
        for (at, gradient) in pooled.iter().enumerate() {
            match self {
                WindowPooling::Mean => {
                    rows[at..].iter_mut().step_by(outputs).for_each(|x| *x = gradient / count as f64)
                }
                WindowPooling::Max => {
                    let largest = (1..count).fold(0, |best, row| {
                        if rows[row * outputs + at] > rows[best * outputs + at] { row } else { best }
                    });
                    for row in 0..count {
                        rows[row * outputs + at] = if row == largest { *gradient } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// Adds the losses of `part` to `tally`. `logits [rows, outputs]`, of its sequences or of its tokens, become
/// the gradient of the mean over targets of weight `total_weight`.
pub(super) fn task_losses(
    part: &TrainingBatch,
    logits: &mut [f64],
    outputs: usize,
    total_weight: f64,
    tally: &mut Tally,
) {
    let mut each =
        |groups: Option<&[u32]>, pooling: WindowPooling, judge: &dyn Fn(usize, &mut [f64], f64) -> Judged| {
            let count = groups.map_or(logits.len() / outputs, <[u32]>::len);
            let mut first = 0;
            for target in 0..count {
                let rows = groups.map_or(1, |groups| groups[target] as usize);
                let own = &mut logits[first * outputs..(first + rows) * outputs];
                let weight = part.weight(target);
                let mut pooled = pooling.pool(own, outputs);
                tally.add(judge(target, &mut pooled, weight / total_weight), weight);
                pooling.spread(own, &pooled);
                first += rows;
            }
        };
    match &part.targets {
        Targets::Pretraining { .. } => unreachable!("pre-training has heads of its own"),
        Targets::Classes(labels) => each(part.windows(), part.pooling, &|example, row, scale| {
            cross_entropy(row, labels[example] as usize, scale)
        }),
        Targets::Values(values) => each(part.windows(), part.pooling, &|example, row, scale| {
            squared_error(row, f64::from(values[example]), scale)
        }),
        Targets::Labels(labels) => each(part.windows(), part.pooling, &|example, row, scale| {
            binary_cross_entropy(row, &labels[example], scale)
        }),
        Targets::Words { counts, labels, .. } => each(Some(counts), WindowPooling::Mean, &|word, row, scale| {
            cross_entropy(row, labels[word] as usize, scale)
        }),
        Targets::Spans(spans) => {
            for (sequence, &(start, end)) in spans.iter().enumerate() {
                let rows = part.batch.rows(sequence);
                let own = &mut logits[2 * rows.start..2 * rows.end];
                let weight = part.weight(sequence);
                tally.add(span(own, start as usize, end as usize, weight / total_weight), weight);
            }
        }
    }
}

/// `−ln softmax(row)[label]`; the row becomes `scale` times its gradient.
pub(super) fn cross_entropy(row: &mut [f64], label: usize, scale: f64) -> Judged {
    let best = (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
    let (max, at_label) = (row[best], row[label]);
    row.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|x| *x *= scale / sum);
    row[label] -= scale;
    Judged { loss: max + sum.ln() - at_label, correct: best == label }
}

/// The squared error of a row of one number, which becomes `scale` times its gradient.
fn squared_error(row: &mut [f64], value: f64, scale: f64) -> Judged {
    let error = row[0] - value;
    row[0] = 2.0 * scale * error;
    Judged { loss: error * error, correct: false }
}

/// The mean over labels of `−ln` of the probability, by the logistic function, that a label is as it should be;
/// right if all labels are more likely as they should be than not.
fn binary_cross_entropy(row: &mut [f64], labels: &[bool], scale: f64) -> Judged {
    let count = row.len() as f64;
    let mut judged = Judged { loss: 0.0, correct: true };
    for (x, &label) in row.iter_mut().zip(labels) {
        // softplus(±x), which does not overflow.
        let signed = if label { -*x } else { *x };
        judged.loss += (signed.max(0.0) + (-signed.abs()).exp().ln_1p()) / count;
        judged.correct &= signed < 0.0;
        let probability = 1.0 / (1.0 + (-*x).exp());
        *x = scale * (probability - f64::from(u8::from(label))) / count;
    }
    judged
}

/// The mean of the cross-entropies of start and end over the tokens of a sequence: `logits [tokens, 2]`; right
/// if both are.
fn span(logits: &mut [f64], start: usize, end: usize, scale: f64) -> Judged {
    let mut judged = Judged { loss: 0.0, correct: true };
    for (column, label) in [start, end].into_iter().enumerate() {
        let mut row: Vec<f64> = logits.iter().skip(column).step_by(2).copied().collect();
        let Judged { loss, correct } = cross_entropy(&mut row, label, scale / 2.0);
        judged.loss += loss / 2.0;
        judged.correct &= correct;
        logits.iter_mut().skip(column).step_by(2).zip(row).for_each(|(x, gradient)| *x = gradient);
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numerical gradient of `loss` is what its row becomes.
    fn assert_gradient(row: &[f64], judge: impl Fn(&mut [f64]) -> Judged) {
        let mut gradient = row.to_vec();
        judge(&mut gradient);
        for at in 0..row.len() {
            let loss_at = |step: f64| {
                let mut row = row.to_vec();
                row[at] += step;
                judge(&mut row).loss
            };
            let numerical = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
            assert!((numerical - gradient[at]).abs() < 1e-9, "number {at} of {row:?}: {numerical}, {}", gradient[at]);
        }
    }

    #[test]
    fn gradients_are_those_of_the_losses() {
        let row = [0.3, -1.2, 2.5, 0.0, 7.0, -0.4];
        assert_gradient(&row, |row| cross_entropy(row, 2, 1.0));
        assert_gradient(&row[..1], |row| squared_error(row, 0.8, 1.0));
        assert_gradient(&row, |row| binary_cross_entropy(row, &[true, false, true, false, false, true], 1.0));
        assert_gradient(&row, |row| span(row, 0, 2, 1.0));
    }

    #[test]
    fn huge_logits_have_finite_losses() {
        let judged = cross_entropy(&mut [1000.0, 0.0], 1, 1.0);
        assert_eq!(judged, Judged { loss: 1000.0, correct: false });
        let judged = binary_cross_entropy(&mut [1000.0, -1000.0], &[true, true], 1.0);
        assert_eq!(judged, Judged { loss: 500.0, correct: false });
    }

    #[test]
    fn windows_are_pooled_and_the_gradient_goes_back_to_them() {
        let rows = [1.0, 5.0, 3.0, 5.0, 2.0, 4.0];
        assert_eq!(WindowPooling::Mean.pool(&rows, 2), [2.0, 14.0 / 3.0]);
        assert_eq!(WindowPooling::Max.pool(&rows, 2), [3.0, 5.0]);
        let mut spread = rows;
        WindowPooling::Mean.spread(&mut spread, &[3.0, 6.0]);
        assert_eq!(spread, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        let mut spread = rows;
        WindowPooling::Max.spread(&mut spread, &[3.0, 6.0]);
        assert_eq!(spread, [0.0, 6.0, 3.0, 0.0, 0.0, 0.0]);
    }
}
