// SPDX-License-Identifier: Apache-2.0
//! Matrix products over Z_2^64, plain and in replicated sharing.
//!
//! Blocked as in Goto and van de Geijn 2008 (ACM TOMS 34:3): strips of A and B are packed so that the innermost tile
//! reads both in order, from the caches they fit in. Large products first go through levels of Strassen 1969 (Numer.
//! Math. 13), whose sums are formed while packing and while adding to the result, as in Huang et al. 2016 (SC16), so
//! that no level needs memory of its own. Matrices are row-major. Nothing here branches on a value.
//!
//! Lengths that do not fit together are a caller's mistake and panic; the Python binding checks them first.

#![forbid(unsafe_code)]

mod pack;
mod strassen;

use std::ops::Range;

use pack::{add_product, few_rows, one_column, pack_a, pack_b, put_tile};
use strassen::{Leaf, leaves, levels};
use tacit_prg::{BLOCK, PrgKey};
use tacit_simd::{GEMM_COLUMNS, GEMM_ROWS, Path, gemm_tile};

/// Rows of A packed at a time: 96 x 256 words are 192 KiB, a part of the L2 cache.
const ROWS: usize = 8 * GEMM_ROWS;

/// Depth packed at a time: 12 rows of A are 24 KiB, 16 columns of B 32 KiB, of which a tile needs little at a time.
const DEPTH: usize = 256;

/// Columns of B packed at a time: 256 x 512 words are 1 MiB, in the outer caches.
const COLUMNS: usize = 32 * GEMM_COLUMNS;

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
    std::thread::scope(|scope| {
        for (i, out) in out.chunks_mut((rows * n).max(1)).enumerate() {
            let (lo, work) = (i * rows, &work);
            let hi = m.min(lo + rows);
            let terms: Vec<_> = terms
                .iter()
                .map(|term| {
                    let x = term.x.part(lo * k..hi * k);
                    Term { x, ..term.clone() }
                })
                .collect();
            scope.spawn(move || work(lo, out, &terms, Size { m: hi - lo, k, n }));
        }
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
    let whole = Size {
        k: terms.iter().map(|term| term.depth.len()).sum(),
        ..size
    };
    add_blocks(path, out, terms, size, leaves(whole, levels(whole)));
}

/// Adds products of blocks.
fn add_blocks(
    path: Path,
    out: &mut [u64],
    terms: &[Term<'_>],
    size: Size,
    (block, leaves): (Size, Vec<Leaf>),
) {
    let (a_stride, b_stride) = strides(block);
    let mut buffers = Buffers {
        a: vec![0; ROWS.min(block.m).next_multiple_of(GEMM_ROWS) * a_stride],
        b: vec![0; DEPTH.min(block.k) * b_stride],
        product: vec![0; block.m * COLUMNS.min(block.n).next_multiple_of(GEMM_COLUMNS)],
    };
    for leaf in &leaves {
        multiply(path, out, terms, size, leaf, block, &mut buffers);
    }
}

/// Memory that all products of blocks use in turn.
struct Buffers {
    /// Packed rows of A.
    a: Vec<u64>,
    /// Packed rows of B.
    b: Vec<u64>,
    /// The product of a block of A and columns of a block of B.
    product: Vec<u64>,
}

/// Words between packed rows of A and of B: never a power of two, so that rows do not crowd few places of a cache.
fn strides(block: Size) -> (usize, usize) {
    let of = |words: usize| words.next_multiple_of(GEMM_COLUMNS) + GEMM_COLUMNS / 2;
    (of(DEPTH.min(block.k)), of(COLUMNS.min(block.n)))
}

/// One product of blocks: adds the sum of the leaf's blocks of A times that of B to its blocks of `out`.
fn multiply(
    path: Path,
    out: &mut [u64],
    terms: &[Term<'_>],
    size: Size,
    leaf: &Leaf,
    block: Size,
    Buffers { a, b, product }: &mut Buffers,
) {
    let (a_stride, b_stride) = strides(block);
    let steps = |n: usize, step: usize| {
        (0..n)
            .step_by(step)
            .map(move |start| start..n.min(start + step))
    };
    for columns in steps(block.n, COLUMNS) {
        let stride = columns.len().next_multiple_of(GEMM_COLUMNS);
        for depth in steps(block.k, DEPTH) {
            let (d, c) = (depth.clone(), columns.clone());
            pack_b(path, b, b_stride, terms, &leaf.b, size, d, c);
            for rows in steps(block.m, ROWS) {
                let (r, d) = (rows.clone(), depth.clone());
                pack_a(path, a, a_stride, terms, &leaf.a, size, r, d);
                for j in (0..stride).step_by(GEMM_COLUMNS) {
                    for i in rows.clone().step_by(GEMM_ROWS) {
                        let mut tile = [[0; GEMM_COLUMNS]; GEMM_ROWS];
                        let tile = &mut tile[..GEMM_ROWS.min(rows.end - i)];
                        let a = (&a[(i - rows.start) * a_stride..], a_stride);
                        gemm_tile(path, a, (&b[j..], b_stride), depth.len(), tile);
                        put_tile(path, product, stride, tile, (i, j), depth.start == 0);
                    }
                }
            }
        }
        let product = &product[..block.m * stride];
        add_product(path, out, product, stride, &leaf.c, size, columns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_levels_gives_the_same_product() {
        let size = Size {
            m: 37,
            k: 53,
            n: 41,
        };
        let word = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x: Vec<u64> = (0..37 * 53).map(word).collect();
        let y: Vec<u64> = (0..53 * 41).map(|i| word(i) >> 1).collect();
        let term = Term {
            x: Sum(&x, None),
            y: Sum(&y, None),
            depth: 0..53,
        };
        for levels in 0..=3 {
            let mut out = vec![5; 37 * 41];
            add_blocks(
                Path::active(),
                &mut out,
                std::slice::from_ref(&term),
                size,
                leaves(size, levels),
            );
            for (i, row) in out.chunks(41).enumerate() {
                for (j, sum) in row.iter().enumerate() {
                    let right = (0..53).fold(5u64, |s, p| {
                        s.wrapping_add(x[i * 53 + p].wrapping_mul(y[p * 41 + j]))
                    });
                    assert_eq!(*sum, right, "{levels} levels, row {i} column {j}");
                }
            }
        }
    }
}
