// SPDX-License-Identifier: Apache-2.0
//! Between elements and bit planes.

use tacit_simd::{GROUP, LANES, Path, flat_to_planes, planes_to_flat};

/// The low `bits` bits of each element of `x` as planes: `out` is `[bits, ceil(n / 64)]`, zero padded.
pub fn to_planes(path: Path, out: &mut [u64], x: &[u64], bits: usize) {
    let words = x.len().div_ceil(64);
    assert!(bits <= 64 && out.len() == bits * words);
    let mut planes = [[0; LANES]; 64];
    let mut padded = [0; GROUP];
    let (groups, rest) = x.as_chunks::<GROUP>();
    padded[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(&padded);
    for (i, group) in groups.iter().chain(last).enumerate() {
        let at = i * LANES;
        flat_to_planes(path, group, &mut planes);
        let n = LANES.min(words - at);
        for (j, plane) in planes[..bits].iter().enumerate() {
            if n == LANES {
                // A constant length: one store, not a call.
                out[j * words + at..][..LANES].copy_from_slice(plane);
            } else {
                out[j * words + at..][..n].copy_from_slice(&plane[..n]);
            }
        }
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
