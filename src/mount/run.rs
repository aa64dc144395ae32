//! Mounting, serving until unmounted, and the background process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::container::Reader;
use crate::predict::Models;
use crate::{Error, Result};

/// How to mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// The directory to mount on; it must exist and be empty.
    pub mountpoint: PathBuf,
    /// What the mount table names as the source, by custom the archive's path.
    pub source_name: String,
    /// Most bytes of decoded chunks kept in memory.
    pub cache_bytes: u64,
    /// Threads that decode, one chunk each at a time: by custom the model's lanes. At least 1.
    pub workers: usize,
    /// Whether users other than the one who mounts may look (root, or `user_allow_other` in
    /// /etc/fuse.conf).
    pub allow_other: bool,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            mountpoint: PathBuf::new(),
            source_name: "lma".into(),
            cache_bytes: 256 << 20,
            workers: 8,
            allow_other: false,
        }
    }
}

/// What [`daemonize`] tells the process that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// This is the child: open the archive and call [`serve`].
    Serve,
    /// This is the parent, and the mount is live in a child: nothing is left to do but to exit with 0.
    Mounted,
    /// This is the parent, and the child has given up. It has reported why on the standard error
    /// output; exit with this code.
    Failed(u8),
}

/// Starts this program again, with the same arguments, as a background process. Call it first
/// thing, before threads are started, files opened or models loaded; in the child the same call
/// returns [`Background::Serve`].
///
/// # Errors
/// [`Error::Io`] where the program cannot be started again.
pub fn daemonize() -> Result<Background> {
    Err(Error::Refused("not built yet".into()))
}

/// Mounts the archive and serves it, blocking, until it is unmounted or SIGINT, SIGTERM or SIGHUP
/// arrives. In the child of [`daemonize`], tells the parent when the mount is live. Models are
/// opened by the first chunk that needs one, not before.
///
/// # Errors
/// [`Error::Refused`] where FUSE is missing or the directory will not do; [`Error::Container`]
/// where the entries cannot be read; [`Error::Io`] where mounting fails.
pub fn serve(_reader: Arc<Reader>, _models: Arc<dyn Models>, _options: &MountOptions) -> Result<()> {
    Err(Error::Refused("not built yet".into()))
}

/// Unmounts what is mounted on `mountpoint`.
///
/// # Errors
/// [`Error::Refused`] with the system's answer, for example that files are open.
pub fn unmount(_mountpoint: &Path) -> Result<()> {
    Err(Error::Refused("not built yet".into()))
}
