//! The weight formats that products take, and what is constant about each.

/// Weights that share one scale of the activations (spec/numerics.md §5.1).
pub const BLOCK: usize = 32;

/// Weights of a super-block: of one `d` in the formats that end in `K`.
pub(super) const SUPER: usize = 256;

/// A weight format of ggml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// 4 bits, a scale for 32.
    Q4_0,
    /// 4 bits, a scale and a minimum for 32.
    Q4_1,
    /// 5 bits, a scale for 32.
    Q5_0,
    /// 5 bits, a scale and a minimum for 32.
    Q5_1,
    /// 8 bits, a scale for 32.
    Q8_0,
    /// 4 bits, a 6-bit scale and a 6-bit minimum for 32, their units for 256.
    Q4K,
    /// 5 bits, a 6-bit scale and a 6-bit minimum for 32, their units for 256.
    Q5K,
    /// 6 bits, an 8-bit scale for 16, its unit for 256.
    Q6K,
}

/// How a format keeps the scales of 16 outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scales {
    /// Each block: 16 binary16 scales.
    Half,
    /// Each block: 16 binary16 scales, 16 binary16 minimums.
    HalfMin,
    /// Each super-block: 16 `d`, 16 `dmin`; then for each of its 8 blocks 16 `u8` scales, 16 `u8` minimums.
    SuperMin,
    /// Each super-block: 16 `d`; then for each of its 16 runs of 16 inputs 16 `i8` scales.
    Super16,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// The kind with this number in ggml (`ggml_type`), if products take it.
    #[must_use]
    pub const fn from_ggml(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// The format's usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Whether the columns are quantised for a product with this kind.
    #[must_use]
    pub const fn takes_quantised(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Weights in one unit of ggml's storage: the depth is a multiple of it.
    #[must_use]
    pub const fn unit(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4K | Self::Q5K | Self::Q6K => SUPER,
            _ => BLOCK,
        }
    }

    /// Bytes of one unit of ggml's storage.
    #[must_use]
    pub const fn unit_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 4 + 12 + 128,
            Self::Q5K => 4 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// The layout of the scales; of no meaning for floats.
    pub(super) const fn scales(self) -> Scales {
        match self {
            Self::Q4_1 | Self::Q5_1 => Scales::HalfMin,
            Self::Q4K | Self::Q5K => Scales::SuperMin,
            Self::Q6K => Scales::Super16,
            _ => Scales::Half,
        }
    }

    /// Bits of a stored quant, which is unsigned.
    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => 4,
            Self::Q5_0 | Self::Q5_1 | Self::Q5K => 5,
            Self::Q6K => 6,
            _ => 8,
        }
    }

    /// Whether two quants share a byte.
    pub(super) const fn nibbles(self) -> bool {
        self.bits() == 4
    }

    /// What is added to a quant to store it: 0 or a power of two.
    pub(super) const fn offset(self) -> i32 {
        match self {
            Self::Q4_0 => 8,
            Self::Q5_0 => 16,
            Self::Q6K => 32,
            Self::Q8_0 => 128,
            _ => 0,
        }
    }
}

/// A quantised kind as a type, so that a kernel is compiled for each.
pub(super) trait Format {
    const KIND: Kind;
}

macro_rules! formats {
    ($($format:ident),+) => {
        /// The formats as types.
        pub(super) mod format {
            $(
                #[derive(Clone, Copy, Debug)]
                pub(in super::super) struct $format;
                impl super::Format for $format {
                    const KIND: super::Kind = super::Kind::$format;
                }
            )+
        }
    };
}

formats!(Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4K, Q5K, Q6K);
