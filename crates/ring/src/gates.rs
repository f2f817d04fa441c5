// SPDX-License-Identifier: Apache-2.0
//! Elementwise products and masks over Z_2^64 and, 64 bits to a word, over Z_2.
//!
//! Source: Araki et al. 2016 (ePrint 2016/768), protocol 3.1.

use tacit_prg::{BLOCK, PrgKey, in_parts};
use tacit_simd::{Path, kernel};

/// Addition and multiplication of words.
pub trait Algebra {
    /// x + y.
    fn add(x: u64, y: u64) -> u64;
    /// x - y.
    fn sub(x: u64, y: u64) -> u64;
    /// x y.
    fn mul(x: u64, y: u64) -> u64;
}

/// A word is one element of Z_2^64.
pub enum Ring {}

impl Algebra for Ring {
    #[inline(always)]
    fn add(x: u64, y: u64) -> u64 {
        x.wrapping_add(y)
    }
    #[inline(always)]
    fn sub(x: u64, y: u64) -> u64 {
        x.wrapping_sub(y)
    }
    #[inline(always)]
    fn mul(x: u64, y: u64) -> u64 {
        x.wrapping_mul(y)
    }
}

/// A word is 64 elements of Z_2.
pub enum Bits {}

impl Algebra for Bits {
    #[inline(always)]
    fn add(x: u64, y: u64) -> u64 {
        x ^ y
    }
    #[inline(always)]
    fn sub(x: u64, y: u64) -> u64 {
        x ^ y
    }
    #[inline(always)]
    fn mul(x: u64, y: u64) -> u64 {
        x & y
    }
}

/// A product of so few words needs no block of masks, which takes longer to clear than they do to compute.
const FEW: usize = 64;

/// `out = x0 (y0 + y1) + x1 y0 + F(ka) - F(kb)`: this party's additive share of x y.
#[allow(clippy::too_many_arguments)]
pub fn rep3_product<A: Algebra>(
    path: Path,
    threads: usize,
    out: &mut [u64],
    x0: &[u64],
    x1: &[u64],
    y0: &[u64],
    y1: &[u64],
    ka: &PrgKey,
    kb: &PrgKey,
    step: u64,
) {
    let x_y = [x0, x1, y0, y1];
    in_parts(threads, out, |from, out| {
        if out.len() <= FEW {
            products::<A, FEW>(path, from, out, x_y, [ka, kb], step);
        } else {
            products::<A, BLOCK>(path, from, out, x_y, [ka, kb], step);
        }
    });
}

/// Part of `rep3_product`, with masks of N words at a time.
fn products<A: Algebra, const N: usize>(
    path: Path,
    from: usize,
    out: &mut [u64],
    [x0, x1, y0, y1]: [&[u64]; 4],
    [ka, kb]: [&PrgKey; 2],
    step: u64,
) {
    let (mut a, mut b) = ([0; N], [0; N]);
    for (i, out) in out.chunks_mut(N).enumerate() {
        let (at, n) = (from + i * N, out.len());
        ka.fill(path, step, at as u64, &mut a[..n]);
        kb.fill(path, step, at as u64, &mut b[..n]);
        product_block::<A>(
            path,
            out,
            &x0[at..],
            &x1[at..],
            &y0[at..],
            &y1[at..],
            &a,
            &b,
        );
    }
}

/// `out += F(ka) - F(kb)`: this party's share of zero.
pub fn add_zero<A: Algebra>(
    path: Path,
    threads: usize,
    out: &mut [u64],
    ka: &PrgKey,
    kb: &PrgKey,
    step: u64,
) {
    in_parts(threads, out, |from, out| {
        let (mut a, mut b) = ([0; BLOCK], [0; BLOCK]);
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = (from + i * BLOCK, out.len());
            ka.fill(path, step, at as u64, &mut a[..n]);
            kb.fill(path, step, at as u64, &mut b[..n]);
            zero_block::<A>(path, out, &a, &b);
        }
    });
}

/// Products of pairs of rows of `[rows, words]`, unmasked: row i of `out` is this party's share of x[left[i]] x[right[i]].
///
/// # Panics
///
/// Where an element of `left` or `right` is no row.
pub fn rep3_row_products<A: Algebra>(
    path: Path,
    out: &mut [u64],
    x: [&[u64]; 2],
    words: usize,
    left: &[isize],
    right: &[isize],
) {
    assert!(left.len() == right.len() && out.len() == left.len() * words);
    let row = |part: usize, row: isize| &x[part][row as usize * words..][..words];
    for (out, (i, j)) in out.chunks_mut(words.max(1)).zip(left.iter().zip(right)) {
        product_row::<A>(path, out, row(0, *i), row(1, *i), row(0, *j), row(1, *j));
    }
}

/// `out = x + F(key)`.
pub fn add_prg<A: Algebra>(
    path: Path,
    threads: usize,
    out: &mut [u64],
    x: &[u64],
    key: &PrgKey,
    step: u64,
) {
    in_parts(threads, out, |from, out| {
        let mut mask = [0; BLOCK];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = (from + i * BLOCK, out.len());
            key.fill(path, step, at as u64, &mut mask[..n]);
            add_block::<A>(path, out, &x[at..], &mask);
        }
    });
}

/// `out = x - F(key)`.
pub fn sub_prg<A: Algebra>(
    path: Path,
    threads: usize,
    out: &mut [u64],
    x: &[u64],
    key: &PrgKey,
    step: u64,
) {
    in_parts(threads, out, |from, out| {
        let mut mask = [0; BLOCK];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = (from + i * BLOCK, out.len());
            key.fill(path, step, at as u64, &mut mask[..n]);
            sub_block::<A>(path, out, &x[at..], &mask);
        }
    });
}

kernel! {
    fn product_block<A: Algebra>(
        out: &mut [u64],
        x0: &[u64],
        x1: &[u64],
        y0: &[u64],
        y1: &[u64],
        a: &[u64],
        b: &[u64],
    ) {
        let n = out.len();
        let (x0, x1, y0, y1, a, b) = (&x0[..n], &x1[..n], &y0[..n], &y1[..n], &a[..n], &b[..n]);
        for i in 0..n {
            let product = A::add(A::mul(x0[i], A::add(y0[i], y1[i])), A::mul(x1[i], y0[i]));
            out[i] = A::sub(A::add(product, a[i]), b[i]);
        }
    }
}

kernel! {
    fn product_row<A: Algebra>(out: &mut [u64], x0: &[u64], x1: &[u64], y0: &[u64], y1: &[u64]) {
        let n = out.len();
        let (x0, x1, y0, y1) = (&x0[..n], &x1[..n], &y0[..n], &y1[..n]);
        for i in 0..n {
            out[i] = A::add(A::mul(x0[i], A::add(y0[i], y1[i])), A::mul(x1[i], y0[i]));
        }
    }
}

kernel! {
    fn zero_block<A: Algebra>(out: &mut [u64], a: &[u64; BLOCK], b: &[u64; BLOCK]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = A::sub(A::add(*out, *a), *b);
        }
    }
}

kernel! {
    fn add_block<A: Algebra>(out: &mut [u64], x: &[u64], mask: &[u64; BLOCK]) {
        for ((out, x), mask) in out.iter_mut().zip(x).zip(mask) {
            *out = A::add(*x, *mask);
        }
    }
}

kernel! {
    pub(crate) fn sub_block<A: Algebra>(out: &mut [u64], x: &[u64], mask: &[u64]) {
        for ((out, x), mask) in out.iter_mut().zip(x).zip(mask) {
            *out = A::sub(*x, *mask);
        }
    }
}
