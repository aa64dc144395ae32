//! Decoded chunks in a known order, decoded ahead on many threads.

use std::collections::VecDeque;
use std::sync::Arc;

use super::pool::Pool;
use crate::Result;
use crate::codec::CodecError;
use crate::container::{ContainerError, Reader};
use crate::predict::{Models, PredictError};
use crate::progress::Interrupt;

/// Decoded bytes that may be held by chunks in flight, unless one alone is larger.
const BUDGET: u64 = 128 << 20;

/// Where chunks come from.
pub(super) trait Chunks: Send + Sync {
    /// Reads, decodes and checks a chunk.
    fn decode(&self, number: u64, models: &dyn Models) -> Result<Arc<[u8]>, ContainerError>;

    /// Its decoded and stored length; zero where there is none.
    fn lengths(&self, number: u64) -> (u64, u64);
}

impl Chunks for Reader {
    fn decode(&self, number: u64, models: &dyn Models) -> Result<Arc<[u8]>, ContainerError> {
        Self::decode(self, number, models)
    }

    fn lengths(&self, number: u64) -> (u64, u64) {
        self.slot(number).map_or((0, 0), |slot| (slot.raw_len.into(), slot.stored_len.into()))
    }
}

/// A chunk, or why there is none.
pub(super) type Decoded = Result<Arc<[u8]>, ContainerError>;

/// Decodes the chunks that are asked for by [`Ahead::want`], in this order, some of them ahead.
pub(super) struct Ahead {
    chunks: Arc<dyn Chunks>,
    models: Arc<dyn Models>,
    pool: Pool<Decoded>,
    window: usize,
    waiting: VecDeque<u64>,
    flying: VecDeque<(u64, u64)>,
    flying_bytes: u64,
}

impl Ahead {
    pub(super) fn new(chunks: Arc<dyn Chunks>, models: Arc<dyn Models>, workers: usize) -> Self {
        let (waiting, flying) = (VecDeque::new(), VecDeque::new());
        let window = workers.max(1).saturating_mul(2);
        Self { chunks, models, pool: Pool::new(workers), window, waiting, flying, flying_bytes: 0 }
    }

    /// Appends to what [`Ahead::next`] delivers.
    pub(super) fn want(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.waiting.extend(numbers);
    }

    /// A chunk's decoded and stored length.
    pub(super) fn lengths(&self, number: u64) -> (u64, u64) {
        self.chunks.lengths(number)
    }

    /// The next chunk that was asked for.
    ///
    /// # Errors
    /// An interruption; what is wrong with the chunk is in the [`Decoded`].
    pub(super) fn next(&mut self, interrupt: &Interrupt) -> Result<Option<(u64, Decoded)>> {
        while let Some(&number) = self.waiting.front() {
            let bytes = self.chunks.lengths(number).0;
            let full = self.flying.len() >= self.window || self.flying_bytes + bytes > BUDGET;
            if full && !self.flying.is_empty() {
                break;
            }
            let (chunks, models) = (Arc::clone(&self.chunks), Arc::clone(&self.models));
            self.pool.submit(move || chunks.decode(number, &*models))?;
            self.waiting.pop_front();
            self.flying.push_back((number, bytes));
            self.flying_bytes += bytes;
        }
        let Some((number, bytes)) = self.flying.pop_front() else { return Ok(None) };
        self.flying_bytes -= bytes;
        Ok(Some((number, self.pool.next(interrupt)?)))
    }
}

/// The model's failure, where this is why a chunk is not to be had: then no other chunk of the model is either.
pub(super) fn model_failure(error: &ContainerError) -> Option<PredictError> {
    match error {
        ContainerError::Chunk { error: CodecError::Predict(error), .. } => Some(error.clone()),
        ContainerError::Codec(CodecError::Predict(error)) => Some(error.clone()),
        _ => None,
    }
}
