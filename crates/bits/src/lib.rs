// SPDX-License-Identifier: Apache-2.0
//! Kernels on packed bits: transposes, packing, one-hot tables and carries.
//!
//! Bit planes are rows of 64-bit words: bit i mod 64 of word i / 64 of plane j is bit j of element i. Functions take
//! planes flat, row after row. Nothing here branches on, or indexes by, a shared or masked value.
//!
//! Lengths that do not fit together are a caller's mistake and panic; the Python binding checks them first.

#![forbid(unsafe_code)]

mod carry;
mod hot;
mod pack;
mod planes;
mod rows;

pub use carry::{DIGIT_MAX, Digits, carry_combine, carry_hot};
pub use hot::{DIGIT_MAX as INDEX_MAX, lut_combine, one_hot, thermometer_digits};
pub use pack::{pack, packed_len, unpack};
pub use planes::{Planes, from_planes, to_planes};
pub use rows::{ROW_BITS, hot_rows, look_up_rows};
