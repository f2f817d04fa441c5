// SPDX-License-Identifier: Apache-2.0
//! The rates of the two kernels that everything waits for, beside what one core could do from registers alone.
//!
//! Run: `cargo run --release -p tacit-gemm --example ceiling`. Prints a line for each: name, rate and ceiling in bytes or
//! products per second, and the part of the ceiling that is reached.

use std::time::Instant;

use tacit_gemm::{Size, matmul};
use tacit_prg::PrgKey;
use tacit_simd::{Path, ceiling};

/// A stream that stays in the L1 cache, in words, and products of square matrices of this side.
const WORDS: usize = 2048;
const SIDE: usize = 1024;

fn main() {
    let path = Path::active();
    let Some(ceiling) = ceiling(path) else {
        eprintln!("no ceiling is known for the path {}", path.name());
        return;
    };
    let key = PrgKey::new(&[1; 16]);

    let mut words = vec![0; WORDS];
    let stream = fastest(10_000, || key.fill(path, 1, 0, &mut words));
    print("stream", (8 * WORDS) as f64 / stream, ceiling.stream);

    let mut factors = vec![0; 2 * SIDE * SIDE];
    key.fill(path, 2, 0, &mut factors);
    let (x, y) = factors.split_at(SIDE * SIDE);
    let mut out = vec![0; SIDE * SIDE];
    let (m, k, n) = (SIDE, SIDE, SIDE);
    let product = fastest(30, || matmul(path, 1, &mut out, x, y, Size { m, k, n }));
    print("matmul", (m * k * n) as f64 / product, ceiling.products);
}

/// Seconds of the fastest run.
fn fastest(runs: usize, mut work: impl FnMut()) -> f64 {
    let seconds = (0..runs).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}

fn print(name: &str, rate: f64, ceiling: f64) {
    println!("{name} {rate:.4e} {ceiling:.4e} {:.3}", rate / ceiling);
}
