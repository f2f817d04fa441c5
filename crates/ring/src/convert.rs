// SPDX-License-Identifier: Apache-2.0
//! From bits to ring elements: words of bits as numbers, and products of a bit and a number.
//!
//! A bit is beta ^ b2 = beta (1 - 2 b2) + b2, with beta known to role 0 and b2 to roles 1 and 2. Role 0 splits beta, or
//! what it is multiplied by, between them; the rest is theirs alone, and they reshare. Planes are `[width, words]`.

use tacit_bits::{pack, packed_len, unpack};
use tacit_prg::{BLOCK, PrgKey};
use tacit_simd::{Path, kernel};

use crate::reshare::Reshare;
use crate::thirds::{Role, Thirds};

/// Words of a bit plane in a block.
const PLANE: usize = BLOCK / 64;

/// The parts of a section's elements and the words of its planes that the blocks cover, in turn: (at, length, word).
fn blocks(thirds: Thirds, role: Role) -> impl Iterator<Item = (usize, usize, usize)> {
    let (n, word) = (thirds.elements(role).len(), thirds.words(role).start);
    (0..n.div_ceil(BLOCK)).map(move |i| (i * BLOCK, BLOCK.min(n - i * BLOCK), word + i * PLANE))
}

/// Bytes of the message of a third of `n` elements of `width` bits: 64 - i bits for bit i.
pub fn b2a_sent(n: usize, width: usize) -> Option<usize> {
    (0..width).try_fold(0usize, |sum, i| sum.checked_add(packed_len(n, 64 - i)?))
}

/// Role 0: per bit i, the bits minus stream `step + 3 i + turn`, packed at 64 - i bits, as it counts 2^i.
pub fn b2a_send(
    path: Path,
    thirds: Thirds,
    message: &mut [u8],
    planes: [&[u64]; 2],
    key: &PrgKey,
    step: u64,
) {
    let words = thirds.len().div_ceil(64).max(1);
    let n = thirds.elements(Role::Zero).len();
    let step = step + thirds.turn(Role::Zero) as u64;
    let mut message = message;
    let mut rest = [0; BLOCK];
    let rows = planes[0]
        .chunks_exact(words)
        .zip(planes[1].chunks_exact(words));
    for (i, (b0, b1)) in rows.enumerate() {
        let bits = 64 - i;
        let (out, more) = message.split_at_mut(packed_len(n, bits).expect("the message has them"));
        message = more;
        for (out, (at, len, word)) in out
            .chunks_mut(BLOCK / 8 * bits)
            .zip(blocks(thirds, Role::Zero))
        {
            let rest = &mut rest[..len];
            key.fill(path, step + 3 * i as u64, at as u64, rest);
            bits_minus(path, rest, &b0[word..], &b1[word..]);
            pack(path, out, rest, bits);
        }
    }
}

/// Roles 1 and 2: the sum over bits i of 2^i (u (1 - 2 b2) + b2 in role 1), which they reshare. `received` is what role 0
/// sent, u for role 1.
pub fn b2a_combine(
    path: Path,
    thirds: Thirds,
    y: &mut Reshare<'_>,
    planes: [&[u64]; 2],
    received: &[u8],
    keys: [&PrgKey; 2],
    step: u64,
) {
    let words = thirds.len().div_ceil(64).max(1);
    let (mut u, mut total) = ([0; BLOCK], [0; BLOCK]);
    for role in [Role::One, Role::Two] {
        let n = thirds.elements(role).len();
        let step = step + thirds.turn(role) as u64;
        for (at, len, word) in blocks(thirds, role) {
            total.fill(0);
            let mut received = received;
            for (i, b2) in role.clear(planes).chunks_exact(words).enumerate() {
                let bits = 64 - i;
                if role == Role::One {
                    let part;
                    (part, received) =
                        received.split_at(packed_len(n, bits).expect("the message has them"));
                    let start = at / 8 * bits;
                    let bytes = packed_len(len, bits).expect("the message has them");
                    unpack(path, &mut u[..len], &part[start..start + bytes], bits);
                } else {
                    keys[1].fill(path, step + 3 * i as u64, at as u64, &mut u[..len]);
                }
                add_signed(
                    path,
                    &mut total[..len],
                    &u,
                    &b2[word..],
                    i,
                    role == Role::One,
                );
            }
            y.put(role, at, &total[..len]);
        }
    }
}

/// Role 0: beta c minus stream `step + 2 turn`, then beta minus the stream after it, 8 bytes each.
pub fn inject_send(
    path: Path,
    thirds: Thirds,
    message: &mut [u8],
    plane: [&[u64]; 2],
    x: [&[u64]; 2],
    key: &PrgKey,
    step: u64,
) {
    let step = step + 2 * thirds.turn(Role::Zero) as u64;
    let start = thirds.elements(Role::Zero).start;
    let (products, bits) = message.split_at_mut(message.len() / 2);
    let mut rest = [0; BLOCK];
    for (at, len, word) in blocks(thirds, Role::Zero) {
        let [b0, b1] = plane.map(|b| &b[word..]);
        let rest = &mut rest[..len];
        key.fill(path, step, at as u64, rest);
        chosen_minus(path, rest, b0, b1, &x[0][start + at..], &x[1][start + at..]);
        to_bytes(&mut products[8 * at..], rest);
        key.fill(path, step + 1, at as u64, rest);
        bits_minus(path, rest, b0, b1);
        to_bytes(&mut bits[8 * at..], rest);
    }
}

/// Roles 1 and 2: k (u + r v) + b2 s with k = 1 - 2 b2, for their parts u of beta c and v of beta, where s is what they
/// hold of x: x0 in role 2, x1 + r in role 1. `received` is what role 0 sent, u and v for role 1.
#[allow(clippy::too_many_arguments)]
pub fn inject_combine(
    path: Path,
    thirds: Thirds,
    y: &mut Reshare<'_>,
    plane: [&[u64]; 2],
    x: [&[u64]; 2],
    received: &[u8],
    keys: [&PrgKey; 2],
    step: u64,
) {
    let (first, second) = received.split_at(received.len() / 2);
    let (mut u, mut v) = ([0; BLOCK], [0; BLOCK]);
    for role in [Role::One, Role::Two] {
        let step = step + 2 * thirds.turn(role) as u64;
        let start = thirds.elements(role).start;
        for (at, len, word) in blocks(thirds, role) {
            let (u, v) = (&mut u[..len], &mut v[..len]);
            if role == Role::One {
                from_bytes(u, &first[8 * at..]);
                from_bytes(v, &second[8 * at..]);
            } else {
                keys[1].fill(path, step, at as u64, u);
                keys[1].fill(path, step + 1, at as u64, v);
            }
            let (own, r) = (role.shared(x), role.clear(x));
            choose(
                path,
                u,
                v,
                &role.clear(plane)[word..],
                &own[start + at..],
                &r[start + at..],
                role == Role::One,
            );
            y.put(role, at, u);
        }
    }
}

/// All ones where bit i of `plane` is one, else zero.
#[inline(always)]
fn spread(word: u64, i: usize) -> u64 {
    (word >> i & 1).wrapping_neg()
}

kernel! {
    /// `rest = (b0 ^ b1) - rest`, for bits of planes.
    fn bits_minus(rest: &mut [u64], b0: &[u64], b1: &[u64]) {
        for ((rest, b0), b1) in rest.chunks_mut(64).zip(b0).zip(b1) {
            let b = b0 ^ b1;
            for (i, rest) in rest.iter_mut().enumerate() {
                *rest = (b >> i & 1).wrapping_sub(*rest);
            }
        }
    }
}

kernel! {
    /// `rest = (b0 ^ b1)(x0 + x1) - rest`, for bits of planes.
    fn chosen_minus(rest: &mut [u64], b0: &[u64], b1: &[u64], x0: &[u64], x1: &[u64]) {
        let n = rest.len();
        let (x0, x1) = (x0[..n].chunks(64), x1[..n].chunks(64));
        for ((((rest, b0), b1), x0), x1) in rest.chunks_mut(64).zip(b0).zip(b1).zip(x0).zip(x1) {
            let b = b0 ^ b1;
            for (i, ((rest, x0), x1)) in rest.iter_mut().zip(x0).zip(x1).enumerate() {
                *rest = (x0.wrapping_add(*x1) & spread(b, i)).wrapping_sub(*rest);
            }
        }
    }
}

kernel! {
    /// `total += 2^shift (u (1 - 2 b) + b)`, with `twice` one b more.
    fn add_signed(total: &mut [u64], u: &[u64; BLOCK], b: &[u64], shift: usize, twice: bool) {
        for ((total, u), b) in total.chunks_mut(64).zip(u.chunks(64)).zip(b) {
            for (i, (total, u)) in total.iter_mut().zip(u).enumerate() {
                // With a mask m of the bit, -u = (u ^ m) - m and b = -m.
                let m = spread(*b, i);
                let more = if twice { m } else { 0 };
                let term = (u ^ m).wrapping_sub(m).wrapping_sub(more);
                *total = total.wrapping_add(term << shift);
            }
        }
    }
}

kernel! {
    /// `u = (1 - 2 b)(u + r v) + b own`, with `both` b (own + r).
    fn choose(u: &mut [u64], v: &[u64], b: &[u64], own: &[u64], r: &[u64], both: bool) {
        let n = u.len();
        let (own, r) = (own[..n].chunks(64), r[..n].chunks(64));
        for ((((u, v), b), own), r) in u.chunks_mut(64).zip(v.chunks(64)).zip(b).zip(own).zip(r) {
            for (i, (((u, v), own), r)) in u.iter_mut().zip(v).zip(own).zip(r).enumerate() {
                let m = spread(*b, i);
                let product = u.wrapping_add(r.wrapping_mul(*v));
                let held = own.wrapping_add(if both { *r } else { 0 });
                *u = (product ^ m).wrapping_sub(m).wrapping_add(held & m);
            }
        }
    }
}

/// The first words of `out` bytes.
pub(crate) fn to_bytes(out: &mut [u8], words: &[u64]) {
    for (bytes, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

/// The first bytes of `data` as words.
pub(crate) fn from_bytes(words: &mut [u64], data: &[u8]) {
    for (word, bytes) in words.iter_mut().zip(data.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
}
