// SPDX-License-Identifier: Apache-2.0
//! The innermost tile of the matrix product over Z_2^64.

use crate::path::{Level, Path};

/// Rows of a tile.
pub const GEMM_ROWS: usize = 12;

/// Columns of a tile: two vectors of eight words.
pub const GEMM_COLUMNS: usize = 16;

/// Adds to `tile` the product of a packed strip of A and a packed strip of B.
///
/// `a[p][i]` is row i of column p of A, `b[p][j]` is column j of row p of B; the shorter of the two gives the depth.
pub fn gemm_tile(
    path: Path,
    a: &[[u64; GEMM_ROWS]],
    b: &[[u64; GEMM_COLUMNS]],
    tile: &mut [[u64; GEMM_COLUMNS]; GEMM_ROWS],
) {
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 => unsafe { x86::tile(a, b, tile) },
        _ => plain_tile(path, a, b, tile),
    }
}

crate::kernel! {
    fn plain_tile(
        a: &[[u64; GEMM_ROWS]],
        b: &[[u64; GEMM_COLUMNS]],
        tile: &mut [[u64; GEMM_COLUMNS]; GEMM_ROWS],
    ) {
        // Narrow parts of the tile, so that their sums stay in the 16 registers of these paths.
        const ROWS: usize = 4;
        const COLUMNS: usize = 8;
        for i in (0..GEMM_ROWS).step_by(ROWS) {
            for j in (0..GEMM_COLUMNS).step_by(COLUMNS) {
                let mut sum = [[0u64; COLUMNS]; ROWS];
                for (a, b) in a.iter().zip(b) {
                    for r in 0..ROWS {
                        for c in 0..COLUMNS {
                            sum[r][c] = sum[r][c].wrapping_add(a[i + r].wrapping_mul(b[j + c]));
                        }
                    }
                }
                for r in 0..ROWS {
                    for c in 0..COLUMNS {
                        tile[i + r][j + c] = tile[i + r][j + c].wrapping_add(sum[r][c]);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{GEMM_COLUMNS, GEMM_ROWS};
    use std::arch::x86_64::*;

    /// 24 sums, two vectors of B and one of A fill 27 of the 32 registers.
    #[target_feature(enable = "avx512f,avx512dq")]
    pub fn tile(
        a: &[[u64; GEMM_ROWS]],
        b: &[[u64; GEMM_COLUMNS]],
        tile: &mut [[u64; GEMM_COLUMNS]; GEMM_ROWS],
    ) {
        let mut sum = [[_mm512_setzero_si512(); 2]; GEMM_ROWS];
        for (a, b) in a.iter().zip(b) {
            // SAFETY: `b` is 128 readable bytes, and the loads need no alignment.
            let (b0, b1) = unsafe {
                let at = b.as_ptr();
                (
                    _mm512_loadu_si512(at.cast()),
                    _mm512_loadu_si512(at.add(8).cast()),
                )
            };
            for i in 0..GEMM_ROWS {
                let x = _mm512_set1_epi64(a[i] as i64);
                sum[i][0] = _mm512_add_epi64(sum[i][0], _mm512_mullo_epi64(x, b0));
                sum[i][1] = _mm512_add_epi64(sum[i][1], _mm512_mullo_epi64(x, b1));
            }
        }
        for i in 0..GEMM_ROWS {
            let (halves, _) = tile[i].as_chunks_mut::<8>();
            for (half, add) in halves.iter_mut().zip(sum[i]) {
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
        let word = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let a: Vec<[u64; GEMM_ROWS]> = (0..37)
            .map(|p| std::array::from_fn(|i| word(p * 12 + i)))
            .collect();
        let b: Vec<[u64; GEMM_COLUMNS]> = (0..37)
            .map(|p| std::array::from_fn(|j| word(p * 16 + j) >> 1))
            .collect();
        for path in Path::available() {
            let mut tile = [[3; GEMM_COLUMNS]; GEMM_ROWS];
            gemm_tile(path, &a, &b, &mut tile);
            for (i, row) in tile.iter().enumerate() {
                for (j, sum) in row.iter().enumerate() {
                    let right =
                        (0..37).fold(3u64, |s, p| s.wrapping_add(a[p][i].wrapping_mul(b[p][j])));
                    assert_eq!(*sum, right, "{} row {i} column {j}", path.name());
                }
            }
        }
    }
}
