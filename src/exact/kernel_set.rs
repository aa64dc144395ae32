//! Which kernels run.

use std::sync::OnceLock;

/// A set of kernels. All sets give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelSet {
    /// Plain Rust: the reference.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// The same with VNNI.
    Avx512Vnni,
    /// AArch64 with NEON and the dot product instructions.
    Neon,
}

impl KernelSet {
    /// Every set, slowest first.
    pub const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Neon];

    /// The name that `LMA_KERNEL` calls it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512-novnni",
            Self::Avx512Vnni => "avx512",
            Self::Neon => "neon",
        }
    }

    /// Whether this processor runs the set.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Self::Avx512.available() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The sets that this processor runs, slowest first.
    pub fn all_available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|set| set.available())
    }

    /// The fastest set of this processor.
    #[must_use]
    pub fn fastest() -> Self {
        Self::all_available().last().unwrap_or(Self::Scalar)
    }

    /// The set that the environment variable `LMA_KERNEL` names, else the fastest one. `avx512` is the better
    /// of the two AVX-512 sets that runs here.
    ///
    /// # Errors
    /// A sentence, where the variable names no set, or one that this processor does not run.
    pub fn from_env() -> Result<Self, String> {
        let Some(name) = std::env::var_os("LMA_KERNEL").filter(|name| !name.is_empty()) else {
            return Ok(Self::fastest());
        };
        let name = name.to_string_lossy();
        let named = match &*name {
            "avx512" if !Self::Avx512Vnni.available() => Some(Self::Avx512),
            name => Self::ALL.into_iter().find(|set| set.name() == name),
        };
        let names = Self::ALL.map(Self::name).join(", ");
        let set = named.ok_or_else(|| format!("LMA_KERNEL is {name}, which is none of {names}"))?;
        if set.available() { Ok(set) } else { Err(format!("LMA_KERNEL is {name}, which this processor does not run")) }
    }

    /// What [`Self::from_env`] gives, or the fastest set; decided once.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceLock<KernelSet> = OnceLock::new();
        *CURRENT.get_or_init(|| Self::from_env().unwrap_or_else(|_| Self::fastest()))
    }
}
