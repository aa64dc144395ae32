//! Records: the unit of framing and of recovery (spec/lma-format.md §4).

use super::FormatError;
use crate::hash::crc32;
use crate::wire::Cursor;

/// First bytes of every record: what recovery looks for.
pub const MARKER: [u8; 4] = [0xb5, b'L', b'm', 0xa1];

/// Bytes of a record before its head: marker 4, type 1, flags 1, head_len 2, body_len 4, body_crc 4.
/// The head and the header CRC (4 bytes) follow, then the body.
pub const RECORD_FIXED_LEN: usize = 16;

/// Bytes of a record with an empty head and an empty body.
pub const RECORD_MIN_LEN: usize = RECORD_FIXED_LEN + CRC_LEN;

/// Longest head. It bounds the work that a false marker can cause during recovery.
pub const MAX_HEAD_LEN: usize = 4096;

/// The bit of a type byte that marks an ancillary record.
pub const ANCILLARY: u8 = 0x80;

const CRC_LEN: usize = 4;

const WHAT: &str = "record header";

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

impl RecordType {
    /// The type with this byte, `None` for one that this reader does not know.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Model, Self::Chunk, Self::Entries, Self::Index].into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// The fixed part of a record, its head, and the position that its CRC was checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// The type byte as it stands: a [`RecordType`], or another one with the ancillary bit.
    pub kind: u8,
    /// The head: what the record's own chapter defines. At most [`MAX_HEAD_LEN`] bytes.
    pub head: Vec<u8>,
    /// Length of the body.
    pub body_len: u32,
    /// CRC-32 of the body.
    pub body_crc: u32,
}

impl RecordHead {
    /// The head of a record with this body.
    ///
    /// # Errors
    /// Limit, where the head or the body does not fit its length field.
    pub fn new(kind: RecordType, head: Vec<u8>, body: &[u8]) -> Result<Self, FormatError> {
        FormatError::charge("head of a record", head.len() as u64, MAX_HEAD_LEN as u64)?;
        FormatError::charge("body of a record", body.len() as u64, u64::from(u32::MAX))?;
        Ok(Self { kind: kind as u8, head, body_len: body.len() as u32, body_crc: crc32(&[body]) })
    }

    /// The record's type, `None` for an ancillary one that this reader does not know.
    #[must_use]
    pub fn record_type(&self) -> Option<RecordType> {
        RecordType::from_byte(self.kind)
    }

    /// Bytes of the record before its body.
    #[must_use]
    pub fn header_len(&self) -> u64 {
        RECORD_MIN_LEN as u64 + self.head.len() as u64
    }

    /// Bytes that a record with this head takes in the archive, body included.
    #[must_use]
    pub fn record_len(&self) -> u64 {
        self.header_len() + u64::from(self.body_len)
    }

    /// The bytes before the body, for a record whose marker stands at `position`. The header CRC
    /// covers the position too: a record is valid only where it was written, so that a record
    /// inside a stored file can never be taken for one of the archive.
    #[must_use]
    pub fn encode(&self, position: u64) -> Vec<u8> {
        debug_assert!(self.head.len() <= MAX_HEAD_LEN);
        let mut out = Vec::with_capacity(RECORD_MIN_LEN + self.head.len());
        out.extend_from_slice(&MARKER);
        out.push(self.kind);
        out.push(0);
        out.extend_from_slice(&(self.head.len() as u16).to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        out.extend_from_slice(&self.head);
        let crc = crc32(&[&out, &position.to_le_bytes()]);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the bytes before the body off the front of `bytes`. `Ok(None)`: more bytes are needed.
    /// On success, also how many bytes they took.
    ///
    /// # Errors
    /// Corrupt: marker, head length, CRC. Unsupported: reserved flags, a critical type that is not known.
    pub fn decode(bytes: &[u8], position: u64) -> Result<Option<(Self, usize)>, FormatError> {
        // The error must not depend on how many bytes have come.
        if let Some(start) = bytes.first_chunk::<4>().filter(|&start| *start != MARKER) {
            return Err(FormatError::corrupt(WHAT, format!("no marker: found {start:02x?}")));
        }
        let Some((fixed, rest)) = bytes.split_at_checked(RECORD_FIXED_LEN) else { return Ok(None) };
        let mut cursor = Cursor::new(&fixed[MARKER.len()..]);
        let (Some(kind), Some(flags), Some(head_len), Some(body_len), Some(body_crc)) =
            (cursor.u8(), cursor.u8(), cursor.u16(), cursor.u32(), cursor.u32())
        else {
            return Ok(None);
        };
        let head_len = usize::from(head_len);
        if head_len > MAX_HEAD_LEN {
            return Err(FormatError::corrupt(
                WHAT,
                format!("head of {head_len} bytes, at most {MAX_HEAD_LEN} allowed"),
            ));
        }
        let mut cursor = Cursor::new(rest);
        let (Some(head), Some(crc)) = (cursor.take(head_len as u64), cursor.u32()) else { return Ok(None) };
        let actual = crc32(&[fixed, head, &position.to_le_bytes()]);
        if crc != actual {
            return Err(FormatError::corrupt(WHAT, format!("its CRC-32 is {actual:08x}, {crc:08x} is recorded")));
        }
        if flags != 0 {
            return Err(FormatError::unsupported("record", format!("reserved flags {flags:#04x}, expected 0")));
        }
        if RecordType::from_byte(kind).is_none() && kind & ANCILLARY == 0 {
            return Err(FormatError::unsupported("record", format!("critical type {kind} is not known")));
        }
        Ok(Some((Self { kind, head: head.to_vec(), body_len, body_crc }, RECORD_MIN_LEN + head_len)))
    }

    /// Whether `body` is the body that this head was written for.
    ///
    /// # Errors
    /// Corrupt: length or CRC.
    pub fn check_body(&self, body: &[u8]) -> Result<(), FormatError> {
        if body.len() as u64 != u64::from(self.body_len) {
            let why = format!("{} bytes, {} are recorded", body.len(), self.body_len);
            return Err(FormatError::corrupt("record body", why));
        }
        self.check_body_crc(crc32(&[body]))
    }

    /// Compares the CRC-32 of a body that was read in pieces.
    ///
    /// # Errors
    /// Corrupt.
    pub fn check_body_crc(&self, actual: u32) -> Result<(), FormatError> {
        if actual == self.body_crc {
            return Ok(());
        }
        Err(FormatError::corrupt(
            "record body",
            format!("its CRC-32 is {actual:08x}, {:08x} is recorded", self.body_crc),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RecordHead {
        RecordHead::new(RecordType::Chunk, vec![1, 2, 3], b"body").unwrap()
    }

    #[test]
    fn round_trips_and_asks_for_more_at_every_cut() {
        let head = sample();
        let mut bytes = head.encode(77);
        let taken = bytes.len();
        for cut in 0..taken {
            assert_eq!(RecordHead::decode(&bytes[..cut], 77), Ok(None), "cut at {cut}");
        }
        bytes.extend_from_slice(b"body and more");
        assert_eq!(RecordHead::decode(&bytes, 77), Ok(Some((head.clone(), taken))));
        assert!(head.check_body(b"body").is_ok());
        assert!(head.check_body(b"bodz").is_err());
        assert!(head.check_body(b"bod").is_err());
    }

    #[test]
    fn is_valid_only_at_its_position() {
        let bytes = sample().encode(77);
        assert!(matches!(RecordHead::decode(&bytes, 78), Err(FormatError::Corrupt { .. })));
    }

    #[test]
    fn no_flipped_bit_passes() {
        let good = sample().encode(5);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A longer head asks for more bytes than there are; anything else fails its CRC.
            let outcome = RecordHead::decode(&bad, 5);
            assert!(matches!(outcome, Err(FormatError::Corrupt { .. }) | Ok(None)), "bit {bit}: {outcome:?}");
        }
    }

    #[test]
    fn unknown_types_are_refused_or_skipped_by_their_bit() {
        let critical = RecordHead { kind: 9, ..sample() };
        assert!(matches!(RecordHead::decode(&critical.encode(0), 0), Err(FormatError::Unsupported { .. })));
        let ancillary = RecordHead { kind: 9 | ANCILLARY, ..sample() };
        let (read, _) = RecordHead::decode(&ancillary.encode(0), 0).unwrap().unwrap();
        assert_eq!(read.record_type(), None);
    }
}
