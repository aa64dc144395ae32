//! Reads regular files, holes told from data.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::SeekFrom as Seeking;

use super::meta::mtime;
use crate::format::Mtime;

/// Bytes asked for at a time.
const BUFFER: usize = 256 << 10;

/// A run of a file.
pub(super) enum Run<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// This many zero bytes that the file system does not store.
    Hole(u64),
}

/// What kept a file from being read.
pub(super) enum ReadError {
    /// The file; others may be fine.
    File(io::Error),
    /// What was given to the receiver of the runs.
    Receiver(crate::Error),
}

/// Hands a file's runs to `receive`, up to the size that it has when it is opened. Answers the time of last
/// modification and whether the file changed while it was read.
pub(super) fn read(
    path: &Path,
    mut receive: impl FnMut(Run<'_>) -> crate::Result<()>,
) -> Result<(Mtime, bool), ReadError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(ReadError::File)?;
    let before = file.metadata().map_err(ReadError::File)?;
    if !before.is_file() {
        return Err(ReadError::File(io::Error::other("it is no longer a regular file")));
    }
    let size = before.len();
    // Seeking for holes costs two calls a file; only a file with fewer blocks than bytes can have one.
    let sparse = before.blocks().saturating_mul(512) < size;
    let mut buffer = vec![0; BUFFER.min(usize::try_from(size).unwrap_or(BUFFER)).max(1)];
    let mut at = 0;
    while at < size {
        let (data, end) = if sparse { next_run(&file, at, size) } else { (at, size) };
        if data > at {
            receive(Run::Hole(data - at)).map_err(ReadError::Receiver)?;
        }
        at = data;
        if at < end {
            let read = copy(&mut file, at, end, &mut buffer, &mut receive)?;
            at += read;
            if at < end {
                break;
            }
        }
    }
    let after = file.metadata().map_err(ReadError::File)?;
    let changed = at != size || after.len() != size || mtime(&after) != mtime(&before);
    Ok((mtime(&before), changed))
}

/// The next data from `at` on: where it starts and ends; an empty one at `size` if there is none.
fn next_run(file: &File, at: u64, size: u64) -> (u64, u64) {
    let Ok(data) = rustix::fs::seek(file, Seeking::Data(at)).or_else(|error| match error {
        rustix::io::Errno::NXIO => Ok(size),
        error => Err(error),
    }) else {
        // A file system that knows no holes has none.
        return (at, size);
    };
    let data = data.clamp(at, size);
    let end = if data < size { rustix::fs::seek(file, Seeking::Hole(data)).unwrap_or(size) } else { size };
    // A hole that starts where data does is a file that changes right now: take the rest as data.
    (data, if end > data { end.min(size) } else { size })
}

fn copy(
    file: &mut File,
    from: u64,
    to: u64,
    buffer: &mut [u8],
    receive: &mut impl FnMut(Run<'_>) -> crate::Result<()>,
) -> Result<u64, ReadError> {
    file.seek(SeekFrom::Start(from)).map_err(ReadError::File)?;
    let mut done = 0;
    while done < to - from {
        let want = usize::try_from(to - from - done).unwrap_or(usize::MAX).min(buffer.len());
        match file.read(&mut buffer[..want]) {
            Ok(0) => break,
            Ok(got) => {
                done += got as u64;
                receive(Run::Data(&buffer[..got])).map_err(ReadError::Receiver)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadError::File(error)),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_and_data_add_up() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file_mut().set_len(1 << 20).unwrap();
        file.as_file().write_all_at(b"middle", 500_000).unwrap();
        let (mut data, mut total) = (Vec::new(), 0);
        let read = read(file.path(), |run| {
            match run {
                Run::Data(bytes) => {
                    total += bytes.len() as u64;
                    data.extend_from_slice(bytes);
                }
                Run::Hole(len) => total += len,
            }
            Ok(())
        });
        assert!(matches!(read, Ok((_, false))));
        assert_eq!(total, 1 << 20);
        assert!(data.windows(6).any(|window| window == b"middle"));
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        assert!(matches!(read(&dir.path().join("b"), |_| Ok(())), Err(ReadError::File(_))));
    }
}
