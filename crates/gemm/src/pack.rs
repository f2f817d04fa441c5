// SPDX-License-Identifier: Apache-2.0
//! Loops over words: packing, adding tiles to the result, and products too narrow to pack.

use std::ops::Range;

use crate::strassen::Piece;
use crate::{Size, Term};
use tacit_simd::{GEMM_COLUMNS, Path, kernel};

/// `line += source`, or `-=`.
#[inline(always)]
fn add(line: &mut [u64], source: &[u64], minus: bool) {
    if minus {
        for (line, source) in line.iter_mut().zip(source) {
            *line = line.wrapping_sub(*source);
        }
    } else {
        for (line, source) in line.iter_mut().zip(source) {
            *line = line.wrapping_add(*source);
        }
    }
}

/// What each term holds of a range of the depth of them all: the term, its part of that range counted from the start
/// of the range, and where in the term's matrices it begins.
#[inline(always)]
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

/// A rectangle of a factor that is added to, or subtracted from, a packed matrix.
struct Patch<'a> {
    source: &'a [u64],
    /// Words between rows of the source, and the place of its first word.
    stride: usize,
    from: usize,
    rows: usize,
    columns: usize,
    /// Where it goes in the packed matrix.
    to: usize,
    minus: bool,
}

/// Packs `rows` and `depth` of the sum of the pieces of A, in rows of `stride` words.
#[allow(clippy::too_many_arguments)]
pub fn pack_a(
    path: Path,
    packed: &mut [u64],
    stride: usize,
    terms: &[Term<'_>],
    pieces: &[Piece],
    size: Size,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    let mut patches = Vec::new();
    for piece in pieces {
        let row = piece.row + rows.start;
        for (term, part, at) in parts(terms, piece.column + depth.start..piece.column + depth.end) {
            patches.extend(term.x.sources().map(|source| Patch {
                source,
                stride: size.k,
                from: row * size.k + at,
                rows: rows.len().min(size.m.saturating_sub(row)),
                columns: part.len(),
                to: part.start,
                minus: piece.minus,
            }));
        }
    }
    pack(path, &mut packed[..rows.len() * stride], stride, &patches);
}

/// Packs `depth` and `columns` of the sum of the pieces of B, in rows of `stride` words.
#[allow(clippy::too_many_arguments)]
pub fn pack_b(
    path: Path,
    packed: &mut [u64],
    stride: usize,
    terms: &[Term<'_>],
    pieces: &[Piece],
    size: Size,
    depth: Range<usize>,
    columns: Range<usize>,
) {
    let mut patches = Vec::new();
    for piece in pieces {
        let column = piece.column + columns.start;
        for (term, part, at) in parts(terms, piece.row + depth.start..piece.row + depth.end) {
            patches.extend(term.y.sources().map(|source| Patch {
                source,
                stride: size.n,
                from: at * size.n + column,
                rows: part.len(),
                columns: columns.len().min(size.n.saturating_sub(column)),
                to: part.start * stride,
                minus: piece.minus,
            }));
        }
    }
    pack(path, &mut packed[..depth.len() * stride], stride, &patches);
}

kernel! {
    /// The sum of patches.
    fn pack(packed: &mut [u64], stride: usize, patches: &[Patch<'_>]) {
        packed.fill(0);
        for patch in patches {
            for r in 0..if patch.columns > 0 { patch.rows } else { 0 } {
                let source = &patch.source[patch.from + r * patch.stride..][..patch.columns];
                add(&mut packed[patch.to + r * stride..][..patch.columns], source, patch.minus);
            }
        }
    }
}

kernel! {
    /// Puts a tile in its place of `product`, rows of `columns` words, or adds it there.
    pub fn put_tile(
        product: &mut [u64],
        columns: usize,
        tile: &[[u64; GEMM_COLUMNS]],
        at: (usize, usize),
        first: bool,
    ) {
        for (r, tile) in tile.iter().enumerate() {
            let words = &mut product[(at.0 + r) * columns + at.1..][..GEMM_COLUMNS];
            if first {
                words.copy_from_slice(tile);
            } else {
                add(words, tile, false);
            }
        }
    }
}

kernel! {
    /// Adds a product, rows of `stride` words, to the columns from `column` of each of the pieces of `out`.
    pub fn add_product(out: &mut [u64], product: &[u64], stride: usize, pieces: &[Piece], size: Size, columns: Range<usize>) {
        for piece in pieces {
            let column = piece.column + columns.start;
            let width = columns.len().min(size.n.saturating_sub(column));
            let rows = out.chunks_exact_mut(size.n).skip(piece.row);
            for (out, line) in rows.zip(product.chunks_exact(stride)) {
                if width > 0 {
                    add(&mut out[column..column + width], &line[..width], piece.minus);
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
