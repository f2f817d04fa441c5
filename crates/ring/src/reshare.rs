// SPDX-License-Identifier: Apache-2.0
//! The sending half of a resharing: what roles 1 and 2 hold as T + S becomes (y0, y1, T + S - y0 - y1).
//!
//! y0 and y1 are streams of K0 and K1, number `step + turn`. Role 1 sends T - y1 and role 2 sends S - y0; what a party
//! sent and what it received add up to y2.

use std::ops::Range;

use tacit_prg::{BLOCK, PrgKey};
use tacit_simd::Path;

use crate::gates::{Bits, Ring, add_prg, sub_block};
use crate::thirds::{Role, Thirds};

/// A resharing over Z_2^64 into `y`, block by block. Where a party has role 1 or 2, what it sends is left in the place
/// of y2: in `y[1]` for role 1, in `y[0]` for role 2.
pub struct Reshare<'a> {
    path: Path,
    thirds: Thirds,
    y: [&'a mut [u64]; 2],
    keys: [&'a PrgKey; 2],
    step: u64,
}

impl<'a> Reshare<'a> {
    /// Begins a resharing, and ends it where this party has role 0.
    pub fn new(
        path: Path,
        thirds: Thirds,
        mut y: [&'a mut [u64]; 2],
        keys: [&'a PrgKey; 2],
        step: u64,
    ) -> Self {
        assert!(y.iter().all(|y| y.len() == thirds.len()));
        let stream = step + thirds.turn(Role::Zero) as u64;
        for (y, key) in y.iter_mut().zip(keys) {
            key.fill(path, stream, 0, &mut y[thirds.elements(Role::Zero)]);
        }
        Self {
            path,
            thirds,
            y,
            keys,
            step,
        }
    }

    /// Takes the next values of role 1 or 2, elements `at ..` of that third.
    pub fn put(&mut self, role: Role, at: usize, values: &[u64]) {
        let [first, second] = &mut self.y;
        let (stream, message) = match role {
            Role::Zero => unreachable!("role 0 has nothing to reshare"),
            Role::One => (first, second),
            Role::Two => (second, first),
        };
        let start = self.thirds.elements(role).start + at;
        let part = start..start + values.len();
        let stream = &mut stream[part.clone()];
        let step = self.step + self.thirds.turn(role) as u64;
        role.shared(self.keys)
            .fill(self.path, step, at as u64, stream);
        sub_block::<Ring>(self.path, &mut message[part], values, stream);
    }
}

/// A resharing over Z_2 of `[planes, section words]` values: `messages` are the values of roles 1 and 2, and become what
/// they send. `y` is `[planes, words]`, and the places of y2 in it are left alone.
pub fn reshare_planes(
    path: Path,
    thirds: Thirds,
    mut y: [&mut [u64]; 2],
    messages: [&mut [u64]; 2],
    values: [&[u64]; 2],
    keys: [&PrgKey; 2],
    step: u64,
) {
    let words = thirds.len().div_ceil(64);
    let mut streams = |role, which: usize| {
        let at = thirds.words(role);
        let step = step + thirds.turn(role) as u64;
        stream_rows(path, y[which], words, at, keys[which], step);
        step
    };
    streams(Role::Zero, 0);
    streams(Role::Zero, 1);
    let steps = [streams(Role::One, 0), streams(Role::Two, 1)];
    for (((message, values), key), step) in messages.into_iter().zip(values).zip(keys).zip(steps) {
        add_prg::<Bits>(path, 1, message, values, key, step);
    }
}

/// Writes a stream to the columns `at` of rows of `words` words, row after row.
fn stream_rows(
    path: Path,
    rows: &mut [u64],
    words: usize,
    at: Range<usize>,
    key: &PrgKey,
    step: u64,
) {
    let width = at.len();
    if width >= BLOCK {
        for (i, row) in rows.chunks_exact_mut(words).enumerate() {
            key.fill(path, step, (i * width) as u64, &mut row[at.clone()]);
        }
        return;
    }
    // Short rows: as many as a block of the stream has.
    let mut block = [0; BLOCK];
    let Some(count) = BLOCK.checked_div(width) else {
        return;
    };
    for (i, rows) in rows.chunks_mut(count * words).enumerate() {
        let block = &mut block[..rows.len() / words * width];
        key.fill(path, step, (i * count * width) as u64, block);
        for (row, part) in rows.chunks_exact_mut(words).zip(block.chunks_exact(width)) {
            row[at.clone()].copy_from_slice(part);
        }
    }
}
