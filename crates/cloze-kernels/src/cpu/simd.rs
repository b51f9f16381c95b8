//! One source, several instruction sets.
//!
//! A kernel's inner function is written once, in plain Rust over small arrays, generic over `FMA`, and
//! marked `#[inline(always)]`; [`multiversion!`] compiles it once for every [`Level`], so that the
//! compiler vectorises each copy with that level's instructions. The level is chosen at run time, once.

/// An instruction set to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// What every target has. Multiply and add round separately.
    Portable,
    /// x86-64 with AVX2 and FMA. A value of this variant proves that the processor has both.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx2,
    /// AVX-512 (F, BW, DQ, VL), and AVX2 with FMA. A value of this variant proves that the processor has
    /// them. The bits of f32 are those of `Avx2`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512,
}

impl Level {
    /// The best level of this machine.
    pub(crate) fn detect() -> Level {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            let avx512 = std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512dq")
                && std::is_x86_feature_detected!("avx512vl");
            return if avx512 { Level::Avx512 } else { Level::Avx2 };
        }
        Level::Portable
    }

    /// Whether a multiplication and an addition are rounded once.
    #[cfg(test)]
    pub(crate) fn has_fma(self) -> bool {
        self != Level::Portable
    }
}

/// `a · b + c`: one rounding with `FMA`, two without (where a fused one would be a slow library call).
#[inline(always)]
pub(crate) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `multiversion!(fn name(x: &mut [f32], k: f32) = body)` defines `fn name(level: Level, x: …, k: …)`,
/// which runs `body::<FMA>(x, k)` as compiled for that level.
macro_rules! multiversion {
    ($(#[$attribute:meta])* $visibility:vis unsafe fn $name:ident $($rest:tt)*) => {
        $crate::cpu::simd::multiversion!(@ [$(#[$attribute])*] [$visibility unsafe] [unsafe] $name $($rest)*);
    };
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident $($rest:tt)*) => {
        $crate::cpu::simd::multiversion!(@ [$(#[$attribute])*] [$visibility] [] $name $($rest)*);
    };
    (
        @ [$($attribute:tt)*] [$($qualifier:tt)*] [$($unsafe:tt)*]
        $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:ident
    ) => {
        $($attribute)*
        #[allow(clippy::too_many_arguments)]
        $($qualifier)* fn $name(level: $crate::cpu::simd::Level, $($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                $($unsafe)* fn avx2($($argument: $type),*) $(-> $result)? {
                    $crate::cpu::simd::call!([$($unsafe)*] $body::<true>($($argument),*))
                }
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                #[allow(clippy::too_many_arguments)]
                $($unsafe)* fn avx512($($argument: $type),*) $(-> $result)? {
                    $crate::cpu::simd::call!([$($unsafe)*] $body::<true>($($argument),*))
                }
                match level {
                    // SAFETY: `Level::Avx512` is made only where the processor has these instructions.
                    $crate::cpu::simd::Level::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: `Level::Avx2` is made only where the processor has AVX2 and FMA.
                    $crate::cpu::simd::Level::Avx2 => return unsafe { avx2($($argument),*) },
                    $crate::cpu::simd::Level::Portable => {}
                }
            }
            let _ = level;
            $crate::cpu::simd::call!([$($unsafe)*] $body::<false>($($argument),*))
        }
    };
}

/// A call, in a block of its own where it is unsafe: what it asks for is what the caller promised.
macro_rules! call {
    ([] $($call:tt)*) => { $($call)* };
    ([unsafe] $($call:tt)*) => {
        // SAFETY: passed on.
        unsafe { $($call)* }
    };
}

pub(crate) use call;
pub(crate) use multiversion;
