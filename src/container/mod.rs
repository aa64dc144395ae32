//! Records in order, and at random (spec/lma-format.md §9): the only layer that reads and writes
//! whole archives.

mod entries;
mod error;
mod files;
mod names;
mod ordered;
mod parse;
mod reader;
mod record;
mod recover;
mod rules;
mod scan;
mod source;
mod verify;
mod writer;

pub use error::ContainerError;
pub use names::{Component, NameTree, NodeId, Place};
pub use parse::{Event, Parser};
pub use reader::{Opened, Reader, decode_chunk};
pub use recover::{RecoverReport, recover};
pub use source::{FaultySource, FileSource, MemorySource, Source};
pub use verify::{VerifyReport, verify};
pub use writer::{WriteSummary, Writer};
