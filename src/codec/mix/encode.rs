//! Bytes to stored bytes, with a language model.

use std::any::Any;
use std::sync::Arc;

use super::maths::Maths;
use super::model::{Learnt, Model};
use super::progress::Progress;
use super::start::Start;
use super::walk::{Masses, code};
use crate::codec::lm::symbols::Symbols;
use crate::codec::lm::window::Window;
use crate::entropy::{Cdf, RangeEncoder};
use crate::predict::{LoadedModel, Stream, StreamError, TokenId, TokenTable, Want};

/// Bytes of the head of a chunk of text.
const HEAD: usize = 1;

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
    model: Box<Model>,
    sums: Vec<u64>,
    bounds: Progress,
    /// Some bound was exceeded.
    stopped: bool,
}

impl EncodeStream {
    /// An encoder of `raw`, with these starting values, that gives up once `bounds` are exceeded.
    ///
    /// # Errors
    /// The model's context policy is none.
    pub(super) fn new(model: &LoadedModel, raw: &[u8], bounds: Progress, start: &Start) -> Result<Self, StreamError> {
        let table = Arc::clone(&model.table);
        let mut symbols = Symbols::new(raw, &table, &*model.tokenizer);
        for token in symbols.history.iter_mut().skip(1) {
            *token = table.tree().canonical(*token);
        }
        let predictions = symbols.predictions();
        let mut window = Window::new(model.record.context, model.reach)?;
        window.plan(0, predictions);
        let model = Box::new(Model::new(true, start.mix().clone(), raw.len()));
        let (coder, sums) = (RangeEncoder::new(), Vec::new());
        Ok(Self {
            table,
            symbols,
            predictions,
            used: 0,
            escaped: 0,
            window,
            coder,
            model,
            sums,
            bounds,
            stopped: false,
        })
    }

    /// The stored bytes of a finished stream; `None` if the bounds were exceeded.
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.stopped || self.used < self.predictions {
            return None;
        }
        let raw = self.model.raw().len();
        Some(self.coder.finish()).filter(|stored| !self.bounds.exceeded(raw, stored.len() + HEAD))
    }

    /// An encoder that learns on from `learnt`, with no bounds.
    pub(super) fn learning(model: &LoadedModel, raw: &[u8], learnt: Learnt) -> Result<Self, StreamError> {
        let stream = Self::new(model, raw, Progress::at_most(usize::MAX), Start::get())?;
        Ok(Self { model: Box::new(Model::new(true, learnt, raw.len())), ..stream })
    }

    /// The size of the stored bytes, and what was learnt from them.
    pub(super) fn into_learnt(self) -> (usize, Learnt) {
        (self.coder.finish().len(), self.model.into_learnt())
    }

    fn previous(&self) -> [TokenId; 2] {
        let history = &self.symbols.history[..=self.used];
        let back = |n: usize| history.len().checked_sub(n).map_or(0, |at| history[at]);
        [back(1), back(2)]
    }
}

impl Stream for EncodeStream {
    fn want(&self) -> Want<'_> {
        if self.used >= self.predictions || self.stopped {
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
        let table = Arc::clone(&self.table);
        let tree = table.tree();
        if !tree.cumulate(cdf, &mut self.sums) {
            return Err(StreamError("a distribution of another vocabulary".into()));
        }
        let previous = self.previous();
        let sums = std::mem::take(&mut self.sums);
        let mut masses = Masses { tree, sums: &sums, maths: Maths::get() };
        let mut put = |bytes: &[u8]| {
            // An encoder never finds garbage.
            let _ = code(&mut masses, &mut self.model, &mut self.coder, bytes, previous, bytes.len());
        };
        while let Some(&(_, byte)) = self.symbols.escapes.get(self.escaped).filter(|&&(at, _)| at == self.used) {
            put(&[byte]);
            self.escaped += 1;
        }
        self.used += 1;
        if let Some(&token) = self.symbols.history.get(self.used) {
            put(table.bytes(token));
        }
        self.sums = sums;
        self.stopped = self.bounds.exceeded(self.model.raw().len(), self.coder.written() + HEAD);
        Ok(())
    }

    fn lost(&mut self) {
        self.window.lost();
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
