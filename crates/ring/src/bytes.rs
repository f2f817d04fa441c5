// SPDX-License-Identifier: Apache-2.0
//! Shared bytes: products in GF(2^8) (Araki et al. 2016, ePrint 2016/768, protocol 3.1 over that field) and the linear
//! steps of AES.

use tacit_prg::{BLOCK, PrgKey};
use tacit_simd::{Path, aes_layer, gf256_mul};

/// `out = X0 (Y0 + Y1) + X1 Y0 + F(ka) + F(kb)` in GF(2^8), byte by byte, for X = x^(2^i), Y = y^(2^j) and
/// `squarings = [i, j]`: this party's additive share of X Y.
#[allow(clippy::too_many_arguments)]
pub fn rep3_gf256_mul(
    path: Path,
    out: &mut [u64],
    x0: &[u64],
    x1: &[u64],
    y0: &[u64],
    y1: &[u64],
    squarings: [usize; 2],
    ka: &PrgKey,
    kb: &PrgKey,
    step: u64,
) {
    let mut other = [0; BLOCK];
    for (i, out) in out.chunks_mut(BLOCK).enumerate() {
        let (at, n) = (i * BLOCK, out.len());
        let other = &mut other[..n];
        let [x0, x1, y0, y1] = [x0, x1, y0, y1].map(|part| &part[at..at + n]);
        ka.fill(path, step, at as u64, out);
        kb.fill(path, step, at as u64, other);
        for (out, mask) in out.iter_mut().zip(other.iter()) {
            *out ^= mask;
        }
        for (sum, (a, b)) in other.iter_mut().zip(y0.iter().zip(y1)) {
            *sum = a ^ b;
        }
        gf256_mul(path, out, x0, other, squarings);
        gf256_mul(path, out, x1, y0, squarings);
    }
}

/// [`aes_layer`] with one key for every block, or one for each.
pub fn aes_layer_keyed(path: Path, out: &mut [u64], x: &[u64], key: &[u64], mix: bool) {
    let [first, second] = *key else {
        return aes_layer(path, out, x, key, mix);
    };
    let mut keys = [first; BLOCK];
    for word in keys.iter_mut().skip(1).step_by(2) {
        *word = second;
    }
    for (out, x) in out.chunks_mut(BLOCK).zip(x.chunks(BLOCK)) {
        let n = out.len();
        aes_layer(path, out, x, &keys[..n], mix);
    }
}
