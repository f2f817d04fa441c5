// SPDX-License-Identifier: Apache-2.0
//! Kernels on Z_2^64 in replicated sharing: products, masks and truncation, each one fused pass over its operands.
//!
//! Masks are made block by block in the L1 cache and never stored. Nothing here branches on, or indexes by, a value.
//!
//! Lengths that do not fit together are a caller's mistake and panic; the Python binding checks them first.

#![forbid(unsafe_code)]

mod mul;
mod trunc;

pub use mul::{add_prg, rep3_mul, sub_prg};
pub use trunc::{F_MAX, Truncated0, trunc_0, trunc_1, trunc_2, trunc_finish};
