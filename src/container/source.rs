//! Where an archive's bytes come from. `pread`, never a memory map: a bad disk must be an error,
//! not SIGBUS.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Random access to an archive's bytes, from any thread.
pub trait Source: Send + Sync {
    /// The archive's length in bytes.
    ///
    /// # Errors
    /// The system's answer.
    fn len(&self) -> io::Result<u64>;

    /// Whether the archive has no bytes.
    ///
    /// # Errors
    /// The system's answer.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` with the bytes from `position` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the archive ends earlier, or the system's answer.
    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()>;
}

/// A file.
#[derive(Debug)]
pub struct FileSource(File);

impl FileSource {
    /// Reads from `file`, which should be a regular file or a block device.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self(file)
    }
}

impl Source for FileSource {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|meta| meta.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        FileExt::read_exact_at(&self.0, buf, position)
    }
}

/// An archive in memory.
#[derive(Debug, Default, Clone)]
pub struct MemorySource(pub Vec<u8>);

impl Source for MemorySource {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(self.0.len());
        let from = self.0[start..].get(..buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(from);
        Ok(())
    }
}

/// Fails the `n`-th read (counted from 0), once or for good; for tests.
pub struct FaultySource<S> {
    inner: S,
    countdown: AtomicU64,
    persistent: bool,
}

impl<S: Source> FaultySource<S> {
    /// Fails read number `n`, and all after it if `persistent`.
    pub fn new(inner: S, n: u64, persistent: bool) -> Self {
        Self { inner, countdown: AtomicU64::new(n + 1), persistent }
    }
}

impl<S: Source> Source for FaultySource<S> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let before = self.countdown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(1)));
        match before.unwrap_or_else(|n| n) {
            1 => Err(io::Error::other("injected fault")),
            0 if self.persistent => Err(io::Error::other("injected fault")),
            _ => self.inner.read_exact_at(buf, position),
        }
    }
}
