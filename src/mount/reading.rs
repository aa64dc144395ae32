//! A read on its way: which bytes of which chunks it needs, and what has arrived of them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cache::{ChunkCache, Ticket};
use super::errno::Errno;
use super::flight::Failure;
use super::inode::{HOLE, Run};

/// Part of a read: bytes of one chunk.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where they go in the reply.
    at: usize,
    /// Where they stand in the decoded chunk.
    offset: usize,
    len: usize,
}

/// What a read needs of one chunk.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) chunk: u64,
    pieces: Vec<Piece>,
}

impl Need {
    /// From the first byte that is needed to behind the last, by their offsets in the chunk. They may lie
    /// outside of the chunk, where an archive lies.
    pub(super) fn bytes(&self) -> Range<usize> {
        let start = self.pieces.iter().map(|piece| piece.offset).min().unwrap_or(0);
        let end = self.pieces.iter().map(|piece| piece.offset.saturating_add(piece.len)).max().unwrap_or(start);
        start..end
    }
}

/// What a read needs: the pieces of each chunk. What no piece covers is a hole.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) len: usize,
    pub(super) needs: Vec<Need>,
    /// Index in `needs` by chunk.
    by_chunk: HashMap<u64, usize>,
}

/// Index of the run that holds `offset`.
pub(super) fn first_run(runs: &[Run], offset: u64) -> usize {
    runs.partition_point(|run| run.end <= offset)
}

impl Plan {
    /// The plan for some bytes of a file, which lie within it. No bytes need no chunk.
    pub(super) fn new(runs: &[Run], bytes: Range<u64>) -> Self {
        let mut plan = Self { len: (bytes.end - bytes.start) as usize, ..Self::default() };
        let first = first_run(runs, bytes.start);
        let mut start = first.checked_sub(1).map_or(0, |before| runs[before].end);
        for run in &runs[first..] {
            if start >= bytes.end || bytes.is_empty() {
                break;
            }
            if run.chunk != HOLE {
                plan.add(run, start, &bytes);
            }
            start = run.end;
        }
        plan
    }

    /// Adds the part of a run, which starts at `start`, that lies within `wanted`. Lengths are those of one
    /// read; a run's offset in its chunk plus its length may be a lie, found out in [`Arrived::copy`].
    fn add(&mut self, run: &Run, start: u64, wanted: &Range<u64>) {
        let (from, to) = (start.max(wanted.start), run.end.min(wanted.end));
        let index = *self.by_chunk.entry(run.chunk).or_insert(self.needs.len());
        if index == self.needs.len() {
            self.needs.push(Need { chunk: run.chunk, pieces: Vec::new() });
        }
        let offset = usize::try_from(u64::from(run.offset).saturating_add(from - start)).unwrap_or(usize::MAX);
        let at = (from - wanted.start) as usize;
        self.needs[index].pieces.push(Piece { at, offset, len: (to - from) as usize });
    }
}

/// Gets the bytes, or the error; called exactly once, on the thread that has the last of them.
pub(super) type Done = Box<dyn FnOnce(Result<Vec<u8>, Errno>) + Send>;

/// A read that waits for chunks. Answered by the last that arrives, by the first that fails, or by whoever
/// takes it back. Each chunk is copied from as it arrives and let go: a read holds its reply's bytes,
/// never its chunks.
pub(super) struct Pending(Mutex<Arrived>);

struct Arrived {
    reply: Vec<u8>,
    missing: usize,
    /// `None` once it was answered.
    done: Option<Done>,
    /// The wishes at the cache, to be taken back.
    tickets: Vec<Ticket>,
}

impl Pending {
    /// A read of `len` bytes that waits for so many chunks.
    pub(super) fn new(len: usize, chunks: usize, done: Done) -> Self {
        Self(Mutex::new(Arrived { reply: vec![0; len], missing: chunks, done: Some(done), tickets: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was answered.
    pub(super) fn is_done(&self) -> bool {
        self.lock().done.is_none()
    }

    /// Notes a wish that is to be taken back with the read.
    pub(super) fn holds(&self, ticket: Ticket) {
        self.lock().tickets.push(ticket);
    }

    /// Copies what was needed of a chunk, of which `bytes` start at `start`.
    pub(super) fn arrive(&self, need: &Need, start: usize, bytes: Result<&[u8], &Failure>) {
        let mut state = self.lock();
        if state.done.is_none() {
            return;
        }
        let result = bytes.map_err(|error| Errno::from(&**error)).and_then(|bytes| state.copy(need, start, bytes));
        if result.is_ok() && state.missing > 0 {
            return;
        }
        let (done, reply) = (state.done.take(), std::mem::take(&mut state.reply));
        drop(state);
        if let Some(done) = done {
            done(result.map(|()| reply));
        }
    }

    /// Answers with an error, if it was not answered yet, and takes its wishes back. Whether it was this call
    /// that answered.
    pub(super) fn give_up(&self, errno: Errno, cache: &ChunkCache) -> bool {
        let mut state = self.lock();
        let (done, tickets) = (state.done.take(), std::mem::take(&mut state.tickets));
        drop(state);
        tickets.into_iter().for_each(|ticket| cache.cancel(ticket));
        let Some(done) = done else { return false };
        done(Err(errno));
        true
    }
}

impl Arrived {
    /// An extent that lies outside its chunk is damage.
    fn copy(&mut self, need: &Need, start: usize, bytes: &[u8]) -> Result<(), Errno> {
        for piece in &need.pieces {
            let from = piece.offset - start;
            let to = from.checked_add(piece.len).ok_or(Errno::EIO)?;
            let bytes = bytes.get(from..to).ok_or(Errno::EIO)?;
            self.reply[piece.at..piece.at + piece.len].copy_from_slice(bytes);
        }
        self.missing -= 1;
        Ok(())
    }
}
