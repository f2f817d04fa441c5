// SPDX-License-Identifier: Apache-2.0
//! Matrix products over Z_2^64, plain and in replicated sharing.
//!
//! Blocked as in Goto and van de Geijn 2008 (ACM TOMS 34:3): strips of A and B are packed so that the innermost tile
//! reads both in order, from the caches they fit in. The tile halves the multiplications as in Winograd 1968, and the
//! sums that this takes are formed while packing. Matrices are row-major. Nothing here branches on a value.
//!
//! Lengths that do not fit together are a caller's mistake and panic; the Python binding checks them first.

#![forbid(unsafe_code)]

mod pack;

use std::cell::RefCell;
use std::ops::Range;

use pack::{add_tile, few_rows, one_column, pack_a, pack_b};
use tacit_prg::{BLOCK, PrgKey, in_chunks};
use tacit_simd::{GEMM_COLUMNS, GEMM_ROWS, Path, gemm_tile, prefetch_row};

/// Rows of A packed at a time: 96 x 512 words are 384 KiB, a part of the L2 cache.
const ROWS: usize = 8 * GEMM_ROWS;

/// Depth packed at a time, an even number: the deeper, the fewer times a tile is added to the result.
const DEPTH: usize = 512;

/// Columns of B packed at a time: 512 x 1024 words are 4 MiB, in the outer caches, read in order.
const COLUMNS: usize = 64 * GEMM_COLUMNS;

/// Products with so few rows read each word of B too few times to pay for packing it.
const FEW_ROWS: usize = 4;

/// A product of so little depth is not divided between roles: it would cost more than it saves.
const SHALLOW: usize = 32;

/// The sizes of a product `[m, k] @ [k, n]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Rows of the left factor and of the product.
    pub m: usize,
    /// Columns of the left factor, rows of the right one.
    pub k: usize,
    /// Columns of the right factor and of the product.
    pub n: usize,
}

/// `out = x @ y`, the rows divided between `threads` threads.
pub fn matmul(path: Path, threads: usize, out: &mut [u64], x: &[u64], y: &[u64], size: Size) {
    let term = Term {
        x: Sum(x, None),
        y: Sum(y, None),
        depth: 0..size.k,
    };
    by_rows(threads, out, &[term], size, |_, out, terms, size| {
        out.fill(0);
        add_products(path, out, terms, size);
    });
}

/// Party `me`'s additive share of x @ y, of which it holds the components x = [x_me, x_{me+1}] and y alike, plus the
/// zero share F(ka) - F(kb).
///
/// In each third of the depth (or in all of it, where it is small) one party plays role 0, the next one role 1, the last one role 2:
///
/// * role 0 adds (x0 + x1) @ (y0 + y1),
/// * role 1 adds x1 @ y2 + x2 @ (y1 + y2),
/// * role 2 adds x0 @ y2 + x2 @ y0,
///
/// indices relative to role 0. The sum is x @ y, each uses only what it holds, and it takes five products, not the six
/// of Araki et al. 2016 (ePrint 2016/768), protocol 3.1.
#[allow(clippy::too_many_arguments)]
pub fn rep3_matmul(
    path: Path,
    threads: usize,
    out: &mut [u64],
    x: [&[u64]; 2],
    y: [&[u64]; 2],
    [ka, kb]: [&PrgKey; 2],
    step: u64,
    me: usize,
    size: Size,
) {
    let [xa, xb] = x.map(|x| Sum(x, None));
    let [ya, yb] = y.map(|y| Sum(y, None));
    let [xs, ys] = [x, y].map(|[a, b]| Sum(a, Some(b)));
    let mut terms = Vec::with_capacity(5);
    let turns = if size.k < SHALLOW { 1 } else { 3 };
    for turn in 0..turns {
        let depth = size.k * turn / turns..size.k * (turn + 1) / turns;
        let mut add = |x, y| {
            let depth = depth.clone();
            terms.push(Term { x, y, depth });
        };
        match (me + 3 - turn) % 3 {
            0 => add(xs, ys),
            1 => {
                add(xa, yb);
                add(xb, ys);
            }
            _ => {
                add(xb, ya);
                add(xa, yb);
            }
        }
    }
    by_rows(threads, out, &terms, size, |row, out, terms, size| {
        let mut mask = [0; BLOCK];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (at, n) = ((row * size.n + i * BLOCK) as u64, out.len());
            ka.fill(path, step, at, out);
            kb.fill(path, step, at, &mut mask[..n]);
            for (out, mask) in out.iter_mut().zip(&mask) {
                *out = out.wrapping_sub(*mask);
            }
        }
        add_products(path, out, terms, size);
    });
}

/// One matrix, or the sum of two.
#[derive(Clone, Copy)]
struct Sum<'a>(&'a [u64], Option<&'a [u64]>);

impl<'a> Sum<'a> {
    #[inline(always)]
    fn sources(self) -> impl Iterator<Item = &'a [u64]> {
        std::iter::once(self.0).chain(self.1)
    }

    #[inline(always)]
    fn part(self, words: Range<usize>) -> Self {
        Sum(&self.0[words.clone()], self.1.map(|plus| &plus[words]))
    }
}

/// One product of a sum: columns `depth` of `x` times the same rows of `y`.
#[derive(Clone)]
struct Term<'a> {
    x: Sum<'a>,
    y: Sum<'a>,
    depth: Range<usize>,
}

/// Divides the rows of a product between threads: `work(first row, rows of out, terms with these rows of x, size)`.
fn by_rows(
    threads: usize,
    out: &mut [u64],
    terms: &[Term<'_>],
    size: Size,
    work: impl Fn(usize, &mut [u64], &[Term<'_>], Size) + Sync,
) {
    let Size { m, k, n } = size;
    assert!(out.len() == m * n);
    for term in terms {
        assert!(term.x.sources().all(|x| x.len() == m * k));
        assert!(term.y.sources().all(|y| y.len() == k * n));
    }
    // Whole tiles, but for the last.
    let rows = m
        .div_ceil(threads.max(1))
        .next_multiple_of(GEMM_ROWS)
        .clamp(1, m.max(1));
    if rows >= m {
        return work(0, out, terms, size);
    }
    in_chunks(out, (rows * n).max(1), |i, out| {
        let lo = i * rows;
        let hi = m.min(lo + rows);
        let terms: Vec<_> = terms
            .iter()
            .map(|term| {
                let x = term.x.part(lo * k..hi * k);
                Term { x, ..term.clone() }
            })
            .collect();
        work(lo, out, &terms, Size { m: hi - lo, k, n });
    });
}

/// Adds the products of all terms to `out`, as one product whose depth is the sum of theirs.
fn add_products(path: Path, out: &mut [u64], terms: &[Term<'_>], size: Size) {
    let Size { m, k, n } = size;
    if m == 0 || k == 0 || n == 0 {
        return;
    }
    if n == 1 {
        return terms.iter().for_each(|t| one_column(path, out, t, k));
    }
    if m <= FEW_ROWS {
        return terms.iter().for_each(|t| few_rows(path, out, t, size));
    }
    PACKED.with_borrow_mut(|packed| add_blocks(path, out, terms, size, packed));
}

thread_local! {
    /// Packed rows of A and strips of B: kept, since the pages of new memory cost as much as a small product.
    static PACKED: RefCell<[Vec<u64>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// So many words of a buffer, whatever they hold.
fn at_least(buffer: &mut Vec<u64>, words: usize) -> &mut [u64] {
    if buffer.len() < words {
        buffer.resize(words, 0);
    }
    &mut buffer[..words]
}

/// Parts of `0..n`, n > 0, of about equal length, at most `most`; all but the last are a multiple of `unit`, as `most` is.
fn steps(n: usize, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let length = n.div_ceil(n.div_ceil(most)).next_multiple_of(unit);
    (0..n)
        .step_by(length)
        .map(move |start| start..n.min(start + length))
}

/// Adds the products block by block.
fn add_blocks(
    path: Path,
    out: &mut [u64],
    terms: &[Term<'_>],
    size: Size,
    [a, b]: &mut [Vec<u64>; 2],
) {
    let deep = terms.iter().map(|term| term.depth.len()).sum();
    for columns in steps(size.n, COLUMNS, GEMM_COLUMNS) {
        for depth in steps(deep, DEPTH, 2) {
            // Whole pairs, and then the sum of their products.
            let words = depth.len().next_multiple_of(2) + 1;
            // Room for a whole line behind the last word; no power of two, so that rows do not crowd few places of a
            // cache.
            let stride = words.next_multiple_of(GEMM_COLUMNS) + GEMM_COLUMNS + GEMM_COLUMNS / 2;
            let b = at_least(
                b,
                columns.len().div_ceil(GEMM_COLUMNS) * words * GEMM_COLUMNS,
            );
            pack_b(
                path,
                b,
                words,
                terms,
                size.n,
                depth.clone(),
                columns.clone(),
            );
            let (b, _) = b.as_chunks();
            for rows in steps(size.m, ROWS, GEMM_ROWS) {
                let a = at_least(a, rows.len().next_multiple_of(GEMM_ROWS) * stride);
                pack_a(path, a, stride, terms, size.k, rows.clone(), depth.clone());
                for (b, j) in b.chunks(words).zip(columns.clone().step_by(GEMM_COLUMNS)) {
                    let width = GEMM_COLUMNS.min(columns.end - j);
                    for (a, i) in a
                        .chunks(GEMM_ROWS * stride)
                        .zip(rows.clone().step_by(GEMM_ROWS))
                    {
                        let mut tile = [[0; GEMM_COLUMNS]; GEMM_ROWS];
                        let tile = &mut tile[..GEMM_ROWS.min(rows.end - i)];
                        let out = &mut out[i * size.n + j..];
                        out.chunks(size.n).take(tile.len()).for_each(prefetch_row);
                        gemm_tile(path, (a, stride), b, tile);
                        add_tile(path, out, size.n, tile, width);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_everything_once() {
        for n in 1..60 {
            let found: Vec<_> = steps(n, 12, 4).collect();
            assert!(
                found
                    .iter()
                    .all(|step| step.len() <= 12 && step.start % 4 == 0)
            );
            assert!(found.into_iter().flatten().eq(0..n));
        }
    }

    #[test]
    fn a_sum_of_products_does_not_depend_on_how_its_depth_is_cut() {
        let word = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let size = Size {
            m: 37,
            k: 553,
            n: 41,
        };
        let x: Vec<u64> = (0..37 * 553).map(word).collect();
        let y: Vec<u64> = (0..553 * 41).map(|i| word(i) >> 1).collect();
        for cuts in [
            vec![0, 553],
            vec![0, 1, 2, 260, 553],
            vec![0, 17, 300, 301, 553],
        ] {
            let term = |ends: &[usize]| Term {
                x: Sum(&x, Some(&x)),
                y: Sum(&y, None),
                depth: ends[0]..ends[1],
            };
            let terms: Vec<_> = cuts.windows(2).map(term).collect();
            let mut out = vec![5; 37 * 41];
            add_products(Path::active(), &mut out, &terms, size);
            for (i, row) in out.chunks(41).enumerate() {
                for (j, sum) in row.iter().enumerate() {
                    let right = (0..553).fold(5u64, |s, p| {
                        s.wrapping_add(x[i * 553 + p].wrapping_mul(y[p * 41 + j]).wrapping_mul(2))
                    });
                    assert_eq!(*sum, right, "row {i} column {j}, cuts at {cuts:?}");
                }
            }
        }
    }
}
