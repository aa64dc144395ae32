//! Opening at random: any bytes; what it accepts it must deliver, and agree with the push parser on.

use std::sync::Arc;

use lma::container::{Event, MemorySource, Reader};
use lma::mount::{ImpliedDir, Tree};
use lma::predict::toy::ToyModels;

use super::{forge, parser};

/// Takes an archive.
pub fn open(data: &[u8]) {
    for bytes in forge::forms(data) {
        let source = || Arc::new(MemorySource(bytes.clone()));
        let opened = Reader::open(source(), forge::limits());
        if let Ok(reader) = &opened {
            look_at(reader);
        }
        match Reader::open_or_scan(source(), forge::limits()) {
            Ok(reader) => look_at(&reader),
            Err(error) => assert!(opened.is_err(), "a scan refuses what opens: {error}"),
        }
        let (events, end) = parser::parse([&bytes[..]]);
        if end.is_ok() {
            let batches = events.into_iter().filter_map(|event| match event {
                Event::Entries { batch, .. } => Some(batch.entries),
                _ => None,
            });
            let listed = opened.and_then(|reader| reader.entries());
            let listed = listed.expect("what the parser accepts opens");
            assert_eq!(batches.flatten().collect::<Vec<_>>(), listed, "the two readers disagree");
        }
    }
}

fn look_at(reader: &Reader) {
    let models = ToyModels::new();
    let listed = reader.entries();
    let (entries, errors) = reader.entries_lossy();
    if let Ok(listed) = listed {
        assert_eq!(listed, entries, "the lossy list differs");
        assert!(errors.is_empty(), "{errors:?}");
    }
    for slot in &reader.index().chunks {
        if let Ok((head, stored)) = reader.stored(slot.number) {
            assert_eq!((head.number, stored.len()), (slot.number, slot.stored_len as usize));
        }
        if let Ok(raw) = reader.decode(slot.number, &models) {
            assert_eq!(raw.len(), slot.raw_len as usize);
        }
    }
    let (tree, _) = Tree::build(entries, ImpliedDir::default());
    assert!((1..=tree.len() as u64).all(|ino| tree.attr(ino).is_ok()));
}
