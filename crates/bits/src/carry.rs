// SPDX-License-Identifier: Apache-2.0
//! Generate and propagate bits of the sum of a masked and a clear number, by 3-bit digits.

use crate::hot::{load, one_hot, store};
use tacit_simd::{LANES, Path, kernel};

/// Digits of a number of `bits` bits: three bits each, the last takes what is left.
pub fn digit_count(bits: usize) -> usize {
    bits.div_ceil(3)
}

/// Rows of the one-hot planes of all digits of a number of `bits` bits.
pub fn carry_rows(bits: usize) -> usize {
    bits / 3 * 7 + (1 << (bits % 3)) - 1
}

/// The width of digit `d` of a number of `bits` bits.
fn width(bits: usize, d: usize) -> usize {
    3.min(bits - 3 * d)
}

/// The one-hot planes of each digit of `[bits, words]` planes, lowest digit first: `out` is `[carry_rows(bits), words]`.
pub fn carry_hot(path: Path, out: &mut [u64], planes: &[u64], bits: usize, words: usize) {
    assert!(planes.len() == bits * words && out.len() == carry_rows(bits) * words);
    let mut out = out;
    for d in 0..digit_count(bits) {
        let w = width(bits, d);
        let (hot, rest) = out.split_at_mut(((1 << w) - 1) * words);
        one_hot(
            path,
            hot,
            &planes[3 * d * words..(3 * d + w) * words],
            w,
            words,
        );
        out = rest;
    }
}

/// Shares of generate and propagate per digit of c + r: `out` is `[2 D, words]`, G of all digits, then P of all; or
/// `[2 D - 1, words]`, without P of the lowest, for sums that have no carry in. `hot` holds shares of the one-hot digits of c as [`carry_hot`] lays them out, `r` is `[bits, words]`.
pub fn carry_combine(
    path: Path,
    out: &mut [u64],
    hot: &[u64],
    r: &[u64],
    bits: usize,
    words: usize,
    first: bool,
) {
    let digits = digit_count(bits);
    assert!(bits >= 1 && r.len() == bits * words && hot.len() == carry_rows(bits) * words);
    let carried = usize::from(out.len() == 2 * digits * words);
    assert!(out.len() == (2 * digits - 1 + carried) * words);
    let (generate, propagate) = out.split_at_mut(digits * words);
    for d in 0..digits {
        let w = width(bits, d);
        let hot = &hot[7 * d * words..][..((1 << w) - 1) * words];
        let r = &r[3 * d * words..][..w * words];
        let generate = &mut generate[d * words..][..words];
        // Without a carry in, nobody asks whether the lowest digit propagates one.
        let propagate = if d + carried == 0 {
            &mut [][..]
        } else {
            &mut propagate[(d + carried - 1) * words..][..words]
        };
        combine_digit(path, generate, propagate, hot, r, w, first);
    }
}

kernel! {
    fn combine_digit(generate: &mut [u64], propagate: &mut [u64], hot: &[u64], r: &[u64], w: usize, first: bool) {
        let words = generate.len();
        let top = (1usize << w) - 1;
        for at in (0..words).step_by(LANES) {
            let n = LANES.min(words - at);
            // p[v] and g[v]: the results if the clear digit of r is v. P needs c == top - v, G needs c > top - v.
            let (mut p, mut g) = ([[0; LANES]; 8], [[0; LANES]; 8]);
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
}
