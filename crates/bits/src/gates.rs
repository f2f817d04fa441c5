// SPDX-License-Identifier: Apache-2.0
//! Gates on bits in replicated sharing. Source: Araki et al. 2016 (ePrint 2016/768), protocol 3.1 over Z_2.

use tacit_prg::{BLOCK, PrgKey, in_parts};
use tacit_simd::{Path, kernel};

/// `out = x0 & (y0 ^ y1) ^ x1 & y0 ^ F(ka) ^ F(kb)`: this party's additive share of x & y.
#[allow(clippy::too_many_arguments)]
pub fn rep3_and(
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
            and_block(
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

/// `out = x ^ F(key)`.
pub fn xor_prg(path: Path, threads: usize, out: &mut [u64], x: &[u64], key: &PrgKey, step: u64) {
    in_parts(threads, out, |from, out| {
        let mut mask = [0; BLOCK];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = (from + i * BLOCK, out.len());
            key.fill(path, step, at as u64, &mut mask[..n]);
            xor_block(path, out, &x[at..], &mask);
        }
    });
}

kernel! {
    fn and_block(
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
            out[i] = (x0[i] & (y0[i] ^ y1[i])) ^ (x1[i] & y0[i]) ^ a[i] ^ b[i];
        }
    }
}

kernel! {
    fn xor_block(out: &mut [u64], x: &[u64], mask: &[u64; BLOCK]) {
        for ((out, x), mask) in out.iter_mut().zip(x).zip(mask) {
            *out = x ^ mask;
        }
    }
}
