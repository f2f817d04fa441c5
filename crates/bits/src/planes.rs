// SPDX-License-Identifier: Apache-2.0
//! Between elements and bit planes.

use tacit_simd::{GROUP, LANES, Path, flat_to_planes, planes_to_flat};

/// The low `bits` bits of each element of `x` as planes: `out` is `[bits, ceil(n / 64)]`, zero padded.
pub fn to_planes(path: Path, out: &mut [u64], x: &[u64], bits: usize) {
    let mut planes = Planes::new(path, out, x.len(), bits);
    let (groups, rest) = x.as_chunks::<GROUP>();
    for group in groups {
        planes.push(group);
    }
    if !rest.is_empty() {
        let mut padded = [0; GROUP];
        padded[..rest.len()].copy_from_slice(rest);
        planes.push(&padded);
    }
}

/// Bit planes that are filled by one group of elements after the other.
pub struct Planes<'a> {
    path: Path,
    out: &'a mut [u64],
    words: usize,
    bits: usize,
    at: usize,
    group: [[u64; LANES]; 64],
}

impl<'a> Planes<'a> {
    /// Planes of the low `bits` bits of `n` elements: `out` is `[bits, ceil(n / 64)]`.
    pub fn new(path: Path, out: &'a mut [u64], n: usize, bits: usize) -> Self {
        let words = n.div_ceil(64);
        assert!(bits <= 64 && out.len() == bits * words);
        Self {
            path,
            out,
            words,
            bits,
            at: 0,
            group: [[0; LANES]; 64],
        }
    }

    /// The next group; in the last one, what is beyond the `n` elements must be zero.
    #[inline]
    pub fn push(&mut self, group: &[u64; GROUP]) {
        flat_to_planes(self.path, group, &mut self.group);
        let n = LANES.min(self.words - self.at);
        for (j, plane) in self.group[..self.bits].iter().enumerate() {
            let start = j * self.words + self.at;
            if n == LANES {
                // A constant length: one store, not a call.
                self.out[start..][..LANES].copy_from_slice(plane);
            } else {
                self.out[start..][..n].copy_from_slice(&plane[..n]);
            }
        }
        self.at += n;
    }
}

/// The elements of `[bits, words]` planes; `out` has at most `64 * words` elements, with zeros above `bits` bits.
pub fn from_planes(path: Path, out: &mut [u64], planes: &[u64], bits: usize, words: usize) {
    assert!(bits <= 64 && planes.len() == bits * words && out.len() <= 64 * words);
    let mut lanes = [[0; LANES]; 64];
    let mut padded = [0; GROUP];
    let (groups, rest) = out.as_chunks_mut::<GROUP>();
    let whole = groups.len();
    for (i, group) in groups.iter_mut().enumerate() {
        for (j, lane) in lanes[..bits].iter_mut().enumerate() {
            lane.copy_from_slice(&planes[j * words + i * LANES..][..LANES]);
        }
        planes_to_flat(path, &lanes, group);
    }
    if !rest.is_empty() {
        let n = rest.len().div_ceil(64);
        for (j, lane) in lanes[..bits].iter_mut().enumerate() {
            lane[..n].copy_from_slice(&planes[j * words + whole * LANES..][..n]);
        }
        planes_to_flat(path, &lanes, &mut padded);
        rest.copy_from_slice(&padded[..rest.len()]);
    }
}
