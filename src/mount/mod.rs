//! An archive as a read-only directory.
//!
//! [`serve`] mounts an open archive and answers the kernel until the directory is unmounted;
//! [`daemonize`] does the same in a child process. [`Fs`] (no kernel, no fuser) holds the
//! operations on a [`Tree`], [`ChunkCache`] the decoded chunks, [`Workers`] the threads that
//! decode: the threads that talk to the kernel never do.

mod background;
mod build;
mod cache;
mod errno;
mod fs;
#[cfg(feature = "mount")]
mod fuse;
mod inode;
mod load;
mod run;
mod worker;

pub use background::{Background, daemonize};
pub use build::ImpliedDir;
pub use cache::{Begin, ChunkCache, Lead, Outcome, Waiter};
pub use errno::Errno;
pub use fs::{Fs, MAX_READ, Seek, Totals};
pub use inode::{Attr, DirEntry, NodeKind, ROOT, Tree};
pub use run::{MountOptions, serve, serve_with, unmount};
pub use worker::{QUEUE_BOUND, Workers};
