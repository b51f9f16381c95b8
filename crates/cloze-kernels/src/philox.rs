//! Philox4x32-10, the counter-based random number generator of Salmon, Moraes, Dror and Shaw,
//! "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
//!
//! A counter-based generator has no state: the numbers at a counter are a function of counter and key.
//! So any thread can draw the numbers of any element, and backward can draw forward's numbers again.

const MULTIPLIER0: u32 = 0xD251_1F53;
const MULTIPLIER1: u32 = 0xCD9E_8D57;
const WEYL0: u32 = 0x9E37_79B9;
const WEYL1: u32 = 0xBB67_AE85;

/// The four 32-bit numbers at `counter` under `key`.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let product0 = u64::from(MULTIPLIER0) * u64::from(c0);
        let product1 = u64::from(MULTIPLIER1) * u64::from(c2);
        (c0, c1, c2, c3) =
            ((product1 >> 32) as u32 ^ c1 ^ k0, product1 as u32, (product0 >> 32) as u32 ^ c3 ^ k1, product0 as u32);
        k0 = k0.wrapping_add(WEYL0);
        k1 = k1.wrapping_add(WEYL1);
    }
    [c0, c1, c2, c3]
}

/// The key of a seed.
#[inline(always)]
pub fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// The counter of four neighbouring elements of dropout: `block` is the column divided by four, and
/// the element takes number `column % 4`. `head` is 0 outside of attention. Site, head, position and
/// block are each below 65,536.
#[inline(always)]
pub fn dropout_counter(step: u32, site: u32, head: u32, sequence: u32, position: u32, block: u32) -> [u32; 4] {
    debug_assert!(site < 1 << 16 && head < 1 << 16 && position < 1 << 16 && block < 1 << 16);
    [step, site << 16 | head, sequence, position << 16 | block]
}

/// A number below which an element is dropped, for a share of `probability`.
#[inline(always)]
pub fn dropout_threshold(probability: f32) -> u32 {
    (f64::from(probability) * 4_294_967_296.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors publish with their library (Random123, `kat_vectors`).
    #[test]
    fn gives_the_published_known_answers() {
        let zeros = philox4x32([0; 4], [0; 2]);
        assert_eq!(zeros, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = philox4x32([u32::MAX; 4], [u32::MAX; 2]);
        assert_eq!(ones, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn thresholds_divide_the_range() {
        assert_eq!(dropout_threshold(0.0), 0);
        assert_eq!(dropout_threshold(0.5), 1 << 31);
    }
}
