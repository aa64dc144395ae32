//! Trees of files in and out of archives.
