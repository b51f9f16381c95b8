//! Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019), and what goes with
//! it.

use crate::AdamStep;

pub(super) fn sum_of_squares(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

pub(super) fn adam_step(
    weights: &mut [f64],
    first_moments: &mut [f64],
    second_moments: &mut [f64],
    gradients: &[f64],
    step: AdamStep,
) {
    let AdamStep { learning_rate, beta1, beta2, epsilon, weight_decay, .. } = step;
    for (i, gradient) in gradients.iter().enumerate() {
        let (w, m, v) = (&mut weights[i], &mut first_moments[i], &mut second_moments[i]);
        let g = gradient * step.gradient_scale;
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let update = *m / step.bias_correction1 / ((*v / step.bias_correction2).sqrt() + epsilon);
        *w -= learning_rate * (update + weight_decay * *w);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_moves_by_the_learning_rate() {
        let (beta1, beta2) = (0.5, 0.75);
        let step = AdamStep {
            learning_rate: 0.125,
            beta1,
            beta2,
            epsilon: 0.0,
            weight_decay: 0.0,
            gradient_scale: 0.5,
            bias_correction1: 1.0 - beta1,
            bias_correction2: 1.0 - beta2,
        };
        let (mut w, mut m, mut v) = ([1.0, 1.0], [0.0; 2], [0.0; 2]);
        adam_step(&mut w, &mut m, &mut v, &[8.0, -2.0], step);
        assert_eq!(w, [0.875, 1.125]);
        assert_eq!(m, [2.0, -0.5]);
        assert_eq!(v, [4.0, 0.25]);

        // Without correction and with decay: 4/2 and epsilon below, then weight decay times the weight.
        let step = AdamStep {
            beta1: 1.0,
            beta2: 1.0,
            epsilon: 2.0,
            weight_decay: 4.0,
            bias_correction1: 1.0,
            bias_correction2: 1.0,
            ..step
        };
        let (mut w, mut m, mut v) = ([1.0], [2.0], [4.0]);
        adam_step(&mut w, &mut m, &mut v, &[0.0], step);
        assert_eq!(w, [1.0 - 0.125 * (2.0 / 4.0 + 4.0)]);
    }

    #[test]
    fn sums() {
        assert_eq!(sum_of_squares(&[1.0, 2.0, 3.0, 4.0]), 30.0);
    }
}
