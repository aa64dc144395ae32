//! Binary decisions in and out: one code for both directions.

use crate::entropy::{Garbage, RangeDecoder, RangeEncoder};

/// Codes decisions.
pub(super) trait BitCoder {
    /// Codes a decision that is 1 with probability `p / 65536`, `1 <= p <= 65535`. An encoder codes
    /// `bit`; a decoder ignores it. Gives the decision.
    ///
    /// # Errors
    /// [`Garbage`] where a decoder's bytes are no encoder's.
    fn code(&mut self, p: i32, bit: bool) -> Result<bool, Garbage>;
}

impl BitCoder for RangeEncoder {
    #[inline(always)]
    fn code(&mut self, p: i32, bit: bool) -> Result<bool, Garbage> {
        self.encode_bit(p as u16, bit);
        Ok(bit)
    }
}

/// Codes nothing: it adds up what the decisions would cost, in bits.
#[derive(Default)]
pub(super) struct Meter {
    bits: f64,
}

impl Meter {
    /// What was spent since this was called last.
    pub(super) fn take(&mut self) -> f64 {
        std::mem::take(&mut self.bits)
    }
}

impl BitCoder for Meter {
    fn code(&mut self, p: i32, bit: bool) -> Result<bool, Garbage> {
        self.bits -= (f64::from(if bit { p } else { (1 << 16) - p }) / f64::from(1 << 16)).log2();
        Ok(bit)
    }
}

impl<B: AsRef<[u8]>> BitCoder for RangeDecoder<B> {
    #[inline(always)]
    fn code(&mut self, p: i32, _: bool) -> Result<bool, Garbage> {
        self.decode_bit(p as u16)
    }
}
