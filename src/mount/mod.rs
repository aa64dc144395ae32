//! An archive as a read-only directory.
//!
//! [`serve`] mounts an open archive and answers the kernel until the directory is unmounted;
//! [`daemonize`] does the same in a child process. `Fs` (no kernel, no fuser) holds the
//! operations, `ChunkCache` the decoded chunks, `Workers` the threads that decode: the threads
//! that talk to the kernel never do.

mod run;

pub use run::{Background, MountOptions, daemonize, serve, unmount};
