//! Bytes to structs and back, one file per chapter of `spec/lma-format.md`. No I/O here.

mod batch;
mod chunk;
mod entry;
mod entry_wire;
mod error;
mod extension;
mod footer;
mod header;
mod index;
mod model;
mod pack;
mod path;
mod record;

pub use batch::{BATCH_ENTRIES, BATCH_RAW_TARGET, BatchHead};
pub use chunk::{ChunkHead, CodecId};
pub use entry::{Entry, EntryBatch, Extent, FileContent, Kind, Mtime, Xattr};
pub use entry_wire::{MAX_FILE_SIZE, MAX_OWNER_NAME, Owners};
pub use error::FormatError;
pub use footer::{FOOTER_LEN, FOOTER_MAGIC, Footer};
pub use header::{HEADER_LEN, HEADER_MAGIC, StreamHeader, VERSION};
pub use index::{BatchSlot, ChunkSlot, Index, IndexHead, ModelSlot};
pub use model::{ContextPolicy, MAX_MODEL_STRING, ModelRecord, NumericsProfile};
pub use path::{PathError, validate_path};
pub use record::{ANCILLARY, MARKER, MAX_HEAD_LEN, RECORD_FIXED_LEN, RECORD_MIN_LEN, RecordHead, RecordType};
