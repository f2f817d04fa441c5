// SPDX-License-Identifier: Apache-2.0
//! Elementwise products and masks. Source: Araki et al. 2016 (ePrint 2016/768), protocol 3.1.

use tacit_prg::{BLOCK, PrgKey, in_parts};
use tacit_simd::{Path, kernel};

/// `out = x0 (y0 + y1) + x1 y0 + F(ka) - F(kb)`: this party's additive share of x y.
#[allow(clippy::too_many_arguments)]
pub fn rep3_mul(
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
    in_parts(threads, out, |from, out| {
        let (mut a, mut b) = ([0; BLOCK], [0; BLOCK]);
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = (from + i * BLOCK, out.len());
            ka.fill(path, step, at as u64, &mut a[..n]);
            kb.fill(path, step, at as u64, &mut b[..n]);
            mul_block(
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
    });
}

/// `out = x + F(key)`.
pub fn add_prg(path: Path, threads: usize, out: &mut [u64], x: &[u64], key: &PrgKey, step: u64) {
    in_parts(threads, out, |from, out| {
        let mut mask = [0; BLOCK];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = (from + i * BLOCK, out.len());
            key.fill(path, step, at as u64, &mut mask[..n]);
            add_block(path, out, &x[at..], &mask);
        }
    });
}

/// `out = x - F(key)`.
pub fn sub_prg(path: Path, threads: usize, out: &mut [u64], x: &[u64], key: &PrgKey, step: u64) {
    in_parts(threads, out, |from, out| {
        let mut mask = [0; BLOCK];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = (from + i * BLOCK, out.len());
            key.fill(path, step, at as u64, &mut mask[..n]);
            sub_block(path, out, &x[at..], &mask);
        }
    });
}

kernel! {
    fn mul_block(
        out: &mut [u64],
        x0: &[u64],
        x1: &[u64],
        y0: &[u64],
        y1: &[u64],
        a: &[u64; BLOCK],
        b: &[u64; BLOCK],
    ) {
        let n = out.len();
        let (x0, x1, y0, y1, a, b) = (&x0[..n], &x1[..n], &y0[..n], &y1[..n], &a[..n], &b[..n]);
        for i in 0..n {
            let product = x0[i].wrapping_mul(y0[i].wrapping_add(y1[i])).wrapping_add(x1[i].wrapping_mul(y0[i]));
            out[i] = product.wrapping_add(a[i]).wrapping_sub(b[i]);
        }
    }
}

kernel! {
    fn add_block(out: &mut [u64], x: &[u64], mask: &[u64; BLOCK]) {
        for ((out, x), mask) in out.iter_mut().zip(x).zip(mask) {
            *out = x.wrapping_add(*mask);
        }
    }
}

kernel! {
    fn sub_block(out: &mut [u64], x: &[u64], mask: &[u64; BLOCK]) {
        for ((out, x), mask) in out.iter_mut().zip(x).zip(mask) {
            *out = x.wrapping_sub(*mask);
        }
    }
}
