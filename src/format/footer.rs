//! The footer (spec/lma-format.md §10): fixed size, its magic is the archive's last 8 bytes.

use super::FormatError;

/// Length of the footer in bytes.
pub const FOOTER_LEN: usize = 32;

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
        unimplemented!()
    }

    /// Checks magic and CRC.
    ///
    /// # Errors
    /// Corrupt.
    pub fn decode(_bytes: &[u8; FOOTER_LEN]) -> Result<Self, FormatError> {
        unimplemented!()
    }
}
