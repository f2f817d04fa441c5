// SPDX-License-Identifier: Apache-2.0
//! Elements of a few bits, concatenated without gaps.

use tacit_simd::{GROUP, LANES, Path, kernel, load_lanes, pack_words, store_lanes, unpack_words};

/// Bytes of a full group at 64 bits, the most a group can take.
const GROUP_BYTES: usize = 8 * GROUP;

/// Bytes of `n` elements of `bits` bits, or None where that is no `usize`.
pub fn packed_len(n: usize, bits: usize) -> Option<usize> {
    Some(n.checked_mul(bits)?.div_ceil(8))
}

/// The low `bits` (1 to 64) bits of each element, least significant first; `out` has exactly the bytes they need.
pub fn pack(path: Path, out: &mut [u8], x: &[u64], bits: usize) {
    assert!((1..=64).contains(&bits) && packed_len(x.len(), bits) == Some(out.len()));
    if pack_words(path, out, x, bits) {
        return;
    }
    let (groups, rest) = x.as_chunks::<GROUP>();
    let mut chunks = out.chunks_mut(GROUP / 8 * bits);
    for (group, chunk) in groups.iter().zip(&mut chunks) {
        pack_group(path, group, bits, chunk);
    }
    if let Some(chunk) = chunks.next() {
        let (mut padded, mut bytes) = ([0; GROUP], [0; GROUP_BYTES]);
        padded[..rest.len()].copy_from_slice(rest);
        pack_group(path, &padded, bits, &mut bytes[..GROUP / 8 * bits]);
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
}

/// The inverse of [`pack`]: bits above `bits` are zero, padding at the end of `data` is ignored.
pub fn unpack(path: Path, out: &mut [u64], data: &[u8], bits: usize) {
    assert!((1..=64).contains(&bits) && packed_len(out.len(), bits) == Some(data.len()));
    if unpack_words(path, out, data, bits) {
        return;
    }
    let (groups, rest) = out.as_chunks_mut::<GROUP>();
    let mut chunks = data.chunks(GROUP / 8 * bits);
    for (group, chunk) in groups.iter_mut().zip(&mut chunks) {
        unpack_group(path, chunk, bits, group);
    }
    if let Some(chunk) = chunks.next() {
        let (mut padded, mut bytes) = ([0; GROUP], [0; GROUP_BYTES]);
        bytes[..chunk.len()].copy_from_slice(chunk);
        unpack_group(path, &bytes[..GROUP / 8 * bits], bits, &mut padded);
        rest.copy_from_slice(&padded[..rest.len()]);
    }
}

kernel! {
    /// [`pack`] for one group of elements; `out` has `64 * bits` bytes. Its eight blocks of 64 elements take `bits`
    /// words each, and are packed side by side.
    fn pack_group(flat: &[u64; GROUP], bits: usize, out: &mut [u8]) {
        let mask = u64::MAX >> (64 - bits);
        let mut packed = [[0; LANES]; 64];
        let (mut word, mut used) = (0, 0);
        let mut open = [0; LANES];
        for row in load_lanes(flat) {
            let row = row.map(|x| x & mask);
            for b in 0..LANES {
                open[b] |= row[b] << used;
            }
            used += bits;
            if used >= 64 {
                packed[word] = open;
                word += 1;
                used -= 64;
                // What did not fit. In two shifts, as the sum of both may be 64.
                open = row.map(|x| (x >> 1) >> (bits - used - 1));
            }
        }
        let (words, _) = out.as_chunks_mut::<8>();
        for (b, words) in words.chunks_exact_mut(bits).take(LANES).enumerate() {
            for (w, bytes) in words.iter_mut().enumerate() {
                *bytes = packed[w][b].to_le_bytes();
            }
        }
    }
}

kernel! {
    /// [`unpack`] for one group of elements; `data` has `64 * bits` bytes.
    fn unpack_group(data: &[u8], bits: usize, flat: &mut [u64; GROUP]) {
        let mask = u64::MAX >> (64 - bits);
        let mut packed = [[0; LANES]; 65];
        let (words, _) = data.as_chunks::<8>();
        for (b, words) in words.chunks_exact(bits).take(LANES).enumerate() {
            for (w, bytes) in words.iter().enumerate() {
                packed[w][b] = u64::from_le_bytes(*bytes);
            }
        }
        let mut lanes = [[0; LANES]; 64];
        for (r, row) in lanes.iter_mut().enumerate() {
            let (word, used) = (r * bits / 64, r * bits % 64);
            for b in 0..LANES {
                // In two shifts, as the sum of both may be 64.
                let high = (packed[word + 1][b] << 1) << (63 - used);
                row[b] = (packed[word][b] >> used | high) & mask;
            }
        }
        store_lanes(&lanes, flat);
    }
}
