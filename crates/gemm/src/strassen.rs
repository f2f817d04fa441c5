// SPDX-License-Identifier: Apache-2.0
//! How a product is taken apart into products of blocks.

use crate::Size;

/// Most levels of Strassen's algorithm: each gives way to a sum of up to twice as many blocks.
const LEVELS_MAX: u32 = 3;

/// A block of a matrix by its place, added or subtracted. It may reach beyond the matrix, which is zero there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
    /// Whether it is subtracted.
    pub minus: bool,
}

/// One product of blocks: the sum of the pieces of A times that of B is added to each piece of C.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Pieces of the left factor.
    pub a: Vec<Piece>,
    /// Pieces of the right factor.
    pub b: Vec<Piece>,
    /// Pieces of the product.
    pub c: Vec<Piece>,
}

/// A signed quadrant: (row, column, minus).
type Quadrant = (usize, usize, bool);

const P11: Quadrant = (0, 0, false);
const P12: Quadrant = (0, 1, false);
const P21: Quadrant = (1, 0, false);
const P22: Quadrant = (1, 1, false);
const M11: Quadrant = (0, 0, true);
const M22: Quadrant = (1, 1, true);

/// Strassen's seven products: quadrants of A, of B, and of C. Source: Strassen 1969.
const PRODUCTS: [[&[Quadrant]; 3]; 7] = [
    [&[P11, P22], &[P11, P22], &[P11, P22]],
    [&[P21, P22], &[P11], &[P21, M22]],
    [&[P11], &[P12, M22], &[P12, P22]],
    [&[P22], &[P21, M11], &[P11, P21]],
    [&[P11, P12], &[P22], &[M11, P12]],
    [&[P21, M11], &[P11, P12], &[P22]],
    [&[P12, M22], &[P21, P22], &[P11]],
];

/// The best number of levels for a product.
pub fn levels(size: Size) -> u32 {
    (0..=LEVELS_MAX)
        .min_by_key(|levels| work(size, *levels))
        .unwrap_or(0)
}

/// The size of the blocks of a product with so many levels, and the products of blocks that make it up.
pub fn leaves(size: Size, levels: u32) -> (Size, Vec<Leaf>) {
    let whole = vec![Piece {
        row: 0,
        column: 0,
        minus: false,
    }];
    let mut leaves = vec![Leaf {
        a: whole.clone(),
        b: whole.clone(),
        c: whole,
    }];
    let block = block(size, levels);
    for level in (0..levels).rev() {
        // In whole blocks, so that only those at the edge of the matrix reach beyond it.
        let half = Size {
            m: block.m << level,
            k: block.k << level,
            n: block.n << level,
        };
        leaves = leaves
            .iter()
            .flat_map(|leaf| {
                PRODUCTS.map(|[a, b, c]| Leaf {
                    a: quarter(&leaf.a, a, half.m, half.k),
                    b: quarter(&leaf.b, b, half.k, half.n),
                    c: quarter(&leaf.c, c, half.m, half.n),
                })
            })
            .collect();
    }
    (block, leaves)
}

fn block(size: Size, levels: u32) -> Size {
    let part = |n: usize| n.div_ceil(1 << levels);
    Size {
        m: part(size.m),
        k: part(size.k),
        n: part(size.n),
    }
}

/// The quadrants of each piece, with blocks of `rows` by `columns`.
fn quarter(pieces: &[Piece], quadrants: &[Quadrant], rows: usize, columns: usize) -> Vec<Piece> {
    let of = |piece: &Piece, &(r, c, minus): &Quadrant| Piece {
        row: piece.row + r * rows,
        column: piece.column + c * columns,
        minus: piece.minus ^ minus,
    };
    pieces
        .iter()
        .flat_map(|piece| quadrants.iter().map(move |quadrant| of(piece, quadrant)))
        .collect()
}

/// About the time of a product with so many levels, in multiplications: to pack or add a word of a piece takes as long
/// as 20 of them (measured on Zen 4 for 256^3 to 2048^3, where one level pays from about 1000^3 on).
fn work(size: Size, levels: u32) -> u128 {
    let block = block(size, levels);
    let [m, k, n] = [block.m, block.k, block.n].map(|n| n as u128);
    7u128.pow(levels) * m * k * n + 20 * 12u128.pow(levels) * (m * k + k * n + m * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seven_products_add_up_to_the_eight() {
        // Coefficient of A[i][p] B[q][j] in C[r][s], over all products.
        for at in 0..64 {
            let bit = |n: usize| at >> n & 1;
            let sign = |list: &[Quadrant], row, column| -> i32 {
                list.iter()
                    .filter(|(r, c, _)| (*r, *c) == (row, column))
                    .map(|(_, _, minus)| if *minus { -1 } else { 1 })
                    .sum()
            };
            let total: i32 = PRODUCTS
                .iter()
                .map(|[a, b, c]| {
                    sign(a, bit(0), bit(1)) * sign(b, bit(2), bit(3)) * sign(c, bit(4), bit(5))
                })
                .sum();
            let right = bit(1) == bit(2) && bit(0) == bit(4) && bit(3) == bit(5);
            assert_eq!(total, i32::from(right));
        }
    }

    #[test]
    fn small_products_stay_whole_and_large_ones_are_taken_apart() {
        let square = |n| levels(Size { m: n, k: n, n });
        assert_eq!([16, 512, 2048, 8192].map(square), [0, 0, 1, 2]);
        let thin = Size {
            m: 5,
            k: 100_000,
            n: 5,
        };
        assert_eq!(levels(thin), 0);
    }
}
