// SPDX-License-Identifier: Apache-2.0
//! Bytes as elements of GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, eight to a word, and the linear steps of AES (FIPS-197).
//!
//! With GFNI a product of bytes and a linear map of their bits are one instruction each. Elsewhere both are sums over the
//! bits of a byte, so that no path looks anything up by a value.

use crate::path::{Level, Path};

/// A map of bytes that is linear over GF(2): entry k is the image of bit k.
type Map = [u8; 8];

/// `out ^= x^(2^i) y^(2^j)` for `squarings = [i, j]`, byte by byte; i and j are at most 7.
pub fn gf256_mul(path: Path, out: &mut [u64], x: &[u64], y: &[u64], squarings: [usize; 2]) {
    assert!(x.len() == out.len() && y.len() == out.len());
    let maps = squarings.map(|times| POWERS[times]);
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 => unsafe { x86::wide::mul(out, x, y, maps) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with AVX2, and GFNI has just been found.
        Level::Avx2 if x86::has_gfni() => unsafe { x86::narrow::mul(out, x, y, maps) },
        _ => plain_mul(path, out, x, y, maps),
    }
}

/// The linear part of a round of AES on blocks of two words: that of the S-box without its constant, ShiftRows,
/// MixColumns where `mix`, and `^ key`.
pub fn aes_layer(path: Path, out: &mut [u64], x: &[u64], key: &[u64], mix: bool) {
    assert!(x.len() == out.len() && key.len() == out.len() && out.len().is_multiple_of(2));
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 => unsafe { x86::wide::layer(out, x, key, mix) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with AVX2, and GFNI has just been found.
        Level::Avx2 if x86::has_gfni() => unsafe { x86::narrow::layer(out, x, key, mix) },
        _ => plain_layer(path, out, x, key, mix),
    }
}

// --- maps, at compile time --------------------------------------------------------------------------------------

const fn product(mut x: u8, y: u8) -> u8 {
    let mut out = 0;
    let mut k = 0;
    while k < 8 {
        if y >> k & 1 == 1 {
            out ^= x;
        }
        x = (x << 1) ^ if x >> 7 == 1 { 0x1b } else { 0 };
        k += 1;
    }
    out
}

/// Entry i is the map to the power 2^i.
const POWERS: [Map; 8] = {
    let mut maps = [[0; 8]; 8];
    let mut i = 0;
    while i < 8 {
        let mut k = 0;
        while k < 8 {
            maps[i][k] = if i == 0 {
                1 << k
            } else {
                product(maps[i - 1][k], maps[i - 1][k])
            };
            k += 1;
        }
        i += 1;
    }
    maps
};

/// The linear part of the map that follows the inversion in the S-box: FIPS-197, equation 5.1.
const AFFINE: Map = {
    let mut map = [0; 8];
    let mut k = 0;
    while k < 8 {
        let bit = 1u8 << k;
        map[k] =
            bit ^ bit.rotate_left(1) ^ bit.rotate_left(2) ^ bit.rotate_left(3) ^ bit.rotate_left(4);
        k += 1;
    }
    map
};

// --- without GFNI -----------------------------------------------------------------------------------------------

const LOW: u64 = 0x0101_0101_0101_0101;

/// 0xff in each byte whose lowest bit is set, 0 in the others.
#[inline(always)]
fn spread(x: u64) -> u64 {
    let low = x & LOW;
    (low << 8).wrapping_sub(low)
}

#[inline(always)]
fn double(x: u64) -> u64 {
    ((x & (0x7f * LOW)) << 1) ^ (spread(x >> 7) & (0x1b * LOW))
}

#[inline(always)]
fn mapped(x: u64, map: &Map) -> u64 {
    let mut out = 0;
    for (k, image) in map.iter().enumerate() {
        out ^= spread(x >> k) & (u64::from(*image) * LOW);
    }
    out
}

#[inline(always)]
fn multiplied(mut x: u64, y: u64) -> u64 {
    let mut out = 0;
    for k in 0..8 {
        out ^= spread(y >> k) & x;
        x = double(x);
    }
    out
}

/// Byte r of each column of four takes the place of byte r - 1.
#[inline(always)]
fn turned(x: u64) -> u64 {
    const LAST: u64 = 0xff00_0000_ff00_0000;
    (x >> 8 & !LAST) | (x << 24 & LAST)
}

#[inline(always)]
fn mixed(x: u64) -> u64 {
    let (twice, next) = (double(x), turned(x));
    twice ^ turned(twice ^ x) ^ turned(turned(x ^ next))
}

/// ShiftRows: row r of the columns 0, 1 in the first word and 2, 3 in the second moves r columns to the left.
#[inline(always)]
fn shifted([first, second]: [u64; 2]) -> [u64; 2] {
    const ROW: u64 = 0x0000_00ff_0000_00ff;
    let half = |a: u64, b: u64| {
        (a & ROW)
            | ((a >> 32 | b << 32) & (ROW << 8))
            | (b & (ROW << 16))
            | ((b >> 32 | a << 32) & (ROW << 24))
    };
    [half(first, second), half(second, first)]
}

crate::kernel! {
    fn plain_mul(out: &mut [u64], x: &[u64], y: &[u64], maps: [Map; 2]) {
        for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
            *out ^= multiplied(mapped(*x, &maps[0]), mapped(*y, &maps[1]));
        }
    }
}

crate::kernel! {
    fn plain_layer(out: &mut [u64], x: &[u64], key: &[u64], mix: bool) {
        let (out, _) = out.as_chunks_mut::<2>();
        let ((x, _), (key, _)) = (x.as_chunks::<2>(), key.as_chunks::<2>());
        for ((out, x), key) in out.iter_mut().zip(x).zip(key) {
            let block = shifted(x.map(|word| mapped(word, &AFFINE)));
            let block = if mix { block.map(mixed) } else { block };
            *out = [block[0] ^ key[0], block[1] ^ key[1]];
        }
    }
}

// --- with GFNI --------------------------------------------------------------------------------------------------

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{AFFINE, Map, product};

    pub fn has_gfni() -> bool {
        std::arch::is_x86_feature_detected!("gfni")
    }

    /// A map as the affine instruction takes it: byte 7 - i says which bits add up to bit i.
    const fn matrix(map: &Map) -> i64 {
        let mut rows = 0u64;
        let mut at = 0;
        while at < 64 {
            let (i, k) = (at / 8, at % 8);
            rows |= ((map[k] >> i & 1) as u64) << (8 * (7 - i) + k);
            at += 1;
        }
        rows as i64
    }

    /// The map of the S-box, then a doubling.
    const TWICE: Map = {
        let mut map = AFFINE;
        let mut k = 0;
        while k < 8 {
            map[k] = product(map[k], 2);
            k += 1;
        }
        map
    };

    /// Where each byte of a block comes from in ShiftRows, and where columns turn by one byte and by two.
    const SHIFT: u128 = 0x0b06_010c_0702_0d08_030e_0904_0f0a_0500;
    const TURN: u128 = 0x0c0f_0e0d_080b_0a09_0407_0605_0003_0201;
    const TURN_TWICE: u128 = 0x0d0c_0f0e_0908_0b0a_0504_0706_0100_0302;

    /// Both kernels for one width of vector.
    macro_rules! kernels {
        (
            $name:ident, $features:literal, $words:literal, $vector:ty, $load:ident, $store:ident, $xor:ident, $all:ident,
            $lanes:ident, $mul:ident, $affine:ident, $shuffle:ident
        ) => {
            pub mod $name {
                use super::{AFFINE, Map, SHIFT, TURN, TURN_TWICE, TWICE, matrix};
                use std::arch::x86_64::*;

                type Words = [u64; $words];

                #[inline]
                #[target_feature(enable = $features)]
                fn load(words: &Words) -> $vector {
                    // SAFETY: `words` is as long as a vector, and the load needs no alignment.
                    unsafe { $load(words.as_ptr().cast()) }
                }

                #[inline]
                #[target_feature(enable = $features)]
                fn store(words: &mut Words, vector: $vector) {
                    // SAFETY: `words` is as long as a vector, and the store needs no alignment.
                    unsafe { $store(words.as_mut_ptr().cast(), vector) }
                }

                #[inline]
                #[target_feature(enable = $features)]
                fn in_each_block(bytes: u128) -> $vector {
                    $lanes(_mm_set_epi64x((bytes >> 64) as i64, bytes as i64))
                }

                fn padded(words: &[u64]) -> Words {
                    let mut out = [0; $words];
                    out[..words.len()].copy_from_slice(words);
                    out
                }

                #[target_feature(enable = $features)]
                pub fn mul(out: &mut [u64], x: &[u64], y: &[u64], maps: [Map; 2]) {
                    let [left, right] = [$all(matrix(&maps[0])), $all(matrix(&maps[1]))];
                    let step = |out: &mut Words, x: &Words, y: &Words| {
                        let (x, y) = (load(x), load(y));
                        let product = $mul($affine::<0>(x, left), $affine::<0>(y, right));
                        store(out, $xor(load(out), product));
                    };
                    let (x, y) = (x.as_chunks(), y.as_chunks());
                    let (whole, rest) = out.as_chunks_mut();
                    for ((out, x), y) in whole.iter_mut().zip(x.0).zip(y.0) {
                        step(out, x, y);
                    }
                    let mut last = padded(rest);
                    step(&mut last, &padded(x.1), &padded(y.1));
                    rest.copy_from_slice(&last[..rest.len()]);
                }

                #[target_feature(enable = $features)]
                pub fn layer(out: &mut [u64], x: &[u64], key: &[u64], mix: bool) {
                    let (once, twice) = ($all(matrix(&AFFINE)), $all(matrix(&TWICE)));
                    let shift = in_each_block(SHIFT);
                    let [turn, turn_twice] = [in_each_block(TURN), in_each_block(TURN_TWICE)];
                    let step = |out: &mut Words, x: &Words, key: &Words| {
                        let shifted = $shuffle(load(x), shift);
                        let x = $affine::<0>(shifted, once);
                        let x = if mix {
                            let double = $affine::<0>(shifted, twice);
                            let next = $shuffle($xor(double, x), turn);
                            let others = $shuffle($xor(x, $shuffle(x, turn)), turn_twice);
                            $xor(double, $xor(next, others))
                        } else {
                            x
                        };
                        store(out, $xor(x, load(key)));
                    };
                    let (x, key) = (x.as_chunks(), key.as_chunks());
                    let (whole, rest) = out.as_chunks_mut();
                    for ((out, x), key) in whole.iter_mut().zip(x.0).zip(key.0) {
                        step(out, x, key);
                    }
                    let mut last = padded(rest);
                    step(&mut last, &padded(x.1), &padded(key.1));
                    rest.copy_from_slice(&last[..rest.len()]);
                }
            }
        };
    }

    kernels!(
        wide,
        "gfni,avx512f,avx512bw",
        8,
        __m512i,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        _mm512_xor_si512,
        _mm512_set1_epi64,
        _mm512_broadcast_i32x4,
        _mm512_gf2p8mul_epi8,
        _mm512_gf2p8affine_epi64_epi8,
        _mm512_shuffle_epi8
    );
    kernels!(
        narrow,
        "gfni,avx2",
        4,
        __m256i,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        _mm256_xor_si256,
        _mm256_set1_epi64x,
        _mm256_broadcastsi128_si256,
        _mm256_gf2p8mul_epi8,
        _mm256_gf2p8affine_epi64_epi8,
        _mm256_shuffle_epi8
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of bytes, eight to a word.
    fn pairs() -> (Vec<u64>, Vec<u64>) {
        let bytes = |of: fn(usize) -> usize| {
            let bytes: Vec<u8> = (0..1 << 16).map(|i| of(i) as u8).collect();
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| u64::from_le_bytes(*b))
                .collect()
        };
        (bytes(|i| i >> 8), bytes(|i| i & 255))
    }

    #[test]
    fn every_path_multiplies_every_pair_of_bytes() {
        let (x, y) = pairs();
        for path in Path::available() {
            for squarings in [[0, 0], [0, 1], [2, 1], [4, 0], [7, 3]] {
                let mut out = vec![0; x.len()];
                gf256_mul(path, &mut out, &x, &y, squarings);
                for (i, byte) in out.iter().flat_map(|word| word.to_le_bytes()).enumerate() {
                    let power =
                        |x: usize, times: usize| (0..times).fold(x as u8, |x, _| product(x, x));
                    let want = product(power(i >> 8, squarings[0]), power(i & 255, squarings[1]));
                    assert_eq!(byte, want, "{} {i} {squarings:?}", path.name());
                }
            }
        }
    }

    #[test]
    fn a_product_is_added_to_what_is_there_at_every_length() {
        let (x, y) = pairs();
        for path in Path::available() {
            for n in [0, 1, 3, 4, 5, 7, 8, 9, 16, 17] {
                let (mut out, mut want) = (x[8000..8000 + n].to_vec(), vec![0; n]);
                gf256_mul(path, &mut out, &x[3000..3000 + n], &y[..n], [1, 2]);
                plain_mul(
                    Path::PORTABLE,
                    &mut want,
                    &x[3000..],
                    &y,
                    [POWERS[1], POWERS[2]],
                );
                for i in 0..n {
                    assert_eq!(out[i], want[i] ^ x[8000 + i], "{} {n}", path.name());
                }
            }
        }
    }

    /// FIPS-197, appendix B, round 1: the state after SubBytes, after MixColumns and the key, and without MixColumns.
    #[test]
    fn every_path_gives_the_states_of_fips_197_appendix_b() {
        let words = |block: u128| {
            let bytes = block.to_be_bytes();
            let half = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            [half(0), half(8)]
        };
        let substituted = 0xd42711aee0bf98f1b8b45de51e415230u128.to_be_bytes();
        let key = words(0xa0fafe1788542cb123a339392a6c7605);
        // What the affine map makes the substituted bytes from, but for its constant, which passes through all steps.
        let inverse = substituted.map(|byte| {
            (0..=255u8)
                .find(|x| mapped(u64::from(*x), &AFFINE) as u8 == byte ^ 0x63)
                .unwrap()
        });
        let x = words(u128::from_be_bytes(inverse));
        for path in Path::available() {
            for (mix, want) in [
                (true, 0xa49c7ff2689f352b6b5bea43026a5049u128),
                (
                    false,
                    0xd4bf5d30e0b452aeb84111f11e2798e5 ^ 0xa0fafe1788542cb123a339392a6c7605,
                ),
            ] {
                let mut out = [0; 2];
                aes_layer(path, &mut out, &x, &key, mix);
                assert_eq!(
                    out.map(|word| word ^ (0x63 * LOW)),
                    words(want),
                    "{}",
                    path.name()
                );
            }
        }
    }

    #[test]
    fn every_path_gives_the_same_layer_at_every_length() {
        let (x, key) = pairs();
        for path in Path::available() {
            for n in [0, 2, 4, 6, 8, 10, 16, 18, 64] {
                for mix in [false, true] {
                    let (mut out, mut want) = (vec![0; n], vec![0; n]);
                    aes_layer(path, &mut out, &x[1001..1001 + n], &key[..n], mix);
                    plain_layer(Path::PORTABLE, &mut want, &x[1001..], &key, mix);
                    assert_eq!(out, want, "{} {n}", path.name());
                }
            }
        }
    }
}
