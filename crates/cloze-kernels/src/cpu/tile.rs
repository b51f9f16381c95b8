//! The innermost loop of every product: one tile of the result, kept in registers.
//!
//! ```text
//! for k: for row: for column: tile[row][column] = a[k][row] · b[k][column] + tile[row][column]
//! ```
//!
//! Each element of the tile is one chain of multiply-adds in the order of `k`, starting from what the
//! tile holds. Elements never mix, so what an element becomes depends neither on its place in the tile
//! nor on its neighbours.

use super::panels::COLUMNS;
use super::simd::{Level, multiply_add};

/// Rows of a panel of A, and of a tile of the result.
pub(crate) const ROWS: usize = 6;

/// A tile of the result.
pub(crate) type Tile = [[f32; COLUMNS]; ROWS];

/// Adds the product of a panel of A, `[k][ROWS]`, and a panel of B, `[k][COLUMNS]`, to the tile.
#[inline]
pub(crate) fn add_product(level: Level, tile: &mut Tile, a: &[f32], b: &[f32]) {
    let (a, rest_of_a) = a.as_chunks::<ROWS>();
    let (b, rest_of_b) = b.as_chunks::<COLUMNS>();
    assert!(a.len() == b.len() && rest_of_a.is_empty() && rest_of_b.is_empty());
    match level {
        Level::Portable => portable(tile, a, b),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` is made only where the processor has AVX2 and FMA.
        Level::Avx2 => unsafe { avx2(tile, a, b) },
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 => unreachable!("made on x86-64 only"),
    }
}

/// Plain arrays. The tile is worked on in strips of columns whose numbers fit into the registers that
/// every vector instruction set has (16 of four numbers); B's panel is read once for each strip.
fn portable(tile: &mut Tile, a: &[[f32; ROWS]], b: &[[f32; COLUMNS]]) {
    const STRIP: usize = 8;
    for column in (0..COLUMNS).step_by(STRIP) {
        let mut strip = [[0.0f32; STRIP]; ROWS];
        for (strip, row) in strip.iter_mut().zip(tile.iter()) {
            strip.copy_from_slice(&row[column..column + STRIP]);
        }
        for (a, b) in a.iter().zip(b) {
            for row in 0..ROWS {
                for lane in 0..STRIP {
                    strip[row][lane] = multiply_add::<false>(a[row], b[column + lane], strip[row][lane]);
                }
            }
        }
        for (strip, row) in strip.iter().zip(tile.iter_mut()) {
            row[column..column + STRIP].copy_from_slice(strip);
        }
    }
}

/// Twelve of the sixteen registers hold the tile, two a step of B, and one a number of A in all its
/// lanes: twelve independent chains, enough to hide the latency of two multiply-adds in each cycle.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(tile: &mut Tile, a: &[[f32; ROWS]], b: &[[f32; COLUMNS]]) {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps};

    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for (sums, row) in sums.iter_mut().zip(tile.iter()) {
        // SAFETY: a row of the tile is 16 numbers: eight from its first, and eight from its ninth on.
        *sums = unsafe { [_mm256_loadu_ps(row.as_ptr()), _mm256_loadu_ps(row.as_ptr().add(8))] };
    }
    for (a, b) in a.iter().zip(b) {
        // SAFETY: a step of B is 16 numbers: eight from its first, and eight from its ninth on.
        let b = unsafe { [_mm256_loadu_ps(b.as_ptr()), _mm256_loadu_ps(b.as_ptr().add(8))] };
        for row in 0..ROWS {
            let a = _mm256_set1_ps(a[row]);
            sums[row][0] = _mm256_fmadd_ps(a, b[0], sums[row][0]);
            sums[row][1] = _mm256_fmadd_ps(a, b[1], sums[row][1]);
        }
    }
    for (sums, row) in sums.iter().zip(tile.iter_mut()) {
        // SAFETY: a row of the tile is 16 numbers: eight from its first, and eight from its ninth on.
        unsafe {
            _mm256_storeu_ps(row.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(row.as_mut_ptr().add(8), sums[1]);
        }
    }
}
