//! Stored bytes to bytes.

use super::ESCAPED_BITS;
use super::drive::Decoder;
use crate::entropy::{Cdf, Garbage, RangeDecoder};
use crate::predict::{TokenId, TokenTable};

/// Reads each token as one symbol.
pub(super) struct Symbols {
    coder: RangeDecoder<Vec<u8>>,
    raw: Vec<u8>,
}

impl Symbols {
    pub(super) fn new(stored: Vec<u8>) -> Self {
        Self { coder: RangeDecoder::new(stored), raw: Vec::new() }
    }
}

impl Decoder for Symbols {
    fn decoded(&self) -> &[u8] {
        &self.raw
    }

    fn token(
        &mut self,
        table: &TokenTable,
        cdf: &Cdf,
        _: &[TokenId],
        raw_len: usize,
    ) -> Result<Option<TokenId>, Garbage> {
        while self.raw.len() < raw_len {
            let target = self.coder.target(cdf.total())?;
            let slot = cdf.find(target).ok_or(Garbage)?;
            self.coder.consume(slot.low, slot.weight)?;
            if slot.symbol == table.len() {
                self.raw.push(self.coder.decode_bits(ESCAPED_BITS)? as u8);
                continue;
            }
            let token = TokenId::try_from(slot.symbol).map_err(|_| Garbage)?;
            let bytes = table.bytes(token);
            // A token without bytes has no weight in a distribution that keeps its contract.
            if bytes.is_empty() || bytes.len() > raw_len - self.raw.len() {
                return Err(Garbage);
            }
            self.raw.extend_from_slice(bytes);
            return Ok(Some(token));
        }
        Ok(None)
    }

    fn finish(&self) -> Result<(), Garbage> {
        self.coder.finish()
    }

    fn into_decoded(self) -> Vec<u8> {
        self.raw
    }
}
