// SPDX-License-Identifier: Apache-2.0
//! The innermost tile of the matrix product over Z_2^64.

use crate::path::{Level, Path};

/// Rows of a tile.
pub const GEMM_ROWS: usize = 12;

/// Columns of a tile: two vectors of eight words.
pub const GEMM_COLUMNS: usize = 16;

/// Sets `tile` to the product of rows of a packed A and 16 columns of a packed B.
///
/// Halves the multiplications, which cost more than additions of vectors on every CPU, as in Winograd 1968 (IEEE Trans.
/// Computers C-17): x1 y1 + x2 y2 = (x1 + y2)(x2 + y1) - x1 x2 - y1 y2, where the last two belong to a row of A and to
/// a column of B alone.
///
/// `a` holds rows `a_stride` words apart, of which 4, 8 or 12 are read, as many as the tile has rounded up: `deep`
/// words, an even number, and then the sum of the products of their pairs. `b` holds `deep` rows of 16, and then the
/// sums of the products of pairs of rows. Strides that are powers of two would crowd few places of the caches.
pub fn gemm_tile(
    path: Path,
    (a, a_stride): (&[u64], usize),
    b: &[[u64; GEMM_COLUMNS]],
    tile: &mut [[u64; GEMM_COLUMNS]],
) {
    let rows = tile.len().next_multiple_of(4);
    assert!(rows <= GEMM_ROWS && b.len() % 2 == 1);
    if rows == 0 {
        return;
    }
    let words = (rows - 1)
        .checked_mul(a_stride)
        .and_then(|n| n.checked_add(b.len()));
    assert!(words.is_some_and(|n| n <= a.len()));
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features; the lengths were asserted.
        Level::Avx512 => unsafe {
            match rows {
                4 => x86::tile::<4>(a, a_stride, b, tile),
                8 => x86::tile::<8>(a, a_stride, b, tile),
                _ => x86::tile::<GEMM_ROWS>(a, a_stride, b, tile),
            }
        },
        _ => plain_tile(path, a, a_stride, b, tile),
    }
}

/// Asks for the cache lines of the first words of a slice, at most a row of a tile, which are about to be needed.
#[inline]
pub fn prefetch_row(words: &[u64]) {
    #[cfg(target_arch = "x86_64")]
    for word in words[..words.len().min(GEMM_COLUMNS)]
        .iter()
        .step_by(8)
        .chain(words.get(GEMM_COLUMNS - 1))
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: asking for a line reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(word).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = words;
}

crate::kernel! {
    fn plain_tile(a: &[u64], a_stride: usize, b: &[[u64; GEMM_COLUMNS]], tile: &mut [[u64; GEMM_COLUMNS]]) {
        // Narrow parts of the tile, so that their sums stay in the 16 registers of these paths.
        const ROWS: usize = 4;
        const COLUMNS: usize = 8;
        let (pairs, last) = b.as_chunks::<2>();
        for (i, tile) in tile.chunks_mut(ROWS).enumerate() {
            let a: [&[u64]; ROWS] = std::array::from_fn(|r| &a[(ROWS * i + r) * a_stride..][..b.len()]);
            for j in (0..GEMM_COLUMNS).step_by(COLUMNS) {
                let mut sum = [[0u64; COLUMNS]; ROWS];
                for (p, [y0, y1]) in pairs.iter().enumerate() {
                    let (y0, y1) = (&y0[j..j + COLUMNS], &y1[j..j + COLUMNS]);
                    for r in 0..ROWS {
                        let (x0, x1) = (a[r][2 * p], a[r][2 * p + 1]);
                        for c in 0..COLUMNS {
                            let product = x0.wrapping_add(y1[c]).wrapping_mul(x1.wrapping_add(y0[c]));
                            sum[r][c] = sum[r][c].wrapping_add(product);
                        }
                    }
                }
                for ((tile, sum), a) in tile.iter_mut().zip(&sum).zip(a) {
                    for ((tile, sum), b) in tile[j..j + COLUMNS].iter_mut().zip(sum).zip(&last[0][j..j + COLUMNS]) {
                        *tile = sum.wrapping_sub(a[2 * pairs.len()]).wrapping_sub(*b);
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

    #[target_feature(enable = "avx512f")]
    fn load(row: &[u64; GEMM_COLUMNS]) -> [__m512i; 2] {
        // SAFETY: the row is 128 readable bytes, and the loads need no alignment.
        unsafe {
            let at = row.as_ptr();
            [
                _mm512_loadu_si512(at.cast()),
                _mm512_loadu_si512(at.add(8).cast()),
            ]
        }
    }

    /// Of 12 rows 24 sums and four vectors of B fill 28 of the 32 registers.
    ///
    /// # Safety
    ///
    /// `a` has `ROWS` rows of as many words, at their stride, as `b` has rows, an odd number.
    #[target_feature(enable = "avx512f,avx512dq")]
    pub unsafe fn tile<const ROWS: usize>(
        a: &[u64],
        a_stride: usize,
        b: &[[u64; GEMM_COLUMNS]],
        tile: &mut [[u64; GEMM_COLUMNS]],
    ) {
        let word = |i: usize, p: usize| {
            // SAFETY: row i of `a` has more than p words, says the caller.
            let word = unsafe { *a.get_unchecked(i * a_stride + p) };
            _mm512_set1_epi64(word as i64)
        };
        let mut sum = [[_mm512_setzero_si512(); 2]; ROWS];
        let (pairs, last) = b.as_chunks::<2>();
        for (p, [first, second]) in pairs.iter().enumerate() {
            let (first, second) = (load(first), load(second));
            for (i, sum) in sum.iter_mut().enumerate() {
                let (x0, x1) = (word(i, 2 * p), word(i, 2 * p + 1));
                for (sum, (y0, y1)) in sum.iter_mut().zip(first.into_iter().zip(second)) {
                    let product =
                        _mm512_mullo_epi64(_mm512_add_epi64(x0, y1), _mm512_add_epi64(x1, y0));
                    *sum = _mm512_add_epi64(*sum, product);
                }
            }
        }
        let columns = load(&last[0]);
        for (i, (tile, sum)) in tile.iter_mut().zip(sum).enumerate() {
            let row = word(i, b.len() - 1);
            let (halves, _) = tile.as_chunks_mut::<8>();
            for ((half, sum), column) in halves.iter_mut().zip(sum).zip(columns) {
                let sum = _mm512_sub_epi64(sum, _mm512_add_epi64(row, column));
                // SAFETY: `half` is 64 writable bytes, and the store needs no alignment.
                unsafe { _mm512_storeu_si512(half.as_mut_ptr().cast(), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_forms_the_same_product() {
        let word = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for path in Path::available() {
            for deep in [0, 2, 36] {
                let mut a: Vec<u64> = (0..GEMM_ROWS * 40).map(word).collect();
                for row in a.chunks_mut(40) {
                    row[deep] = row[..deep]
                        .chunks(2)
                        .fold(0, |s: u64, x| s.wrapping_add(x[0].wrapping_mul(x[1])));
                }
                let mut b: Vec<[u64; GEMM_COLUMNS]> = (0..deep)
                    .map(|p| std::array::from_fn(|j| word(77 + p * GEMM_COLUMNS + j)))
                    .collect();
                b.push(std::array::from_fn(|j| {
                    b.chunks(2)
                        .fold(0, |s: u64, y| s.wrapping_add(y[0][j].wrapping_mul(y[1][j])))
                }));
                for rows in 0..=GEMM_ROWS {
                    let mut tile = [[3; GEMM_COLUMNS]; GEMM_ROWS];
                    gemm_tile(path, (&a, 40), &b, &mut tile[..rows]);
                    for (i, row) in tile.iter().enumerate() {
                        for (j, sum) in row.iter().enumerate() {
                            let right = (0..deep).fold(0u64, |s, p| {
                                s.wrapping_add(a[40 * i + p].wrapping_mul(b[p][j]))
                            });
                            let right = if i < rows { right } else { 3 };
                            assert_eq!(*sum, right, "{} row {i} column {j}", path.name());
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn factors_that_are_too_short_are_refused() {
        let (b, mut tile) = ([[0; GEMM_COLUMNS]; 11], [[0; GEMM_COLUMNS]; 1]);
        gemm_tile(Path::active(), (&[0; 40], 10), &b, &mut tile);
    }
}
