// SPDX-License-Identifier: Apache-2.0
//! Matrix products over Z_2^64, plain and in replicated sharing.
//!
//! Blocked as in Goto and van de Geijn 2008 (ACM TOMS 34:3): strips of A and B are packed so that the innermost tile
//! reads both in order, from the caches they fit in. Matrices are row-major. Nothing here branches on a value.
//!
//! Lengths that do not fit together are a caller's mistake and panic; the Python binding checks them first.

#![forbid(unsafe_code)]

use tacit_prg::{BLOCK, PrgKey};
use tacit_simd::{GEMM_COLUMNS, GEMM_ROWS, Path, gemm_tile, kernel};

/// Depth of a packed strip: 128 x 16 words of B are 16 KiB, half of the L1 cache.
const DEPTH: usize = 128;

/// Rows of A packed at a time: 192 x 128 words are 192 KiB, a part of the L2 cache.
const ROWS: usize = 16 * GEMM_ROWS;

/// Columns of B packed at a time: 128 x 1024 words are 1 MiB, in the outer caches.
const COLUMNS: usize = 64 * GEMM_COLUMNS;

/// Products with so few rows read each word of B too few times to pay for packing it.
const FEW_ROWS: usize = 4;

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

/// `out = x @ y`.
pub fn matmul(path: Path, out: &mut [u64], x: &[u64], y: &[u64], size: Size) {
    out.fill(0);
    add_products(path, out, &[Term { x, y, plus: None }], size);
}

/// `out = x0 @ (y0 + y1) + x1 @ y0 + F(ka) - F(kb)`: this party's additive share of x @ y. One product with twice the
/// depth: [x0 | x1] @ [y0 + y1 ; y0]. Source: Araki et al. 2016 (ePrint 2016/768), protocol 3.1.
#[allow(clippy::too_many_arguments)]
pub fn rep3_matmul(
    path: Path,
    out: &mut [u64],
    x0: &[u64],
    x1: &[u64],
    y0: &[u64],
    y1: &[u64],
    ka: &PrgKey,
    kb: &PrgKey,
    step: u64,
    size: Size,
) {
    let mut mask = [0; BLOCK];
    for (i, out) in out.chunks_mut(BLOCK).enumerate() {
        let (at, n) = ((i * BLOCK) as u64, out.len());
        ka.fill(path, step, at, out);
        kb.fill(path, step, at, &mut mask[..n]);
        for (out, mask) in out.iter_mut().zip(&mask) {
            *out = out.wrapping_sub(*mask);
        }
    }
    let sum = Term {
        x: x0,
        y: y0,
        plus: Some(y1),
    };
    let plain = Term {
        x: x1,
        y: y0,
        plus: None,
    };
    add_products(path, out, &[sum, plain], size);
}

/// One product of a sum: `x @ (y + plus)`.
struct Term<'a> {
    x: &'a [u64],
    y: &'a [u64],
    plus: Option<&'a [u64]>,
}

/// Adds the products of all terms to `out`, as one product whose depth is the sum of theirs.
fn add_products(path: Path, out: &mut [u64], terms: &[Term<'_>], size: Size) {
    let Size { m, k, n } = size;
    assert!(out.len() == m * n);
    for term in terms {
        assert!(
            term.x.len() == m * k
                && term.y.len() == k * n
                && term.plus.is_none_or(|p| p.len() == k * n)
        );
    }
    if m == 0 || k == 0 || n == 0 {
        return;
    }
    if n == 1 {
        return terms
            .iter()
            .for_each(|term| one_column(path, out, term.x, term.y, term.plus.unwrap_or(&[])));
    }
    if m <= FEW_ROWS {
        return terms
            .iter()
            .for_each(|term| few_rows(path, out, term.x, term.y, term.plus.unwrap_or(&[]), size));
    }
    let depth = k * terms.len();
    let mut a = vec![
        [0; GEMM_ROWS];
        ROWS.min(m.next_multiple_of(GEMM_ROWS)) / GEMM_ROWS * DEPTH.min(depth)
    ];
    let mut b = vec![
        [0; GEMM_COLUMNS];
        COLUMNS.min(n.next_multiple_of(GEMM_COLUMNS)) / GEMM_COLUMNS * DEPTH.min(depth)
    ];
    for column in (0..n).step_by(COLUMNS) {
        let columns = COLUMNS.min(n - column);
        for start in (0..depth).step_by(DEPTH) {
            let deep = DEPTH.min(depth - start);
            pack_b(path, &mut b, terms, n, column, columns, k, start, deep);
            for row in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - row);
                pack_a(path, &mut a, terms, row, rows, k, start, deep);
                multiply(path, out, n, (row, rows), (column, columns), &a, &b, deep);
            }
        }
    }
}

/// Adds the product of the packed strips to rows and columns of `out`, each given as (start, count).
#[allow(clippy::too_many_arguments)]
fn multiply(
    path: Path,
    out: &mut [u64],
    n: usize,
    (row, rows): (usize, usize),
    (column, columns): (usize, usize),
    a: &[[u64; GEMM_ROWS]],
    b: &[[u64; GEMM_COLUMNS]],
    deep: usize,
) {
    for (b, j) in b.chunks(deep).zip((0..columns).step_by(GEMM_COLUMNS)) {
        let width = GEMM_COLUMNS.min(columns - j);
        for (a, i) in a.chunks(deep).zip((0..rows).step_by(GEMM_ROWS)) {
            let mut tile = [[0; GEMM_COLUMNS]; GEMM_ROWS];
            gemm_tile(path, a, b, &mut tile);
            for (r, tile) in tile.iter().take(rows - i).enumerate() {
                let out = &mut out[(row + i + r) * n + column + j..][..width];
                for (out, tile) in out.iter_mut().zip(tile) {
                    *out = out.wrapping_add(*tile);
                }
            }
        }
    }
}

kernel! {
    /// Packs `deep` rows of B from `start`, `columns` of its columns from `column`, in strips of a tile's width.
    fn pack_b(
        packed: &mut [[u64; GEMM_COLUMNS]],
        terms: &[Term<'_>],
        n: usize,
        column: usize,
        columns: usize,
        k: usize,
        start: usize,
        deep: usize,
    ) {
        for p in 0..deep {
            let term = &terms[(start + p) / k];
            let from = (start + p) % k * n + column;
            let y = &term.y[from..from + columns];
            let plus = term.plus.map(|plus| &plus[from..from + columns]);
            for (s, j) in (0..columns).step_by(GEMM_COLUMNS).enumerate() {
                let width = GEMM_COLUMNS.min(columns - j);
                let strip = &mut packed[s * deep + p];
                if width < GEMM_COLUMNS {
                    *strip = [0; GEMM_COLUMNS];
                }
                let strip = &mut strip[..width];
                strip.copy_from_slice(&y[j..j + width]);
                if let Some(plus) = plus {
                    for (strip, plus) in strip.iter_mut().zip(&plus[j..j + width]) {
                        *strip = strip.wrapping_add(*plus);
                    }
                }
            }
        }
    }
}

kernel! {
    /// Packs `deep` columns of A from `start`, `rows` of its rows from `row`, in strips of a tile's height.
    fn pack_a(
        packed: &mut [[u64; GEMM_ROWS]],
        terms: &[Term<'_>],
        row: usize,
        rows: usize,
        k: usize,
        start: usize,
        deep: usize,
    ) {
        for (s, i) in (0..rows).step_by(GEMM_ROWS).enumerate() {
            let strip = &mut packed[s * deep..(s + 1) * deep];
            if rows - i < GEMM_ROWS {
                strip.fill([0; GEMM_ROWS]);
            }
            for r in 0..GEMM_ROWS.min(rows - i) {
                let from = (row + i + r) * k;
                let mut p = 0;
                while p < deep {
                    // As far as this term reaches.
                    let (term, at) = ((start + p) / k, (start + p) % k);
                    let length = (k - at).min(deep - p);
                    let x = &terms[term].x[from + at..from + at + length];
                    for (column, x) in strip[p..p + length].iter_mut().zip(x) {
                        column[r] = *x;
                    }
                    p += length;
                }
            }
        }
    }
}

kernel! {
    /// `out += x @ (y + plus)` row by row, for a few rows; `plus` may be empty.
    fn few_rows(out: &mut [u64], x: &[u64], y: &[u64], plus: &[u64], size: Size) {
        let Size { m, k, n } = size;
        for p in 0..k {
            let y = &y[p * n..(p + 1) * n];
            for i in 0..m {
                let factor = x[i * k + p];
                let out = &mut out[i * n..(i + 1) * n];
                if plus.is_empty() {
                    for (out, y) in out.iter_mut().zip(y) {
                        *out = out.wrapping_add(factor.wrapping_mul(*y));
                    }
                } else {
                    let plus = &plus[p * n..(p + 1) * n];
                    for ((out, y), plus) in out.iter_mut().zip(y).zip(plus) {
                        *out = out.wrapping_add(factor.wrapping_mul(y.wrapping_add(*plus)));
                    }
                }
            }
        }
    }
}

kernel! {
    /// `out += x @ (y + plus)` for a column y; `plus` may be empty.
    fn one_column(out: &mut [u64], x: &[u64], y: &[u64], plus: &[u64]) {
        for (out, row) in out.iter_mut().zip(x.chunks_exact(y.len())) {
            let mut sum = 0u64;
            if plus.is_empty() {
                for (x, y) in row.iter().zip(y) {
                    sum = sum.wrapping_add(x.wrapping_mul(*y));
                }
            } else {
                for ((x, y), plus) in row.iter().zip(y).zip(plus) {
                    sum = sum.wrapping_add(x.wrapping_mul(y.wrapping_add(*plus)));
                }
            }
            *out = out.wrapping_add(sum);
        }
    }
}
