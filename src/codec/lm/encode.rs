//! Bytes to stored bytes.

use super::ESCAPED_BITS;
use super::drive::Encoder;
use crate::entropy::{Cdf, RangeEncoder};
use crate::predict::{StreamError, TokenId, TokenTable};

/// Writes each token as one symbol.
pub(super) struct Symbols {
    coder: RangeEncoder,
    budget: usize,
}

impl Symbols {
    /// An encoder that gives up once it takes `budget` bytes or more.
    pub(super) fn new(budget: usize) -> Self {
        Self { coder: RangeEncoder::new(), budget }
    }

    /// The stored bytes; `None` if they are `budget` or more.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        Some(self.coder.finish()).filter(|stored| stored.len() < self.budget)
    }

    fn symbol(&mut self, cdf: &Cdf, symbol: usize) -> Result<(), StreamError> {
        let (low, weight) =
            cdf.range(symbol).ok_or_else(|| StreamError(format!("the model gives symbol {symbol} no probability")))?;
        self.coder.encode(low, weight, cdf.total());
        Ok(())
    }
}

impl Encoder for Symbols {
    fn encode(
        &mut self,
        table: &TokenTable,
        cdf: &Cdf,
        _: &[TokenId],
        escapes: impl Iterator<Item = u8>,
        token: Option<TokenId>,
    ) -> Result<(), StreamError> {
        for byte in escapes {
            self.symbol(cdf, table.len())?;
            self.coder.encode_bits(u32::from(byte), ESCAPED_BITS);
        }
        token.map_or(Ok(()), |token| self.symbol(cdf, token as usize))
    }

    /// The ending can be shorter than what is written already by a run of zeros only, so a stream
    /// that is this far past its budget does not come back in practice; if it does, another codec
    /// is taken, and nothing is lost but a few bytes.
    fn gives_up(&self) -> bool {
        self.coder.written() >= self.budget
    }
}
