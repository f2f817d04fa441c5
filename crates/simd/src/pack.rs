// SPDX-License-Identifier: Apache-2.0
//! Elements of a few bits side by side, eight at a time: eight elements of k bits are k bytes.

use crate::path::{Level, Path};

/// Writes the low `bits` (1 to 64) bits of each element without gaps, least significant first.
///
/// `out` has exactly the bytes they need. Returns false and leaves `out` alone where the path has no instruction for
/// it, and below 8 bits, where three elements may meet in one byte.
pub fn pack_words(path: Path, out: &mut [u8], x: &[u64], bits: usize) -> bool {
    assert!((1..=64).contains(&bits) && out.len() == (x.len() * bits).div_ceil(8));
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 if bits >= 8 => unsafe { x86::pack(out, x, bits) },
        _ => return false,
    }
    #[allow(unreachable_code)]
    true
}

/// The inverse of [`pack_words`], at every width. Returns false and leaves `out` alone where the path cannot.
pub fn unpack_words(path: Path, out: &mut [u64], data: &[u8], bits: usize) -> bool {
    assert!((1..=64).contains(&bits) && data.len() == (out.len() * bits).div_ceil(8));
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a path of this level is made only on a CPU with these features.
        Level::Avx512 => unsafe { x86::unpack(out, data, bits) },
        _ => return false,
    }
    #[allow(unreachable_code)]
    true
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// How eight elements of k bits and k bytes map to each other. Element e starts at bit k e: byte `first`, bit `shift`.
    #[derive(Clone, Copy)]
    struct Layout {
        shift: [u64; 8],
        /// For each byte of an element, where it is in the packed bytes; first its low eight bytes, then the ninth.
        unpack: [[u8; 64]; 2],
        /// For each packed byte, where it is in the shifted elements, of the even ones and of the odd ones, and which
        /// packed bytes have such an element. From 64 on an index means the ninth byte.
        pack: [[u8; 64]; 2],
        used: [u64; 2],
    }

    static LAYOUTS: [Layout; 65] = {
        let empty = Layout {
            shift: [0; 8],
            unpack: [[0; 64]; 2],
            pack: [[0; 64]; 2],
            used: [0; 2],
        };
        let mut layouts = [empty; 65];
        let mut bits = 1;
        while bits <= 64 {
            let layout = &mut layouts[bits];
            let mut e = 0;
            while e < 8 {
                let first = e * bits / 8;
                layout.shift[e] = (e * bits % 8) as u64;
                let mut d = 0;
                while d <= 8 {
                    let at = first + d;
                    // Bytes beyond the element are masked away, so their indices may wrap.
                    layout.unpack[d / 8][8 * e + d % 8] = (at % 64) as u8;
                    if at < 64 && 8 * at < (e + 1) * bits {
                        layout.pack[e % 2][at] = (8 * e + d + d / 8 * 56) as u8;
                        layout.used[e % 2] |= 1 << at;
                    }
                    d += 1;
                }
                e += 1;
            }
            bits += 1;
        }
        layouts
    };

    /// The lowest `n` of 64 lanes.
    fn lanes(n: usize) -> u64 {
        if n < 64 { (1 << n) - 1 } else { u64::MAX }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn bytes(x: &[u8; 64]) -> __m512i {
        // SAFETY: `x` is 64 readable bytes, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub fn pack(out: &mut [u8], x: &[u64], bits: usize) {
        let layout = &LAYOUTS[bits];
        let mask = _mm512_set1_epi64((u64::MAX >> (64 - bits)) as i64);
        let [even, odd] = [bytes(&layout.pack[0]), bytes(&layout.pack[1])];
        // SAFETY: `shift` is 64 readable bytes, and the load needs no alignment.
        let left = unsafe { _mm512_loadu_si512(layout.shift.as_ptr().cast()) };
        let right = _mm512_sub_epi64(_mm512_set1_epi64(64), left);
        let mut out = out;
        for x in x.chunks(8) {
            // SAFETY: the mask lets only the elements of `x` be read.
            let x = unsafe { _mm512_maskz_loadu_epi64(lanes(x.len()) as u8, x.as_ptr().cast()) };
            let x = _mm512_and_si512(x, mask);
            // A shift by 64 gives zero.
            let (low, ninth) = (_mm512_sllv_epi64(x, left), _mm512_srlv_epi64(x, right));
            let packed = _mm512_or_si512(
                _mm512_maskz_permutex2var_epi8(layout.used[0], low, even, ninth),
                _mm512_maskz_permutex2var_epi8(layout.used[1], low, odd, ninth),
            );
            // Whole vectors while there is room: the bytes after the first k are written again.
            if out.len() >= 64 {
                // SAFETY: `out` has 64 writable bytes, and the store needs no alignment.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), packed) };
            } else {
                // SAFETY: the mask lets only the bytes of `out` be written.
                unsafe {
                    _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), lanes(out.len()), packed);
                }
            }
            let next = bits.min(out.len());
            out = &mut out[next..];
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub fn unpack(out: &mut [u64], data: &[u8], bits: usize) {
        let layout = &LAYOUTS[bits];
        let mask = _mm512_set1_epi64((u64::MAX >> (64 - bits)) as i64);
        let [low, ninth] = [bytes(&layout.unpack[0]), bytes(&layout.unpack[1])];
        // SAFETY: `shift` is 64 readable bytes, and the load needs no alignment.
        let right = unsafe { _mm512_loadu_si512(layout.shift.as_ptr().cast()) };
        let left = _mm512_sub_epi64(_mm512_set1_epi64(64), right);
        let mut data = data;
        for out in out.chunks_mut(8) {
            // SAFETY: the mask lets only the bytes of `data` be read.
            let packed = unsafe {
                _mm512_maskz_loadu_epi8(lanes(bits.min(data.len())), data.as_ptr().cast())
            };
            data = &data[bits.min(data.len())..];
            let low = _mm512_srlv_epi64(_mm512_permutexvar_epi8(low, packed), right);
            // At least 57 places up, so that nothing but the ninth byte stays.
            let ninth = _mm512_sllv_epi64(_mm512_permutexvar_epi8(ninth, packed), left);
            let x = _mm512_and_si512(_mm512_or_si512(low, ninth), mask);
            // SAFETY: the mask lets only the elements of `out` be written.
            unsafe {
                _mm512_mask_storeu_epi64(out.as_mut_ptr().cast(), lanes(out.len()) as u8, x);
            }
        }
    }
}
