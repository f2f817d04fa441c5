// SPDX-License-Identifier: Apache-2.0
//! How fast this core issues the instructions that the kernels are made of, from registers alone: what they are measured
//! against.

use crate::path::{Level, Path};

/// What one core could do if nothing but arithmetic took time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ceiling {
    /// Bytes of AES-128 per second: ten rounds for each block.
    pub stream: f64,
    /// Products of 64-bit words and their sums per second, two for each multiplication and three additions.
    pub products: f64,
}

/// Measures the ceiling of a path; none where it does not use 512-bit instructions.
pub fn ceiling(path: Path) -> Option<Ceiling> {
    match path.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Some(x86::measure()),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Ceiling;
    use std::arch::asm;
    use std::time::Instant;

    /// Runs of a loop and their length: short ones, so that some meet no interruption.
    const RUNS: usize = 50;
    const LENGTH: u64 = 100_000;

    /// Independent results per pass of a loop: enough to hide every latency.
    const FLIGHT: usize = 12;

    /// Defines a loop over twelve registers; `$own` names the one of each instruction.
    macro_rules! passes {
        ($name:ident: $($line:literal),+) => {
            fn $name() {
                // SAFETY: registers only, all of them declared; called where AVX-512 and VAES are there.
                unsafe {
                    asm!(
                        "2:",
                        concat!(".irp own, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n" $(, $line, "\n")+, ".endr"),
                        "dec {left}",
                        "jnz 2b",
                        left = inout(reg) LENGTH => _,
                        out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                        out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                        out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
                        options(nomem, nostack),
                    );
                }
            }
        };
    }

    passes!(rounds: r"vaesenc zmm\own, zmm\own, zmm31");
    passes!(
        inner: "vpaddq zmm28, zmm30, zmm31",
        "vpaddq zmm29, zmm30, zmm31",
        "vpmullq zmm28, zmm28, zmm29",
        r"vpaddq zmm\own, zmm\own, zmm28"
    );

    pub fn measure() -> Ceiling {
        Ceiling {
            stream: per_second(rounds) * 64.0 / 10.0,
            products: per_second(inner) * 16.0,
        }
    }

    /// Repetitions of the lines of a loop per second, in its fastest run.
    fn per_second(passes: fn()) -> f64 {
        let seconds = (0..RUNS).map(|_| {
            let start = Instant::now();
            passes();
            start.elapsed().as_secs_f64()
        });
        (LENGTH * FLIGHT as u64) as f64 / seconds.fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_issues_something_and_no_more_than_it_has_cycles_for() {
        for path in Path::available() {
            if let Some(Ceiling { stream, products }) = ceiling(path) {
                assert!((1e8..1e12).contains(&stream), "{stream}");
                assert!((1e8..1e12).contains(&products), "{products}");
            }
        }
    }
}
