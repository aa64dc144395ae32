//! The contents of files one after the other, for outputs that are written front to back.

use super::chunks::{Ahead, repeat};
use super::notes::show;
use crate::format::{Extent, FileContent, FormatError};
use crate::hash::FileHasher;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// Zeros for holes.
const ZEROS: [u8; 16 << 10] = [0; 16 << 10];

/// What [`copy`] does about holes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    /// Zeros are handed out for them.
    AsZeros,
    /// Only data is handed out.
    LeftOut,
}

/// Announces a file that [`copy`] will be called for, in the same order.
pub(super) fn announce(ahead: &mut Ahead, content: &FileContent) {
    let data = content.extents.iter().filter_map(|extent| match extent {
        Extent::Data { chunk, .. } => Some(*chunk),
        Extent::Hole { .. } => None,
    });
    ahead.want(data);
}

/// Hands a file's bytes to `receive`. Bytes that come out are those that were archived; only at the end is it known that they are all of the file. Takes all of the file's chunks, whatever happens.
///
/// # Errors
/// Damage, the model, an interruption, and the receiver's.
pub(super) fn copy(
    ahead: &mut Ahead,
    path: &[u8],
    content: &FileContent,
    holes: Holes,
    progress: &dyn Progress,
    interrupt: &Interrupt,
    mut receive: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut hasher = FileHasher::new();
    let mut failed: Option<Error> = None;
    for extent in &content.extents {
        if interrupt.raised() {
            return Err(Error::Interrupted);
        }
        match *extent {
            Extent::Hole { len } if holes == Holes::LeftOut => progress.advance(len, 0),
            Extent::Hole { mut len } => {
                while len > 0 && failed.is_none() {
                    let now = len.min(ZEROS.len() as u64);
                    receive(&ZEROS[..now as usize])?;
                    progress.advance(now, 0);
                    len -= now;
                }
            }
            Extent::Data { offset, len, .. } => {
                let Some((number, chunk)) = ahead.next(interrupt)? else {
                    return Err(Error::Refused("a file was not announced".into()));
                };
                if failed.is_some() {
                    continue;
                }
                let (offset, len) = (offset as usize, len as usize);
                match chunk {
                    Err(error) => failed = Some(repeat(&error)),
                    Ok(chunk) => match chunk.get(offset..).and_then(|rest| rest.get(..len)) {
                        None => {
                            let why = format!("{len} bytes from {offset} on of a chunk of {}", chunk.len());
                            failed = Some(FormatError::corrupt("extent", why).into());
                        }
                        Some(bytes) => {
                            hasher.update(bytes);
                            receive(bytes)?;
                            progress.advance(len as u64, ahead.lengths(number).1.min(len as u64));
                        }
                    },
                }
            }
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let digest = hasher.finish();
    if digest != content.digest {
        let why = format!("{} has digest {digest}, not {}", show(path), content.digest);
        return Err(FormatError::corrupt("file content", why).into());
    }
    Ok(())
}
