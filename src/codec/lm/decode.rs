//! Stored bytes to bytes.

use std::any::Any;
use std::sync::Arc;

use super::ESCAPED_BITS;
use super::window::Window;
use crate::entropy::{Cdf, Garbage, RangeDecoder};
use crate::format::ContextPolicy;
use crate::predict::{Stream, StreamError, TokenId, TokenTable, Want};

/// Decodes one chunk. Each symbol gives at least one byte, so the model's work is bounded by the
/// raw length, and memory by a multiple of what was decoded.
pub struct DecodeStream {
    table: Arc<TokenTable>,
    /// The start token, then the tokens decoded.
    history: Vec<TokenId>,
    window: Window,
    coder: RangeDecoder<Vec<u8>>,
    raw: Vec<u8>,
    raw_len: usize,
}

impl DecodeStream {
    /// A decoder of `stored` into `raw_len` bytes.
    ///
    /// # Errors
    /// The context policy is none, or the chunk is empty and its stored bytes are not.
    pub fn new(
        table: Arc<TokenTable>,
        context: ContextPolicy,
        stored: Vec<u8>,
        raw_len: usize,
    ) -> Result<Self, StreamError> {
        let mut window = Window::new(context)?;
        window.plan(0, 1);
        let history = vec![table.start()];
        let stream = Self { table, history, window, coder: RangeDecoder::new(stored), raw: Vec::new(), raw_len };
        if raw_len == 0 {
            stream.check_end()?;
        }
        Ok(stream)
    }

    /// The bytes decoded so far, from the chunk's first.
    #[must_use]
    pub fn decoded(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes decoded: all, if the stream is done.
    #[must_use]
    pub fn into_decoded(self) -> Vec<u8> {
        self.raw
    }

    fn done(&self) -> bool {
        self.raw.len() == self.raw_len
    }

    fn corrupt(&self, why: &str) -> StreamError {
        let at = self.raw.len();
        StreamError(format!(
            "at byte {at} of {}: {why} (damage, or probabilities other than the encoder's)",
            self.raw_len
        ))
    }

    fn check_end(&self) -> Result<(), StreamError> {
        self.coder.finish().map_err(|Garbage| self.corrupt("the stored bytes do not end where the text does"))
    }

    /// Decodes escapes up to and including the next token. `false`: the chunk ended first.
    fn token(&mut self, cdf: &Cdf) -> Result<bool, Garbage> {
        let escape = self.table.len();
        while !self.done() {
            let target = self.coder.target(cdf.total())?;
            let slot = cdf.find(target).ok_or(Garbage)?;
            self.coder.consume(slot.low, slot.weight)?;
            if slot.symbol == escape {
                self.raw.push(self.coder.decode_bits(ESCAPED_BITS)? as u8);
                continue;
            }
            let token = TokenId::try_from(slot.symbol).map_err(|_| Garbage)?;
            let bytes = self.table.bytes(token);
            // A token without bytes has no weight in a distribution that keeps its contract.
            if bytes.is_empty() || bytes.len() > self.raw_len - self.raw.len() {
                return Err(Garbage);
            }
            self.raw.extend_from_slice(bytes);
            self.history.push(token);
            return Ok(true);
        }
        Ok(false)
    }
}

impl Stream for DecodeStream {
    fn want(&self) -> Want<'_> {
        if self.done() { Want::Done } else { self.window.want(&self.history) }
    }

    fn fed(&mut self, count: usize) {
        if self.window.fed(count) {
            self.window.plan(self.history.len() - 1, self.history.len());
        }
    }

    fn predicted(&mut self, cdf: &Cdf) -> Result<(), StreamError> {
        if cdf.len() != self.table.len() + 1 {
            return Err(StreamError(format!(
                "a distribution over {} symbols, where {} tokens and the escape were expected",
                cdf.len(),
                self.table.len()
            )));
        }
        if self.token(cdf).is_err() {
            return Err(self.corrupt("the stored bytes are no text of this model"));
        }
        if self.done() { self.check_end() } else { Ok(()) }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
