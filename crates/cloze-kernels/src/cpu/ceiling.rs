//! The fastest that products could be: multiply-adds on registers, without any memory.

use std::time::{Duration, Instant};

use super::chunks::{chunks_mut, for_each_part};
use super::operand::{Arithmetic, Kind};
use super::pool;
use super::simd::Level;

/// Operations a second, in billions, of all threads of the pool that this is called in, in a burst of
/// about `duration`. A multiplication and an addition are two operations.
pub(crate) fn gflops(arithmetic: Arithmetic, duration: Duration) -> f64 {
    let mut rates = vec![0.0; pool::threads()];
    // A burst takes so long that every thread comes for one.
    for_each_part(chunks_mut(&mut rates, 1), |_, rate| {
        let start = Instant::now();
        let mut operations = 0;
        let mut elapsed = Duration::ZERO;
        while elapsed < duration || operations == 0 {
            operations += burst(arithmetic);
            elapsed = start.elapsed();
        }
        rate[0] = operations as f64 / elapsed.as_secs_f64();
    });
    rates.iter().sum::<f64>() / 1e9
}

/// Multiply-adds of all chains in a burst: some tens of microseconds.
const STEPS: usize = 5_000;

/// Does some multiply-adds, and tells how many operations that was.
fn burst(Arithmetic { level, kind }: Arithmetic) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level and the kind are made only where the processor has their instructions.
        Level::Avx512 => unsafe {
            match kind {
                Kind::F32 => avx512::f32_chains(STEPS),
                Kind::Bf16 => avx512::bf16_chains(STEPS),
                Kind::Int8 => avx512::int8_chains(STEPS),
            }
            STEPS * avx512::CHAINS * 16 * kind.numbers() * 2
        },
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            // SAFETY: the level is made only where the processor has AVX2 and FMA.
            unsafe { avx2_chains(STEPS) };
            STEPS * 12 * 8 * 2
        }
        _ => {
            let _ = kind;
            portable_chains(STEPS);
            STEPS * 8 * 8 * 2
        }
    }
}

/// Eight chains in each of eight lanes, which the compiler puts into the registers that there are.
fn portable_chains(steps: usize) {
    let (a, b) = (std::hint::black_box(0.5_f32), std::hint::black_box(0.25_f32));
    let mut sums = [[a; 8]; 8];
    for _ in 0..steps {
        for sum in sums.iter_mut().flatten() {
            *sum = a * *sum + b;
        }
    }
    std::hint::black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_chains(steps: usize) {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let (a, b) = (_mm256_set1_ps(std::hint::black_box(0.5)), _mm256_set1_ps(std::hint::black_box(0.25)));
    let mut sums = [a; 12];
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(a, b, *sum);
        }
        // Without a look at the sums the compiler may compute them in another way.
        // SAFETY: the instruction list is empty.
        unsafe { std::arch::asm!("", in("ymm0") sums[0], options(nomem, nostack, preserves_flags)) };
    }
    std::hint::black_box(sums);
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// As many as the tiles of products have.
    pub(super) const CHAINS: usize = 24;

    macro_rules! chains {
        ($name:ident, $features:literal, $zero:expr, |$sum:ident, $a:ident| $step:expr) => {
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(steps: usize) {
                let $a = black_box($zero);
                let mut sums = [$zero; CHAINS];
                for _ in 0..steps {
                    for $sum in &mut sums {
                        *$sum = $step;
                    }
                    // Without a look at the sums the compiler may compute them in another way.
                    // SAFETY: the instruction list is empty.
                    unsafe { std::arch::asm!("", in("zmm0") sums[0], options(nomem, nostack, preserves_flags)) };
                }
                black_box(sums);
            }
        };
    }

    chains!(f32_chains, "avx512f", _mm512_setzero_ps(), |sum, a| _mm512_fmadd_ps(a, a, *sum));
    chains!(int8_chains, "avx512f,avx512vnni", _mm512_setzero_si512(), |sum, a| _mm512_dpbusd_epi32(*sum, a, a));

    /// As the others; its operands have a type of their own.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn bf16_chains(steps: usize) {
        // SAFETY: the same bits.
        let a = unsafe { std::mem::transmute::<__m512, __m512bh>(black_box(_mm512_setzero_ps())) };
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, a);
            }
            // SAFETY: the instruction list is empty.
            unsafe { std::arch::asm!("", in("zmm0") sums[0], options(nomem, nostack, preserves_flags)) };
        }
        black_box(sums);
    }
}
