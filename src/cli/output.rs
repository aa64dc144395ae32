//! Standard output, and files that are written.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::plan::Output;
use crate::archive::write_atomically;
use crate::container::ContainerError;
use crate::format::{FormatError, HEADER_LEN, StreamHeader};
use crate::{Error, Result};

/// Standard output, remembering whether its reader has gone: `lma list a | head` is no failure.
#[derive(Clone, Debug, Default)]
pub(super) struct Stdout {
    closed: Arc<AtomicBool>,
}

impl Stdout {
    /// Whether a write found nobody to read it.
    pub(super) fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Writes whole lines or documents through a buffer, and flushes them.
    pub(super) fn print(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let mut out = io::BufWriter::with_capacity(64 << 10, self.clone());
        write(&mut out).and_then(|()| out.flush()).map_err(Error::io("writing", "standard output"))
    }
}

impl Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // Past the line buffer of std, which would split binary data at every newline.
        self.watch(rustix::io::write(rustix::stdio::stdout(), buf).map_err(io::Error::from))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `write` on the output: standard output unless that is a terminal, a file that appears whole or
/// not at all, or, where a device or pipe stands at the path, that itself.
///
/// # Errors
/// Those of `write`; [`Error::Refused`] for a terminal and a directory; I/O.
pub(super) fn write_binary<T>(
    output: &Output,
    stdout: &Stdout,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let path = match output {
        Output::File(path) => path,
        Output::Stdout => {
            if io::stdout().is_terminal() {
                return Err(Error::Refused("refusing to write binary data to a terminal; name a file instead".into()));
            }
            return buffered(stdout.clone(), Path::new("standard output"), write);
        }
    };
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(Error::Refused(format!("{} is a directory", path.display()))),
        Ok(meta) if !meta.is_file() => {
            let out = File::options().write(true).open(path).map_err(Error::io("opening", path))?;
            buffered(out, path, write)
        }
        // Through a symbolic link, so that its target is replaced and the link stays.
        Ok(_) => {
            let target = std::fs::canonicalize(path).map_err(Error::io("resolving", path))?;
            write_atomically(&target, |file| write(file))
        }
        Err(_) => write_atomically(path, |file| write(file)),
    }
}

fn buffered<T>(out: impl Write, path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    let done = write(&mut out)?;
    out.flush().map_err(Error::io("writing", path))?;
    Ok(done)
}

/// Refuses to replace a file with content that is no lma archive: the archive's name was forgotten, or
/// something else is about to be lost. `order` says what comes where on the command line.
///
/// # Errors
/// [`Error::Refused`].
pub(super) fn spare_other_files(output: &Output, order: &str) -> Result<()> {
    let Output::File(path) = output else { return Ok(()) };
    if holds_other_data(path) {
        let path = path.display();
        return Err(Error::Refused(format!(
            "{path} exists and is not an lma archive, so it is not overwritten; {order} (or remove {path})"
        )));
    }
    Ok(())
}

fn holds_other_data(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let Ok(file) = File::open(path) else { return false };
    let mut start = Vec::new();
    if !is_file || file.take(HEADER_LEN as u64).read_to_end(&mut start).is_err() || start.is_empty() {
        return false;
    }
    let Ok(header) = <[u8; HEADER_LEN]>::try_from(start) else { return true };
    matches!(StreamHeader::decode(&header), Err(FormatError::Corrupt { .. } | FormatError::Limit { .. }))
}

/// Whether the error is a write whose reader has gone.
pub(super) fn is_broken_pipe(error: &Error) -> bool {
    let source = match error {
        Error::Io { source, .. } | Error::Container(ContainerError::Write(source)) => source,
        _ => return false,
    };
    source.kind() == io::ErrorKind::BrokenPipe
}
