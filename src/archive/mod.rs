//! Trees of files in and out of archives.
//!
//! [`create`] walks files, groups them by kind, packs them into chunks, and encodes the chunks on
//! many threads; [`extract`] decodes them and rebuilds the tree beneath one directory and nowhere
//! else. [`create_from_tar`] and [`extract_to_tar`] do the same from and to a tar stream, and [`cat`] writes
//! the content of members alone.

mod atomic;
mod cat;
mod chunks;
mod contents;
mod create;
mod extract;
mod filter;
mod group;
mod meta;
mod names;
mod notes;
mod options;
mod pack;
mod parts;
mod pool;
mod read;
mod restore;
mod safe_path;
mod sink;
mod spool;
mod stream;
mod tar;
mod tree;
mod walk;

pub use atomic::{remove_unfinished, write_atomically};
pub use cat::cat;
pub use create::{create, create_file};
pub use extract::extract;
pub use options::{
    CreateOptions, DEFAULT_CHUNK_SIZE, ExtractOptions, Input, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, Outcome,
    default_chunk_size,
};
pub use stream::extract_stream;
pub use tar::{create_from_tar, extract_to_tar};
pub use tree::Tree;
