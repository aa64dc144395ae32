//! Archives that are read: files as they are, pipes through an unlinked temporary file.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::Context;
use super::plan::Input;
use crate::container::{FileSource, Opened, Reader, Source};
use crate::limits::Limits;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// Most bytes of one list of names.
const MAX_LIST: u64 = 1 << 30;

/// Opens the input for reading at random.
///
/// # Errors
/// I/O; [`Error::Refused`] for a directory.
pub(super) fn source(input: &Input, context: &Context) -> Result<Arc<dyn Source>> {
    context.works_on(input.path());
    refuse_terminal(input)?;
    let interrupt = &context.interrupt;
    let file = match input {
        Input::Stdin => spool(io::stdin().lock(), input.path(), interrupt)?,
        Input::File(path) => {
            let file = File::open(path).map_err(Error::io("opening", path))?;
            let kind = file.metadata().map_err(Error::io("reading", path))?.file_type();
            if kind.is_dir() {
                return Err(Error::Refused(format!("{} is a directory, not an archive", path.display())));
            }
            if kind.is_fifo() || kind.is_char_device() || kind.is_socket() {
                spool(file, path, interrupt)?
            } else {
                file
            }
        }
    };
    Ok(Arc::new(FileSource::new(file)))
}

/// Opens the archive through its index, or by scanning it, which is damage: said once, and in the
/// exit code.
///
/// # Errors
/// As [`source`], and where the bytes are no archive.
pub(super) fn reader(input: &Input, context: &Context) -> Result<Arc<Reader>> {
    let reader = Reader::open_or_scan(source(input, context)?, Limits::default())?;
    if let Opened::Scan(why) = reader.opened() {
        context.reporter.warn(&format!(
            "{}: {why}; the archive was scanned for what is intact, and `lma recover` saves that",
            input.path().display()
        ));
        context.found_damage();
    }
    Ok(Arc::new(reader))
}

/// A person who types cannot have meant to.
fn refuse_terminal(input: &Input) -> Result<()> {
    if *input == Input::Stdin && io::stdin().is_terminal() {
        return Err(Error::Refused("refusing to read binary data from a terminal; name a file instead".into()));
    }
    Ok(())
}

/// Standard input or a file that is no text, for reading front to back.
///
/// # Errors
/// I/O; [`Error::Refused`] for a terminal.
pub(super) fn binary_stream(input: &Input) -> Result<Box<dyn Read>> {
    refuse_terminal(input)?;
    stream(input)
}

/// Standard input or a file, for reading front to back.
///
/// # Errors
/// I/O.
fn stream(input: &Input) -> Result<Box<dyn Read>> {
    match input {
        Input::Stdin => {
            // Unbuffered, so that large reads go straight through.
            let fd = io::stdin().as_fd().try_clone_to_owned().map_err(Error::io("opening", input.path()))?;
            Ok(Box::new(File::from(fd)))
        }
        Input::File(path) => Ok(Box::new(File::open(path).map_err(Error::io("opening", path))?)),
    }
}

fn spool(mut input: impl Read, path: &Path, interrupt: &Interrupt) -> Result<File> {
    let mut file = tempfile::tempfile().map_err(Error::io("creating a file in", std::env::temp_dir()))?;
    let mut buf = vec![0; 256 << 10];
    loop {
        if interrupt.raised() {
            return Err(Error::Interrupted);
        }
        match input.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => {
                file.write_all(&buf[..n]).map_err(Error::io("copying standard input into", std::env::temp_dir()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("reading", path)(error)),
        }
    }
    file.rewind().map_err(Error::io("rewinding", path))?;
    Ok(file)
}

/// The names in the lists, which are separated by newlines or NULs; empty ones are dropped.
///
/// # Errors
/// I/O; [`Error::Refused`] for a list that is too long to be one.
pub(super) fn names(lists: &[Input], null: bool) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for list in lists {
        let mut text = Vec::new();
        let read =
            stream(list)?.take(MAX_LIST + 1).read_to_end(&mut text).map_err(Error::io("reading", list.path()))?;
        if read as u64 > MAX_LIST {
            return Err(Error::Refused(format!("{}: more than {MAX_LIST} bytes of names", list.path().display())));
        }
        let separator = if null { 0 } else { b'\n' };
        let parts = text.split(|&byte| byte == separator).filter(|name| !name.is_empty());
        names.extend(parts.map(|name| PathBuf::from(std::ffi::OsString::from_vec(name.to_vec()))));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_separated_and_empty_ones_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let list = |text: &[u8]| {
            let path = dir.path().join("list");
            std::fs::write(&path, text).unwrap();
            [Input::File(path)]
        };
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(names(&list(b"a\n\nb c\n"), false).unwrap(), paths(&["a", "b c"]));
        assert_eq!(names(&list(b"a\nb\0c"), true).unwrap(), paths(&["a\nb", "c"]));
        assert_eq!(names(&list(b"\xff"), false).unwrap()[0].as_os_str().len(), 1);
    }

    #[test]
    fn a_spooled_pipe_is_an_archive_like_any_other() {
        let file = spool(&b"0123456789"[..], Path::new("-"), &Interrupt::default()).unwrap();
        let source = FileSource::new(file);
        let mut buf = [0; 3];
        source.read_exact_at(&mut buf, 4).unwrap();
        assert_eq!((source.len().unwrap(), &buf), (10, b"456"));
    }

    #[test]
    fn spooling_stops_when_interrupted() {
        let interrupt = Interrupt::default();
        interrupt.raise();
        let stopped = spool(io::repeat(0), Path::new("-"), &interrupt).unwrap_err();
        assert!(matches!(stopped, Error::Interrupted));
    }
}
