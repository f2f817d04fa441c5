// SPDX-License-Identifier: Apache-2.0
//! Everything that needs a particular instruction set, and the only crate with `unsafe` code.
//!
//! A [`Path`] is a proof that the running CPU has the instructions it stands for: only detection makes one. The other
//! kernel crates write plain loops with [`kernel!`], which compiles each loop once per path and calls the version that
//! the given path names. All paths give identical bits. Published builds never use `target-cpu=native`.

mod aes;
mod ceiling;
mod gemm;
mod gf256;
mod pack;
mod path;
mod transpose;

pub use aes::{RoundKeys, aes128_ctr};
pub use ceiling::{Ceiling, ceiling};
pub use gemm::{GEMM_COLUMNS, GEMM_ROWS, gemm_tile, prefetch_row};
pub use gf256::{aes_layer, gf256_mul};
pub use pack::{pack_words, unpack_words};
pub use path::{Kernel, Path, UnknownPath, cpu_features, force};
pub use transpose::{GROUP, LANES, Lanes, flat_to_planes, load_lanes, planes_to_flat, store_lanes};

/// Defines a function whose body is compiled once for every [`Path`]; it takes the path as its first argument.
///
/// The body is a plain loop over slices that the compiler vectorises differently on each path; it may be generic over
/// one type. Functions that it calls must be `#[inline(always)]`, or they are compiled for the baseline instruction set.
#[macro_export]
macro_rules! kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident$(<$g:ident: $bound:path>)?($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $crate::kernel! { $(#[$meta])* $vis fn $name$(<$g: $bound>)?($($arg: $ty),*) -> () $body }
    };
    (
        $(#[$meta:meta])* $vis:vis
        fn $name:ident$(<$g:ident: $bound:path>)?($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name$(<$g: $bound>)?(path: $crate::Path, $($arg: $ty),*) -> $ret {
            struct Call<T>(T);
            impl$(<$g: $bound>)? $crate::Kernel for Call<($($ty,)* $(::std::marker::PhantomData<$g>)?)> {
                type Output = $ret;
                #[inline(always)]
                fn run(self) -> $ret {
                    // A function of its own, so that its `&mut` arguments are known not to overlap the others.
                    #[inline(always)]
                    #[allow(clippy::too_many_arguments)]
                    fn body$(<$g: $bound>)?($($arg: $ty),*) -> $ret $body
                    let Call(($($arg,)* $(::std::marker::PhantomData::<$g>)?)) = self;
                    body$(::<$g>)?($($arg),*)
                }
            }
            path.run(Call(($($arg,)* $(::std::marker::PhantomData::<$g>)?)))
        }
    };
}
