//! What a mount tells of itself: extended attributes of its files, and a status file in its root.
//!
//! Neither is listed: copies of a mounted tree are copies of the tree. Who knows the names can ask.

use super::cache::ChunkCache;
use super::errno::Errno;
use super::fs::Fs;
use super::inode::HOLE;
use crate::format::ChunkSlot;

/// The status file's name in the root.
pub const STATUS_NAME: &[u8] = b".lma-status";

/// The status file's inode number; no archive has so many entries.
pub const STATUS_INO: u64 = u64::MAX - 1;

/// What all names of the mount's own attributes begin with.
const PREFIX: &[u8] = b"user.lma.";

/// The status as a JSON object, one counter a line.
pub(super) fn status(cache: &ChunkCache) -> Vec<u8> {
    let (waited, idle) = cache.in_flight();
    let mut numbers = cache.stats().json();
    numbers.extend([("queue_waited", waited as u64), ("queue_idle", idle as u64), ("memory_bytes", cache.held())]);
    let lines: Vec<String> = numbers.iter().map(|(name, value)| format!("  \"{name}\": {value}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes()
}

/// What is known of the chunks of a file.
#[derive(Default)]
struct Sum {
    /// Bytes of the file that are in chunks, and those whose chunk is at hand.
    bytes: f64,
    cached: u64,
    /// Its share of the stored bytes.
    stored: f64,
    codecs: Vec<&'static str>,
    chunks: u64,
}

impl Fs {
    /// The mount's own attributes of a file: `user.lma.ratio`, `.codec`, `.chunks`, `.cached`, `.digest`; `None` for any
    /// other name.
    pub(super) fn own_xattr(&self, ino: u64, name: &[u8]) -> Option<Result<Vec<u8>, Errno>> {
        let name = name.strip_prefix(PREFIX)?;
        let tell: fn(&Sum) -> String = match name {
            // Bytes for each stored byte.
            b"ratio" => |sum| format!("{:.3}", if sum.stored > 0.0 { sum.bytes / sum.stored } else { 1.0 }),
            b"codec" => |sum| sum.codecs.join(","),
            b"chunks" => |sum| sum.chunks.to_string(),
            b"cached" => |sum| sum.cached.to_string(),
            b"digest" => {
                return Some(
                    self.tree().digest(ino).map(|digest| digest.to_string().into_bytes()).ok_or(Errno::ENODATA),
                );
            }
            _ => return None,
        };
        Some(self.sum(ino).map(|sum| tell(&sum).into_bytes()))
    }

    fn sum(&self, ino: u64) -> Result<Sum, Errno> {
        let (_, runs) = self.tree().runs(ino).map_err(|_| Errno::ENODATA)?;
        let mut sum = Sum::default();
        let (mut start, mut last) = (0, HOLE);
        for run in runs {
            let len = run.end - std::mem::replace(&mut start, run.end);
            if run.chunk == HOLE {
                continue;
            }
            sum.bytes += len as f64;
            sum.chunks += u64::from(std::mem::replace(&mut last, run.chunk) != run.chunk);
            if self.cache().is_kept(run.chunk) {
                sum.cached += len;
            }
            if let Some(ChunkSlot { stored_len, raw_len, codec, .. }) = self.cache().source().slot(run.chunk) {
                sum.stored += f64::from(stored_len) * len as f64 / f64::from(raw_len.max(1));
                let codec = codec.name();
                if !sum.codecs.contains(&codec) {
                    sum.codecs.push(codec);
                }
            }
        }
        Ok(sum)
    }
}
