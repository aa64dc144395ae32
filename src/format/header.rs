//! The stream header (spec/lma-format.md §3).

use super::FormatError;
use crate::hash::crc32;
use crate::wire::Cursor;

/// Length of the stream header in bytes: magic 8, version 2, reserved 2, features 8, CRC-32 4.
pub const HEADER_LEN: usize = 24;

/// First 8 bytes of an archive. As in PNG: a byte above 127 shows a 7-bit transfer, CR LF and LF
/// show a text-mode transfer, and the control character stops a listing on a terminal.
pub const HEADER_MAGIC: [u8; 8] = [0x89, b'L', b'M', b'A', 0x0d, 0x0a, 0x1a, 0x0a];

/// The version of the format that this crate writes and reads.
pub const VERSION: u16 = 1;

/// The feature bits that a reader must know to read the archive at all.
const CRITICAL_FEATURES: u64 = 0xffff_ffff;

/// The critical feature bits that this crate knows: none is defined yet.
const KNOWN_FEATURES: u64 = 0;

const WHAT: &str = "stream header";

/// First bytes of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// Feature bits. A reader that does not know a set bit of the critical half (the low 32 bits) refuses
    /// cleanly; bits of the ancillary half it ignores.
    pub features: u64,
}

impl StreamHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let (magic, rest) = out.split_at_mut(8);
        magic.copy_from_slice(&HEADER_MAGIC);
        rest[0..2].copy_from_slice(&VERSION.to_le_bytes());
        rest[4..12].copy_from_slice(&self.features.to_le_bytes());
        let crc = crc32(&[&out[..HEADER_LEN - 4]]);
        out[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Checks magic, CRC, version and features, in this order.
    ///
    /// # Errors
    /// Corrupt or unsupported.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let short = || FormatError::corrupt(WHAT, "it is cut short");
        let magic = cursor.array::<8>().ok_or_else(short)?;
        if magic != HEADER_MAGIC {
            return Err(FormatError::corrupt(WHAT, format!("{magic:02x?} is not the magic of an lma archive")));
        }
        let version = cursor.u16().ok_or_else(short)?;
        let reserved = cursor.u16().ok_or_else(short)?;
        let features = cursor.u64().ok_or_else(short)?;
        let crc = cursor.u32().ok_or_else(short)?;
        let actual = crc32(&[&bytes[..HEADER_LEN - 4]]);
        if crc != actual {
            return Err(FormatError::corrupt(WHAT, format!("its CRC-32 is {actual:08x}, {crc:08x} is recorded")));
        }
        if version != VERSION {
            return Err(FormatError::unsupported(WHAT, format!("version {version}, this reader knows {VERSION}")));
        }
        if reserved != 0 {
            return Err(FormatError::unsupported(WHAT, format!("reserved field {reserved:#06x}, expected 0")));
        }
        let unknown = features & CRITICAL_FEATURES & !KNOWN_FEATURES;
        if unknown != 0 {
            return Err(FormatError::unsupported(WHAT, format!("critical features {unknown:#x} are not known")));
        }
        Ok(Self { features })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl Fn(&mut [u8])) -> [u8; HEADER_LEN] {
        let mut bytes = StreamHeader::default().encode();
        change(&mut bytes);
        let crc = crc32(&[&bytes[..HEADER_LEN - 4]]);
        bytes[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn round_trips_and_ignores_ancillary_features() {
        let header = StreamHeader { features: 1 << 40 };
        assert_eq!(StreamHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn every_flipped_bit_is_corrupt() {
        let good = StreamHeader::default().encode();
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(StreamHeader::decode(&bad), Err(FormatError::Corrupt { .. })), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_header_is_unsupported() {
        for bytes in [with(|b| b[8] = 2), with(|b| b[10] = 1), with(|b| b[12] = 1), with(|b| b[15] = 0x80)] {
            assert!(matches!(StreamHeader::decode(&bytes), Err(FormatError::Unsupported { .. })), "{bytes:x?}");
        }
    }
}
