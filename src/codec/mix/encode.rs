//! Bytes to stored bytes, with a language model.

use super::maths::Maths;
use super::model::{Learnt, Model};
use super::progress::Progress;
use super::walk::{Masses, code};
use crate::codec::lm::drive::{EncodeStream, Encoder};
use crate::codec::lm::symbols::Symbols;
use crate::entropy::{Cdf, RangeEncoder};
use crate::predict::{LoadedModel, RunError, StreamError, TokenId, TokenTable};

/// Bytes of the head of a chunk of text.
const HEAD: usize = 1;

/// Writes each token as a walk through the tree of tokens.
pub(super) struct Walks {
    coder: RangeEncoder,
    model: Box<Model>,
    sums: Vec<u64>,
    bounds: Progress,
    /// Some bound was exceeded.
    stopped: bool,
}

impl Walks {
    /// An encoder of a chunk of `raw_len` bytes that starts from `learnt`, and gives up once `bounds` are exceeded.
    pub(super) fn new(learnt: Learnt, raw_len: usize, bounds: Progress) -> Self {
        let model = Box::new(Model::new(true, learnt, raw_len));
        Self { coder: RangeEncoder::new(), model, sums: Vec::new(), bounds, stopped: false }
    }

    /// Encodes `raw`; `None` if the bounds were exceeded.
    ///
    /// # Errors
    /// The runner's, or the model's context policy is none.
    pub(super) fn run(self, model: &LoadedModel, raw: &[u8]) -> Result<Option<Self>, RunError> {
        let mut symbols = Symbols::new(raw, &model.table, &*model.tokenizer);
        for token in symbols.history.iter_mut().skip(1) {
            *token = model.table.tree().canonical(*token);
        }
        let walks = EncodeStream::new(self, model, symbols)?.run(&*model.runner)?;
        Ok(walks.filter(|walks| !walks.stopped))
    }

    /// The stored bytes; `None` if they exceed the bounds.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        let raw = self.model.raw().len();
        Some(self.coder.finish()).filter(|stored| !self.bounds.exceeded(raw, stored.len() + HEAD))
    }

    /// The size of the stored bytes, and what was learnt from them.
    pub(super) fn into_learnt(self) -> (usize, Learnt) {
        (self.coder.finish().len(), self.model.into_learnt())
    }
}

impl Encoder for Walks {
    fn encode(
        &mut self,
        table: &TokenTable,
        cdf: &Cdf,
        history: &[TokenId],
        escapes: impl Iterator<Item = u8>,
        token: Option<TokenId>,
    ) -> Result<(), StreamError> {
        let tree = table.tree();
        if !tree.cumulate(cdf, &mut self.sums) {
            return Err(StreamError("a distribution of another vocabulary".into()));
        }
        let previous = previous(history);
        let mut masses = Masses { tree, sums: &self.sums, maths: Maths::get() };
        let mut put = |bytes: &[u8]| {
            // An encoder never finds garbage.
            let _ = code(&mut masses, &mut self.model, &mut self.coder, bytes, previous, bytes.len());
        };
        escapes.for_each(|byte| put(&[byte]));
        if let Some(token) = token {
            put(table.bytes(token));
        }
        self.stopped = self.bounds.exceeded(self.model.raw().len(), self.coder.written() + HEAD);
        Ok(())
    }

    fn gives_up(&self) -> bool {
        self.stopped
    }
}

/// The last two tokens, the last first; 0 where there is none.
pub(super) fn previous(history: &[TokenId]) -> [TokenId; 2] {
    let back = |n: usize| history.len().checked_sub(n).map_or(0, |at| history[at]);
    [back(1), back(2)]
}
