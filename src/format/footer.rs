//! The footer (spec/lma-format.md §10): fixed size, its magic is the archive's last 8 bytes.

use super::FormatError;
use crate::hash::crc32;
use crate::wire::Cursor;

/// Length of the footer in bytes: index_position 8, archive_len 8, reserved 4, CRC-32 4, magic 8.
pub const FOOTER_LEN: usize = 32;

/// The archive's last 8 bytes.
pub const FOOTER_MAGIC: [u8; 8] = [0x89, b'E', b'N', b'D', 0x0d, 0x0a, 0x1a, 0x0a];

/// Bytes that the footer's CRC covers: all before it.
const CRC_AT: usize = FOOTER_LEN - 8 - 4;

const WHAT: &str = "footer";

/// Last bytes of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Position of the index record's marker.
    pub index_position: u64,
    /// Length of the whole archive, footer included.
    pub archive_len: u64,
}

impl Footer {
    /// The footer's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut out = [0; FOOTER_LEN];
        out[0..8].copy_from_slice(&self.index_position.to_le_bytes());
        out[8..16].copy_from_slice(&self.archive_len.to_le_bytes());
        let crc = crc32(&[&out[..CRC_AT]]);
        out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        out[CRC_AT + 4..].copy_from_slice(&FOOTER_MAGIC);
        out
    }

    /// Checks magic, CRC and the reserved field, in this order.
    ///
    /// # Errors
    /// Corrupt or unsupported.
    pub fn decode(bytes: &[u8; FOOTER_LEN]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let short = || FormatError::corrupt(WHAT, "it is cut short");
        let index_position = cursor.u64().ok_or_else(short)?;
        let archive_len = cursor.u64().ok_or_else(short)?;
        let reserved = cursor.u32().ok_or_else(short)?;
        let crc = cursor.u32().ok_or_else(short)?;
        if cursor.rest() != FOOTER_MAGIC {
            return Err(FormatError::corrupt(WHAT, format!("{:02x?} is not its magic", cursor.rest())));
        }
        let actual = crc32(&[&bytes[..CRC_AT]]);
        if crc != actual {
            return Err(FormatError::corrupt(WHAT, format!("its CRC-32 is {actual:08x}, {crc:08x} is recorded")));
        }
        if reserved != 0 {
            return Err(FormatError::unsupported(WHAT, format!("reserved field {reserved:#x}, expected 0")));
        }
        Ok(Self { index_position, archive_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_every_flipped_bit_is_corrupt() {
        let footer = Footer { index_position: 0x0102_0304_0506, archive_len: 0xff_ffff_ffff };
        let good = footer.encode();
        assert_eq!(Footer::decode(&good), Ok(footer));
        assert_eq!(good[FOOTER_LEN - 8..], FOOTER_MAGIC);
        for bit in 0..FOOTER_LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Footer::decode(&bad), Err(FormatError::Corrupt { .. })), "bit {bit}");
        }
    }

    #[test]
    fn a_reserved_bit_is_unsupported() {
        let mut bytes = Footer { index_position: 24, archive_len: 100 }.encode();
        bytes[16] = 1;
        let crc = crc32(&[&bytes[..CRC_AT]]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(Footer::decode(&bytes), Err(FormatError::Unsupported { .. })));
    }
}
