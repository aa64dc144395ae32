//! Raw chunks in, archive out: encodes on many threads, writes in order.

use std::collections::VecDeque;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use super::CreateOptions;
use super::pool::Pool;
use crate::codec::{Choice, CodecError, Encoded, Encodings, Level, encodings};
use crate::container::Writer;
use crate::format::Entry;
use crate::hash::{CHUNK_DIGEST_LEN, ChunkDigest, Digest};
use crate::predict::LoadedModel;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// Bytes of a record around its head, and of its place in the index.
const RECORD_AROUND: usize = 24;

/// Model records that chunks pass up the price of before one is written.
const PATIENCE: usize = 4;

/// What is written next, once its turn has come.
enum Next {
    /// The chunk of the oldest job in the pool.
    Chunk { raw_len: u32, digest: ChunkDigest },
    /// Entries whose chunks all stand before them.
    Entries(Vec<Entry>),
}

/// The end of the pipeline. What it writes depends on the calls alone, not on the number of workers.
pub(super) struct Sink<'a, W: Write> {
    writer: Writer<BufWriter<W>>,
    pool: Pool<Result<Encodings, CodecError>>,
    queue: VecDeque<Next>,
    window: usize,
    choice: Choice,
    level: Level,
    model: Option<Arc<LoadedModel>>,
    /// Number of the model record, once it is written.
    model_number: Option<u32>,
    /// Bytes that chunks are larger because there was no model record.
    passed_up: usize,
    chunks: u64,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

impl<'a, W: Write> Sink<'a, W> {
    pub(super) fn new(
        out: W,
        options: &CreateOptions,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let workers = options.workers.max(1);
        // Chunks take unequal time: a few more than there are workers keep all of them busy.
        let ahead = if options.chunk_size <= 1 << 20 { 4 } else { 2 };
        Ok(Self {
            writer: Writer::new(BufWriter::with_capacity(256 << 10, out))?,
            pool: Pool::new(workers),
            queue: VecDeque::new(),
            window: workers.saturating_mul(ahead),
            choice: options.choice,
            level: options.level,
            model: options.model.clone(),
            model_number: None,
            passed_up: 0,
            chunks: 0,
            progress,
            interrupt,
        })
    }

    /// Queues a chunk and answers the number that it will have. Blocks while too many are in flight.
    pub(super) fn chunk(&mut self, raw: Vec<u8>, digest: Digest) -> Result<u64> {
        while self.pool.in_flight() >= self.window {
            self.write_next()?;
        }
        let raw_len = u32::try_from(raw.len()).map_err(|_| Error::Refused("a chunk of 4 GiB or more".into()))?;
        let mut short = [0; CHUNK_DIGEST_LEN];
        short.copy_from_slice(&digest.0[..CHUNK_DIGEST_LEN]);
        let (choice, level, model) = (self.choice, self.level, self.model.clone());
        self.pool.submit(move || encodings(&raw, choice, level, model.as_deref()))?;
        self.queue.push_back(Next::Chunk { raw_len, digest: ChunkDigest(short) });
        self.chunks += 1;
        Ok(self.chunks - 1)
    }

    /// Queues entries behind the chunks queued so far.
    pub(super) fn entries(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.queue.push_back(Next::Entries(entries));
        // Entries without chunks must not pile up behind each other.
        while !self.queue.is_empty() && (self.pool.in_flight() == 0 || self.queue.len() > self.window.saturating_mul(2))
        {
            self.write_next()?;
        }
        Ok(())
    }

    /// To be asked while content is read, which may go on for long without a new chunk.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn poll(&self) -> Result<()> {
        if self.interrupt.raised() { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn write_next(&mut self) -> Result<()> {
        self.poll()?;
        match self.queue.pop_front() {
            None => {}
            Some(Next::Entries(entries)) => self.writer.entries(&entries)?,
            Some(Next::Chunk { raw_len, digest }) => {
                let encodings = self.pool.next(self.interrupt)??;
                let encoded = self.choose(encodings);
                let model = if encoded.codec.needs_model() { Some(self.model_record()?) } else { None };
                let number = self.writer.chunk(&encoded, model, raw_len, digest)?;
                debug_assert!(number < self.chunks, "the writer numbers chunks in the order of writing, as this does");
                self.progress.advance(raw_len.into(), encoded.stored.len() as u64);
            }
        }
        Ok(())
    }

    /// A model record is written for a chunk that wins it back by itself, or once chunks have passed up as much as
    /// a few of them: the archive of a small file does without.
    fn choose(&mut self, Encodings { best, plain }: Encodings) -> Encoded {
        let (Some(plain), None, Some(model)) = (plain, self.model_number, &self.model) else { return best };
        let record = model.record.encode().len() + RECORD_AROUND;
        self.passed_up += plain.stored.len() - best.stored.len();
        let worth = best.stored.len() + record <= plain.stored.len() || self.passed_up >= PATIENCE * record;
        if worth { best } else { plain }
    }

    fn model_record(&mut self) -> Result<u32> {
        if let Some(number) = self.model_number {
            return Ok(number);
        }
        let model = self.model.as_ref().expect("these codecs encode with a model only");
        let number = self.writer.model(&model.record)?;
        self.model_number = Some(number);
        Ok(number)
    }

    /// Writes what is queued, the index and the footer. Answers the archive's length.
    pub(super) fn finish(mut self) -> Result<u64> {
        while !self.queue.is_empty() {
            self.write_next()?;
        }
        let (_, summary) = self.writer.finish()?;
        Ok(summary.archive_len)
    }
}
