//! Stated limits: every size that an archive declares is a claim, charged here before memory is
//! reserved for it.

/// The bounds within which an archive is read. Exceeding one is [`crate::format::FormatError::Limit`],
/// never an allocation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest raw (decoded) chunk, bytes.
    pub chunk_raw: u64,
    /// Largest stored (encoded) chunk body, bytes.
    pub chunk_stored: u64,
    /// Largest decoded entry batch, bytes.
    pub batch_raw: u64,
    /// Largest decoded index, bytes.
    pub index_raw: u64,
    /// Longest path or link target, bytes.
    pub path: u64,
    /// Most bytes of extended attributes on one entry.
    pub xattrs: u64,
    /// Most entries in one archive that are held in memory together.
    pub entries: u64,
    /// Most decoded bytes of all entry batches of one archive together.
    pub entries_raw: u64,
    /// Most model records in one archive.
    pub models: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_raw: 16 << 20,
            chunk_stored: (16 << 20) + 64,
            batch_raw: 64 << 20,
            index_raw: 1 << 30,
            path: 64 << 10,
            xattrs: 8 << 20,
            entries: 50_000_000,
            entries_raw: 4 << 30,
            models: 256,
        }
    }
}
