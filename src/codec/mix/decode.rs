//! Stored bytes to bytes, with a language model.

use std::any::Any;
use std::sync::Arc;

use super::maths::Maths;
use super::model::Model;
use super::start::Start;
use super::walk::{Masses, code};
use crate::codec::lm::window::Window;
use crate::entropy::{Cdf, Garbage, RangeDecoder};
use crate::format::ContextPolicy;
use crate::predict::tree::Leaf;
use crate::predict::{Stream, StreamError, TokenId, TokenTable, Want};

/// Decodes one chunk. Each walk gives at least one byte, so the work is bounded by the raw length.
pub struct DecodeStream {
    table: Arc<TokenTable>,
    /// The start token, then the tokens decoded.
    history: Vec<TokenId>,
    window: Window,
    coder: RangeDecoder<Vec<u8>>,
    model: Box<Model>,
    sums: Vec<u64>,
    raw_len: usize,
}

impl DecodeStream {
    /// A decoder of `stored` into `raw_len` bytes.
    ///
    /// # Errors
    /// The context policy is none, or the chunk is empty and its stored bytes are not.
    pub(super) fn new(
        table: Arc<TokenTable>,
        context: ContextPolicy,
        stored: Vec<u8>,
        raw_len: usize,
        start: &Start,
    ) -> Result<Self, StreamError> {
        let mut window = Window::new(context)?;
        window.plan(0, 1);
        let history = vec![table.start()];
        let model = Box::new(Model::new(true, start.mix().clone(), raw_len));
        let coder = RangeDecoder::new(stored);
        let stream = Self { table, history, window, coder, model, sums: Vec::new(), raw_len };
        if raw_len == 0 {
            stream.check_end()?;
        }
        Ok(stream)
    }

    /// The bytes decoded so far, from the chunk's first.
    #[must_use]
    pub fn decoded(&self) -> &[u8] {
        self.model.raw()
    }

    /// The bytes decoded: all, if the stream is done.
    #[must_use]
    pub fn into_decoded(self) -> Vec<u8> {
        self.model.into_raw()
    }

    fn done(&self) -> bool {
        self.decoded().len() == self.raw_len
    }

    fn corrupt(&self, why: &str) -> StreamError {
        let at = self.decoded().len();
        StreamError(format!(
            "at byte {at} of {}: {why} (damage, or probabilities other than the encoder's)",
            self.raw_len
        ))
    }

    fn check_end(&self) -> Result<(), StreamError> {
        self.coder.finish().map_err(|Garbage| self.corrupt("the stored bytes do not end where the text does"))
    }

    /// Decodes escapes up to and including the next token, or the end of the chunk.
    fn token(&mut self, masses: &mut Masses<'_>) -> Result<(), Garbage> {
        let back = |n: usize| self.history.len().checked_sub(n).map_or(0, |at| self.history[at]);
        let previous = [back(1), back(2)];
        while !self.done() {
            let room = self.raw_len - self.decoded().len();
            if let Leaf::Token(token) = code(masses, &mut self.model, &mut self.coder, &[], previous, room)? {
                self.history.push(token);
                break;
            }
        }
        Ok(())
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
        let table = Arc::clone(&self.table);
        let mut sums = std::mem::take(&mut self.sums);
        if !table.tree().cumulate(cdf, &mut sums) {
            return Err(StreamError(format!(
                "a distribution over {} symbols, where {} tokens and the escape were expected",
                cdf.len(),
                self.table.len()
            )));
        }
        let mut masses = Masses { tree: table.tree(), sums: &sums, maths: Maths::get() };
        let decoded = self.token(&mut masses);
        self.sums = sums;
        if decoded.is_err() {
            return Err(self.corrupt("the stored bytes are no text of this model"));
        }
        if self.done() { self.check_end() } else { Ok(()) }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
