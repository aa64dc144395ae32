//! The push parser: bytes in, events out, no I/O. Any split of the input gives the same events.

use super::ContainerError;
use super::rules::EntryRules;
use super::scan::push_chunk;
use crate::format::{
    BatchHead, BatchSlot, ChunkHead, EntryBatch, FOOTER_LEN, Footer, FormatError, HEADER_LEN, Index, ModelRecord,
    ModelSlot, RecordHead, RecordType, StreamHeader,
};
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

/// What stands at the front of the buffer.
enum State {
    Header,
    /// A record's header.
    Record,
    /// The body of a record whose header, `header_len` bytes, is still in the buffer.
    Body {
        head: RecordHead,
        header_len: usize,
    },
    /// The body of an ancillary record, of which `left` bytes are still to come.
    Skip {
        head: RecordHead,
        position: u64,
        left: u64,
        crc: crc32fast::Hasher,
    },
    /// The footer, behind the index record at `index_position`.
    Footer {
        index_position: u64,
    },
    End,
}

/// The push parser. Checks everything that a stream alone can tell: order, numbering, checksums,
/// limits, extents that point at chunks seen, the index against the stream.
///
/// It holds the input that was pushed and not yet consumed, one record at most beyond what one
/// [`Parser::push`] adds, if events are taken until there is none before more is pushed; and the
/// tables of what it has seen.
pub struct Parser {
    limits: Limits,
    state: State,
    /// Input from `start` on is not consumed.
    buffer: Vec<u8>,
    start: usize,
    /// Position of the first byte that is not consumed.
    position: u64,
    index: Index,
    rules: EntryRules,
    failed: Option<(u64, FormatError)>,
}

impl Parser {
    /// A parser at the first byte of an archive.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            state: State::Header,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            index: Index::default(),
            rules: EntryRules::new(&limits),
            failed: None,
            limits,
        }
    }

    /// Appends input.
    pub fn push(&mut self, input: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.start > 0 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(input);
    }

    /// The tables of the records seen so far.
    #[must_use]
    pub fn seen(&self) -> &Index {
        &self.index
    }

    /// The next event, or `None` where more input is needed. After an error, every call gives the same error.
    ///
    /// # Errors
    /// [`ContainerError::Format`] with the position.
    pub fn next_event(&mut self) -> Result<Option<Event>, ContainerError> {
        loop {
            if let Some((position, error)) = &self.failed {
                return Err(ContainerError::at(*position)(error.clone()));
            }
            match self.step() {
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Ok(Step::Again) => {}
                Ok(Step::NeedsInput) => return Ok(None),
                Err(error) => self.failed = Some((self.position, error)),
            }
        }
    }

    /// The input has ended.
    ///
    /// # Errors
    /// [`ContainerError::Truncated`] unless [`Event::End`] was the last event.
    pub fn finish(&self) -> Result<(), ContainerError> {
        if let Some((position, error)) = &self.failed {
            return Err(ContainerError::at(*position)(error.clone()));
        }
        match self.state {
            State::End if self.rest().is_empty() => Ok(()),
            _ => Err(ContainerError::Truncated(self.position + self.rest().len() as u64)),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
        self.position += len as u64;
    }

    fn step(&mut self) -> Result<Step, FormatError> {
        match std::mem::replace(&mut self.state, State::End) {
            State::Header => self.header(),
            State::Record => self.record_header(),
            State::Body { head, header_len } => self.body(head, header_len),
            State::Skip { head, position, left, crc } => self.skip(&head, position, left, crc),
            State::Footer { index_position } => self.footer(index_position),
            State::End if self.rest().is_empty() => Ok(Step::NeedsInput),
            State::End => Err(FormatError::corrupt("archive", "bytes follow its footer")),
        }
    }

    fn header(&mut self) -> Result<Step, FormatError> {
        let Some(bytes) = self.rest().first_chunk::<HEADER_LEN>() else {
            self.state = State::Header;
            return Ok(Step::NeedsInput);
        };
        let header = StreamHeader::decode(bytes)?;
        self.consume(HEADER_LEN);
        self.state = State::Record;
        Ok(Step::Event(Event::Header(header)))
    }

    fn record_header(&mut self) -> Result<Step, FormatError> {
        let Some((head, header_len)) = RecordHead::decode(self.rest(), self.position)? else {
            self.state = State::Record;
            return Ok(Step::NeedsInput);
        };
        let body_len = u64::from(head.body_len);
        match head.record_type() {
            Some(RecordType::Chunk) => FormatError::charge("stored chunk", body_len, self.limits.chunk_stored)?,
            Some(RecordType::Entries) => FormatError::charge("entry batch", body_len, self.limits.batch_raw)?,
            Some(RecordType::Index) => FormatError::charge("index", body_len, self.limits.index_raw)?,
            Some(RecordType::Model) if body_len != 0 => {
                return Err(FormatError::corrupt("model record", format!("a body of {body_len} bytes, none allowed")));
            }
            Some(RecordType::Model) => {}
            None => {
                let position = self.position;
                self.consume(header_len);
                self.state = State::Skip { head, position, left: body_len, crc: crc32fast::Hasher::new() };
                return Ok(Step::Again);
            }
        }
        self.state = State::Body { head, header_len };
        Ok(Step::Again)
    }

    fn skip(
        &mut self,
        head: &RecordHead,
        position: u64,
        left: u64,
        mut crc: crc32fast::Hasher,
    ) -> Result<Step, FormatError> {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(self.rest().len());
        crc.update(&self.rest()[..len]);
        self.consume(len);
        let left = left - len as u64;
        if left > 0 {
            self.state = State::Skip { head: head.clone(), position, left, crc };
            return Ok(Step::NeedsInput);
        }
        head.check_body_crc(crc.finalize())?;
        self.state = State::Record;
        Ok(Step::Event(Event::Ancillary { position, kind: head.kind }))
    }

    fn body(&mut self, head: RecordHead, header_len: usize) -> Result<Step, FormatError> {
        let body_len = head.body_len as usize;
        let Some(body) = self.rest()[header_len..].get(..body_len) else {
            self.state = State::Body { head, header_len };
            return Ok(Step::NeedsInput);
        };
        head.check_body(body)?;
        let body = body.to_vec();
        let (event, next) = match head.record_type() {
            Some(RecordType::Model) => (self.model(&head)?, State::Record),
            Some(RecordType::Chunk) => (self.chunk(&head, body)?, State::Record),
            Some(RecordType::Entries) => (self.entries(&head, &body)?, State::Record),
            Some(RecordType::Index) => (self.index(&head, &body)?, State::Footer { index_position: self.position }),
            None => (Event::Ancillary { position: self.position, kind: head.kind }, State::Record),
        };
        self.consume(header_len + body_len);
        self.state = next;
        Ok(Step::Event(event))
    }

    fn model(&mut self, head: &RecordHead) -> Result<Event, FormatError> {
        let record = ModelRecord::decode(&head.head)?;
        let count = self.index.models.len() as u64;
        if u64::from(record.number) != count {
            let why = format!("it has number {}, {count} precede it", record.number);
            return Err(FormatError::corrupt("model record", why));
        }
        FormatError::charge("model records", count + 1, self.limits.models)?;
        self.index.models.push(ModelSlot { position: self.position, number: record.number });
        Ok(Event::Model { position: self.position, record })
    }

    fn chunk(&mut self, record: &RecordHead, stored: Vec<u8>) -> Result<Event, FormatError> {
        let head = ChunkHead::decode(&record.head, record.body_len)?;
        FormatError::charge("raw chunk", u64::from(head.raw_len), self.limits.chunk_raw)?;
        let count = self.index.chunks.len() as u64;
        if head.number != count {
            let why = format!("it has number {}, {count} precede it", head.number);
            return Err(FormatError::corrupt("chunk head", why));
        }
        if head.model.is_some_and(|model| model as usize >= self.index.models.len()) {
            return Err(FormatError::corrupt("chunk head", "it names a model record that is not before it"));
        }
        push_chunk(&mut self.index.chunks, self.position, record, &head);
        Ok(Event::Chunk { position: self.position, head, stored })
    }

    fn entries(&mut self, head: &RecordHead, body: &[u8]) -> Result<Event, FormatError> {
        let BatchHead { first, count, raw_len, .. } = BatchHead::decode(&head.head)?;
        self.rules.charge(raw_len)?;
        let batch = EntryBatch::decode(&head.head, body, &self.limits)?;
        let chunks = &self.index.chunks;
        let raw_len = |number| Some(chunks.get(usize::try_from(number).ok()?)?.raw_len);
        self.rules.batch(&batch, raw_len)?;
        self.index.batches.push(BatchSlot { position: self.position, first, count });
        Ok(Event::Entries { position: self.position, batch })
    }

    /// The index must say exactly what the stream has shown.
    fn index(&mut self, head: &RecordHead, body: &[u8]) -> Result<Event, FormatError> {
        let index = Index::decode(&head.head, body, self.position, &self.limits)?;
        let differs = if index.models != self.index.models {
            "model records"
        } else if index.chunks != self.index.chunks {
            "chunks"
        } else if index.batches != self.index.batches {
            "entry batches"
        } else {
            return Ok(Event::Index(index));
        };
        Err(FormatError::corrupt("index", format!("its {differs} are not those of the stream")))
    }

    fn footer(&mut self, index_position: u64) -> Result<Step, FormatError> {
        let Some(bytes) = self.rest().first_chunk::<FOOTER_LEN>() else {
            self.state = State::Footer { index_position };
            return Ok(Step::NeedsInput);
        };
        let footer = Footer::decode(bytes)?;
        let actual = Footer { index_position, archive_len: self.position + FOOTER_LEN as u64 };
        if footer != actual {
            return Err(FormatError::corrupt("footer", format!("{footer:?} is recorded, {actual:?} is the case")));
        }
        self.consume(FOOTER_LEN);
        self.state = State::End;
        Ok(Step::Event(Event::End(footer)))
    }
}

/// What one step came to.
enum Step {
    Event(Event),
    Again,
    NeedsInput,
}
