// SPDX-License-Identifier: Apache-2.0
//! The innermost tile of the matrix product over Z_2^64.

use crate::path::{Level, Path};

/// Rows of a tile.
pub const GEMM_ROWS: usize = 12;

/// Columns of a tile: two vectors of eight words.
pub const GEMM_COLUMNS: usize = 16;

/// Adds to `tile` the product of rows of a packed A and 16 columns of a packed B, whose rows are `a_stride` and
/// `b_stride` words apart.
///
/// `a` holds `rows x deep` words from its first on, of which 4, 8 or 12 rows are read, as many as the tile has rounded
/// up; `b` holds `deep x 16`. Strides that are powers of two would crowd few places of the caches.
pub fn gemm_tile(
    path: Path,
    (a, a_stride): (&[u64], usize),
    (b, b_stride): (&[u64], usize),
    deep: usize,
    tile: &mut [[u64; GEMM_COLUMNS]],
) {
    let rows = tile.len().next_multiple_of(4);
    assert!(rows <= GEMM_ROWS);
    if rows == 0 || deep == 0 {
        return;
    }
    let words = |rows: usize, stride: usize, columns: usize| {
        (rows - 1).checked_mul(stride)?.checked_add(columns)
    };
    assert!(words(rows, a_stride, deep).is_some_and(|n| n <= a.len()));
    assert!(words(deep, b_stride, GEMM_COLUMNS).is_some_and(|n| n <= b.len()));
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features; the lengths were asserted.
        Level::Avx512 => unsafe {
            match rows {
                4 => x86::tile::<4>(a, a_stride, b, b_stride, deep, tile),
                8 => x86::tile::<8>(a, a_stride, b, b_stride, deep, tile),
                _ => x86::tile::<GEMM_ROWS>(a, a_stride, b, b_stride, deep, tile),
            }
        },
        _ => plain_tile(path, a, a_stride, b, b_stride, deep, tile),
    }
}

crate::kernel! {
    fn plain_tile(
        a: &[u64],
        a_stride: usize,
        b: &[u64],
        b_stride: usize,
        deep: usize,
        tile: &mut [[u64; GEMM_COLUMNS]],
    ) {
        // Narrow parts of the tile, so that their sums stay in the 16 registers of these paths.
        const ROWS: usize = 4;
        const COLUMNS: usize = 8;
        for (i, tile) in tile.chunks_mut(ROWS).enumerate() {
            let a: [&[u64]; ROWS] = std::array::from_fn(|r| &a[(ROWS * i + r) * a_stride..][..deep]);
            for j in (0..GEMM_COLUMNS).step_by(COLUMNS) {
                let mut sum = [[0u64; COLUMNS]; ROWS];
                for p in 0..deep {
                    let b = &b[p * b_stride + j..][..COLUMNS];
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            sum[r][c] = sum[r][c].wrapping_add(a[r][p].wrapping_mul(b[c]));
                        }
                    }
                }
                for (tile, sum) in tile.iter_mut().zip(&sum) {
                    for (tile, sum) in tile[j..j + COLUMNS].iter_mut().zip(sum) {
                        *tile = tile.wrapping_add(*sum);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::GEMM_COLUMNS;
    use std::arch::x86_64::*;

    /// Of 12 rows 24 sums, two vectors of B and one of A fill 27 of the 32 registers.
    ///
    /// # Safety
    ///
    /// `a` has `ROWS` rows of `deep` words, `b` has `deep` rows of 16, at their strides.
    #[target_feature(enable = "avx512f,avx512dq")]
    pub unsafe fn tile<const ROWS: usize>(
        a: &[u64],
        a_stride: usize,
        b: &[u64],
        b_stride: usize,
        deep: usize,
        tile: &mut [[u64; GEMM_COLUMNS]],
    ) {
        let mut sum = [[_mm512_setzero_si512(); 2]; ROWS];
        for p in 0..deep {
            // SAFETY: row p of `b` has 16 words, says the caller, and the loads need no alignment.
            let (b0, b1) = unsafe {
                let at = b.as_ptr().add(p * b_stride);
                (
                    _mm512_loadu_si512(at.cast()),
                    _mm512_loadu_si512(at.add(8).cast()),
                )
            };
            for (i, sum) in sum.iter_mut().enumerate() {
                // SAFETY: row i of `a` has more than p words, says the caller.
                let x = _mm512_set1_epi64(unsafe { *a.get_unchecked(i * a_stride + p) } as i64);
                sum[0] = _mm512_add_epi64(sum[0], _mm512_mullo_epi64(x, b0));
                sum[1] = _mm512_add_epi64(sum[1], _mm512_mullo_epi64(x, b1));
            }
        }
        for (tile, sum) in tile.iter_mut().zip(sum) {
            let (halves, _) = tile.as_chunks_mut::<8>();
            for (half, add) in halves.iter_mut().zip(sum) {
                // SAFETY: `half` is 64 readable and writable bytes, and neither access needs alignment.
                unsafe {
                    let at = half.as_mut_ptr();
                    _mm512_storeu_si512(
                        at.cast(),
                        _mm512_add_epi64(_mm512_loadu_si512(at.cast()), add),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_adds_the_same_product() {
        let words = |n: u64| -> Vec<u64> {
            (1..=n)
                .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .collect()
        };
        let (a, b) = (words(12 * 40), words(37 * 21));
        for path in Path::available() {
            for rows in 0..=GEMM_ROWS {
                let mut tile = [[3; GEMM_COLUMNS]; GEMM_ROWS];
                gemm_tile(path, (&a, 40), (&b, 21), 37, &mut tile[..rows]);
                for (i, row) in tile.iter().enumerate() {
                    for (j, sum) in row.iter().enumerate() {
                        let depth = if i < rows { 37 } else { 0 };
                        let right = (0..depth).fold(3u64, |s, p| {
                            s.wrapping_add(a[40 * i + p].wrapping_mul(b[21 * p + j]))
                        });
                        assert_eq!(*sum, right, "{} row {i} column {j}", path.name());
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn factors_that_are_too_short_are_refused() {
        let mut tile = [[0; GEMM_COLUMNS]; 1];
        gemm_tile(
            Path::active(),
            (&[0; 40], 10),
            (&[0; 159], 16),
            10,
            &mut tile,
        );
    }
}
