//! The entries of an archive, in stream order.

use std::ops::ControlFlow;

use super::ordered::in_order;
use super::reader::disagreement;
use super::rules::EntryRules;
use super::{ContainerError, Reader};
use crate::format::{BatchHead, BatchSlot, Entry, EntryBatch, Owners, RecordType};

impl Reader {
    /// All entries in stream order. Duplicate paths, extents outside their chunk, hard links to nothing
    /// earlier are refused as corrupt. Batches are unpacked on several threads.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn entries(&self) -> Result<Vec<Entry>, ContainerError> {
        let mut entries = Vec::new();
        self.checked_batches(Owners::Named, |batch| entries.append(&mut batch.entries))?;
        Ok(entries)
    }

    /// Shows all entries as [`Reader::entries`] lists them, holding only some batches of them at a time.
    ///
    /// # Errors
    /// [`ContainerError`], perhaps after some entries.
    pub fn for_each_entry(&self, owners: Owners, mut each: impl FnMut(&mut Entry)) -> Result<(), ContainerError> {
        self.checked_batches(owners, |batch| batch.entries.iter_mut().for_each(&mut each))
    }

    fn checked_batches(&self, owners: Owners, mut each: impl FnMut(&mut EntryBatch)) -> Result<(), ContainerError> {
        let mut rules = EntryRules::new(&self.limits);
        let mut result = Ok(());
        self.batches(owners, |slot, unpacked| {
            result = unpacked.charged(slot, &mut rules).and_then(|batch| {
                let chunk_len = |chunk| self.chunk_before(chunk, slot.position);
                rules.batch(batch, chunk_len).map_err(ContainerError::at(slot.position))?;
                each(batch);
                Ok(())
            });
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        result
    }

    /// Entries of all batches that can be read, and what is wrong with the others. Entries that break
    /// a rule over all entries are left out; extents may refer to chunks that are lost.
    #[must_use]
    pub fn entries_lossy(&self) -> (Vec<Entry>, Vec<ContainerError>) {
        let mut rules = EntryRules::new(&self.limits);
        let (mut entries, mut errors) = (Vec::new(), Vec::new());
        self.batches(Owners::Named, |slot, unpacked| {
            let at = || ContainerError::at(slot.position);
            let batch = match unpacked.charged(slot, &mut rules) {
                Ok(batch) => batch,
                Err(error) => {
                    errors.push(error);
                    return if rules.is_spent() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                }
            };
            errors.extend(rules.follow(batch.first, batch.entries.len() as u64).map_err(at()).err());
            if let Err(limit) = rules.jump(batch.first, batch.entries.len() as u64) {
                errors.push(at()(limit));
                return ControlFlow::Break(());
            }
            // A lost chunk is the file's loss, reported where the chunk is read.
            let raw_len = |chunk| Some(self.chunk_before(chunk, slot.position).unwrap_or(u32::MAX));
            for entry in std::mem::take(&mut batch.entries) {
                match rules.entry(&entry, &raw_len) {
                    Ok(()) => entries.push(entry),
                    Err(error) => errors.push(at()(error)),
                }
            }
            ControlFlow::Continue(())
        });
        (entries, errors)
    }

    /// Reads and unpacks the batches on several threads and hands them out in stream order. Of what the
    /// archive's limits allow together, a few batches may be unpacked before they are charged; each alone is
    /// within its own limit.
    fn batches(&self, owners: Owners, mut take: impl FnMut(&BatchSlot, &mut Unpacked) -> ControlFlow<()>) {
        let slots = &self.index().batches;
        in_order(
            slots.len(),
            |number| self.unpack(&slots[number], owners),
            |number, batch| take(&slots[number], batch),
        );
    }

    fn unpack(&self, slot: &BatchSlot, owners: Owners) -> Unpacked {
        let at = || ContainerError::at(slot.position);
        let read = || {
            let (head, body) = self.record(slot.position, 0, self.limits.batch_raw, RecordType::Entries)?;
            let batch_head = BatchHead::decode(&head.head).map_err(at())?;
            if batch_head.first != slot.first || batch_head.count != slot.count {
                return Err(at()(disagreement("entry batch", batch_head.first, slot.first)));
            }
            Ok((batch_head.raw_len, head, body))
        };
        let mut unpacked = Unpacked { raw_len: 0, error: None, batch: EntryBatch { first: 0, entries: Vec::new() } };
        let decoded = read().and_then(|(raw_len, head, body)| {
            unpacked.raw_len = raw_len;
            EntryBatch::decode_with(&head.head, &body, &self.limits, owners).map_err(at())
        });
        match decoded {
            Ok(batch) => unpacked.batch = batch,
            Err(error) => unpacked.error = Some(error),
        }
        unpacked
    }
}

/// A batch on its way from the thread that has unpacked it.
struct Unpacked {
    /// Declared length of the unpacked bytes; 0 where that was not found.
    raw_len: u64,
    /// Why there is no batch.
    error: Option<ContainerError>,
    batch: EntryBatch,
}

impl Unpacked {
    /// The batch, charged.
    fn charged(&mut self, slot: &BatchSlot, rules: &mut EntryRules) -> Result<&mut EntryBatch, ContainerError> {
        rules.charge(self.raw_len).map_err(ContainerError::at(slot.position))?;
        self.error.take().map_or(Ok(&mut self.batch), Err)
    }
}
