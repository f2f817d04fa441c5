// SPDX-License-Identifier: Apache-2.0
//! Detection of the CPU and the choice of a path.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// One instruction set that the kernels are compiled for and that this CPU has.
///
/// Values of this type come from detection only, so holding one proves that its instructions may be executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path(Level);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
#[repr(u8)]
pub(crate) enum Level {
    /// The baseline of the target, AES from the `aes` crate.
    Portable = 1,
    /// AVX2, BMI2 and AES-NI.
    #[cfg(target_arch = "x86_64")]
    Avx2 = 2,
    /// AVX-512 F, BW, DQ, VL, VBMI with VAES and GFNI (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    Avx512 = 3,
}

/// A name that is no path, or a path that this CPU does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownPath;

impl fmt::Display for UnknownPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such path on this CPU")
    }
}

impl std::error::Error for UnknownPath {}

/// The forced level as a number, 0 where none is forced.
static FORCED: AtomicU8 = AtomicU8::new(0);

/// Makes [`Path::active`] return the named path in the whole process, or the best one again for `None`.
///
/// For tests and benchmarks: results do not depend on it, only speed does.
///
/// # Errors
///
/// [`UnknownPath`] where the CPU does not have the path or no path has the name.
pub fn force(name: Option<&str>) -> Result<(), UnknownPath> {
    let level = match name {
        None => 0,
        Some(name) => Path::available()
            .into_iter()
            .find(|path| path.name() == name)
            .map(|path| path.0 as u8)
            .ok_or(UnknownPath)?,
    };
    FORCED.store(level, Ordering::Relaxed);
    Ok(())
}

impl Path {
    /// The path that every CPU has.
    pub const PORTABLE: Path = Path(Level::Portable);

    /// The paths of this CPU, slowest first.
    pub fn available() -> Vec<Path> {
        let best = Self::best();
        [
            Level::Portable,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512,
        ]
        .into_iter()
        .filter(|level| *level <= best.0)
        .map(Path)
        .collect()
    }

    /// The path that the kernels should take now: the best of this CPU unless another one is forced.
    pub fn active() -> Path {
        match FORCED.load(Ordering::Relaxed) {
            0 => Self::best(),
            forced => Self::available()
                .into_iter()
                .find(|path| path.0 as u8 == forced)
                .unwrap_or(Path::PORTABLE),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn best() -> Path {
        macro_rules! has {
            ($($feature:tt),*) => { true $(&& std::arch::is_x86_feature_detected!($feature))* };
        }
        if !has!("avx2", "bmi2", "aes") {
            Path(Level::Portable)
        } else if has!(
            "avx512f",
            "avx512bw",
            "avx512dq",
            "avx512vl",
            "avx512vbmi",
            "vaes",
            "gfni"
        ) {
            Path(Level::Avx512)
        } else {
            Path(Level::Avx2)
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn best() -> Path {
        Path::PORTABLE
    }

    /// `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }

    /// Runs `kernel` compiled for this path. Use it through [`crate::kernel!`].
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a path of this level is made only on a CPU with these features.
            Level::Avx2 => unsafe { run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a path of this level is made only on a CPU with these features.
            Level::Avx512 => unsafe { run_avx512(kernel) },
        }
    }
}

/// A loop to compile for every path; `run` must be `#[inline(always)]`. Written by [`crate::kernel!`].
pub trait Kernel {
    /// What the loop returns.
    type Output;
    /// Runs the loop.
    fn run(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// The names of the instruction sets that the kernels know and this CPU has.
pub fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! look_for {
            ($($feature:tt),*) => {
                $(if std::arch::is_x86_feature_detected!($feature) { found.push($feature) })*
            };
        }
        look_for!(
            "aes",
            "avx2",
            "avx512bw",
            "avx512dq",
            "avx512f",
            "avx512vbmi",
            "avx512vl",
            "bmi2",
            "gfni",
            "vaes"
        );
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_path_is_always_available_and_first() {
        assert_eq!(Path::available()[0], Path::PORTABLE);
        assert!(Path::available().contains(&Path::active()));
    }

    #[test]
    fn an_unknown_path_is_refused() {
        assert_eq!(force(Some("sse9")), Err(UnknownPath));
    }

    crate::kernel! {
        fn sum(x: &[u64]) -> u64 {
            x.iter().sum()
        }
    }

    #[test]
    fn a_kernel_runs_on_every_path() {
        for path in Path::available() {
            assert_eq!(sum(path, &[1, 2, 3]), 6, "{}", path.name());
        }
    }
}
