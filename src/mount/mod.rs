//! An archive as a read-only directory.
