// SPDX-License-Identifier: Apache-2.0
//! Random permutations from a stream, gathering by them, differences and comparisons of gathered elements, and sorting by
//! the outcomes.
//!
//! Memory is read at places that depend on the permutation, so its pattern of accesses is visible to whoever shares
//! the cache: a permutation is known to the party that runs this, and is secret only from other machines.

#![forbid(unsafe_code)]

mod digits;
mod segments;

use std::fmt;

use tacit_bits::Planes;
use tacit_prg::{BLOCK, PrgKey, in_parts};
use tacit_simd::{GROUP, Path};

pub use digits::rep3_less;
pub use segments::Segments;

/// Fills `out` with a uniform permutation of 0 .. n - 1, by Fisher-Yates from stream `step`.
///
/// Indices are drawn by multiply-shift with rejection (Lemire 2019, arXiv 1805.10941) on consecutive words.
///
/// # Panics
///
/// Where `out` has 2^32 elements or more.
pub fn prg_permutation(path: Path, out: &mut [u32], key: &PrgKey, step: u64) {
    assert!(u32::try_from(out.len()).is_ok());
    for (i, place) in out.iter_mut().enumerate() {
        *place = i as u32;
    }
    let mut words = Words {
        path,
        key,
        step,
        block: [0; BLOCK],
        next: 0,
    };
    for i in (1..out.len()).rev() {
        out.swap(i, words.below(i as u64 + 1) as usize);
    }
}

/// The words of a stream, made when they are needed.
struct Words<'a> {
    path: Path,
    key: &'a PrgKey,
    step: u64,
    block: [u64; BLOCK],
    next: usize,
}

impl Words<'_> {
    fn word(&mut self) -> u64 {
        let at = self.next % BLOCK;
        if at == 0 {
            self.key
                .fill(self.path, self.step, self.next as u64, &mut self.block);
        }
        self.next += 1;
        self.block[at]
    }

    /// A uniform number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.word()) * u128::from(bound);
            // The limit 2^64 mod bound is below bound, so the division is rarely needed.
            let low = product as u64;
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

/// An index that is not below the length it indexes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexOutOfRange;

impl fmt::Display for IndexOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an index is out of range")
    }
}

impl std::error::Error for IndexOutOfRange {}

/// Row i of `out` becomes row `perm[i]` of `x`, which has `columns` words a row, without its `first` ones; divided
/// between `threads` threads.
///
/// # Errors
///
/// [`IndexOutOfRange`] where an element of `perm` is no row of `x`; `out` is then left alone.
pub fn gather(
    threads: usize,
    out: &mut [u64],
    x: &[u64],
    perm: &[u32],
    [columns, first]: [usize; 2],
) -> Result<(), IndexOutOfRange> {
    let width = columns - first;
    assert_eq!(out.len(), width * perm.len());
    if width == 0 {
        return Ok(());
    }
    let rows = x.len() / columns;
    if perm
        .iter()
        .copied()
        .max()
        .is_some_and(|max| max as usize >= rows)
    {
        return Err(IndexOutOfRange);
    }
    let from = (&x[first.min(x.len())..], columns);
    match width {
        1 => gather_rows::<1>(threads, out, from, perm),
        2 => gather_rows::<2>(threads, out, from, perm),
        3 => gather_rows::<3>(threads, out, from, perm),
        4 => gather_rows::<4>(threads, out, from, perm),
        5 => gather_rows::<5>(threads, out, from, perm),
        6 => gather_rows::<6>(threads, out, from, perm),
        _ => {
            for (out, index) in out.chunks_exact_mut(width).zip(perm) {
                out.copy_from_slice(&from.0[*index as usize * columns..][..width]);
            }
        }
    }
    Ok(())
}

/// The same for rows of which `WIDTH` words are wanted: without a call for each.
fn gather_rows<const WIDTH: usize>(
    threads: usize,
    out: &mut [u64],
    (x, columns): (&[u64], usize),
    perm: &[u32],
) {
    let (out, _) = out.as_chunks_mut::<WIDTH>();
    in_parts(threads, out, |start, out| {
        for (out, index) in out.iter_mut().zip(&perm[start..]) {
            out.copy_from_slice(&x[*index as usize * columns..][..WIDTH]);
        }
    });
}

/// `x[left] - x[right] + offset` as planes of its low `bits` bits: `out` is `[bits, ceil(n / 64)]`, zero padded, for `n`
/// indices in `left` and in `right`.
///
/// # Errors
///
/// [`IndexOutOfRange`] where an element of `left` or `right` is no index of `x`; `out` is then of no use.
pub fn difference_planes(
    path: Path,
    out: &mut [u64],
    x: &[u64],
    [left, right]: [&[isize]; 2],
    bits: usize,
    offset: u64,
) -> Result<(), IndexOutOfRange> {
    assert_eq!(left.len(), right.len());
    let mut planes = Planes::new(path, out, left.len(), bits);
    let mut group = [0; GROUP];
    for (left, right) in left.chunks(GROUP).zip(right.chunks(GROUP)) {
        for ((out, &i), &j) in group.iter_mut().zip(left).zip(right) {
            // A negative index is a large one.
            let (Some(a), Some(b)) = (x.get(i as usize), x.get(j as usize)) else {
                return Err(IndexOutOfRange);
            };
            *out = a.wrapping_sub(*b).wrapping_add(offset);
        }
        group[left.len()..].fill(0);
        planes.push(&group);
    }
    Ok(())
}
