//! Decoded chunks in a known order, decoded ahead on many threads.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::pool::Pool;
use crate::cache::CachedChunks;
use crate::codec::CodecError;
use crate::container::ContainerError;
use crate::error::ExitCode;
use crate::format::FormatError;
use crate::predict::{Models, PredictError};
use crate::progress::Interrupt;
use crate::{Error, Result};

/// Decoded bytes that may be held by chunks in flight, unless one alone is larger.
const BUDGET: u64 = 128 << 20;

/// Chunks that are kept after they were delivered.
const RECENT: usize = 4;

/// Where chunks come from.
pub(super) trait Chunks: Send + Sync {
    /// Reads, decodes and checks a chunk.
    fn decode(&self, number: u64, models: &dyn Models) -> Result<Arc<[u8]>, ContainerError>;

    /// Its decoded and stored length; zero where there is none.
    fn lengths(&self, number: u64) -> (u64, u64);
}

impl Chunks for CachedChunks {
    fn decode(&self, number: u64, models: &dyn Models) -> Result<Arc<[u8]>, ContainerError> {
        Self::decode(self, number, models)
    }

    fn lengths(&self, number: u64) -> (u64, u64) {
        self.reader().slot(number).map_or((0, 0), |slot| (slot.raw_len.into(), slot.stored_len.into()))
    }
}

/// A chunk, or why there is none.
pub(super) type Decoded = Result<Arc<[u8]>, Arc<ContainerError>>;

/// Decodes the chunks that are asked for by [`Ahead::want`], in this order, some of them ahead.
pub(super) struct Ahead {
    chunks: Arc<dyn Chunks>,
    models: Arc<dyn Models>,
    pool: Pool<Decoded>,
    /// How far to look ahead in `waiting`.
    window: usize,
    /// Asked for, not delivered.
    waiting: VecDeque<u64>,
    /// In the pool, with their lengths.
    flying: VecDeque<(u64, u64)>,
    /// Out of the pool before their turn.
    early: HashMap<u64, (u64, Decoded)>,
    /// Decoded bytes of both.
    held: u64,
    /// Delivered last: files that share chunks ask for them in turn.
    recent: VecDeque<(u64, Decoded)>,
}

impl Ahead {
    pub(super) fn new(chunks: Arc<dyn Chunks>, models: Arc<dyn Models>, workers: usize) -> Self {
        Self {
            chunks,
            models,
            pool: Pool::new(workers),
            window: workers.max(1).saturating_mul(2),
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            early: HashMap::new(),
            held: 0,
            recent: VecDeque::new(),
        }
    }

    /// Appends to what [`Ahead::next`] delivers.
    pub(super) fn want(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.waiting.extend(numbers);
    }

    /// A chunk's decoded and stored length.
    pub(super) fn lengths(&self, number: u64) -> (u64, u64) {
        self.chunks.lengths(number)
    }

    /// Starts to decode a chunk before it is asked for, unless too much is held already (`false`).
    pub(super) fn start(&mut self, number: u64) -> Result<bool> {
        let is = |&(other, _): &(u64, u64)| other == number;
        if self.early.contains_key(&number) || self.flying.iter().any(is) || self.find_recent(number).is_some() {
            return Ok(true);
        }
        if self.held + self.lengths(number).0 > BUDGET {
            return Ok(false);
        }
        self.submit(number)?;
        Ok(true)
    }

    fn submit(&mut self, number: u64) -> Result<()> {
        let bytes = self.lengths(number).0;
        let (chunks, models) = (Arc::clone(&self.chunks), Arc::clone(&self.models));
        self.pool.submit(move || chunks.decode(number, &*models).map_err(Arc::new))?;
        self.flying.push_back((number, bytes));
        self.held += bytes;
        Ok(())
    }

    fn find_recent(&self, number: u64) -> Option<&Decoded> {
        self.recent.iter().find(|(other, _)| *other == number).map(|(_, decoded)| decoded)
    }

    /// The next chunk that was asked for.
    ///
    /// # Errors
    /// An interruption; what is wrong with the chunk is in the [`Decoded`].
    pub(super) fn next(&mut self, interrupt: &Interrupt) -> Result<Option<(u64, Decoded)>> {
        let Some(number) = self.waiting.pop_front() else { return Ok(None) };
        if let Some(decoded) = self.find_recent(number) {
            return Ok(Some((number, decoded.clone())));
        }
        // What is delivered now is started whatever is held: nothing would go on without it.
        if !self.start(number)? {
            self.submit(number)?;
        }
        for at in 0..self.window.min(self.waiting.len()) {
            if self.flying.len() >= self.window || !self.start(self.waiting[at])? {
                break;
            }
        }
        let decoded = self.take(number, interrupt)?;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((number, decoded.clone()));
        Ok(Some((number, decoded)))
    }

    /// Waits for a chunk that was submitted.
    fn take(&mut self, number: u64, interrupt: &Interrupt) -> Result<Decoded> {
        loop {
            if let Some((bytes, decoded)) = self.early.remove(&number) {
                self.held -= bytes;
                return Ok(decoded);
            }
            let Some((done, bytes)) = self.flying.pop_front() else {
                // Not reached: `number` is in one of the two.
                return Ok(Err(Arc::new(ContainerError::MissingChunk(number))));
            };
            let decoded = self.pool.next(interrupt)?;
            self.early.insert(done, (bytes, decoded));
        }
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

/// The chunk's failure once more, for one of several files that need it.
pub(super) fn repeat(error: &ContainerError) -> Error {
    if let Some(error) = model_failure(error) {
        return error.into();
    }
    match error.exit_code() {
        ExitCode::Corrupt => FormatError::corrupt("archive", error.to_string()).into(),
        _ => Error::Refused(error.to_string()),
    }
}
