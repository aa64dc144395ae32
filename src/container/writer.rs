//! Writes an archive front to back. Never seeks, so a pipe will do.

use std::io::Write;

use super::ContainerError;
use crate::codec::Encoded;
use crate::format::{Entry, ModelRecord};
use crate::hash::ChunkDigest;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteSummary {
    /// Bytes of the archive.
    pub archive_len: u64,
    /// Chunks.
    pub chunks: u64,
    /// Entries.
    pub entries: u64,
}

/// The writer. Dropped without [`Writer::finish`], it leaves an archive without index and footer,
/// readable by a scan up to its last entry batch.
pub struct Writer<W: Write> {
    _out: W,
}

impl<W: Write> Writer<W> {
    /// Writes the stream header.
    ///
    /// # Errors
    /// [`ContainerError::Write`].
    pub fn new(_out: W) -> Result<Self, ContainerError> {
        unimplemented!()
    }

    /// Writes a model record; its `number` is assigned here and returned.
    ///
    /// # Errors
    /// [`ContainerError::Write`].
    pub fn model(&mut self, _record: &ModelRecord) -> Result<u32, ContainerError> {
        unimplemented!()
    }

    /// Writes a chunk and returns its number. `model` is the model record's number where the codec needs one.
    ///
    /// # Errors
    /// [`ContainerError::Write`].
    pub fn chunk(
        &mut self,
        _encoded: &Encoded,
        _model: Option<u32>,
        _raw_len: u32,
        _digest: ChunkDigest,
    ) -> Result<u64, ContainerError> {
        unimplemented!()
    }

    /// Writes an entry batch, splitting it where it would exceed the batch size of the format.
    ///
    /// # Errors
    /// [`ContainerError::Write`].
    pub fn entries(&mut self, _entries: &[Entry]) -> Result<(), ContainerError> {
        unimplemented!()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        unimplemented!()
    }

    /// Writes the index and the footer, flushes, and gives the output back.
    ///
    /// # Errors
    /// [`ContainerError::Write`].
    pub fn finish(self) -> Result<(W, WriteSummary), ContainerError> {
        unimplemented!()
    }
}
