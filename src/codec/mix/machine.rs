//! Which kernel a machine has (spec/mix-codec.md §10: all give the same integers).

use super::kernel::{Kernel, Portable};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Something to do, compiled for each kernel; the larger, the better.
pub(super) trait Work {
    /// What comes of it.
    type Done;

    fn run<K: Kernel>(self, kernel: K) -> Self::Done;
}

/// The fastest kernel of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Machine {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Machine {
    /// What this machine has.
    pub(super) fn new() -> Self {
        Self::all().next().unwrap_or(Self::Portable(Portable))
    }

    /// All that this machine has, the fastest first; the reference is the last.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let portable = std::iter::once(Self::Portable(Portable));
        #[cfg(target_arch = "x86_64")]
        return (Avx512::new().map(Self::Avx512).into_iter()).chain(Avx2::new().map(Self::Avx2)).chain(portable);
        #[cfg(not(target_arch = "x86_64"))]
        portable
    }

    #[inline(always)]
    pub(super) fn run<W: Work>(self, work: W) -> W::Done {
        match self {
            Self::Portable(kernel) => work.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.run(work),
        }
    }
}
