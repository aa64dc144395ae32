//! The stream header (spec/lma-format.md §3).

use super::FormatError;

/// Length of the stream header in bytes: magic 8, version 2, reserved 2, features 8, CRC-32 4... see the specification.
pub const HEADER_LEN: usize = 24;

/// First bytes of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// Feature bits. A reader that does not know a set bit of the critical half refuses cleanly.
    pub features: u64,
}

impl StreamHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        unimplemented!()
    }

    /// Checks magic, CRC, version and features, in this order.
    ///
    /// # Errors
    /// Corrupt or unsupported.
    pub fn decode(_bytes: &[u8; HEADER_LEN]) -> Result<Self, FormatError> {
        unimplemented!()
    }
}
