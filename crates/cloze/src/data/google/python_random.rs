//! The draws of CPython's `random.Random(seed)`, number for number: the Mersenne twister MT19937 (Matsumoto and
//! Nishimura 1998), and what Python makes of its numbers.

/// Numbers of 32 bits in the state.
const STATE: usize = 624;
/// How far apart the two numbers are that a new one is mixed of.
const MIDDLE: usize = 397;

/// A generator as `random.Random(seed)` of Python 3. (`randint` and `shuffle` of Python 2 draw otherwise.)
#[derive(Clone, Debug)]
pub struct PythonRandom {
    state: [u32; STATE],
    /// How many numbers of `state` were drawn since it was last renewed.
    drawn: usize,
}

impl PythonRandom {
    /// `random.Random(seed)`.
    pub fn new(seed: u64) -> PythonRandom {
        let words = [seed as u32, (seed >> 32) as u32];
        // A key is as long as the number needs, and never empty.
        let key = if words[1] == 0 { &words[..1] } else { &words[..] };
        PythonRandom { state: state_of_key(key), drawn: STATE }
    }

    /// `random()`: at least 0 and below 1, of 53 bits.
    pub fn random(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// `getrandbits(bits)`.
    ///
    /// # Panics
    ///
    /// If `bits` is not 1 to 64.
    pub fn getrandbits(&mut self, bits: u32) -> u64 {
        assert!((1..=64).contains(&bits), "{bits} bits");
        if bits <= 32 {
            return u64::from(self.next_u32() >> (32 - bits));
        }
        let low = u64::from(self.next_u32());
        low | u64::from(self.next_u32() >> (64 - bits)) << 32
    }

    /// `randint(first, last)`: `first` to `last`, both included. It draws even if there is only one choice.
    ///
    /// # Panics
    ///
    /// If `last` is less than `first`.
    pub fn randint(&mut self, first: usize, last: usize) -> usize {
        assert!(first <= last, "no number from {first} to {last}");
        first + self.below(last - first + 1)
    }

    /// `shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Python's `_randbelow`: draws as many bits as `count` has, until they are less than it.
    fn below(&mut self, count: usize) -> usize {
        let count = count as u64;
        let bits = u64::BITS - count.leading_zeros();
        loop {
            let drawn = self.getrandbits(bits);
            if drawn < count {
                return drawn as usize;
            }
        }
    }

    fn next_u32(&mut self) -> u32 {
        if self.drawn == STATE {
            renew(&mut self.state);
            self.drawn = 0;
        }
        let mut number = self.state[self.drawn];
        self.drawn += 1;
        number ^= number >> 11;
        number ^= number << 7 & 0x9d2c_5680;
        number ^= number << 15 & 0xefc6_0000;
        number ^ number >> 18
    }
}

/// The generator's next 624 numbers, before they are tempered.
fn renew(state: &mut [u32; STATE]) {
    for at in 0..STATE {
        let bits = state[at] & 0x8000_0000 | state[(at + 1) % STATE] & 0x7fff_ffff;
        let twist = if bits & 1 == 0 { 0 } else { 0x9908_b0df };
        state[at] = state[(at + MIDDLE) % STATE] ^ bits >> 1 ^ twist;
    }
}

/// The reference implementation's `init_by_array`.
fn state_of_key(key: &[u32]) -> [u32; STATE] {
    let mut state = [0; STATE];
    state[0] = 19_650_218;
    for at in 1..STATE {
        state[at] = mixed(state[at - 1], 1_812_433_253).wrapping_add(at as u32);
    }
    // Two rounds go over the state from 1 on; behind its end it begins anew, and the last number becomes the first.
    let mut at = 1;
    let next = |state: &mut [u32; STATE], at: &mut usize| {
        *at += 1;
        if *at == STATE {
            state[0] = state[STATE - 1];
            *at = 1;
        }
    };
    for step in 0..STATE.max(key.len()) {
        let word = step % key.len();
        let number = state[at] ^ mixed(state[at - 1], 1_664_525);
        state[at] = number.wrapping_add(key[word]).wrapping_add(word as u32);
        next(&mut state, &mut at);
    }
    for _ in 1..STATE {
        let number = state[at] ^ mixed(state[at - 1], 1_566_083_941);
        state[at] = number.wrapping_sub(at as u32);
        next(&mut state, &mut at);
    }
    state[0] = 0x8000_0000;
    state
}

fn mixed(number: u32, factor: u32) -> u32 {
    (number ^ number >> 30).wrapping_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed, bits of `random()`, `getrandbits`, `randint`, the shuffled numbers, a last `getrandbits`.
    type Case = (u64, [u64; 3], [u64; 4], [usize; 3], [usize; 10], u64);

    /// What CPython 3.11.7 prints for each seed:
    ///
    /// ```python
    /// r = random.Random(seed)
    /// print([struct.unpack("<Q", struct.pack("<d", r.random()))[0] for _ in range(3)])
    /// print([r.getrandbits(bits) for bits in (1, 5, 32, 51)], [r.randint(1, 1), r.randint(2, 125), r.randint(0, 30521)])
    /// numbers = list(range(10)); r.shuffle(numbers); print(numbers, r.getrandbits(32))
    /// ```
    const CASES: [Case; 5] = [
        (
            0,
            [4_605_781_095_417_019_838, 4_605_002_265_878_567_962, 4_601_247_963_976_755_576],
            [0, 30, 2_195_908_194, 911_832_233_918_949],
            [1, 125, 15_617],
            [9, 4, 8, 6, 0, 1, 7, 2, 3, 5],
            1_332_073_689,
        ),
        (
            1,
            [4_594_009_002_368_267_652, 4_605_808_224_069_059_832, 4_605_054_689_724_112_659],
            [0, 3, 2_127_877_499, 1_012_163_851_218_756],
            [1, 85, 12_439],
            [4, 8, 2, 6, 5, 9, 0, 7, 1, 3],
            1_143_881_027,
        ),
        (
            12_345,
            [4_601_176_776_328_907_288, 4_577_015_748_856_576_064, 4_605_608_019_000_434_147],
            [0, 27, 1_582_316_135, 436_089_211_416_848],
            [1, 74, 14_294],
            [8, 0, 4, 7, 9, 3, 6, 1, 5, 2],
            1_524_289_825,
        ),
        (
            4_294_967_303,
            [4_597_292_834_289_058_656, 4_600_131_600_682_744_482, 4_605_374_071_545_250_202],
            [1, 12, 3_960_919_122, 1_797_846_056_507_836],
            [1, 10, 19_658],
            [9, 0, 4, 3, 8, 7, 2, 6, 1, 5],
            2_092_829_310,
        ),
        (
            18_446_744_073_709_551_615,
            [4_581_948_049_803_704_704, 4_599_762_203_870_180_312, 4_596_804_953_838_455_204],
            [1, 3, 3_949_527_284, 835_521_036_917_702],
            [1, 96, 6309],
            [4, 0, 9, 5, 3, 2, 6, 1, 7, 8],
            1_349_173_708,
        ),
    ];

    #[test]
    fn draws_are_those_of_python() {
        for (seed, numbers, bits, integers, shuffled, last) in CASES {
            let mut random = PythonRandom::new(seed);
            assert_eq!(numbers.map(|_| random.random().to_bits()), numbers, "seed {seed}");
            assert_eq!([1, 5, 32, 51].map(|bits| random.getrandbits(bits)), bits, "seed {seed}");
            let found = [(1, 1), (2, 125), (0, 30521)].map(|(first, last)| random.randint(first, last));
            assert_eq!(found, integers, "seed {seed}");
            let mut items: [usize; 10] = std::array::from_fn(|at| at);
            random.shuffle(&mut items);
            assert_eq!((items, random.getrandbits(32)), (shuffled, last), "seed {seed}");
        }
    }

    /// `r = random.Random(12345)`, a thousand times `r.getrandbits(32)`, and the next four.
    #[test]
    fn the_state_is_renewed_as_in_python() {
        let mut random = PythonRandom::new(12_345);
        for _ in 0..1000 {
            random.getrandbits(32);
        }
        let found = [0; 4].map(|_| random.getrandbits(32));
        assert_eq!(found, [61_767_526, 3_914_796_432, 4_067_243_926, 3_252_181_464]);
    }
}
