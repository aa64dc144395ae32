//! Why bytes were not accepted.

/// The three ways in which bytes fail to be an archive; they are never mixed up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes contradict the specification or a checksum: the archive is damaged or hostile.
    #[error("corrupt {what}: {why}")]
    Corrupt {
        /// The structure that was being read, as the specification names it.
        what: &'static str,
        /// Expected against actual.
        why: String,
    },
    /// The bytes are intact (their checksum holds) but need a newer reader.
    #[error("unsupported {what}: {why}; a newer lma may read this archive")]
    Unsupported {
        /// The structure that was being read.
        what: &'static str,
        /// The version, type or flag that is not known.
        why: String,
    },
    /// A declared size is above a stated limit of this reader.
    #[error("{what} of {actual} exceeds the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// The declared size or count.
        actual: u64,
        /// The limit in force.
        limit: u64,
    },
}

impl FormatError {
    /// A [`FormatError::Corrupt`].
    pub fn corrupt(what: &'static str, why: impl Into<String>) -> Self {
        Self::Corrupt { what, why: why.into() }
    }

    /// A [`FormatError::Unsupported`].
    pub fn unsupported(what: &'static str, why: impl Into<String>) -> Self {
        Self::Unsupported { what, why: why.into() }
    }

    /// Refuses `actual` above `limit`.
    ///
    /// # Errors
    /// [`FormatError::Limit`].
    pub fn charge(what: &'static str, actual: u64, limit: u64) -> Result<(), Self> {
        if actual > limit { Err(Self::Limit { what, actual, limit }) } else { Ok(()) }
    }
}
