// SPDX-License-Identifier: Apache-2.0
//! One-hot digits and the look-up tables built on them.
//!
//! Source: the masked one-hot look-up of Keller et al. 2017 (ePrint 2017/378, TinyTable/OTTT line), on packed bits.

use tacit_simd::{GROUP, LANES, Lanes, Path, kernel, planes_to_flat};

/// The widest digit that is looked up.
pub const DIGIT_MAX: usize = 9;

/// The planes of one-hot digits: `planes` is `[g, words]`, `out` is `[2^g - 1, words]`, row v - 1 is [digit == v].
pub fn one_hot(path: Path, out: &mut [u64], planes: &[u64], g: usize, words: usize) {
    assert!((1..=DIGIT_MAX).contains(&g) && planes.len() == g * words);
    assert!(out.len() == ((1 << g) - 1) * words);
    if g <= 4 {
        one_hot_narrow(path, out, planes, g, words);
    } else {
        one_hot_wide(path, out, planes, g, words);
    }
}

kernel! {
    fn one_hot_narrow(out: &mut [u64], planes: &[u64], g: usize, words: usize) {
        one_hot_rows::<{ 1 << 4 }>(out, planes, g, words);
    }
}

kernel! {
    fn one_hot_wide(out: &mut [u64], planes: &[u64], g: usize, words: usize) {
        one_hot_rows::<{ 1 << DIGIT_MAX }>(out, planes, g, words);
    }
}

/// With room for N rows, which are set anew in each call.
#[inline(always)]
fn one_hot_rows<const N: usize>(out: &mut [u64], planes: &[u64], g: usize, words: usize) {
    let mut hot = [[0u64; LANES]; N];
    for at in (0..words).step_by(LANES) {
        let n = LANES.min(words - at);
        hot[0] = [u64::MAX; LANES];
        for j in 0..g {
            let digit = load(&planes[j * words + at..], n);
            let (low, high) = hot.split_at_mut(1 << j);
            for (low, high) in low.iter_mut().zip(high) {
                for b in 0..LANES {
                    high[b] = low[b] & digit[b];
                    low[b] &= !digit[b];
                }
            }
        }
        for (v, row) in hot[1..1 << g].iter().enumerate() {
            store(&mut out[v * words + at..], row, n);
        }
    }
}

/// Shares of `table[delta ^ digit]` from shares `hot` of the one-hot delta; see the reference for the layout.
///
/// `table` is public: which rows are added depends on it, and on nothing else.
#[allow(clippy::too_many_arguments)]
pub fn lut_combine(
    path: Path,
    out: &mut [u64],
    hot: &[u64],
    digit: &[u64],
    words: usize,
    table: &[u64],
    out_bits: usize,
    first: bool,
) {
    let g = table.len().trailing_zeros() as usize;
    assert!((1..=DIGIT_MAX).contains(&g) && table.len() == 1 << g && out_bits <= 64);
    assert!(
        hot.len() == (table.len() - 1) * words
            && digit.len() == g * words
            && out.len() == out_bits * words
    );
    // For each entry of the table, the bits it has.
    let (mut bits, mut ends) = (Vec::new(), Vec::with_capacity(table.len()));
    for entry in table {
        bits.extend(
            (0..out_bits)
                .filter(|j| entry >> j & 1 == 1)
                .map(|j| j as u8),
        );
        ends.push(bits.len());
    }
    lut_rows(path, out, hot, digit, words, &bits, &ends, first);
}

kernel! {
    fn lut_rows(
        out: &mut [u64],
        hot: &[u64],
        digit: &[u64],
        words: usize,
        bits: &[u8],
        ends: &[usize],
        first: bool,
    ) {
        let (entries, out_bits) = (ends.len(), out.len().checked_div(words).unwrap_or(0));
        let mut rows = [[0u64; LANES]; 1 << DIGIT_MAX];
        for at in (0..words).step_by(LANES) {
            let n = LANES.min(words - at);
            let mut zero = [if first { u64::MAX } else { 0 }; LANES];
            for v in 1..entries {
                rows[v] = load(&hot[(v - 1) * words + at..], n);
                for b in 0..LANES {
                    zero[b] ^= rows[v][b];
                }
            }
            rows[0] = zero;
            // Rotate by XOR with the digit: row u becomes the share of [delta ^ digit == u].
            for j in 0..entries.trailing_zeros() as usize {
                let digit = load(&digit[j * words + at..], n);
                for pair in rows[..entries].chunks_exact_mut(2 << j) {
                    let (low, high) = pair.split_at_mut(1 << j);
                    for (low, high) in low.iter_mut().zip(high) {
                        for b in 0..LANES {
                            let swap = (low[b] ^ high[b]) & digit[b];
                            low[b] ^= swap;
                            high[b] ^= swap;
                        }
                    }
                }
            }
            // Added in memory: a sum per bit in a register invites the compiler to gather several rows at once.
            let mut sums = [[0u64; LANES]; 64];
            let mut start = 0;
            for (row, end) in rows.iter().zip(ends) {
                for j in &bits[start..*end] {
                    let sum = &mut sums[usize::from(*j % 64)];
                    for b in 0..LANES {
                        sum[b] ^= row[b];
                    }
                }
                start = *end;
            }
            for (j, sum) in sums[..out_bits].iter().enumerate() {
                store(&mut out[j * words + at..], sum, n);
            }
        }
    }
}

/// Rows of a block that is completed before the next is begun.
const BLOCK: usize = 4 * GROUP;

/// Rows of digits of 4 bits in thermometer code, `[n, ceil(digits / 4)]`, from the monomials of their bits,
/// `[16, digits, words]`: bit k of the first index says that bit k of the digit is a factor. Bit v of a code says that the
/// digit is v or more. Codes are 16 bits each, four to a word, zeros behind.
pub fn thermometer_digits(path: Path, out: &mut [u64], monomials: &[u64], digits: usize, n: usize) {
    let (words, stride) = (n.div_ceil(64), digits.div_ceil(4));
    assert!(monomials.len() == 16 * digits * words && out.len() == n * stride);
    let (mut lanes, mut flat) = ([[0; LANES]; 64], [0; GROUP]);
    // Several groups of rows for each word: planes are read in longer runs, and rows stay in the cache.
    for (i, block) in out.chunks_mut((BLOCK * stride).max(1)).enumerate() {
        for word in 0..stride {
            for (j, rows) in block.chunks_mut(GROUP * stride).enumerate() {
                let at = i * (BLOCK / 64) + j * LANES;
                let count = LANES.min(words - at);
                for (v, code) in lanes.iter_mut().enumerate() {
                    let digit = 4 * word + v / 16;
                    *code = [0; LANES];
                    if digit < digits {
                        *code = load(&monomials[(v % 16 * digits + digit) * words + at..], count);
                    }
                }
                thermometers(path, &mut lanes);
                planes_to_flat(path, &lanes, &mut flat);
                for (row, code) in rows.chunks_exact_mut(stride).zip(&flat) {
                    row[word] = *code;
                }
            }
        }
    }
}

kernel! {
    // In each quarter. A bit that a monomial leaves open is zero or one, so what has it as one is taken from the sum: this
    // gives one-hot codes. Then what is v or more is v, or is v + 1 or more.
    fn thermometers(lanes: &mut Lanes) {
        for k in 0..4 {
            for pair in lanes.chunks_exact_mut(2 << k) {
                let (zero, one) = pair.split_at_mut(1 << k);
                for (zero, one) in zero.iter_mut().zip(one) {
                    for b in 0..LANES {
                        zero[b] ^= one[b];
                    }
                }
            }
        }
        for digit in lanes.chunks_exact_mut(16) {
            let mut sum = [0; LANES];
            for code in digit.iter_mut().rev() {
                for b in 0..LANES {
                    sum[b] ^= code[b];
                }
                *code = sum;
            }
        }
    }
}

/// The first `n` words of `from`, zero padded. A constant length in the common case: one load, not a call.
#[inline(always)]
pub(crate) fn load(from: &[u64], n: usize) -> [u64; LANES] {
    let mut row = [0; LANES];
    if n == LANES {
        row.copy_from_slice(&from[..LANES]);
    } else {
        for (row, from) in row.iter_mut().zip(&from[..n]) {
            *row = *from;
        }
    }
    row
}

/// The first `n` words of `row` into `to`.
#[inline(always)]
pub(crate) fn store(to: &mut [u64], row: &[u64; LANES], n: usize) {
    if n == LANES {
        to[..LANES].copy_from_slice(row);
    } else {
        to[..n].copy_from_slice(&row[..n]);
    }
}
