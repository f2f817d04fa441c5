// SPDX-License-Identifier: Apache-2.0
//! Generate and propagate bits of the sum of a masked and a clear number, by digits of a few bits.

use crate::hot::{load, one_hot, store};
use tacit_simd::{LANES, Path, kernel};

/// The widest digit.
pub const DIGIT_MAX: usize = 8;

/// A number of `bits` bits as digits of `digit` bits each, lowest first; the last one takes what is left.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    bits: usize,
    digit: usize,
}

impl Digits {
    /// At least one bit, in digits of 1 to [`DIGIT_MAX`] bits.
    pub fn new(bits: usize, digit: usize) -> Self {
        assert!(bits >= 1 && (1..=DIGIT_MAX).contains(&digit));
        Digits { bits, digit }
    }

    /// The number of digits.
    pub fn count(self) -> usize {
        self.bits.div_ceil(self.digit)
    }

    /// Rows of the one-hot planes of all digits.
    pub fn rows(self) -> usize {
        self.bits / self.digit * self.hot() + (1 << (self.bits % self.digit)) - 1
    }

    /// Rows of the one-hot planes of a whole digit.
    fn hot(self) -> usize {
        (1 << self.digit) - 1
    }

    /// The width of digit `d`.
    fn width(self, d: usize) -> usize {
        self.digit.min(self.bits - self.digit * d)
    }
}

/// The one-hot planes of each digit of `[bits, words]` planes, lowest digit first: `out` is `[digits.rows(), words]`.
pub fn carry_hot(path: Path, out: &mut [u64], planes: &[u64], digits: Digits, words: usize) {
    assert!(planes.len() == digits.bits * words && out.len() == digits.rows() * words);
    let mut out = out;
    for d in 0..digits.count() {
        let (w, low) = (digits.width(d), digits.digit * d);
        let (hot, rest) = out.split_at_mut(((1 << w) - 1) * words);
        one_hot(path, hot, &planes[low * words..(low + w) * words], w, words);
        out = rest;
    }
}

/// Shares of generate and propagate per digit of c + r: `out` is `[2 D, words]`, G of all digits, then P of all; or
/// `[2 D - 1, words]`, without P of the lowest, for sums that have no carry in. `hot` holds shares of the one-hot digits
/// of c as [`carry_hot`] lays them out, `r` is `[bits, words]`.
pub fn carry_combine(
    path: Path,
    out: &mut [u64],
    hot: &[u64],
    r: &[u64],
    digits: Digits,
    words: usize,
    first: bool,
) {
    let count = digits.count();
    assert!(r.len() == digits.bits * words && hot.len() == digits.rows() * words);
    let carried = usize::from(out.len() == 2 * count * words);
    assert!(out.len() == (2 * count - 1 + carried) * words);
    let (generate, propagate) = out.split_at_mut(count * words);
    for d in 0..count {
        let w = digits.width(d);
        let hot = &hot[digits.hot() * d * words..][..((1 << w) - 1) * words];
        let r = &r[digits.digit * d * words..][..w * words];
        let generate = &mut generate[d * words..][..words];
        // Without a carry in, nobody asks whether the lowest digit propagates one.
        let propagate = if d + carried == 0 {
            &mut [][..]
        } else {
            &mut propagate[(d + carried - 1) * words..][..words]
        };
        let combine = if w <= 4 { combine_narrow } else { combine_wide };
        combine(path, generate, propagate, hot, r, w, first);
    }
}

kernel! {
    fn combine_narrow(generate: &mut [u64], propagate: &mut [u64], hot: &[u64], r: &[u64], w: usize, first: bool) {
        combine_digit::<{ 1 << 4 }>(generate, propagate, hot, r, w, first);
    }
}

kernel! {
    fn combine_wide(generate: &mut [u64], propagate: &mut [u64], hot: &[u64], r: &[u64], w: usize, first: bool) {
        combine_digit::<{ 1 << DIGIT_MAX }>(generate, propagate, hot, r, w, first);
    }
}

/// With room for the N values of a digit.
#[inline(always)]
fn combine_digit<const N: usize>(
    generate: &mut [u64],
    propagate: &mut [u64],
    hot: &[u64],
    r: &[u64],
    w: usize,
    first: bool,
) {
    let words = generate.len();
    let top = (1usize << w) - 1;
    // p[v] and g[v]: the results if the clear digit of r is v. P needs c == top - v, G needs c > top - v.
    let (mut p, mut g) = ([[0; LANES]; N], [[0; LANES]; N]);
    for at in (0..words).step_by(LANES) {
        let n = LANES.min(words - at);
        let mut above = [0; LANES];
        for v in 0..top {
            p[v] = load(&hot[(top - v - 1) * words + at..], n);
            g[v] = above;
            for b in 0..LANES {
                above[b] ^= p[v][b];
            }
        }
        g[top] = above;
        p[top] = above.map(|x| if first { !x } else { x });
        // Select by the bits of r, lowest first: each halves the candidates.
        for j in 0..w {
            let bit = load(&r[j * words + at..], n);
            for v in 0..1usize << (w - 1 - j) {
                for b in 0..LANES {
                    p[v][b] = p[2 * v][b] ^ ((p[2 * v][b] ^ p[2 * v + 1][b]) & bit[b]);
                    g[v][b] = g[2 * v][b] ^ ((g[2 * v][b] ^ g[2 * v + 1][b]) & bit[b]);
                }
            }
        }
        store(&mut generate[at..], &g[0], n);
        if !propagate.is_empty() {
            store(&mut propagate[at..], &p[0], n);
        }
    }
}
