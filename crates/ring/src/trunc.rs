// SPDX-License-Identifier: Apache-2.0
//! Truncation by f bits in the c/r view, protocol T1, one round.
//!
//! Role 0 knows c = x0 + x1 + 2^62, roles 1 and 2 know r = x2, and x + 2^62 = c + r. The wrap of c + r modulo 2^64 is
//! corrected by f-bit messages between the roles. Streams: `step` (a0), `step + 1` (s), `step + 2` (rho).

use tacit_bits::{pack, packed_len, unpack};
use tacit_prg::{BLOCK, PrgKey};
use tacit_simd::{Path, kernel};

/// The largest number of bits that can be dropped; the smallest is 1.
pub const F_MAX: usize = 61;

// A block of masks packs into whole bytes at every f, so packed messages are made block by block too.
const _: () = assert!(BLOCK.is_multiple_of(8));

/// Where [`trunc_0`] writes its results.
pub struct Truncated0<'a> {
    /// The share a1, sent to role 1.
    pub a1: &'a mut [u64],
    /// The value t packed at f bits, sent to role 1.
    pub t: &'a mut [u8],
    /// The shares y0 and y1 of the result.
    pub y: [&'a mut [u64]; 2],
}

/// Role 0, which holds x0, x1 and both keys.
#[allow(clippy::too_many_arguments)]
pub fn trunc_0(
    path: Path,
    out: Truncated0<'_>,
    x0: &[u64],
    x1: &[u64],
    f: usize,
    ka: &PrgKey,
    kb: &PrgKey,
    step: u64,
) {
    let n = x0.len();
    let Truncated0 { a1, t, y: [y0, y1] } = out;
    assert!(x1.len() == n && a1.len() == n && y0.len() == n && y1.len() == n);
    check(f, n, t.len());
    let [mut a0, mut s, mut rho0, mut rho1] = [[0; BLOCK]; 4];
    for (i, t_out) in t.chunks_mut(BLOCK / 8 * f).enumerate() {
        let at = i * BLOCK;
        let part = at..n.min(at + BLOCK);
        let len = part.len();
        ka.fill(path, step, at as u64, &mut a0[..len]);
        ka.fill(path, step + 1, at as u64, &mut s[..len]);
        ka.fill(path, step + 2, at as u64, &mut rho0[..len]);
        kb.fill(path, step + 2, at as u64, &mut rho1[..len]);
        let (a1, y0, y1) = (
            &mut a1[part.clone()],
            &mut y0[part.clone()],
            &mut y1[part.clone()],
        );
        share_high(path, a1, &mut s, &x0[part.clone()], &x1[part], &a0, f);
        finish_share(path, y0, &a0, &rho0, f, first_constant(f));
        finish_share(path, y1, a1, &rho1, f, 0);
        pack(path, t_out, &s[..len], f);
    }
}

/// Role 1, with the key it shares with role 0. Writes its message to role 2 and its share y1.
#[allow(clippy::too_many_arguments)]
pub fn trunc_1(
    path: Path,
    message: &mut [u8],
    y1: &mut [u64],
    r: &[u64],
    a1: &[u64],
    t: &[u8],
    f: usize,
    kb: &PrgKey,
    step: u64,
) {
    let n = r.len();
    assert!(a1.len() == n && y1.len() == n && t.len() == message.len());
    check(f, n, t.len());
    let [mut value, mut rho] = [[0; BLOCK]; 2];
    for (i, (out, t)) in message
        .chunks_mut(BLOCK / 8 * f)
        .zip(t.chunks(BLOCK / 8 * f))
        .enumerate()
    {
        let at = i * BLOCK;
        let part = at..n.min(at + BLOCK);
        let len = part.len();
        kb.fill(path, step + 2, at as u64, &mut rho[..len]);
        unpack(path, &mut value[..len], t, f);
        choose(path, &mut value, &r[part.clone()], &rho);
        finish_share(path, &mut y1[part.clone()], &a1[part], &rho, f, 0);
        pack(path, out, &value[..len], f);
    }
}

/// Role 2, with the key it shares with role 0. Writes its message to role 1 and its share y0.
pub fn trunc_2(
    path: Path,
    message: &mut [u8],
    y0: &mut [u64],
    r: &[u64],
    f: usize,
    ka: &PrgKey,
    step: u64,
) {
    let n = r.len();
    assert!(y0.len() == n);
    check(f, n, message.len());
    let [mut value, mut rho, mut a0] = [[0; BLOCK]; 3];
    for (i, out) in message.chunks_mut(BLOCK / 8 * f).enumerate() {
        let at = i * BLOCK;
        let part = at..n.min(at + BLOCK);
        let len = part.len();
        ka.fill(path, step, at as u64, &mut a0[..len]);
        ka.fill(path, step + 1, at as u64, &mut value[..len]);
        ka.fill(path, step + 2, at as u64, &mut rho[..len]);
        choose(path, &mut value, &r[part.clone()], &rho);
        finish_share(path, &mut y0[part], &a0, &rho, f, first_constant(f));
        pack(path, out, &value[..len], f);
    }
}

/// Roles 1 and 2: `y2 = (r >> f) - 2^(64-f) (msb(r) + sent + received)`.
pub fn trunc_finish(path: Path, y2: &mut [u64], r: &[u64], sent: &[u8], received: &[u8], f: usize) {
    let n = r.len();
    assert!(y2.len() == n && sent.len() == received.len());
    check(f, n, sent.len());
    let [mut a, mut b] = [[0; BLOCK]; 2];
    let chunks = sent
        .chunks(BLOCK / 8 * f)
        .zip(received.chunks(BLOCK / 8 * f));
    for (i, (sent, received)) in chunks.enumerate() {
        let part = i * BLOCK..n.min(i * BLOCK + BLOCK);
        unpack(path, &mut a[..part.len()], sent, f);
        unpack(path, &mut b[..part.len()], received, f);
        wrap_share(path, &mut y2[part.clone()], &r[part], &a, &b, f);
    }
}

kernel! {
    /// `a1 = (c >> f) - a0` and, in place of s, `t = msb(c) - s`, for c = x0 + x1 + 2^62.
    fn share_high(a1: &mut [u64], s: &mut [u64; BLOCK], x0: &[u64], x1: &[u64], a0: &[u64; BLOCK], f: usize) {
        let n = a1.len();
        let (s, x0, x1, a0) = (&mut s[..n], &x0[..n], &x1[..n], &a0[..n]);
        for i in 0..n {
            let c = x0[i].wrapping_add(x1[i]).wrapping_add(1 << 62);
            a1[i] = (c >> f).wrapping_sub(a0[i]);
            s[i] = (c >> 63).wrapping_sub(s[i]);
        }
    }
}

kernel! {
    /// `y = a - 2^(64-f) rho + constant`.
    fn finish_share(y: &mut [u64], a: &[u64], rho: &[u64; BLOCK], f: usize, constant: u64) {
        for ((y, a), rho) in y.iter_mut().zip(a).zip(rho) {
            *y = a.wrapping_sub(rho << (64 - f)).wrapping_add(constant);
        }
    }
}

kernel! {
    /// `value = value (1 - msb(r)) - rho`, without a branch on r.
    fn choose(value: &mut [u64; BLOCK], r: &[u64], rho: &[u64; BLOCK]) {
        for ((value, r), rho) in value.iter_mut().zip(r).zip(rho) {
            *value = (*value & (r >> 63).wrapping_sub(1)).wrapping_sub(*rho);
        }
    }
}

kernel! {
    /// `y2 = (r >> f) - 2^(64-f) (msb(r) + a + b)`.
    fn wrap_share(y2: &mut [u64], r: &[u64], a: &[u64; BLOCK], b: &[u64; BLOCK], f: usize) {
        for (((y2, r), a), b) in y2.iter_mut().zip(r).zip(a).zip(b) {
            let wrap = (r >> 63).wrapping_add(*a).wrapping_add(*b);
            *y2 = (r >> f).wrapping_sub(wrap << (64 - f));
        }
    }
}

/// What makes up, at y0, for the offset 2^62 and the wrap.
fn first_constant(f: usize) -> u64 {
    1u64.wrapping_sub(1 << (62 - f))
}

fn check(f: usize, n: usize, bytes: usize) {
    assert!((1..=F_MAX).contains(&f) && packed_len(n, f) == Some(bytes));
}
