// SPDX-License-Identifier: Apache-2.0
//! Truncation by f bits in the c/r view, protocol T1, one round.
//!
//! Role 0 knows c = x0 + x1 + 2^62, roles 1 and 2 know r = x2, and x + 2^62 = c + r. The wrap of c + r modulo 2^64 is
//! corrected by f-bit messages between the roles. Streams, from `step + 3 turn`: a0, s, rho.

use tacit_bits::{pack, packed_len, unpack};
use tacit_prg::{BLOCK, PrgKey};
use tacit_simd::{Path, kernel};

use crate::convert::{from_bytes, to_bytes};
use crate::thirds::{Role, Thirds};

/// The largest number of bits that can be dropped; the smallest is 1.
pub const F_MAX: usize = 61;

// A block of masks packs into whole bytes at every f, so packed messages are made block by block too.
const _: () = assert!(BLOCK.is_multiple_of(8));

/// Role 0: `message` to role 1 is a1, 8 bytes each, then t packed at f bits; `y` gets both its shares of the result.
///
/// With `exact`, c is rounded to the nearest instead of down, and the carry of the low bits is left to the caller;
/// without it, a 1 is put for that carry and c - 1 for c, which makes the result exact in the mean.
#[allow(clippy::too_many_arguments)]
pub fn trunc_send(
    path: Path,
    thirds: Thirds,
    message: &mut [u8],
    y: [&mut [u64]; 2],
    x: [&[u64]; 2],
    f: usize,
    exact: bool,
    keys: [&PrgKey; 2],
    step: u64,
) {
    let part = thirds.elements(Role::Zero);
    let step = step + 3 * thirds.turn(Role::Zero) as u64;
    let n = part.len();
    let (high, t) = message.split_at_mut(8 * n);
    check(f, n, t.len());
    let [y0, y1] = y.map(|y| &mut y[part.clone()]);
    let [x0, x1] = x.map(|x| &x[part.clone()]);
    let [mut a0, mut a1, mut s, mut rho] = [[0; BLOCK]; 4];
    for (i, t) in t.chunks_mut(BLOCK / 8 * f).enumerate() {
        let at = i * BLOCK;
        let part = at..n.min(at + BLOCK);
        let len = part.len();
        keys[0].fill(path, step, at as u64, &mut a0[..len]);
        keys[0].fill(path, step + 1, at as u64, &mut s[..len]);
        let (x0, x1) = (&x0[part.clone()], &x1[part.clone()]);
        share_high(path, &mut a1[..len], &mut s, x0, x1, &a0, f, exact);
        to_bytes(&mut high[8 * at..], &a1[..len]);
        pack(path, t, &s[..len], f);
        keys[0].fill(path, step + 2, at as u64, &mut rho[..len]);
        finish_share(path, &mut y0[part.clone()], &a0, &rho, f, first_constant(f));
        keys[1].fill(path, step + 2, at as u64, &mut rho[..len]);
        finish_share(path, &mut y1[part], &a1, &rho, f, 0);
    }
}

/// Roles 1 and 2: `messages` to each other, packed at f bits, role 1's first; `y` gets the shares of the result that they
/// have in common with role 0. `received` is what role 0 sent to role 1.
#[allow(clippy::too_many_arguments)]
pub fn trunc_exchange(
    path: Path,
    thirds: Thirds,
    messages: [&mut [u8]; 2],
    y: [&mut [u64]; 2],
    x: [&[u64]; 2],
    received: &[u8],
    f: usize,
    keys: [&PrgKey; 2],
    step: u64,
) {
    let (high, t) = received.split_at(8 * thirds.elements(Role::One).len());
    let [mut value, mut rho, mut a] = [[0; BLOCK]; 3];
    for ((role, message), y) in [Role::One, Role::Two].into_iter().zip(messages).zip(y) {
        let (part, key) = (thirds.elements(role), role.shared(keys));
        let step = step + 3 * thirds.turn(role) as u64;
        let (r, y) = (&role.clear(x)[part.clone()], &mut y[part.clone()]);
        let n = part.len();
        check(f, n, message.len());
        for (i, out) in message.chunks_mut(BLOCK / 8 * f).enumerate() {
            let at = i * BLOCK;
            let part = at..n.min(at + BLOCK);
            let len = part.len();
            let constant = if role == Role::One {
                from_bytes(&mut a[..len], &high[8 * at..]);
                let bytes = at / 8 * f..at / 8 * f + out.len();
                unpack(path, &mut value[..len], &t[bytes], f);
                0
            } else {
                key.fill(path, step, at as u64, &mut a[..len]);
                key.fill(path, step + 1, at as u64, &mut value[..len]);
                first_constant(f)
            };
            key.fill(path, step + 2, at as u64, &mut rho[..len]);
            choose(path, &mut value, &r[part.clone()], &rho);
            finish_share(path, &mut y[part], &a, &rho, f, constant);
            pack(path, out, &value[..len], f);
        }
    }
}

/// Roles 1 and 2: `y2 = (r >> f) - 2^(64-f) (msb(r) + sent + received)`, in `y[1]` for role 1 and in `y[0]` for role 2.
/// `sent` and `received` are packed at f bits, those of role 1 first.
pub fn trunc_finish(
    path: Path,
    thirds: Thirds,
    y: [&mut [u64]; 2],
    x: [&[u64]; 2],
    sent: [&[u8]; 2],
    received: [&[u8]; 2],
    f: usize,
) {
    let [first, second] = y;
    let [mut a, mut b] = [[0; BLOCK]; 2];
    let parts = [(Role::One, second), (Role::Two, first)].into_iter();
    for (((role, y2), sent), received) in parts.zip(sent).zip(received) {
        let part = thirds.elements(role);
        let (y2, r) = (&mut y2[part.clone()], &role.clear(x)[part.clone()]);
        let n = part.len();
        check(f, n, sent.len());
        check(f, n, received.len());
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
}

kernel! {
    /// `a1 = (c >> f) - a0` and, in place of s, `t = msb(c) - s`, for c = x0 + x1 + 2^62, less 1 if not `exact`. With
    /// `exact`, a1 is one more where the highest bit that c loses is 1.
    fn share_high(
        a1: &mut [u64],
        s: &mut [u64; BLOCK],
        x0: &[u64],
        x1: &[u64],
        a0: &[u64; BLOCK],
        f: usize,
        exact: bool,
    ) {
        let n = a1.len();
        let (s, x0, x1, a0) = (&mut s[..n], &x0[..n], &x1[..n], &a0[..n]);
        let (offset, half) = if exact { (1 << 62, 1) } else { ((1 << 62) - 1, 0) };
        for i in 0..n {
            let c = x0[i].wrapping_add(x1[i]).wrapping_add(offset);
            a1[i] = (c >> f).wrapping_add(c >> (f - 1) & half).wrapping_sub(a0[i]);
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
