// SPDX-License-Identifier: Apache-2.0
//! Comparisons of rows by shared digits in thermometer code: per digit one inner product says which is less, one whether
//! they are equal.

use tacit_simd::{GROUP, LANES, Path, flat_to_planes, kernel};

use crate::IndexOutOfRange;

/// Digits in a word.
const PER_WORD: usize = 4;

/// Words that are worked on together, of one row; what belongs to the next row is computed in vain.
const SPAN: usize = 8;

/// The lower byte of each code.
const LOWER: u64 = 0x00ff_00ff_00ff_00ff;

/// The lowest bit of each byte.
const LOWEST: u64 = 0x0101_0101_0101_0101;

/// This party's XOR-shares of [x[left] < x[right]] for each digit and of [x[left] == x[right]] for each but the first:
/// `out` is `[2 digits - 1, ceil(n / 64)]` for `n` indices in `left` and in `right`.
///
/// `x` are both parts of rows of digits, four to a word, the first being the least significant, bit v of its code saying
/// that it is v or more. An inner product of shared vectors is a sum of products, so it takes one mask and one message
/// (Araki et al. 2016); the mask is yet to be added.
///
/// # Errors
///
/// [`IndexOutOfRange`] where an element of `left` or `right` is no row; `out` is then of no use.
pub fn rep3_less(
    path: Path,
    out: &mut [u64],
    x: [&[u64]; 2],
    digits: usize,
    [left, right]: [&[isize]; 2],
) -> Result<(), IndexOutOfRange> {
    let (stride, words) = (digits.div_ceil(PER_WORD), left.len().div_ceil(64));
    assert!(digits >= 1 && left.len() == right.len() && out.len() == (2 * digits - 1) * words);
    let [x0, x1] = x;
    assert!(x0.len() == x1.len() && x0.len().is_multiple_of(stride));
    let mut group = [0; GROUP];
    let mut planes = [[0; LANES]; 64];
    for (i, (left, right)) in left.chunks(GROUP).zip(right.chunks(GROUP)).enumerate() {
        let (at, n) = (i * LANES, LANES.min(words - i * LANES));
        for first in (0..stride).step_by(SPAN) {
            if !less_group(path, &mut group, x0, x1, left, right, stride, first) {
                return Err(IndexOutOfRange);
            }
            flat_to_planes(path, &group, &mut planes);
            for (digit, pair) in (PER_WORD * first..digits).zip(planes.chunks_exact(2)) {
                out[digit * words + at..][..n].copy_from_slice(&pair[0][..n]);
                if digit > 0 {
                    out[(digits + digit - 1) * words + at..][..n].copy_from_slice(&pair[1][..n]);
                }
            }
        }
    }
    Ok(())
}

kernel! {
    // For each pair of rows the digits of one span: bit 2 j is less, bit 2 j + 1 is equal.
    fn less_group(
        out: &mut [u64; GROUP],
        x0: &[u64],
        x1: &[u64],
        left: &[isize],
        right: &[isize],
        stride: usize,
        first: usize,
    ) -> bool {
        let rows = x0.len() / stride;
        out.fill(0);
        for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
            // A negative index is a large one.
            let (left, right) = (*left as usize, *right as usize);
            if left >= rows || right >= rows {
                return false;
            }
            let (left, right) = (left * stride + first, right * stride + first);
            *out = less_span(&span(x0, left), &span(x1, left), &span(x0, right), &span(x1, right));
        }
        true
    }
}

/// The words of `x` from `at` on, with zeros behind its end.
#[inline(always)]
fn span(x: &[u64], at: usize) -> [u64; SPAN] {
    match x[at..].first_chunk() {
        Some(span) => *span,
        None => {
            let mut span = [0; SPAN];
            span[..x.len() - at].copy_from_slice(&x[at..]);
            span
        }
    }
}

#[inline(always)]
fn less_span(x0: &[u64; SPAN], x1: &[u64; SPAN], y0: &[u64; SPAN], y1: &[u64; SPAN]) -> u64 {
    let mut bytes = [0; SPAN];
    for (j, byte) in bytes.iter_mut().enumerate() {
        let (more0, more) = (above(y0[j]), above(y0[j] ^ y1[j]));
        let (x0, x1) = (x0[j] ^ above(x0[j]), x1[j] ^ above(x1[j]));
        // What is v or more, but not v + 1 or more, is v. Where x is v, it is less if y is v + 1 or more.
        let equal = x0 & (y0[j] ^ y1[j] ^ more) ^ x1 & (y0[j] ^ more0);
        let less = x0 & more ^ x1 & more0;
        // The parities of both at once, in halves of 16 bits.
        let mut halves = (less ^ less >> 8) & LOWER | ((equal ^ equal >> 8) & LOWER) << 8;
        for shift in [4, 2, 1] {
            halves ^= halves >> shift;
        }
        // The lowest bits of eight bytes, gathered in the highest byte.
        let gathered = (halves & LOWEST).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        *byte = gathered << (8 * j);
    }
    bytes.into_iter().fold(0, |all, byte| all | byte)
}

/// Of codes: bit v says that a digit is v + 1 or more.
#[inline(always)]
fn above(codes: u64) -> u64 {
    codes >> 1 & 0x7fff_7fff_7fff_7fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_less_or_equal_as_numbers_are() {
        // Party 0's share of a product whose other parties hold nothing is the product itself.
        let zero = [0; SPAN];
        for x in 0..16 {
            for y in 0..16 {
                let code =
                    |digit: i32| [(0xffff_u64 >> (15 - digit)) * 0x0001_0001_0001_0001; SPAN];
                let less = if x < y { 0x5555_5555_5555_5555 } else { 0 };
                let equal = if x == y { 0xaaaa_aaaa_aaaa_aaaa } else { 0 };
                let found = less_span(&code(x), &zero, &code(y), &zero);
                assert_eq!(found, less | equal, "{x} {y}");
            }
        }
    }
}
