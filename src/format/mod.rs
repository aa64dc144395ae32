//! Bytes to structs and back, one file per chapter of `spec/lma-format.md`. No I/O here.

mod chunk;
mod entry;
mod error;
mod footer;
mod header;
mod index;
mod model;
mod path;
mod record;

pub use chunk::{ChunkHead, CodecId};
pub use entry::{Entry, EntryBatch, Extent, FileContent, Kind, Mtime, Xattr};
pub use error::FormatError;
pub use footer::{FOOTER_LEN, Footer};
pub use header::{HEADER_LEN, StreamHeader};
pub use index::{BatchSlot, ChunkSlot, Index, ModelSlot};
pub use model::{ContextPolicy, ModelRecord, NumericsProfile};
pub use path::{PathError, validate_path};
pub use record::{MARKER, RECORD_FIXED_LEN, RecordHead, RecordType};
