//! Archives whose checksums are right and whose content is not: each record's head or body is changed and
//! its CRCs made to fit. No panic, no endless work, and both ways of reading agree.

mod container_common;

use container_common::*;
use lma::container::{Event, recover, verify};
use lma::format::{
    BatchHead, BatchSlot, ChunkHead, ChunkSlot, EntryBatch, FOOTER_LEN, Footer, HEADER_LEN, Index, ModelSlot,
    RecordHead, RecordType,
};
use lma::hash::crc32;
use lma::limits::Limits;
use lma::predict::NoModels;
use lma::progress::{Interrupt, Silent};
use proptest::prelude::*;

/// A record's head and body.
type Record = (RecordHead, Vec<u8>);

fn records(bytes: &[u8]) -> Vec<Record> {
    let (mut at, mut records) = (HEADER_LEN, Vec::new());
    while at < bytes.len() - FOOTER_LEN {
        let (head, taken) = RecordHead::decode(&bytes[at..], at as u64).unwrap().unwrap();
        let body = bytes[at + taken..][..head.body_len as usize].to_vec();
        at += taken + body.len();
        records.push((head, body));
    }
    records
}

/// An index record that says what the heads of `records` say, as they will stand behind each other.
fn indexed(records: &[Record]) -> Record {
    let (mut index, mut position) = (Index::default(), HEADER_LEN as u64);
    for (head, body) in records {
        let stored_len = body.len() as u32;
        match head.record_type() {
            Some(RecordType::Model) => {
                let number = index.models.len() as u32;
                index.models.push(ModelSlot { position, number });
            }
            Some(RecordType::Chunk) => {
                if let Ok(ChunkHead { number, codec, model, raw_len, .. }) = ChunkHead::decode(&head.head, stored_len) {
                    index.chunks.push(ChunkSlot { number, position, stored_len, raw_len, codec, model });
                }
            }
            Some(RecordType::Entries) => {
                if let Ok(BatchHead { first, count, .. }) = BatchHead::decode(&head.head) {
                    index.batches.push(BatchSlot { position, first, count });
                }
            }
            _ => {}
        }
        position += head.header_len() + u64::from(stored_len);
    }
    let (head, body) = index.pack();
    (RecordHead::new(RecordType::Index, head.encode(), &body).unwrap(), body)
}

/// The records behind the header of `bytes`, in front of a footer that fits, with checksums that fit.
fn assemble(bytes: &[u8], records: &[Record]) -> Vec<u8> {
    let (mut out, mut last) = (bytes[..HEADER_LEN].to_vec(), 0);
    for (head, body) in records {
        last = out.len() as u64;
        let head = RecordHead { body_len: body.len() as u32, body_crc: crc32(&[body]), ..head.clone() };
        out.extend(head.encode(last));
        out.extend(body);
    }
    let archive_len = (out.len() + FOOTER_LEN) as u64;
    out.extend(Footer { index_position: last, archive_len }.encode());
    out
}

#[derive(Clone, Debug)]
enum Change {
    Head { record: usize, at: usize, mask: u8 },
    Body { record: usize, at: usize, mask: u8 },
    Insert { record: usize, at: usize, byte: u8 },
    Cut { record: usize, len: usize },
    Swap { a: usize, b: usize },
    Repeat { record: usize },
    Remove { record: usize },
}

fn changes() -> impl Strategy<Value = Change> {
    let (record, at, mask) = (any::<usize>, any::<usize>, || 1u8..);
    prop_oneof![
        4 => (record(), at(), mask()).prop_map(|(record, at, mask)| Change::Head { record, at, mask }),
        6 => (record(), at(), mask()).prop_map(|(record, at, mask)| Change::Body { record, at, mask }),
        2 => (record(), at(), any::<u8>()).prop_map(|(record, at, byte)| Change::Insert { record, at, byte }),
        1 => (record(), at()).prop_map(|(record, len)| Change::Cut { record, len }),
        1 => (record(), record()).prop_map(|(a, b)| Change::Swap { a, b }),
        1 => record().prop_map(|record| Change::Repeat { record }),
        1 => record().prop_map(|record| Change::Remove { record }),
    ]
}

fn apply(records: &mut Vec<Record>, change: &Change) {
    let count = records.len();
    match *change {
        Change::Head { record, at, mask } => {
            let head = &mut records[record % count].0.head;
            let len = head.len();
            if len > 0 {
                head[at % len] ^= mask;
            }
        }
        Change::Body { record, at, mask } => {
            let body = &mut records[record % count].1;
            let len = body.len();
            if len > 0 {
                body[at % len] ^= mask;
            }
        }
        Change::Insert { record, at, byte } => {
            let body = &mut records[record % count].1;
            body.insert(at % (body.len() + 1), byte);
        }
        Change::Cut { record, len } => {
            let body = &mut records[record % count].1;
            body.truncate(len % (body.len() + 1));
        }
        Change::Swap { a, b } => records.swap(a % count, b % count),
        Change::Repeat { record } => {
            let again = records[record % count].clone();
            records.insert(record % count, again);
        }
        Change::Remove { record } if count > 1 => drop(records.remove(record % count)),
        Change::Remove { .. } => {}
    }
}

/// `varied` with its batches plain, so that changes reach their fields.
fn plain() -> Vec<u8> {
    let bytes = varied();
    let mut records = records(&bytes);
    records.pop();
    for (head, body) in records.iter_mut().filter(|(head, _)| head.record_type() == Some(RecordType::Entries)) {
        let batch = EntryBatch::decode(&head.head, body, &Limits::default()).unwrap();
        body.clear();
        batch.entries.iter().for_each(|entry| EntryBatch::push_entry(body, entry));
        let old = BatchHead::decode(&head.head).unwrap();
        head.head = BatchHead { encoding: 0, raw_len: body.len() as u64, ..old }.encode();
    }
    records.push(indexed(&records));
    let bytes = assemble(&bytes, &records);
    assert_eq!(parse(&bytes).1, Ok(()));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn changed_records_with_right_checksums(
        unpacked: bool,
        index_again: bool,
        changes in prop::collection::vec(changes(), 1..3),
        cuts in prop::collection::vec(1usize..90, 1..4),
    ) {
        let original = if unpacked { plain() } else { varied() };
        let mut records = records(&original);
        changes.iter().for_each(|change| apply(&mut records, change));
        if index_again {
            records.retain(|(head, _)| head.record_type() != Some(RecordType::Index));
            records.push(indexed(&records));
        }
        let bytes = assemble(&original, &records);

        let (events, end) = parse(&bytes);
        let mut rest = &bytes[..];
        let mut pieces = Vec::new();
        for &cut in cuts.iter().cycle() {
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(parse_pieces(pieces), (events.clone(), end.clone()), "splits");

        let listed = open(&bytes).and_then(|reader| reader.entries());
        if end.is_ok() {
            let batches = events.into_iter().filter_map(|event| match event {
                Event::Entries { batch, .. } => Some(batch.entries),
                _ => None,
            });
            prop_assert_eq!(batches.flatten().collect::<Vec<_>>(), listed.unwrap(), "the two readers disagree");
        }
        if let Ok(reader) = open_or_scan(&bytes) {
            let (entries, _) = reader.entries_lossy();
            reader.index().chunks.iter().for_each(|slot| drop(reader.decode(slot.number, &NoModels)));
            prop_assert!(entries.len() < 30);
        }
        let limits = Limits::default();
        let report = verify(source(&bytes), &limits, &NoModels, 2, &Silent, &Interrupt::default());
        if let Ok(report) = report {
            prop_assert!(end.is_ok() || !report.is_good());
        }
        let mut out = Vec::new();
        if recover(source(&bytes), &limits, &mut out, &Silent, &Interrupt::default()).is_ok() {
            prop_assert_eq!(parse(&out).1, Ok(()), "what is recovered is an archive");
        }
    }
}
