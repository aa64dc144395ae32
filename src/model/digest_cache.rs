//! SHA-256 of files, remembered between runs, so that a model of gigabytes is hashed once.
//!
//! The cache is an optimisation that may be deleted, damaged or unwritable at any time: nothing
//! fails because of it. An entry holds for a path while size, time of modification and inode of
//! the file are as they were before and after it was hashed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hash::Digest;

/// The cache file's version; any other is ignored.
const VERSION: u32 = 1;
/// A cache file above this size in bytes is ignored.
const MAX_BYTES: u64 = 4 << 20;
/// Most entries kept.
const MAX_ENTRIES: usize = 4096;
/// A file modified this recently could change again within one tick of its clock: not remembered.
const SETTLED: Duration = Duration::from_secs(2);

/// SHA-256 of everything that `input` gives.
///
/// # Errors
/// The input's.
pub(crate) fn sha256(mut input: impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buf = vec![0; 256 << 10];
    loop {
        match input.read(&mut buf) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(n) => hasher.update(&buf[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct CacheFile {
    version: u32,
    files: BTreeMap<String, Remembered>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    #[serde(flatten)]
    stamp: Stamp,
    sha256: String,
}

/// What must be unchanged for a digest to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    mtime_secs: i64,
    mtime_nanos: i64,
    inode: u64,
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        Self { size: meta.size(), mtime_secs: meta.mtime(), mtime_nanos: meta.mtime_nsec(), inode: meta.ino() }
    }
}

/// The cache, in memory; written back on every new digest.
#[derive(Debug, Default)]
pub(crate) struct DigestCache {
    file: Option<PathBuf>,
    files: BTreeMap<String, Remembered>,
}

impl DigestCache {
    /// Reads the cache at `file`; a missing or unreadable one is an empty one. `None`: remember
    /// nothing between runs.
    pub(crate) fn load(file: Option<PathBuf>) -> Self {
        let files = file.as_deref().and_then(read).unwrap_or_default();
        Self { file, files }
    }

    /// SHA-256 and size of the regular file at `path`.
    ///
    /// # Errors
    /// The system's; also where the file changed while it was hashed.
    pub(crate) fn digest(&mut self, path: &Path) -> io::Result<(Digest, u64)> {
        let path = fs::canonicalize(path)?;
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(&path)?;
        let meta = file.metadata()?;
        let stamp = Stamp::of(&meta);
        let known = path.to_str().and_then(|name| self.files.get(name)).filter(|known| known.stamp == stamp);
        if let Some(digest) = known.and_then(|known| Digest::from_hex(&known.sha256)) {
            return Ok((digest, stamp.size));
        }
        let digest = sha256(&file)?;
        if Stamp::of(&file.metadata()?) != stamp {
            return Err(io::Error::other("the file changed while it was hashed"));
        }
        if settled(&meta) {
            self.remember(&path, stamp, digest);
        }
        Ok((digest, stamp.size))
    }

    fn remember(&mut self, path: &Path, stamp: Stamp, digest: Digest) {
        let Some(name) = path.to_str() else { return };
        if self.files.len() >= MAX_ENTRIES {
            self.files.retain(|path, _| Path::new(path).exists());
            if self.files.len() >= MAX_ENTRIES {
                self.files.clear();
            }
        }
        self.files.insert(name.to_owned(), Remembered { stamp, sha256: digest.to_string() });
        if let Err(error) = self.save() {
            tracing::debug!(%error, "the digest cache was not written");
        }
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let dir = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(dir)?;
        let mut temp = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer(&mut temp, &CacheFile { version: VERSION, files: self.files.clone() })?;
        temp.flush()?;
        temp.persist(file)?;
        Ok(())
    }
}

fn settled(meta: &fs::Metadata) -> bool {
    let age = meta.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age >= SETTLED)
}

fn read(file: &Path) -> Option<BTreeMap<String, Remembered>> {
    let mut text = String::new();
    let read = File::open(file).ok()?.take(MAX_BYTES + 1).read_to_string(&mut text).ok()?;
    if read as u64 > MAX_BYTES {
        return None;
    }
    let parsed: CacheFile = serde_json::from_str(&text).ok()?;
    (parsed.version == VERSION).then_some(parsed.files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(path: &Path) {
        let past = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    }

    #[test]
    fn sha256_is_the_standard_one() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..]).unwrap().to_string(), expected);
    }

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (model, cache) = (dir.path().join("a.gguf"), dir.path().join("cache/digests.json"));
        fs::write(&model, "one").unwrap();
        settle(&model);
        let first = DigestCache::load(Some(cache.clone())).digest(&model).unwrap();
        assert_eq!(first, (sha256(&b"one"[..]).unwrap(), 3));

        // A planted digest comes back: the file is not hashed again.
        let planted = "11".repeat(32);
        let text = fs::read_to_string(&cache).unwrap().replace(&first.0.to_string(), &planted);
        fs::write(&cache, text).unwrap();
        let again = DigestCache::load(Some(cache.clone())).digest(&model).unwrap();
        assert_eq!(again.0.to_string(), planted);

        fs::write(&model, "two").unwrap();
        let changed = DigestCache::load(Some(cache)).digest(&model).unwrap();
        assert_eq!(changed.0, sha256(&b"two"[..]).unwrap());
    }

    #[test]
    fn a_fresh_file_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (model, cache) = (dir.path().join("a.gguf"), dir.path().join("digests.json"));
        fs::write(&model, "one").unwrap();
        DigestCache::load(Some(cache.clone())).digest(&model).unwrap();
        assert!(!cache.exists());
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (model, cache) = (dir.path().join("a.gguf"), dir.path().join("digests.json"));
        fs::write(&model, "one").unwrap();
        settle(&model);
        for garbage in ["", "{", "[1]", r#"{"version":9,"files":{}}"#] {
            fs::write(&cache, garbage).unwrap();
            let (digest, _) = DigestCache::load(Some(cache.clone())).digest(&model).unwrap();
            assert_eq!(digest, sha256(&b"one"[..]).unwrap());
            assert_eq!(read(&cache).unwrap().len(), 1);
        }
    }

    #[test]
    fn directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(DigestCache::default().digest(dir.path()).is_err());
    }
}
