// SPDX-License-Identifier: Apache-2.0
//! AES-128 in counter mode with AES-NI and VAES (FIPS-197, SP 800-38A section 6.5).

use crate::path::{Level, Path};

/// The eleven round keys of AES-128, in the byte order of FIPS-197.
pub type RoundKeys = [[u8; 16]; 11];

/// Fills `out` with key stream: block i is `AES(be64(step) || be64(first + i))` as two little-endian words.
///
/// Returns false and leaves `out` alone where the path has no AES instructions; the caller then uses a portable cipher.
/// `out` is written in whole blocks: where its length is odd, its last word is left alone.
pub fn aes128_ctr(path: Path, keys: &RoundKeys, step: u64, first: u64, out: &mut [u64]) -> bool {
    let (blocks, _) = out.as_chunks_mut::<2>();
    match path.level() {
        Level::Portable => {
            let _ = (keys, step, first, blocks);
            return false;
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx2 => unsafe { x86::ctr_aesni(keys, step, first, blocks) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 => unsafe { x86::ctr_vaes(keys, step, first, blocks) },
    }
    true
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::RoundKeys;
    use std::arch::x86_64::*;

    /// Vectors in flight: enough to hide the latency of the round instruction, few enough to stay in registers.
    const FLIGHT: usize = 8;

    #[target_feature(enable = "aes,avx2")]
    pub fn ctr_aesni(keys: &RoundKeys, step: u64, first: u64, out: &mut [[u64; 2]]) {
        let keys = keys.map(|key| {
            let (low, high) = halves(&key);
            _mm_set_epi64x(high, low)
        });
        let step = step.swap_bytes() as i64;
        let mut counter = first;
        let mut encrypt = |out: &mut [[u64; 2]]| {
            let mut state = [_mm_setzero_si128(); FLIGHT];
            for s in &mut state {
                *s = _mm_xor_si128(_mm_set_epi64x(counter.swap_bytes() as i64, step), keys[0]);
                counter = counter.wrapping_add(1);
            }
            for key in &keys[1..10] {
                for s in &mut state {
                    *s = _mm_aesenc_si128(*s, *key);
                }
            }
            for (s, block) in state.iter_mut().zip(out) {
                *s = _mm_aesenclast_si128(*s, keys[10]);
                *block = [
                    _mm_cvtsi128_si64(*s) as u64,
                    _mm_extract_epi64::<1>(*s) as u64,
                ];
            }
        };
        let (chunks, rest) = out.as_chunks_mut::<FLIGHT>();
        for chunk in chunks {
            encrypt(chunk);
        }
        if !rest.is_empty() {
            encrypt(rest);
        }
    }

    #[target_feature(enable = "aes,vaes,avx512f,avx512bw")]
    pub fn ctr_vaes(keys: &RoundKeys, step: u64, first: u64, out: &mut [[u64; 2]]) {
        let keys = keys.map(|key| {
            let (low, high) = halves(&key);
            _mm512_set_epi64(high, low, high, low, high, low, high, low)
        });
        // Each 128-bit lane holds (step, counter) as native integers; one byte shuffle per vector makes them big-endian.
        let swap = _mm512_set4_epi32(0x08090a0b, 0x0c0d0e0f, 0x00010203, 0x04050607);
        let (step, c) = (step as i64, first as i64);
        let mut counter = _mm512_add_epi64(
            _mm512_set_epi64(c, step, c, step, c, step, c, step),
            _mm512_set_epi64(3, 0, 2, 0, 1, 0, 0, 0),
        );
        let four = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
        let mut encrypt = |out: &mut [[u64; 8]; FLIGHT]| {
            let mut state = [_mm512_setzero_si512(); FLIGHT];
            for s in &mut state {
                *s = _mm512_xor_si512(_mm512_shuffle_epi8(counter, swap), keys[0]);
                counter = _mm512_add_epi64(counter, four);
            }
            for key in &keys[1..10] {
                for s in &mut state {
                    *s = _mm512_aesenc_epi128(*s, *key);
                }
            }
            for (s, block) in state.iter_mut().zip(out) {
                *s = _mm512_aesenclast_epi128(*s, keys[10]);
                // SAFETY: `block` is 64 writable bytes, and the store needs no alignment.
                unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), *s) };
            }
        };
        let words = out.as_flattened_mut();
        let (chunks, rest) = words.as_chunks_mut::<{ 8 * FLIGHT }>();
        for chunk in chunks {
            encrypt(as_vectors(chunk));
        }
        if !rest.is_empty() {
            let mut last = [0; 8 * FLIGHT];
            encrypt(as_vectors(&mut last));
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    #[inline(always)]
    fn as_vectors(words: &mut [u64; 8 * FLIGHT]) -> &mut [[u64; 8]; FLIGHT] {
        let (vectors, _) = words.as_chunks_mut::<8>();
        vectors
            .try_into()
            .expect("64 words are 8 vectors of 8 words")
    }

    #[inline(always)]
    fn halves(key: &[u8; 16]) -> (i64, i64) {
        let key = u128::from_le_bytes(*key);
        (key as i64, (key >> 64) as i64)
    }
}
