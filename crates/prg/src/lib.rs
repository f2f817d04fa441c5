// SPDX-License-Identifier: Apache-2.0
//! Pseudorandom streams: AES-128 in counter mode, addressed by (step, word).
//!
//! Stream number `step` of a key is AES-CTR with initial counter block `be64(step) || be64(0)` (FIPS-197, SP 800-38A),
//! read as little-endian 64-bit words. A stream has no state, so any part of it can be made at any time by any thread.

#![forbid(unsafe_code)]

use std::sync::{Mutex, PoisonError};
use std::{fmt, thread};

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block, hazmat};
use tacit_simd::{Path, RoundKeys, aes128_ctr};
use zeroize::Zeroize;

/// Words that the fused kernels make and use at a time: 4 KiB, so that two masks and five operands stay in the L1 cache.
pub const BLOCK: usize = 512;

/// The fewest words that are worth a thread of their own.
const PART: usize = 1 << 16;

/// Divides `out` between at most `threads` threads: `work(place of the first word, words)`. Parts begin at blocks.
pub fn in_parts<T: Send>(threads: usize, out: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    let part = out
        .len()
        .div_ceil(threads.max(1))
        .max(PART)
        .next_multiple_of(BLOCK);
    if part >= out.len() {
        return work(0, out);
    }
    in_chunks(out, part, |i, out| work(i * part, out));
}

/// `work(number of the chunk, chunk)` for chunks of so many elements, each in a thread of its own as far as the system
/// has threads to give; the calling thread is one of them.
pub fn in_chunks<T: Send>(out: &mut [T], chunk: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let count = out.len().div_ceil(chunk);
    let chunks = Mutex::new(out.chunks_mut(chunk).enumerate());
    let run = || {
        let next = || chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((i, chunk)) = next() {
            work(i, chunk);
        }
    };
    thread::scope(|scope| {
        let started = (1..count).map(|_| thread::Builder::new().spawn_scoped(scope, run));
        // Where no more can be had, those that there are do all.
        let _ = started.take_while(Result::is_ok).count();
        run();
    });
}

/// An expanded AES-128 key. Both forms are wiped on drop, and `Debug` shows only the type.
pub struct PrgKey {
    /// For the paths with AES instructions. Boxed, so that moving the key leaves no copy behind.
    round_keys: Box<RoundKeys>,
    /// For the portable path; wipes itself.
    cipher: Box<Aes128>,
}

impl PrgKey {
    /// Expands a key.
    pub fn new(key: &[u8; 16]) -> Self {
        let mut round_keys = Box::new([[0; 16]; 11]);
        expand(key, &mut round_keys);
        Self {
            round_keys,
            cipher: Box::new(Aes128::new(&(*key).into())),
        }
    }

    /// Fills `out` with words `offset ..` of stream `step`.
    pub fn fill(&self, path: Path, step: u64, offset: u64, out: &mut [u64]) {
        // An odd offset starts in the middle of a cipher block, an odd end stops in the middle of one.
        let (first, rest) = out.split_at_mut(out.len().min(offset as usize % 2));
        if let [word] = first {
            *word = self.block(path, step, offset / 2)[1];
        }
        let start = offset.div_ceil(2);
        let (whole, last) = rest.split_at_mut(rest.len() / 2 * 2);
        self.blocks(path, step, start, whole);
        if let [word] = last {
            *word = self.block(path, step, start + whole.len() as u64 / 2)[0];
        }
    }

    fn block(&self, path: Path, step: u64, block: u64) -> [u64; 2] {
        let mut words = [0; 2];
        self.blocks(path, step, block, &mut words);
        words
    }

    /// Whole blocks `first ..`; the length of `out` is even.
    fn blocks(&self, path: Path, step: u64, first: u64, out: &mut [u64]) {
        if aes128_ctr(path, &self.round_keys, step, first, out) {
            return;
        }
        let mut blocks = [Block::default(); 32];
        let mut counter = first;
        for words in out.chunks_mut(2 * blocks.len()) {
            let blocks = &mut blocks[..words.len() / 2];
            for block in blocks.iter_mut() {
                block[..8].copy_from_slice(&step.to_be_bytes());
                block[8..].copy_from_slice(&counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            self.cipher.encrypt_blocks(blocks);
            for (word, bytes) in words
                .iter_mut()
                .zip(blocks.iter().flat_map(|block| block.as_chunks::<8>().0))
            {
                *word = u64::from_le_bytes(*bytes);
            }
        }
    }
}

impl Drop for PrgKey {
    fn drop(&mut self) {
        self.round_keys.zeroize();
    }
}

impl fmt::Debug for PrgKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrgKey")
    }
}

/// The key schedule of FIPS-197, section 5.2.
fn expand(key: &[u8; 16], round_keys: &mut RoundKeys) {
    const RCON: [u8; 10] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1b, 0x36];
    round_keys[0] = *key;
    for round in 1..11 {
        let mut before = round_keys[round - 1];
        let mut word = sub_word([before[13], before[14], before[15], before[12]]);
        word[0] ^= RCON[round - 1];
        for column in 0..4 {
            for row in 0..4 {
                word[row] ^= before[4 * column + row];
            }
            round_keys[round][4 * column..4 * column + 4].copy_from_slice(&word);
        }
        before.zeroize();
        word.zeroize();
    }
}

/// The S-box on four bytes, in constant time: a cipher round without its key and its last step. With the word in all
/// four columns the shift of rows changes nothing.
fn sub_word(word: [u8; 4]) -> [u8; 4] {
    let mut block = Block::default();
    for (at, byte) in block.iter_mut().enumerate() {
        *byte = word[at % 4];
    }
    hazmat::cipher_round(&mut block, &Block::default());
    hazmat::inv_mix_columns(&mut block);
    let out = [block[0], block[1], block[2], block[3]];
    block.zeroize();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SP 800-38A, appendix F.5.1, and FIPS-197, appendix A.1 (the same key).
    const KEY: [u8; 16] = 0x2b7e151628aed2a6abf7158809cf4f3cu128.to_be_bytes();

    #[test]
    fn the_key_schedule_is_that_of_fips_197_appendix_a_1() {
        let key = PrgKey::new(&KEY);

        assert_eq!(
            key.round_keys[1],
            0xa0fafe1788542cb123a339392a6c7605u128.to_be_bytes()
        );
        assert_eq!(
            key.round_keys[10],
            0xd014f9a8c9ee2589e13f0cc8b6630ca6u128.to_be_bytes()
        );
    }

    #[test]
    fn every_path_encrypts_as_in_fips_197_appendix_c_1() {
        let key = PrgKey::new(&0x000102030405060708090a0b0c0d0e0fu128.to_be_bytes());
        for path in Path::available() {
            let cipher = one_block(&key, path, 0x00112233445566778899aabbccddeeff);
            assert_eq!(
                cipher,
                0x69c4e0d86a7b0430d8cdb78070b4c55a,
                "{}",
                path.name()
            );
        }
    }

    #[test]
    fn every_path_encrypts_the_counters_of_sp_800_38a_f_5_1() {
        let key = PrgKey::new(&KEY);
        let counter = 0xf0f1f2f3f4f5f6f7f8f9fafbfcfdfeffu128;
        let blocks = [
            0xec8cdf7398607cb0f2d21675ea9ea1e4u128,
            0x362b7c3c6773516318a077d7fc5073ae,
            0x6a2cc3787889374fbeb4c81b17ba6c44,
            0xe89c399ff0f198c6d40a31db156cabfe,
        ];
        for path in Path::available() {
            for (i, block) in blocks.into_iter().enumerate() {
                assert_eq!(
                    one_block(&key, path, counter + i as u128),
                    block,
                    "{}",
                    path.name()
                );
            }
            let mut words = [0; 8];
            key.fill(path, (counter >> 64) as u64, 0, &mut words);
            let all = |i: u64| one_block(&key, path, (counter >> 64 << 64) | u128::from(i));
            for i in 0..4 {
                assert_eq!(
                    bytes(&words[2 * i..2 * i + 2]),
                    all(i as u64),
                    "{}",
                    path.name()
                );
            }
        }
    }

    #[test]
    fn every_path_gives_the_same_words_at_every_offset_and_length() {
        let key = PrgKey::new(&KEY);
        let mut all = [0; 400];
        key.fill(Path::PORTABLE, 7, 0, &mut all);
        for path in Path::available() {
            for offset in [0, 1, 2, 3, 63, 64, 65, 128] {
                for n in [0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 129, 200] {
                    let mut part = vec![0; n];
                    key.fill(path, 7, offset as u64, &mut part);
                    assert_eq!(
                        part,
                        all[offset..offset + n],
                        "{} {offset} {n}",
                        path.name()
                    );
                }
            }
        }
    }

    #[test]
    fn debug_shows_only_the_type() {
        assert_eq!(format!("{:?}", PrgKey::new(&KEY)), "PrgKey");
    }

    fn one_block(key: &PrgKey, path: Path, counter: u128) -> u128 {
        bytes(&key.block(path, (counter >> 64) as u64, counter as u64))
    }

    fn bytes(words: &[u64]) -> u128 {
        u128::from(words[0].swap_bytes()) << 64 | u128::from(words[1].swap_bytes())
    }
}
