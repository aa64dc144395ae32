//! Bytes to stored bytes.

use std::any::Any;
use std::sync::Arc;

use super::ESCAPED_BITS;
use super::symbols::Symbols;
use super::window::Window;
use crate::entropy::{Cdf, RangeEncoder};
use crate::predict::{LoadedModel, Stream, StreamError, TokenTable, Want};

/// Encodes one chunk.
pub struct EncodeStream {
    table: Arc<TokenTable>,
    symbols: Symbols,
    /// Distributions needed: one behind each of `symbols.history[..predictions]`.
    predictions: usize,
    /// Distributions used.
    used: usize,
    /// Escapes written.
    escaped: usize,
    window: Window,
    coder: RangeEncoder,
    budget: usize,
}

impl EncodeStream {
    /// An encoder of `raw` that gives up once it takes `budget` bytes or more.
    ///
    /// # Errors
    /// The model's context policy is none.
    pub fn new(model: &LoadedModel, raw: &[u8], budget: usize) -> Result<Self, StreamError> {
        let symbols = Symbols::new(raw, &model.table, &*model.tokenizer);
        let predictions = symbols.predictions();
        let mut window = Window::new(model.record.context, model.reach)?;
        window.plan(0, predictions);
        let (table, coder) = (Arc::clone(&model.table), RangeEncoder::new());
        Ok(Self { table, symbols, predictions, used: 0, escaped: 0, window, coder, budget })
    }

    /// The stored bytes of a finished stream; `None` if they would be `budget` or more.
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.used < self.predictions {
            return None;
        }
        Some(self.coder.finish()).filter(|stored| stored.len() < self.budget)
    }

    /// The ending can be shorter than what is written already by a run of zeros only, so a stream
    /// that is this far past its budget does not come back in practice; if it does, another codec
    /// is taken, and nothing is lost but a few bytes.
    fn over_budget(&self) -> bool {
        self.coder.written() >= self.budget
    }

    fn code(&mut self, cdf: &Cdf, symbol: usize) -> Result<(), StreamError> {
        let (low, weight) =
            cdf.range(symbol).ok_or_else(|| StreamError(format!("the model gives symbol {symbol} no probability")))?;
        self.coder.encode(low, weight, cdf.total());
        Ok(())
    }
}

impl Stream for EncodeStream {
    fn want(&self) -> Want<'_> {
        if self.used >= self.predictions || self.over_budget() {
            return Want::Done;
        }
        self.window.want(&self.symbols.history)
    }

    fn fed(&mut self, count: usize) {
        if self.window.fed(count) {
            self.window.plan(self.window.end(), self.predictions);
        }
    }

    fn predicted(&mut self, cdf: &Cdf) -> Result<(), StreamError> {
        let escape = self.table.len();
        while let Some(&(_, byte)) = self.symbols.escapes.get(self.escaped).filter(|&&(at, _)| at == self.used) {
            self.code(cdf, escape)?;
            self.coder.encode_bits(u32::from(byte), ESCAPED_BITS);
            self.escaped += 1;
        }
        self.used += 1;
        match self.symbols.history.get(self.used) {
            Some(&token) => self.code(cdf, token as usize),
            None => Ok(()),
        }
    }

    fn lost(&mut self) {
        self.window.lost();
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
