//! Extraction from a pipe.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::sync::Arc;

use super::chunks::Ahead;
use super::extract::Extractor;
use super::filter::Selection;
use super::notes::Notes;
use super::safe_path::Root;
use super::spool::Spool;
use super::{ExtractOptions, Outcome};
use crate::container::{ContainerError, Event, Parser};
use crate::format::EntryBatch;
use crate::limits::Limits;
use crate::predict::Models;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// Extracts an archive that arrives on a pipe, a batch of entries as soon as the next one has arrived. Chunks are kept,
/// as stored, in an unnamed file in the destination, because any later file may share them. What was whole before
/// damage or the end of a truncated archive is extracted; then that is the error.
///
/// # Errors
/// As [`extract`](super::extract), and damage anywhere in the stream.
pub fn extract_stream<R: Read>(
    input: R,
    limits: &Limits,
    models: &Arc<dyn Models>,
    options: &ExtractOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    let notes = Notes::new(progress);
    let selection = Selection::new(options)?;
    // With a selection nobody knows yet which chunks will be asked for.
    let eager = options.members.is_empty() && options.excludes.is_empty();
    let root = Root::open(&options.dest)?;
    let spool = Arc::new(Spool::new(root.path())?);
    let ahead = Ahead::new(Arc::clone(&spool) as _, Arc::clone(models), options.workers);
    let extractor = Extractor::new(root, selection, options, &notes, interrupt);
    let mut stream = Stream { extractor, spool, ahead, models, eager, batches: VecDeque::new(), entries: 0 };
    let read = stream.read(input, limits, interrupt);
    if matches!(read, Err(Error::Interrupted | Error::Predict(_))) {
        return read.map(|()| Outcome::default());
    }
    stream.extract_batches(0)?;
    let finished = stream.extractor.finish();
    read.and(finished)
}

struct Stream<'a> {
    extractor: Extractor<'a>,
    spool: Arc<Spool>,
    ahead: Ahead,
    models: &'a Arc<dyn Models>,
    /// Chunks are decoded as they arrive.
    eager: bool,
    /// Arrived, not extracted: while one is extracted, the chunks of the next keep the workers busy.
    batches: VecDeque<EntryBatch>,
    entries: u64,
}

impl Stream<'_> {
    fn read(&mut self, mut input: impl Read, limits: &Limits, interrupt: &Interrupt) -> Result<()> {
        let mut parser = Parser::new(limits.clone());
        let mut buffer = vec![0; 128 << 10];
        let mut position = 0;
        loop {
            while let Some(event) = parser.next_event()? {
                self.event(event)?;
            }
            if interrupt.raised() {
                return Err(Error::Interrupted);
            }
            match input.read(&mut buffer) {
                Ok(0) => return Ok(parser.finish()?),
                Ok(len) => {
                    parser.push(&buffer[..len]);
                    position += len as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(ContainerError::Read { position, source }.into()),
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Model { record, .. } => {
                // Here and now, before any file is written that needs it.
                if self.eager {
                    self.models.open(&record)?;
                }
                self.spool.model(record);
            }
            Event::Chunk { head, stored, .. } => {
                let number = head.number;
                self.spool.chunk(head, &stored)?;
                if self.eager {
                    self.ahead.start(number)?;
                }
            }
            Event::Entries { batch, .. } => {
                self.batches.push_back(batch);
                self.extract_batches(1)?;
            }
            Event::Header(_) | Event::Ancillary { .. } | Event::Index(_) | Event::End(_) => {}
        }
        Ok(())
    }

    /// Extracts all batches but the last `keep`.
    fn extract_batches(&mut self, keep: usize) -> Result<()> {
        while self.batches.len() > keep {
            if let Some(batch) = self.batches.pop_front() {
                self.entries += batch.entries.len() as u64;
                self.extractor.batch(batch.entries, &mut self.ahead)?;
            }
        }
        Ok(())
    }
}
