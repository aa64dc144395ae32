//! Chunks of an archive that arrives on a pipe: kept as stored, in a file without a name.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::chunks::Chunks;
use crate::container::{ContainerError, decode_chunk};
use crate::format::{ChunkHead, ModelRecord};
use crate::predict::{Models, whole};
use crate::{Error, Result};

struct Slot {
    head: ChunkHead,
    at: u64,
    stored_len: usize,
}

#[derive(Default)]
struct Tables {
    slots: HashMap<u64, Arc<Slot>>,
    models: Vec<ModelRecord>,
    len: u64,
}

/// The chunks that have arrived.
pub(super) struct Spool {
    file: File,
    tables: RwLock<Tables>,
}

impl Spool {
    /// A spool on the file system of `directory`, where room for the extracted files is expected anyway.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(directory).map_err(Error::io("creating a temporary file in", directory))?;
        Ok(Self { file, tables: RwLock::default() })
    }

    pub(super) fn model(&self, record: ModelRecord) {
        self.tables.write().unwrap_or_else(PoisonError::into_inner).models.push(record);
    }

    /// Takes a chunk in.
    pub(super) fn chunk(&self, head: ChunkHead, stored: &[u8]) -> Result<()> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let at = tables.len;
        self.file.write_all_at(stored, at).map_err(Error::io("writing", "the temporary file"))?;
        tables.len += stored.len() as u64;
        let slot = Slot { at, stored_len: stored.len(), head };
        tables.slots.insert(slot.head.number, Arc::new(slot));
        Ok(())
    }
}

impl Chunks for Spool {
    fn decode(&self, number: u64, models: &dyn Models) -> Result<Arc<[u8]>, ContainerError> {
        let (slot, model) = {
            let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
            let slot = tables.slots.get(&number).ok_or(ContainerError::MissingChunk(number))?;
            let model = slot.head.model.and_then(|model| tables.models.iter().find(|record| record.number == model));
            (Arc::clone(slot), model.cloned())
        };
        // The parser has charged this length to its limits.
        let mut stored = vec![0; slot.stored_len];
        let failed = |source| ContainerError::Read { position: slot.at, source };
        self.file.read_exact_at(&mut stored, slot.at).map_err(failed)?;
        decode_chunk(&slot.head, model.as_ref(), &stored, models, &whole()).map(Arc::from)
    }

    fn lengths(&self, number: u64) -> (u64, u64) {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.slots.get(&number).map_or((0, 0), |slot| (slot.head.raw_len.into(), slot.stored_len as u64))
    }
}
