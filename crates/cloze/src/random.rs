//! Streams of random draws that need no state to be kept: a stream is a function of a seed, of what
//! it is for, and of two numbers such as epoch and document.
//!
//! A run that starts again in the middle, or that hands its work to other threads, therefore draws
//! what it would have drawn anyway.

use cloze_kernels::philox;

/// What a stream is for. The number goes into the counter, so that two streams never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The instances of a document: (epoch, document).
    Plan = 1,
    /// The order of the instances or examples of an epoch: (epoch, 0).
    Shuffle = 2,
    /// Which tokens of a training instance are masked: (epoch, place in the epoch).
    Mask = 3,
    /// Which held-out instances are evaluated: (0, 0).
    HeldOut = 4,
    /// Which tokens of a held-out instance are masked, the same at every evaluation: (0, instance).
    HeldOutMask = 5,
    /// The first weights of a parameter: (parameter, 0).
    Initialisation = 6,
    /// Generated text: (part, number).
    Sample = 7,
    /// Which examples are drawn anew to see how sure a metric is: (0, resample).
    Bootstrap = 8,
}

/// A stream of draws. A clone goes on from where the original stands.
#[derive(Clone, Debug)]
pub struct Random {
    key: [u32; 2],
    /// Counter of the next block of four numbers; its first word counts the blocks.
    counter: [u32; 4],
    block: [u32; 4],
    /// Numbers of `block` already given away.
    used: usize,
}

impl Random {
    /// The stream of `seed` for `purpose`, told apart from its sisters by `a` (below 2³²) and `b`
    /// (below 2⁵⁶). It holds nearly 2³⁴ numbers.
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Random {
        assert!(a < 1 << 32, "the first number of a stream is {a}, not below 2^32");
        assert!(b < 1 << 56, "the second number of a stream is {b}, not below 2^56");
        let purpose_and_high = (purpose as u32) << 24 | (b >> 32) as u32;
        // Dropout draws under the key of the seed itself; the complement keeps away from its counters.
        Random { key: philox::key(!seed), counter: [0, a as u32, b as u32, purpose_and_high], block: [0; 4], used: 4 }
    }

    /// A number uniform over all of `u32`.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox::philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].checked_add(1).expect("a stream holds fewer than 2^34 numbers");
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        high << 32 | u64::from(self.next_u32())
    }

    /// A number uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An integer uniform in `0 .. n`, each exactly as likely; `n` is at least 1.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below 0");
        // The high half of a 128-bit product maps 2⁶⁴ draws to n results (Lemire 2019). 2⁶⁴ mod n of
        // the draws are one too many for some results; these are drawn anew.
        let surplus = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= surplus {
                return (product >> 64) as u64;
            }
        }
    }

    /// Puts `items` into an order uniform over all orders.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A number of the normal distribution with mean 0 and standard deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        // 1 − uniform is never 0, so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// An order of the numbers below `count`, drawn at random, that takes no memory: what stands at a place is computed, by a
/// Feistel network whose round function is the generator, on the next power of four; numbers beyond `count` are sent
/// through it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    count: u64,
    /// Half the bits of a number.
    half: u32,
    key: [u32; 2],
}

impl Permutation {
    const ROUNDS: u32 = 6;

    /// The order of a stream's next draw.
    pub fn new(count: u64, random: &mut Random) -> Permutation {
        let bits = count.saturating_sub(1).checked_ilog2().map_or(1, |bit| bit + 1);
        Permutation { count, half: bits.div_ceil(2), key: [random.next_u32(), random.next_u32()] }
    }

    /// The number at a place below the count; every number stands at one place.
    pub fn at(&self, place: u64) -> u64 {
        assert!(place < self.count, "there is no place {place} among {}", self.count);
        let mut number = place;
        loop {
            number = self.mix(number);
            if number < self.count {
                return number;
            }
        }
    }

    fn mix(&self, number: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for round in 0..Self::ROUNDS {
            let draw = philox::philox4x32([right as u32, (right >> 32) as u32, round, 0], self.key);
            (left, right) = (right, left ^ (u64::from(draw[0]) | u64::from(draw[1]) << 32) & mask);
        }
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_has_every_number_once() {
        for count in (1..70).chain([255, 256, 257, 1000, 4096, 5000]) {
            let order = Permutation::new(count, &mut Random::new(1, Purpose::Shuffle, 0, count));
            let mut numbers: Vec<u64> = (0..count).map(|place| order.at(place)).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..count), "{count}");
        }
    }

    #[test]
    fn a_permutation_brings_every_number_to_every_place_equally_often() {
        const COUNT: usize = 10;
        let mut counts = [[0u32; COUNT]; COUNT];
        for stream in 0..20_000 {
            let order = Permutation::new(COUNT as u64, &mut Random::new(3, Purpose::Shuffle, 0, stream));
            (0..COUNT).for_each(|place| counts[place][order.at(place as u64) as usize] += 1);
        }
        // Five standard deviations of a binomial count with mean 2,000.
        assert!(counts.iter().flatten().all(|count| (1_780..=2_220).contains(count)), "{counts:?}");
    }

    #[test]
    fn neighbours_in_a_permutation_have_nothing_to_do_with_each_other() {
        let count = 100_000;
        let order = Permutation::new(count, &mut Random::new(5, Purpose::Shuffle, 0, 0));
        let numbers: Vec<f64> = (0..count).map(|place| order.at(place) as f64 / count as f64 - 0.5).collect();
        for distance in [1, 2, 7, 256] {
            let pairs = numbers.iter().zip(&numbers[distance..]);
            let correlation = 12.0 * pairs.map(|(a, b)| a * b).sum::<f64>() / count as f64;
            assert!(correlation.abs() < 0.016, "{correlation} at a distance of {distance}");
        }
    }

    fn first(seed: u64, purpose: Purpose, a: u64, b: u64) -> [u32; 4] {
        let mut random = Random::new(seed, purpose, a, b);
        [(); 4].map(|()| random.next_u32())
    }

    #[test]
    fn a_stream_is_a_function_of_its_numbers() {
        assert_eq!(first(1, Purpose::Plan, 2, 3), first(1, Purpose::Plan, 2, 3));
        let streams = [
            first(1, Purpose::Plan, 2, 3),
            first(2, Purpose::Plan, 2, 3),
            first(1 << 32, Purpose::Plan, 2, 3),
            first(1, Purpose::Mask, 2, 3),
            first(1, Purpose::Plan, 3, 2),
            first(1, Purpose::Plan, 2, 4),
            first(1, Purpose::Plan, 2, 3 + (1 << 32)),
        ];
        for (i, one) in streams.iter().enumerate() {
            assert!(streams[..i].iter().all(|other| other != one), "stream {i} repeats another");
        }
    }

    #[test]
    fn a_stream_is_the_generator_at_counters_in_a_row() {
        let mut random = Random::new(7, Purpose::Shuffle, 5, (9 << 32) + 6);
        for block in 0..3 {
            let expected = philox::philox4x32([block, 5, 6, 2 << 24 | 9], [!7, u32::MAX]);
            assert_eq!([(); 4].map(|()| random.next_u32()), expected);
        }
    }

    #[test]
    fn a_clone_goes_on_alike() {
        let mut random = Random::new(1, Purpose::Sample, 0, 0);
        random.next_u32();
        let mut clone = random.clone();
        assert_eq!([(); 9].map(|()| random.next_u32()), [(); 9].map(|()| clone.next_u32()));
    }

    #[test]
    fn below_reaches_every_number_equally_often() {
        for n in [1u64, 2, 3, 7, 37] {
            let mut random = Random::new(11, Purpose::Plan, 0, n);
            let mut counts = vec![0u32; n as usize];
            for _ in 0..10_000 * n {
                counts[random.below(n) as usize] += 1;
            }
            // Five standard deviations of a binomial count with mean 10,000.
            assert!(counts.iter().all(|&count| (9_500..=10_500).contains(&count)), "below({n}): {counts:?}");
        }
    }

    #[test]
    fn below_is_right_where_plain_scaling_is_biased() {
        // With n = 3·2⁶², one draw in four is surplus; without the redraw the thirds get 1/2, 1/4, 1/4.
        let mut random = Random::new(12, Purpose::Plan, 0, 0);
        let n = 3u64 << 62;
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            counts[(random.below(n) % 3) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (9_500..=10_500).contains(&count)), "{counts:?}");
    }

    #[test]
    fn uniform_has_the_mean_and_the_bounds() {
        let mut random = Random::new(13, Purpose::Plan, 0, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| random.uniform()).collect();
        assert!(draws.iter().all(|&x| (0.0..1.0).contains(&x)));
        let mean = draws.iter().sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.005, "mean {mean}");
    }

    #[test]
    fn normal_has_its_first_four_moments() {
        let mut random = Random::new(14, Purpose::Initialisation, 0, 0);
        let draws: Vec<f64> = (0..200_000).map(|_| random.normal()).collect();
        let moment = |power: i32| draws.iter().map(|x| x.powi(power)).sum::<f64>() / draws.len() as f64;
        // Each tolerance is about five standard errors.
        for (power, expected, tolerance) in [(1, 0.0, 0.012), (2, 1.0, 0.016), (3, 0.0, 0.045), (4, 3.0, 0.11)] {
            assert!((moment(power) - expected).abs() < tolerance, "moment {power} is {}", moment(power));
        }
    }

    #[test]
    fn shuffle_reaches_every_order_equally_often() {
        let mut counts = std::collections::BTreeMap::new();
        let mut random = Random::new(15, Purpose::Shuffle, 0, 0);
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            random.shuffle(&mut items);
            *counts.entry(items).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| (840..=1_160).contains(count)), "{counts:?}");
    }
}
