//! Records: the unit of framing and of recovery (spec/lma-format.md §4).

use super::FormatError;

/// First bytes of every record: what recovery looks for.
pub const MARKER: [u8; 4] = [0xb5, b'L', b'm', 0xa1];

/// Bytes of a record before its head: marker 4, type 1, flags 1, head_len 2, body_len 4, body_crc 4.
/// The head and the header CRC (4 bytes) follow, then the body.
pub const RECORD_FIXED_LEN: usize = 16;

/// What a record is. Bit 7 set: ancillary, a reader that does not know the type skips it. Clear:
/// critical, such a reader refuses the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordType {
    /// A model record.
    Model = 1,
    /// A chunk.
    Chunk = 2,
    /// An entry batch.
    Entries = 3,
    /// The index.
    Index = 4,
}

/// The fixed part of a record, its head, and the position that its CRC was checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// The type byte as it stands: a [`RecordType`], or another one with the ancillary bit.
    pub kind: u8,
    /// The head: what the record's own chapter defines.
    pub head: Vec<u8>,
    /// Length of the body.
    pub body_len: u32,
    /// CRC-32 of the body.
    pub body_crc: u32,
}

impl RecordHead {
    /// Bytes that a record with this head takes in the archive, body included.
    #[must_use]
    pub fn record_len(&self) -> u64 {
        RECORD_FIXED_LEN as u64 + self.head.len() as u64 + 4 + u64::from(self.body_len)
    }

    /// The bytes before the body, for a record whose marker stands at `position`. The header CRC
    /// covers the position too: a record is valid only where it was written, so that a record
    /// inside a stored file can never be taken for one of the archive.
    #[must_use]
    pub fn encode(&self, _position: u64) -> Vec<u8> {
        unimplemented!()
    }

    /// Reads the bytes before the body off the front of `bytes`. `Ok(None)`: more bytes are needed.
    /// On success, also how many bytes they took.
    ///
    /// # Errors
    /// Corrupt: marker, CRC, reserved flags. Unsupported: a critical type that is not known.
    pub fn decode(_bytes: &[u8], _position: u64) -> Result<Option<(Self, usize)>, FormatError> {
        unimplemented!()
    }
}
