//! An archive as a read-only directory.
//!
//! [`serve`] mounts an open archive and answers the kernel until the directory is unmounted;
//! [`daemonize`] does the same in a child process. [`Fs`] (no kernel, no fuser) holds the
//! operations on a [`Tree`], [`ChunkCache`] the decoded chunks, [`Workers`] the threads that
//! decode: the threads that talk to the kernel never do.

mod ahead;
mod background;
mod build;
mod cache;
mod decoder;
mod errno;
mod flight;
mod fs;
#[cfg(feature = "mount")]
mod fuse;
mod gate;
mod inode;
mod load;
mod notes;
mod reading;
mod run;
mod source;
mod stats;
mod watch;
mod worker;

pub use background::{Background, daemonize};
pub use build::ImpliedDir;
pub use cache::{Begin, CacheOptions, ChunkCache, Lead, Ticket};
pub use decoder::DiskOptions;
pub use errno::Errno;
pub use flight::{Failure, Waiter};
pub use fs::{Fs, MAX_READ, Opening, ReadOptions, Seek, Totals};
pub use inode::{Attr, DirEntry, NodeKind, ROOT, Tree};
pub use notes::{STATUS_INO, STATUS_NAME};
pub use run::{MountOptions, serve, serve_with, unmount};
pub use source::{ChunkSource, Cost};
pub use stats::Stats;
pub use worker::{QUEUE_BOUND, Workers};
