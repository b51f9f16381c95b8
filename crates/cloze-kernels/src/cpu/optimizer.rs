//! What the optimizer does with the arenas of parameters, gradients and moments.

use super::chunks::{chunks, chunks_mut, for_each_part};
use super::disjoint::GRAIN;
use super::matrix::Matrix;
use super::shared::SharedMut;
use super::simd::{Level, multiply_add, multiversion};
use crate::AdamStep;

/// `Σ x²` in f64. Pieces of a fixed size are summed for themselves, then their sums in order, so that the
/// order depends on the length alone.
pub(crate) fn sum_of_squares(level: Level, x: &[f32]) -> f64 {
    let mut sums = vec![0.0; x.len().div_ceil(GRAIN)];
    for_each_part((chunks_mut(&mut sums, 1), chunks(x, GRAIN)), |_, (sum, x)| {
        sum[0] = sum_of_squares_in_order(level, x);
    });
    sums.into_iter().sum()
}

multiversion! {
    fn sum_of_squares_in_order(x: &[f32]) -> f64 = sum_of_squares_body
}

#[inline(always)]
fn sum_of_squares_body<const FMA: bool>(x: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            // A product of two f32 is exact in f64, so that nothing is fused is no loss.
            let x = f64::from(chunk[lane]);
            lanes[lane] += x * x;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*x) * f64::from(*x);
    }
    lanes.into_iter().sum()
}

/// A stretch of the four arenas.
pub(crate) struct Arenas<'a> {
    pub(crate) weights: &'a mut [f32],
    pub(crate) first_moments: &'a mut [f32],
    pub(crate) second_moments: &'a mut [f32],
    pub(crate) gradients: &'a [f32],
}

/// One step of Adam with decoupled weight decay. With
/// `g = gradient · gradient_scale`: `m = beta1 m + (1 − beta1) g`, `v = beta2 v + (1 − beta2) g²`,
/// `w −= learning_rate · (m / bias_correction1 / (√(v / bias_correction2) + epsilon) + weight_decay · w)`.
///
/// The weights may be rows of a matrix, from a given one on; then each panel of it is packed again by the thread
/// that has just updated it.
pub(crate) fn adam_step(level: Level, arenas: Arenas, step: AdamStep, packed: Option<(&mut Matrix, usize)>) {
    let Arenas { weights, first_moments, second_moments, gradients } = arenas;
    let factors = Factors::new(step);
    let Some((matrix, first)) = packed else {
        let weights = chunks_mut(weights, GRAIN);
        let moments = (chunks_mut(first_moments, GRAIN), chunks_mut(second_moments, GRAIN));
        for_each_part((weights, moments, chunks(gradients, GRAIN)), |_, (w, (m, v), gradients)| {
            adam_chunk(level, w, m, v, gradients, factors);
        });
        return;
    };
    let count = weights.len();
    let [weights, first_moments, second_moments] = [weights, first_moments, second_moments].map(SharedMut::new);
    matrix.refresh(first, count, |part| {
        // SAFETY: every part is asked for once, and parts do not overlap.
        let [w, m, v] = unsafe {
            [weights.slice(part.clone()), first_moments.slice(part.clone()), second_moments.slice(part.clone())]
        };
        adam_chunk(level, w, m, v, &gradients[part], factors);
        w
    });
}

/// The first half of [`adam_step`]: changes the moments, and gives the sum of the squares of the update at rate 1, in
/// the order of [`sum_of_squares`].
pub(crate) fn adam_moments(
    level: Level,
    moments: [&mut [f32]; 2],
    weights: &[f32],
    gradients: &[f32],
    step: AdamStep,
) -> f64 {
    let factors = Factors::new(AdamStep { learning_rate: 1.0, ..step });
    let [first, second] = moments;
    let mut sums = vec![0.0; weights.len().div_ceil(GRAIN)];
    let moments = (chunks_mut(first, GRAIN), chunks_mut(second, GRAIN));
    let parts = ((chunks_mut(&mut sums, 1), moments), (chunks(weights, GRAIN), chunks(gradients, GRAIN)));
    for_each_part(parts, |_, ((sum, (m, v)), (w, gradients))| {
        let mut updates = [0.0; GRAIN];
        let updates = &mut updates[..w.len()];
        moments_chunk(level, updates, m, v, w, gradients, factors);
        sum[0] = sum_of_squares_in_order(level, updates);
    });
    sums.into_iter().sum()
}

/// The numbers of a step as the elements need them. They are worked out in f64: `1 − beta2`, for
/// one, would lose four digits in f32.
#[derive(Clone, Copy)]
struct Factors {
    gradient_scale: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// `1 / √bias_correction2`.
    root_correction: f32,
    epsilon: f32,
    /// `learning_rate / bias_correction1`.
    step_size: f32,
    /// `learning_rate · weight_decay`.
    decay: f32,
}

impl Factors {
    fn new(step: AdamStep) -> Factors {
        Factors {
            gradient_scale: step.gradient_scale as f32,
            beta1: step.beta1 as f32,
            one_minus_beta1: (1.0 - step.beta1) as f32,
            beta2: step.beta2 as f32,
            one_minus_beta2: (1.0 - step.beta2) as f32,
            root_correction: (1.0 / step.bias_correction2.sqrt()) as f32,
            epsilon: step.epsilon as f32,
            step_size: (step.learning_rate / step.bias_correction1) as f32,
            decay: (step.learning_rate * step.weight_decay) as f32,
        }
    }
}

multiversion! {
    fn adam_chunk(w: &mut [f32], m: &mut [f32], v: &mut [f32], gradients: &[f32], factors: Factors) = adam_body
}

#[inline(always)]
fn adam_body<const FMA: bool>(w: &mut [f32], m: &mut [f32], v: &mut [f32], gradients: &[f32], factors: Factors) {
    for (((w, m), v), gradient) in w.iter_mut().zip(m).zip(v).zip(gradients) {
        *w -= update_of::<FMA>(*w, m, v, *gradient, factors);
    }
}

multiversion! {
    fn moments_chunk(
        updates: &mut [f32], m: &mut [f32], v: &mut [f32], w: &[f32], gradients: &[f32], factors: Factors
    ) = moments_body
}

#[inline(always)]
fn moments_body<const FMA: bool>(
    updates: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    w: &[f32],
    gradients: &[f32],
    factors: Factors,
) {
    for ((((update, m), v), w), gradient) in updates.iter_mut().zip(m).zip(v).zip(w).zip(gradients) {
        *update = update_of::<FMA>(*w, m, v, *gradient, factors);
    }
}

/// What a step takes off the weight; the moments are changed.
#[inline(always)]
fn update_of<const FMA: bool>(w: f32, m: &mut f32, v: &mut f32, gradient: f32, f: Factors) -> f32 {
    let g = gradient * f.gradient_scale;
    *m = multiply_add::<FMA>(f.beta1, *m, f.one_minus_beta1 * g);
    *v = multiply_add::<FMA>(f.beta2, *v, f.one_minus_beta2 * (g * g));
    let denominator = multiply_add::<FMA>(v.sqrt(), f.root_correction, f.epsilon);
    multiply_add::<FMA>(f.decay, w, f.step_size * (*m / denominator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::math::tests::{levels, numbers, on_threads};
    use crate::cpu::operand::Kind;
    use crate::{MatrixShape, Span};

    #[test]
    fn sum_of_squares_is_the_definition_on_any_number_of_threads() {
        for len in [0, 1, 13, 37, GRAIN, GRAIN + 1, 5 * GRAIN + 7] {
            let x = numbers(len, 1);
            let expected: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            for level in levels() {
                let found = on_threads(1, || sum_of_squares(level, &x));
                assert!((found - expected).abs() <= 1e-13 * expected, "{found} instead of {expected}");
                assert_eq!(found, on_threads(3, || sum_of_squares(level, &x)));
            }
        }
    }

    #[test]
    fn a_matrix_is_refreshed_with_the_new_weights() {
        let shape = MatrixShape { outputs: 53, inputs: 21 };
        let (first, rows) = (19, 27);
        let (before, len) = (numbers(shape.outputs * shape.inputs, 1), rows * shape.inputs);
        let step = AdamStep {
            learning_rate: 0.5,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-6,
            weight_decay: 0.0,
            gradient_scale: 1.0,
            bias_correction1: 1.0,
            bias_correction2: 1.0,
        };
        for level in levels() {
            for threads in [1, 3] {
                let packed = |weights: &[f32]| {
                    let mut matrix = Matrix::zeros(level, Kind::F32, shape).expect("memory");
                    matrix.pack(0, weights);
                    matrix
                };
                let (mut weights, mut matrix) = (before.clone(), packed(&before));
                let (mut m, mut v, gradients) = (vec![0.0; len], vec![0.0; len], numbers(len, 2));
                let arenas = Arenas {
                    weights: &mut weights[first * shape.inputs..][..len],
                    first_moments: &mut m,
                    second_moments: &mut v,
                    gradients: &gradients,
                };
                on_threads(threads, || adam_step(level, arenas, step, Some((&mut matrix, first))));
                let mut alone = before[first * shape.inputs..][..len].to_vec();
                let (mut m, mut v) = (vec![0.0; len], vec![0.0; len]);
                let arenas = Arenas {
                    weights: &mut alone,
                    first_moments: &mut m,
                    second_moments: &mut v,
                    gradients: &gradients,
                };
                adam_step(level, arenas, step, None);
                assert_eq!(weights[first * shape.inputs..][..len], alone, "{level:?}, {threads} threads");
                assert_ne!(weights, before);
                assert_eq!(matrix.forward_panels().words, packed(&weights).forward_panels().words);
            }
        }
    }

    #[test]
    fn adam_is_the_definition() {
        let len = 2 * GRAIN + 13;
        let at = Span { start: 5, len: len - 7 };
        let gradients: Vec<Vec<f32>> =
            (0..3).map(|t| numbers(len, 10 + t).iter().map(|g| 1e-3 * g).collect()).collect();
        let step = |t: i32| AdamStep {
            learning_rate: 2e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-6,
            weight_decay: 0.01,
            gradient_scale: 0.7,
            bias_correction1: 1.0 - 0.9_f64.powi(t),
            bias_correction2: 1.0 - 0.999_f64.powi(t),
        };
        let start = numbers(len, 1);
        let mut expected: Vec<[f64; 3]> = start.iter().map(|w| [f64::from(*w), 0.0, 0.0]).collect();
        for (t, gradients) in (1..).zip(&gradients) {
            let s = step(t);
            for ([w, m, v], gradient) in expected[at.range()].iter_mut().zip(&gradients[at.range()]) {
                let g = f64::from(*gradient) * s.gradient_scale;
                *m = s.beta1 * *m + (1.0 - s.beta1) * g;
                *v = s.beta2 * *v + (1.0 - s.beta2) * g * g;
                let direction = *m / s.bias_correction1 / ((*v / s.bias_correction2).sqrt() + s.epsilon);
                *w -= s.learning_rate * (direction + s.weight_decay * *w);
            }
        }
        for level in levels() {
            let run = |threads| {
                let (mut w, mut m, mut v) = (start.clone(), vec![0.0; len], vec![0.0; len]);
                for (t, gradients) in (1..).zip(&gradients) {
                    let arenas = Arenas {
                        weights: &mut w[at.range()],
                        first_moments: &mut m[at.range()],
                        second_moments: &mut v[at.range()],
                        gradients: &gradients[at.range()],
                    };
                    on_threads(threads, || adam_step(level, arenas, step(t), None));
                }
                (w, m, v)
            };
            let (w, m, v) = run(1);
            assert!((w.clone(), m.clone(), v.clone()) == run(3), "threads change the bits");
            for (i, expected) in expected.iter().enumerate() {
                // Relative, but no less than the rounding of what was added up: weights are at most 2, the
                // first moments 1e-4.
                for (found, expected, least) in
                    [(w[i], expected[0], 0.1), (m[i], expected[1], 1e-4), (v[i], expected[2], 0.0)]
                {
                    let error = (f64::from(found) - expected).abs();
                    assert!(error <= 1e-6 * expected.abs().max(least), "element {i}: {found} instead of {expected}");
                }
            }
            assert!(w[..5] == start[..5] && w[len - 2..] == start[len - 2..], "wrote outside of the span");
        }
    }
}
