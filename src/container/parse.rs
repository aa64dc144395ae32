//! The push parser: bytes in, events out, no I/O. Any split of the input gives the same events.

use super::ContainerError;
use crate::format::{ChunkHead, EntryBatch, Footer, Index, ModelRecord, StreamHeader};
use crate::limits::Limits;

/// What the parser has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream header.
    Header(StreamHeader),
    /// A model record at a position.
    Model {
        /// Position of the record's marker.
        position: u64,
        /// The record.
        record: ModelRecord,
    },
    /// A chunk, whole, its CRC checked, not decoded.
    Chunk {
        /// Position of the record's marker.
        position: u64,
        /// The head.
        head: ChunkHead,
        /// The stored bytes.
        stored: Vec<u8>,
    },
    /// An entry batch.
    Entries {
        /// Position of the record's marker.
        position: u64,
        /// The batch.
        batch: EntryBatch,
    },
    /// An ancillary record that this reader does not know.
    Ancillary {
        /// Position of the record's marker.
        position: u64,
        /// Its type byte.
        kind: u8,
    },
    /// The index, already compared with the records seen.
    Index(Index),
    /// The footer: the archive is complete. Nothing may follow.
    End(Footer),
}

/// The push parser. Checks everything that a stream alone can tell: order, numbering, checksums,
/// limits, extents that point at chunks seen, the index against the stream.
pub struct Parser {
    _limits: Limits,
}

impl Parser {
    /// A parser at the first byte of an archive.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { _limits: limits }
    }

    /// Appends input.
    pub fn push(&mut self, _input: &[u8]) {
        unimplemented!()
    }

    /// The next event, or `None` where more input is needed. After an error, every call gives the same error.
    ///
    /// # Errors
    /// [`ContainerError::Format`] with the position.
    pub fn next_event(&mut self) -> Result<Option<Event>, ContainerError> {
        unimplemented!()
    }

    /// The input has ended.
    ///
    /// # Errors
    /// [`ContainerError::Truncated`] unless [`Event::End`] was the last event.
    pub fn finish(&self) -> Result<(), ContainerError> {
        unimplemented!()
    }
}
