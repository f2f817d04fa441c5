// SPDX-License-Identifier: Apache-2.0
//! What a party computes within a step of replicated sharing, over Z_2^64, Z_2 and GF(2^8): products, masks, truncation,
//! conversions and resharing, each one fused pass over its operands.
//!
//! Masks are made block by block in the L1 cache and never stored. Nothing here branches on, or indexes by, a value.
//!
//! Lengths that do not fit together are a caller's mistake and panic; the Python binding checks them first.

#![forbid(unsafe_code)]

mod bytes;
mod convert;
mod gates;
mod line;
mod reshare;
mod thirds;
mod trunc;

pub use bytes::{aes_layer_keyed, rep3_gf256_mul};
pub use convert::{b2a_combine, b2a_send, b2a_sent, inject_combine, inject_send};
pub use gates::{Algebra, Bits, Ring, add_prg, add_zero, rep3_product, rep3_row_products, sub_prg};
pub use line::{Line, Round, Step, Work};
pub use reshare::{Reshare, reshare_planes};
pub use thirds::{Role, Thirds};
pub use trunc::{F_MAX, trunc_exchange, trunc_finish, trunc_send};
