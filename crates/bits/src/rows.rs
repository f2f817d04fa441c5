// SPDX-License-Identifier: Apache-2.0
//! One-hot rows, one for each element, and the look-up of a sum in them.
//!
//! Rows of `2^g` bits are `2^g / 64` words; as many rows as fill whole words of a bit plane, the last ones zero.

use tacit_simd::{Path, kernel};

/// The smallest and the largest g of a row: a word, and what a message may take for each element.
pub const ROW_BITS: std::ops::RangeInclusive<usize> = 6..=16;

/// The one-hot rows of `x >> drop` modulo 2^g: `out` is `[64 ceil(n / 64), 2^g / 64]`.
pub fn hot_rows(path: Path, out: &mut [u64], x: &[u64], drop: u32, g: usize) {
    assert!(ROW_BITS.contains(&g) && drop < 64);
    assert!(out.len() == (64 * x.len().div_ceil(64)) << (g - 6));
    let (rows, padding) = out.split_at_mut(x.len() << (g - 6));
    padding.fill(0);
    fill_rows(path, rows, x, drop, g);
}

kernel! {
    fn fill_rows(out: &mut [u64], x: &[u64], drop: u32, g: usize) {
        for (row, x) in out.chunks_exact_mut(1 << (g - 6)).zip(x) {
            let at = (x >> drop) & ((1 << g) - 1);
            let (word, bit) = (at >> 6, 1u64 << (at & 63));
            for (w, out) in row.iter_mut().enumerate() {
                // All ones where w is the word: only then the difference less 1 is negative.
                *out = bit & (((w as u64 ^ word).wrapping_sub(1) as i64) >> 63) as u64;
            }
        }
    }
}

/// Shares of `table[(c + r) mod 2^g]`, `[n]`, from shares `hot` of the rows of c and from `r >> drop`, which is clear.
///
/// `table` is public: where 64 entries in a row are equal, only the parity of their bits counts.
pub fn look_up_rows(path: Path, out: &mut [u64], hot: &[u64], r: &[u64], drop: u32, table: &[u64]) {
    let words = table.len() / 64;
    assert!(table.len().is_power_of_two() && ROW_BITS.contains(&(table.len().ilog2() as usize)));
    assert!(drop < 64 && r.len() == out.len());
    assert!(hot.len() == 64 * out.len().div_ceil(64) * words);
    let flat: Vec<bool> = table
        .chunks_exact(64)
        .map(|entries| entries.iter().all(|e| *e == entries[0]))
        .collect();
    let mut rows = [vec![0; 2 * words], vec![0; 2 * words]];
    let [row, next] = &mut rows;
    sum_rows(path, out, hot, r, drop, table, &flat, row, next);
}

kernel! {
    fn sum_rows(
        out: &mut [u64],
        hot: &[u64],
        r: &[u64],
        drop: u32,
        table: &[u64],
        flat: &[bool],
        row: &mut [u64],
        next: &mut [u64],
    ) {
        let words = flat.len();
        for ((out, hot), r) in out.iter_mut().zip(hot.chunks_exact(words)).zip(r) {
            let (mut row, mut next) = (&mut *row, &mut *next);
            let by = r >> drop;
            // Rotate the row up by r: of two copies, the words from where it begins, then bits.
            for copy in row.chunks_exact_mut(words) {
                copy.copy_from_slice(hot);
            }
            let start = (words as u64 - (by >> 6)) & (words as u64 - 1);
            for j in (0..words.trailing_zeros()).rev() {
                let (step, turn) = (1usize << j, ((start >> j) & 1).wrapping_neg());
                let left = words + step;
                let pairs = row[..left].iter().zip(&row[step..step + left]);
                for (out, (here, there)) in next[..left].iter_mut().zip(pairs) {
                    *out = here ^ ((here ^ there) & turn);
                }
                (row, next) = (next, row);
            }
            let bits = by & 63;
            next[0] = (row[0] << bits) | ((row[words - 1] >> 1) >> (63 - bits));
            for ((out, here), below) in next[1..words].iter_mut().zip(&row[1..]).zip(&*row) {
                *out = (here << bits) | ((below >> 1) >> (63 - bits));
            }
            let mut sums = [0u64; 8];
            let (mut run, mut alike) = (0, 0);
            for ((bits, entries), flat) in next.iter().zip(table.chunks_exact(64)).zip(flat) {
                if *flat {
                    if entries[0] != alike {
                        sums[0] ^= alike & parity(run);
                        (run, alike) = (0, entries[0]);
                    }
                    run ^= bits;
                    continue;
                }
                for (i, entries) in entries.chunks_exact(8).enumerate() {
                    let byte = bits >> (8 * i);
                    for (l, sum) in sums.iter_mut().enumerate() {
                        *sum ^= entries[l] & ((byte >> l) & 1).wrapping_neg();
                    }
                }
            }
            sums[0] ^= alike & parity(run);
            *out = sums.iter().fold(0, |all, sum| all ^ sum);
        }
    }
}

/// All ones where an odd number of bits are 1.
#[inline(always)]
fn parity(bits: u64) -> u64 {
    u64::from(bits.count_ones() & 1).wrapping_neg()
}
