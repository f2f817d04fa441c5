// SPDX-License-Identifier: Apache-2.0
//! Transposes of 64x64 bits, eight at a time.
//!
//! A [`Lanes`] is a group of 512 elements in columns: lane b of row r is element 64 b + r. Work on lanes needs no
//! shuffle, and the eight blocks of 64 elements in a group fill one cache line of each bit plane.

use crate::path::{Level, Path};

/// Blocks of 64 elements that are worked on together.
pub const LANES: usize = 8;

/// Elements of a group.
pub const GROUP: usize = 64 * LANES;

/// 512 words in rows of eight: lane b of row r is word 64 b + r of the flat group.
pub type Lanes = [[u64; LANES]; 64];

/// Reads a flat group into lanes.
#[inline(always)]
pub fn load_lanes(flat: &[u64; GROUP]) -> Lanes {
    let mut lanes = [[0; LANES]; 64];
    for (r, row) in lanes.iter_mut().enumerate() {
        for (b, word) in row.iter_mut().enumerate() {
            *word = flat[64 * b + r];
        }
    }
    lanes
}

/// Writes lanes back to a flat group; the inverse of [`load_lanes`].
#[inline(always)]
pub fn store_lanes(lanes: &Lanes, flat: &mut [u64; GROUP]) {
    for (r, row) in lanes.iter().enumerate() {
        for (b, word) in row.iter().enumerate() {
            flat[64 * b + r] = *word;
        }
    }
}

/// Transposes eight blocks of 64 elements: bit i of lane b of plane j is bit j of element 64 b + i of `flat`.
pub fn flat_to_planes(path: Path, flat: &[u64; GROUP], planes: &mut Lanes) {
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 => unsafe { x86::flat_to_planes(flat, planes) },
        _ => swap_to_planes(path, flat, planes),
    }
}

/// The inverse of [`flat_to_planes`].
pub fn planes_to_flat(path: Path, planes: &Lanes, flat: &mut [u64; GROUP]) {
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 => unsafe { x86::planes_to_flat(planes, flat) },
        _ => swap_to_flat(path, planes, flat),
    }
}

crate::kernel! {
    fn swap_to_planes(flat: &[u64; GROUP], planes: &mut Lanes) {
        *planes = load_lanes(flat);
        swap_network(planes);
    }
}

crate::kernel! {
    fn swap_to_flat(planes: &Lanes, flat: &mut [u64; GROUP]) {
        let mut lanes = *planes;
        swap_network(&mut lanes);
        store_lanes(&lanes, flat);
    }
}

/// The recursive swap of off-diagonal blocks (Warren, Hacker's Delight, section 7-3), on all lanes at once.
#[inline(always)]
fn swap_network(rows: &mut Lanes) {
    let mut width = 32;
    let mut mask = 0x0000_0000_ffff_ffffu64;
    while width > 0 {
        for pair in rows.chunks_exact_mut(2 * width) {
            let (low, high) = pair.split_at_mut(width);
            for (low, high) in low.iter_mut().zip(high) {
                for (low, high) in low.iter_mut().zip(high) {
                    let swap = ((*low >> width) ^ *high) & mask;
                    *low ^= swap << width;
                    *high ^= swap;
                }
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{GROUP, Lanes};
    use std::arch::x86_64::*;

    /// The eight unit vectors: `vgf2p8affineqb(UNIT, x)` is the transpose of the 8x8 bits of each word of x with its
    /// bytes in reverse order.
    const UNIT: i64 = 0x8040_2010_0804_0201u64 as i64;

    /// The indices that make `vpermb` a transpose of 8x8 bytes, of the rows in reverse order where `reverse`.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn byte_transpose(reverse: bool) -> __m512i {
        let mut index = [0u8; 64];
        for (at, byte) in index.iter_mut().enumerate() {
            let row = if reverse { 7 - at % 8 } else { at % 8 };
            *byte = (8 * row + at / 8) as u8;
        }
        // SAFETY: `index` is 64 readable bytes, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(index.as_ptr().cast()) }
    }

    /// Transposes 8x8 words.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn words(x: [__m512i; 8]) -> [__m512i; 8] {
        let pairs = |a, b| (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
        let (a0, a1) = pairs(x[0], x[1]);
        let (a2, a3) = pairs(x[2], x[3]);
        let (a4, a5) = pairs(x[4], x[5]);
        let (a6, a7) = pairs(x[6], x[7]);
        // Now a0 holds words 0, 2, 4, 6 of rows 0 and 1 in pairs, a1 the odd words, and so on.
        let quads = |a, b| {
            (
                _mm512_shuffle_i64x2::<0x88>(a, b),
                _mm512_shuffle_i64x2::<0xdd>(a, b),
            )
        };
        let (b0, b2) = quads(a0, a2); // words 0 and 4, words 2 and 6, of rows 0..4
        let (b4, b6) = quads(a4, a6); // the same of rows 4..8
        let (b1, b3) = quads(a1, a3);
        let (b5, b7) = quads(a5, a7);
        let (c0, c4) = quads(b0, b4);
        let (c2, c6) = quads(b2, b6);
        let (c1, c5) = quads(b1, b5);
        let (c3, c7) = quads(b3, b7);
        [c0, c1, c2, c3, c4, c5, c6, c7]
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(words: &[u64; 8]) -> __m512i {
        // SAFETY: `words` is 64 readable bytes, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(words: &mut [u64; 8], x: __m512i) {
        // SAFETY: `words` is 64 writable bytes, and the store needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) }
    }

    /// Per block of 64 elements: 8x8 bytes, then 8x8 bits, then 8x8 words, then 8x8 bytes; then 8x8 words over blocks.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    pub fn flat_to_planes(flat: &[u64; GROUP], planes: &mut Lanes) {
        let (bytes, reversed, unit) = (
            byte_transpose(false),
            byte_transpose(true),
            _mm512_set1_epi64(UNIT),
        );
        let zero = [_mm512_setzero_si512(); 8];
        let mut blocks = [zero; 8]; // [group of 8 planes][block]: word i is plane 8 k + i of the block
        let (rows, _) = flat.as_chunks::<8>();
        for b in 0..8 {
            let mut m = zero;
            for (i, v) in m.iter_mut().enumerate() {
                let x = _mm512_permutexvar_epi8(reversed, load(&rows[8 * b + i]));
                *v = _mm512_gf2p8affine_epi64_epi8::<0>(unit, x);
            }
            for (k, v) in words(m).into_iter().enumerate() {
                blocks[k][b] = _mm512_permutexvar_epi8(bytes, v);
            }
        }
        for k in 0..8 {
            for (i, v) in words(blocks[k]).into_iter().enumerate() {
                store(&mut planes[8 * k + i], v);
            }
        }
    }

    /// [`flat_to_planes`] backwards: each of its steps is its own inverse.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    pub fn planes_to_flat(planes: &Lanes, flat: &mut [u64; GROUP]) {
        let (bytes, reversed, unit) = (
            byte_transpose(false),
            byte_transpose(true),
            _mm512_set1_epi64(UNIT),
        );
        let zero = [_mm512_setzero_si512(); 8];
        let mut blocks = [zero; 8];
        for k in 0..8 {
            let mut m = zero;
            for (i, v) in m.iter_mut().enumerate() {
                *v = load(&planes[8 * k + i]);
            }
            for (b, v) in words(m).into_iter().enumerate() {
                blocks[b][k] = _mm512_permutexvar_epi8(reversed, v);
            }
        }
        let (rows, _) = flat.as_chunks_mut::<8>();
        for b in 0..8 {
            for (i, v) in words(blocks[b]).into_iter().enumerate() {
                let x = _mm512_gf2p8affine_epi64_epi8::<0>(unit, v);
                store(&mut rows[8 * b + i], _mm512_permutexvar_epi8(bytes, x));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_transposes_bit_by_bit_and_back() {
        let mut flat = [0; GROUP];
        let mut word = 0x9e37_79b9_7f4a_7c15u64;
        for x in &mut flat {
            word = word.wrapping_mul(0xd129_0d3b_3f1c_8a25).rotate_left(23) ^ 0x55;
            *x = word;
        }
        for path in Path::available() {
            let mut planes = [[0; LANES]; 64];
            flat_to_planes(path, &flat, &mut planes);
            for (j, plane) in planes.iter().enumerate() {
                for (i, x) in flat.iter().enumerate() {
                    assert_eq!(
                        plane[i / 64] >> (i % 64) & 1,
                        x >> j & 1,
                        "{} bit {j} element {i}",
                        path.name()
                    );
                }
            }
            let mut back = [0; GROUP];
            planes_to_flat(path, &planes, &mut back);
            assert_eq!(back, flat, "{}", path.name());
        }
    }
}
