// SPDX-License-Identifier: Apache-2.0
//! Loops over words: packing, adding tiles to the result, and products too narrow to pack.

use std::ops::Range;

use crate::{Size, Sum, Term};
use tacit_simd::{GEMM_COLUMNS, Path, kernel};

/// What each term holds of a range of the depth of them all: the term, its part of that range counted from the start
/// of the range, and where in the term's matrices it begins.
fn parts<'t, 'a>(
    terms: &'t [Term<'a>],
    range: Range<usize>,
) -> impl Iterator<Item = (&'t Term<'a>, Range<usize>, usize)> {
    let mut base = 0;
    terms.iter().filter_map(move |term| {
        let (lo, hi) = (
            range.start.max(base),
            range.end.min(base + term.depth.len()),
        );
        let at = term.depth.start + lo.saturating_sub(base);
        base += term.depth.len();
        (lo < hi).then(|| (term, lo - range.start..hi - range.start, at))
    })
}

/// Packs `rows` and `depth` of A in rows of `stride` words: whole pairs, and then the sum of their products.
pub fn pack_a(
    path: Path,
    packed: &mut [u64],
    stride: usize,
    terms: &[Term<'_>],
    k: usize,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    for (term, part, at) in parts(terms, depth.clone()) {
        let from = (term.x, rows.start * k + at, k);
        let to = (&mut packed[part.start..], [stride, GEMM_COLUMNS]);
        pack(path, to, from, [rows.len(), part.len()]);
    }
    let rows = &mut packed[..rows.len() * stride];
    pairs_of_rows(path, rows, stride, depth.len());
}

/// Packs `depth` and `columns` of B in strips of a tile's width, of `words` rows: whole pairs, and then the sums of
/// their products.
pub fn pack_b(
    path: Path,
    packed: &mut [u64],
    words: usize,
    terms: &[Term<'_>],
    n: usize,
    depth: Range<usize>,
    columns: Range<usize>,
) {
    for (term, part, at) in parts(terms, depth.clone()) {
        let from = (term.y, at * n + columns.start, n);
        let to = (
            &mut packed[part.start * GEMM_COLUMNS..],
            [GEMM_COLUMNS, words * GEMM_COLUMNS],
        );
        pack(path, to, from, [part.len(), columns.len()]);
    }
    pairs_of_strips(path, packed, words, depth.len());
}

/// A row of a tile.
type Line = [u64; GEMM_COLUMNS];

#[inline(always)]
fn plus(line: Line, other: Line) -> Line {
    std::array::from_fn(|i| line[i].wrapping_add(other[i]))
}

kernel! {
    /// Copies `rows x columns` words of a matrix from a place in it with rows of `stride` words, line by line, the last
    /// one of a row filled up with zeros: rows go `steps[0]` words apart and the lines of each `steps[1]`.
    fn pack(to: (&mut [u64], [usize; 2]), from: (Sum<'_>, usize, usize), sizes: [usize; 2]) {
        let ((packed, steps), (from, at, stride)) = (to, from);
        for r in 0..sizes[0] {
            let row = from.part(at + r * stride..at + r * stride + sizes[1]);
            let (lines, rest) = row.0.as_chunks();
            let plus_row = row.1.map(<[u64]>::as_chunks);
            for (i, line) in lines.iter().enumerate() {
                let sum = plus_row.map_or(*line, |(more, _)| plus(*line, more[i]));
                packed[r * steps[0] + i * steps[1]..][..GEMM_COLUMNS].copy_from_slice(&sum);
            }
            if !rest.is_empty() {
                let mut sum: Line = [0; GEMM_COLUMNS];
                for (i, (sum, word)) in sum.iter_mut().zip(rest).enumerate() {
                    *sum = word.wrapping_add(plus_row.map_or(0, |(_, more)| more[i]));
                }
                packed[r * steps[0] + lines.len() * steps[1]..][..GEMM_COLUMNS].copy_from_slice(&sum);
            }
        }
    }
}

kernel! {
    /// Puts the sum of the products of pairs of the first `deep` words of each row behind them; a zero makes up the
    /// last pair.
    fn pairs_of_rows(packed: &mut [u64], stride: usize, deep: usize) {
        let even = deep.next_multiple_of(2);
        for row in packed.chunks_mut(stride) {
            row[deep..even].fill(0);
            let (pairs, _) = row[..even].as_chunks::<2>();
            row[even] = pairs.iter().fold(0, |sum, [x, y]| sum.wrapping_add(x.wrapping_mul(*y)));
        }
    }
}

kernel! {
    /// The same for the rows of each strip of `words` rows.
    fn pairs_of_strips(packed: &mut [u64], words: usize, deep: usize) {
        let even = deep.next_multiple_of(2);
        let (lines, _) = packed.as_chunks_mut::<GEMM_COLUMNS>();
        for strip in lines.chunks_mut(words) {
            strip[deep..even].fill([0; GEMM_COLUMNS]);
            let mut sum: Line = [0; GEMM_COLUMNS];
            for [x, y] in strip[..even].as_chunks::<2>().0 {
                sum = std::array::from_fn(|i| sum[i].wrapping_add(x[i].wrapping_mul(y[i])));
            }
            strip[even] = sum;
        }
    }
}

kernel! {
    /// Adds the first `width` columns of a tile to the words from the first of `out` on, in rows of `stride` words.
    pub fn add_tile(out: &mut [u64], stride: usize, tile: &[[u64; GEMM_COLUMNS]], width: usize) {
        for (out, tile) in out.chunks_mut(stride).zip(tile) {
            match out.first_chunk_mut() {
                Some(out) if width == GEMM_COLUMNS => *out = plus(*out, *tile),
                _ => {
                    for (out, tile) in out[..width].iter_mut().zip(tile) {
                        *out = out.wrapping_add(*tile);
                    }
                }
            }
        }
    }
}

kernel! {
    /// Adds a term to `out` row by row, for a few rows.
    pub fn few_rows(out: &mut [u64], term: &Term<'_>, size: Size) {
        let Size { m, k, n } = size;
        for p in term.depth.clone() {
            let row = p * n..(p + 1) * n;
            let y = &term.y.0[row.clone()];
            for i in 0..m {
                let factor = term.x.sources().fold(0, |sum: u64, x| sum.wrapping_add(x[i * k + p]));
                let out = &mut out[i * n..(i + 1) * n];
                if let Some(plus) = term.y.1 {
                    for ((out, y), plus) in out.iter_mut().zip(y).zip(&plus[row.clone()]) {
                        *out = out.wrapping_add(factor.wrapping_mul(y.wrapping_add(*plus)));
                    }
                } else {
                    for (out, y) in out.iter_mut().zip(y) {
                        *out = out.wrapping_add(factor.wrapping_mul(*y));
                    }
                }
            }
        }
    }
}

kernel! {
    /// Adds a term to `out`, for a column y.
    pub fn one_column(out: &mut [u64], term: &Term<'_>, k: usize) {
        let depth = term.depth.clone();
        let (y, plus) = (&term.y.0[depth.clone()], term.y.1.map(|y| &y[depth.clone()]));
        for (i, out) in out.iter_mut().enumerate() {
            let row = i * k + term.depth.start..i * k + term.depth.end;
            let (x, more) = (&term.x.0[row.clone()], term.x.1.map(|x| &x[row.clone()]));
            let (n, y) = (x.len(), &y[..x.len()]);
            let sum = match (more.map(|x| &x[..n]), plus.map(|y| &y[..n])) {
                (None, None) => dot(n, |i| x[i], |i| y[i]),
                (None, Some(plus)) => dot(n, |i| x[i], |i| y[i].wrapping_add(plus[i])),
                (Some(more), None) => dot(n, |i| x[i].wrapping_add(more[i]), |i| y[i]),
                (Some(more), Some(plus)) => {
                    dot(n, |i| x[i].wrapping_add(more[i]), |i| y[i].wrapping_add(plus[i]))
                }
            };
            *out = out.wrapping_add(sum);
        }
    }
}

#[inline(always)]
fn dot(n: usize, x: impl Fn(usize) -> u64, y: impl Fn(usize) -> u64) -> u64 {
    (0..n).fold(0, |sum, i| sum.wrapping_add(x(i).wrapping_mul(y(i))))
}
