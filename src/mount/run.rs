//! Mounting, serving until unmounted, unmounting.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::cache::{CacheOptions, ChunkCache};
use super::decoder::{Decoder, DiskOptions};
use super::fs::{Fs, ReadOptions};
use super::worker::Workers;
use crate::container::Reader;
use crate::predict::Models;
use crate::progress::Progress;
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
    /// The disk cache, if there is to be one.
    pub disk: Option<DiskOptions>,
    /// Chunks that a model decodes together. At least 1.
    pub lanes: usize,
    /// Processors to decode on. At least 1.
    pub threads: usize,
    /// How long a read may wait before it fails with `EIO`.
    pub patience: Duration,
    /// Whether only what was decoded before is served; all else is `EIO`.
    pub offline: bool,
    /// Whether no byte is served before the digest of its chunk is checked.
    pub strict: bool,
    /// Whether the root has a hidden file that tells of the mount, [`STATUS_NAME`](super::STATUS_NAME).
    pub status: bool,
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
            disk: None,
            lanes: 16,
            threads: 2,
            patience: ReadOptions::default().patience,
            offline: false,
            strict: false,
            status: false,
            allow_other: false,
        }
    }
}

/// Mounts the archive and serves it, blocking, until it is unmounted or SIGINT, SIGTERM or SIGHUP
/// arrives. In the child of [`daemonize`](super::daemonize), tells the parent when the mount is
/// live, and to exit with what `code` says then. Models are opened by the first chunk that needs one, not before.
///
/// Entries that cannot be read are left out with a warning to `progress`; the rest is served.
///
/// # Errors
/// [`Error::Refused`] where FUSE is missing or the directory will not do; [`Error::Container`]
/// where no entry can be read; [`Error::Io`] where mounting fails.
pub fn serve(
    reader: Arc<Reader>,
    models: Arc<dyn Models>,
    options: &MountOptions,
    progress: &dyn Progress,
    code: impl FnOnce() -> u8,
) -> Result<()> {
    // Before the entries are read, since its answer is the more likely one.
    check(options)?;
    let fs = open(reader, models, options, progress)?;
    serve_with(fs, options, progress, || {
        if super::background::is_child()
            && let Err(error) = super::background::detach(code())
        {
            progress.warn(&format!("detaching from the terminal: {error}"));
        }
    })
}

/// The file system of an archive, not yet mounted.
fn open(reader: Arc<Reader>, models: Arc<dyn Models>, options: &MountOptions, progress: &dyn Progress) -> Result<Fs> {
    let tree = super::load::load(&reader, progress)?;
    let io = |action| Error::io(action, &options.mountpoint);
    let decoder =
        Decoder::new(reader, models, options.disk.as_ref(), options.offline).map_err(io("starting a thread for"))?;
    let cache = CacheOptions {
        budget: options.cache_bytes,
        idle: options.lanes,
        processors: options.threads,
        strict: options.strict,
    };
    let cache = ChunkCache::new(Arc::new(decoder), cache);
    // A decode in a lane, parked ones among them, and one on a processor hold a thread each.
    let workers = Workers::start(2 * (options.lanes + options.threads)).map_err(io("starting threads for"))?;
    let reads = ReadOptions { patience: options.patience, ahead: options.lanes };
    let fs = Fs::new(tree, cache, workers, reads).map_err(io("starting a thread for"))?;
    Ok(if options.status { fs.with_status() } else { fs })
}

/// Refuses a directory that cannot be mounted on; frees it from a mount whose process is gone.
fn check(options: &MountOptions) -> Result<()> {
    let dir = &options.mountpoint;
    if !Path::new("/dev/fuse").exists() {
        return Err(Error::Refused(
            "mounting needs FUSE, and this system has no /dev/fuse: load the kernel module (modprobe fuse), \
             or start the container with --device /dev/fuse"
                .into(),
        ));
    }
    // The second while the kernel is still giving up on the process.
    let gone = |error: &std::io::Error| matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED));
    if std::fs::metadata(dir).as_ref().is_err_and(gone) {
        unmount_with(dir, &["-u", "-z"], &["-l"]).map_err(|why| {
            Error::Refused(format!(
                "{} is still mounted by a process that is gone, and cannot be unmounted ({why}): \
                 run fusermount3 -u -z {0}",
                dir.display()
            ))
        })?;
    }
    let meta = std::fs::metadata(dir).map_err(Error::io("mounting on", dir))?;
    if !meta.is_dir() {
        return Err(Error::Refused(format!("cannot mount on {}: it is not a directory", dir.display())));
    }
    if is_mount_point(dir) {
        let why = "something is mounted there already; `lma unmount` ends a mount";
        return Err(Error::Refused(format!("cannot mount on {}: {why}", dir.display())));
    }
    if std::fs::read_dir(dir).map_err(Error::io("reading", dir))?.next().is_some() {
        return Err(Error::Refused(format!("cannot mount on {}: it is not empty", dir.display())));
    }
    Ok(())
}

/// Mounts and serves a file system, blocking, as [`serve`] does; `ready` is called when the mount is live.
///
/// # Errors
/// [`Error::Refused`], [`Error::Io`].
#[cfg(feature = "mount")]
pub fn serve_with(fs: Fs, options: &MountOptions, progress: &dyn Progress, ready: impl FnOnce()) -> Result<()> {
    check(options)?;
    let mountpoint = options.mountpoint.canonicalize().map_err(Error::io("mounting on", &options.mountpoint))?;
    let options = MountOptions { mountpoint, ..options.clone() };
    let mounted = super::fuse::mount(fs, &options).map_err(|error| explain(error, &options))?;
    live::serve(mounted, &options.mountpoint, progress, ready)
}

/// This build of the program cannot mount.
///
/// # Errors
/// [`Error::Refused`], always.
#[cfg(not(feature = "mount"))]
pub fn serve_with(_: Fs, _: &MountOptions, _: &dyn Progress, _ready: impl FnOnce()) -> Result<()> {
    Err(Error::Refused("this program was built without the feature `mount`".into()))
}

#[cfg(feature = "mount")]
fn explain(source: std::io::Error, options: &MountOptions) -> Error {
    let dir = options.mountpoint.display();
    match source.kind() {
        std::io::ErrorKind::NotFound => Error::Refused(format!(
            "cannot mount on {dir} as this user without the program fusermount3: install the package fuse3"
        )),
        std::io::ErrorKind::PermissionDenied if options.allow_other => Error::Refused(format!(
            "cannot mount on {dir} for other users ({source}): add user_allow_other to /etc/fuse.conf"
        )),
        _ => Error::Io { action: "mounting on", path: options.mountpoint.clone(), source },
    }
}

/// Unmounts what is mounted on `mountpoint`.
///
/// # Errors
/// [`Error::Io`] where there is no such directory, [`Error::Refused`] where nothing is mounted on it, files in it are
/// open, or the system has another answer.
pub fn unmount(mountpoint: &Path) -> Result<()> {
    if let Err(error) = std::fs::symlink_metadata(mountpoint)
        && error.kind() == std::io::ErrorKind::NotFound
    {
        return Err(Error::io("unmounting", mountpoint)(error));
    }
    let dir = mountpoint.display();
    unmount_with(mountpoint, &["-u"], &[]).map_err(|why| {
        // Asked afterwards: of a mount whose process is gone, nothing but unmounting it tells anything.
        let busy = "files in it are open, or a shell stands in it: close them and try again";
        Error::Refused(match std::fs::metadata(mountpoint) {
            Ok(_) if !is_mount_point(mountpoint) => format!("cannot unmount {dir}: nothing is mounted there"),
            _ if why.contains("busy") => format!("cannot unmount {dir} ({why}): {busy}"),
            _ => format!("cannot unmount {dir}: {why}"),
        })
    })
}

/// Whether a file system begins at this directory; bind mounts of the same file system are not seen.
fn is_mount_point(dir: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    device(dir).is_some_and(|inner| device(&dir.join("..")).is_some_and(|outer| outer != inner))
}

/// By fusermount, which any user may call, or by umount where there is none.
fn unmount_with(dir: &Path, fusermount: &[&str], umount: &[&str]) -> std::result::Result<(), String> {
    let mut why = String::from("neither fusermount3 nor umount was found");
    for (program, options) in [("fusermount3", fusermount), ("fusermount", fusermount), ("umount", umount)] {
        match Command::new(program).args(options).arg("--").arg(dir).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => why = format!("{program}: {error}"),
        }
    }
    Err(why)
}

#[cfg(feature = "mount")]
mod live {
    //! A live mount and its end.

    use std::io;
    use std::path::Path;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::thread;
    use std::time::{Duration, Instant};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    use crate::mount::fuse::Mounted;
    use crate::progress::Progress;
    use crate::{Error, Result};

    /// How long files that are open may delay the end that a signal has asked for. Then the process
    /// ends, and they get errors.
    const GRACE: Duration = Duration::from_secs(5);

    enum Event {
        Ended(io::Result<()>),
        Signal,
    }

    pub(super) fn serve(
        mounted: Mounted,
        mountpoint: &Path,
        progress: &dyn Progress,
        ready: impl FnOnce(),
    ) -> Result<()> {
        let io = |action| Error::io(action, mountpoint);
        let (send, events) = mpsc::channel();
        let detach = || {
            if let Err(why) = super::unmount_with(mountpoint, &["-u", "-z"], &["-l"]) {
                progress.warn(&format!("detaching {}: {why}", mountpoint.display()));
            }
        };
        let mut signals =
            Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(io("handling signals for")).inspect_err(|_| detach())?;
        let handle = signals.handle();
        let signalled = send.clone();
        let watcher = thread::Builder::new()
            .name("signals".into())
            .spawn(move || signals.forever().for_each(|_| drop(signalled.send(Event::Signal))))
            .map_err(io("starting a thread for"))?;
        let session = thread::Builder::new()
            .name("session".into())
            .spawn(move || drop(send.send(Event::Ended(mounted.wait()))))
            .map_err(io("starting a thread for"))?;
        ready();

        let ended = wait(&events, || {
            if let Err(why) = super::unmount_with(mountpoint, &["-u"], &[]) {
                tracing::info!("unmounting {}: {why}; detaching it", mountpoint.display());
                detach();
            }
        });
        handle.close();
        drop(watcher.join());
        match ended {
            Some(result) => {
                drop(session.join());
                // Nobody answers any more, so nobody shall ask.
                if result.is_err() {
                    detach();
                }
                result.map_err(io("serving"))
            }
            None => {
                progress.warn(&format!("files in {} are still open; they end with this process", mountpoint.display()));
                Ok(())
            }
        }
    }

    /// The session's end; `None` where a signal asked for it and files stayed open for [`GRACE`], or
    /// the signal came again.
    fn wait(events: &mpsc::Receiver<Event>, unmount: impl FnOnce()) -> Option<io::Result<()>> {
        match events.recv() {
            Ok(Event::Ended(result)) => return Some(result),
            Ok(Event::Signal) | Err(_) => {}
        }
        unmount();
        let deadline = Instant::now() + GRACE;
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Ended(result)) => Some(result),
            Ok(Event::Signal) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }
}
