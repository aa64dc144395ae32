//! Damage at every byte of small archives: no panic, no wrong byte, and everything whole is recovered.

mod container_common;

use std::collections::BTreeMap;

use container_common::*;
use lma::container::{Event, Reader, recover, verify};
use lma::format::{Entry, Extent, FOOTER_LEN, Kind};
use lma::limits::Limits;
use lma::predict::NoModels;
use lma::progress::{Interrupt, Silent};

/// What the undamaged archive holds: every file's data bytes, and where each thing ends.
struct Original {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    contents: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Decoded chunks with the ends of their records.
    chunks: BTreeMap<u64, (Vec<u8>, u64)>,
    /// Start and end of each batch with its entries.
    batches: Vec<(u64, u64, Vec<Entry>)>,
}

fn original(bytes: Vec<u8>) -> Original {
    let reader = open(&bytes).unwrap();
    let entries = reader.entries().unwrap();
    let contents = contents(&reader, &entries).into_iter().map(|(path, (_, bytes))| (path, bytes.unwrap())).collect();
    let (events, _) = parse(&bytes);
    let starts: Vec<u64> = events.iter().filter_map(start).collect();
    let end = |position: u64| starts.iter().copied().filter(|&start| start > position).min().unwrap();
    let (mut chunks, mut batches) = (BTreeMap::new(), Vec::new());
    for event in &events {
        match event {
            Event::Chunk { position, head, .. } => {
                let raw = reader.decode(head.number, &NoModels).unwrap().to_vec();
                chunks.insert(head.number, (raw, end(*position)));
            }
            Event::Entries { position, batch } => {
                batches.push((*position, end(*position), batch.entries.clone()));
            }
            _ => {}
        }
    }
    Original { entries, contents, chunks, batches, bytes }
}

fn start(event: &Event) -> Option<u64> {
    match event {
        Event::Model { position, .. } | Event::Chunk { position, .. } | Event::Entries { position, .. } => {
            Some(*position)
        }
        Event::End(footer) => Some(footer.index_position),
        _ => None,
    }
}

impl Original {
    /// The paths that must survive the loss of these bytes: entries of intact batches whose chunks, and
    /// whose hard links' targets, are intact.
    fn survivors(&self, intact: impl Fn(u64, u64) -> bool) -> Vec<&Entry> {
        let mut kept: Vec<&Entry> = Vec::new();
        for (start, end, entries) in &self.batches {
            if !intact(*start, *end) {
                continue;
            }
            for entry in entries {
                let whole = match &entry.kind {
                    Kind::File(content) => content.extents.iter().all(|extent| match extent {
                        Extent::Data { chunk, .. } => {
                            let end = self.chunks[chunk].1;
                            let start = self.chunk_start(*chunk);
                            intact(start, end)
                        }
                        Extent::Hole { .. } => true,
                    }),
                    Kind::HardLink(target) => kept.iter().any(|entry| entry.path == *target),
                    _ => true,
                };
                if whole {
                    kept.push(entry);
                }
            }
        }
        kept
    }

    fn chunk_start(&self, number: u64) -> u64 {
        open(&self.bytes).unwrap().slot(number).unwrap().position
    }

    /// Nothing that a damaged archive delivers differs from the original.
    fn assert_nothing_wrong(&self, reader: &Reader, what: &str) {
        let (entries, _) = reader.entries_lossy();
        for entry in &entries {
            assert!(self.entries.contains(entry), "{what}: {entry:?} was never written");
        }
        for slot in &reader.index().chunks {
            if let Ok(raw) = reader.decode(slot.number, &NoModels) {
                assert_eq!(raw[..], self.chunks[&slot.number].0[..], "{what}: chunk {}", slot.number);
            }
        }
    }

    fn assert_events_are_a_prefix(&self, bytes: &[u8], what: &str) {
        let (whole, _) = parse(&self.bytes);
        let (events, end) = parse(bytes);
        assert!(end.is_err(), "{what}: the parser noticed nothing");
        assert_eq!(events[..], whole[..events.len()], "{what}");
    }

    /// `recover` saves exactly what must survive, byte for byte.
    fn assert_recovered(&self, bytes: &[u8], survivors: &[&Entry], what: &str) {
        let mut out = Vec::new();
        let outcome = recover(source(bytes), &Limits::default(), &mut out, &Silent, &Interrupt::default());
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                assert!(survivors.is_empty(), "{what}: {error}, but {} entries are whole", survivors.len());
                return;
            }
        };
        let verdict = verify(source(&out), &Limits::default(), &NoModels, 1, &Silent, &Interrupt::default()).unwrap();
        assert!(verdict.is_good(), "{what}: {verdict:?}");
        let reader = open(&out).unwrap();
        let entries = reader.entries().unwrap();
        let paths = |entries: &[Entry]| entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
        let survivors: Vec<Entry> = survivors.iter().map(|&entry| entry.clone()).collect();
        assert_eq!(paths(&entries), paths(&survivors), "{what}: {report:?}");
        for (path, (_, bytes)) in contents(&reader, &entries) {
            assert_eq!(bytes.unwrap(), self.contents[&path], "{what}: {}", path.escape_ascii());
        }
    }
}

fn archives() -> [Vec<u8>; 3] {
    [varied(), tiny(), empty()]
}

#[test]
fn truncation_at_every_byte() {
    for bytes in archives() {
        let original = original(bytes);
        for cut in 0..original.bytes.len() {
            let what = format!("cut at {cut} of {}", original.bytes.len());
            let bytes = &original.bytes[..cut];
            original.assert_events_are_a_prefix(bytes, &what);
            assert!(open(bytes).is_err(), "{what}: opened through an index that is not there");
            if let Ok(reader) = open_or_scan(bytes) {
                original.assert_nothing_wrong(&reader, &what);
            }
            let report = verify(source(bytes), &Limits::default(), &NoModels, 1, &Silent, &Interrupt::default());
            assert!(report.is_ok_and(|report| !report.is_good()), "{what}: verified");
            let survivors = original.survivors(|_, end| end <= cut as u64);
            original.assert_recovered(bytes, &survivors, &what);
        }
    }
}

#[test]
fn a_flip_at_every_byte() {
    for bytes in archives() {
        let original = original(bytes);
        for at in 0..original.bytes.len() {
            for mask in [1u8 << (at % 8), 0xff] {
                let what = format!("byte {at} of {} xor {mask:#x}", original.bytes.len());
                let mut bytes = original.bytes.clone();
                bytes[at] ^= mask;
                original.assert_events_are_a_prefix(&bytes, &what);
                if let Ok(reader) = open_or_scan(&bytes) {
                    original.assert_nothing_wrong(&reader, &what);
                }
                let report = verify(source(&bytes), &Limits::default(), &NoModels, 1, &Silent, &Interrupt::default());
                let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(!report.is_good(), "{what}: verified");
                let intact = |start, end| !(start..end).contains(&(at as u64));
                original.assert_recovered(&bytes, &original.survivors(intact), &what);
            }
        }
    }
}

#[test]
fn overwritten_stretches() {
    let original = original(varied());
    for start in (0..original.bytes.len()).step_by(7) {
        for (len, fill) in [(16, 0), (64, 0xff), (200, 0xb5)] {
            let end = (start + len).min(original.bytes.len());
            let what = format!("bytes {start} to {end} filled with {fill:#x}");
            let mut bytes = original.bytes.clone();
            bytes[start..end].fill(fill);
            if let Ok(reader) = open_or_scan(&bytes) {
                original.assert_nothing_wrong(&reader, &what);
            }
            let intact = |from: u64, to: u64| to <= start as u64 || from >= end as u64;
            original.assert_recovered(&bytes, &original.survivors(intact), &what);
        }
    }
}

/// An archive lies in a stored chunk; the outer record around it is damaged, so that a scan searches the
/// chunk's bytes for markers.
#[test]
fn a_nested_archive_is_not_mistaken_for_the_outer_one() {
    let inner = varied();
    let mut writer = lma::container::Writer::new(Vec::new()).unwrap();
    let first = chunk(&mut writer, b"before", lma::format::CodecId::Store);
    let nested = chunk(&mut writer, &inner, lma::format::CodecId::Store);
    let entries = [
        file("before", vec![data(first, 0, 6)], b"before"),
        file("nested.lma", vec![data(nested, 0, inner.len())], &inner),
    ];
    writer.entries(&entries).unwrap();
    let outer = original(writer.finish().unwrap().0);
    let at = outer.chunk_start(nested) as usize;
    let last = outer.bytes.len() - 1;
    for damaged in [vec![at + 5], vec![at + 5, last], vec![0, at + 4, last - FOOTER_LEN], vec![at, last]] {
        let mut bytes = outer.bytes.clone();
        damaged.iter().for_each(|&at| bytes[at] ^= 0x10);
        let what = format!("bytes {damaged:?} damaged");
        if let Ok(reader) = open_or_scan(&bytes) {
            outer.assert_nothing_wrong(&reader, &what);
        }
        let intact = |start: u64, end: u64| !damaged.iter().any(|&at| (start..end).contains(&(at as u64)));
        let survivors = outer.survivors(intact);
        assert_eq!(survivors.len(), 1, "{what}");
        outer.assert_recovered(&bytes, &survivors, &what);
    }
}
