//! The push parser: any split of the input gives the same events, whatever the input.

mod container_common;

use container_common::*;
use lma::container::{Event, Parser};
use lma::format::{ANCILLARY, FOOTER_LEN, Footer, HEADER_LEN, RecordHead, StreamHeader};
use lma::hash::crc32;
use lma::limits::Limits;
use proptest::prelude::*;

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_split_gives_the_same_events(
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        flips in prop::collection::vec((any::<usize>(), 1u8..), 0..2),
        cut in prop::option::of(any::<usize>()),
    ) {
        let mut bytes = varied();
        for (at, mask) in flips {
            let at = at % bytes.len();
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut % (bytes.len() + 1));
        }
        prop_assert_eq!(parse_pieces(pieces(&bytes, &cuts)), parse(&bytes));
    }

    #[test]
    fn any_bytes_behind_a_header_are_refused(tail in prop::collection::vec(any::<u8>(), 1..300)) {
        let bytes = [&StreamHeader::default().encode()[..], &tail].concat();
        let (events, end) = parse(&bytes);
        prop_assert_eq!(events.len(), 1);
        prop_assert!(end.is_err());
    }
}

#[test]
fn one_byte_at_a_time() {
    let bytes = varied();
    assert_eq!(parse_pieces(bytes.chunks(1)), parse(&bytes));
}

#[test]
fn unknown_ancillary_records_are_skipped_and_not_kept() {
    let plain = empty();
    let body = vec![0xa5; 3 << 20];
    let record = RecordHead {
        kind: 9 | ANCILLARY,
        head: b"whatever".to_vec(),
        body_len: body.len() as u32,
        body_crc: crc32(&[&body]),
    };
    let mut bytes = plain[..HEADER_LEN].to_vec();
    bytes.extend(record.encode(HEADER_LEN as u64));
    bytes.extend(&body);
    let index_position = bytes.len() as u64;
    let (old, taken) = RecordHead::decode(&plain[HEADER_LEN..], HEADER_LEN as u64).unwrap().unwrap();
    bytes.extend(old.encode(index_position));
    bytes.extend(&plain[HEADER_LEN + taken..plain.len() - FOOTER_LEN]);
    let archive_len = (bytes.len() + FOOTER_LEN) as u64;
    bytes.extend(Footer { index_position, archive_len }.encode());

    let (events, end) = parse(&bytes);
    assert_eq!(end, Ok(()));
    assert_eq!(events[1], Event::Ancillary { position: HEADER_LEN as u64, kind: 0x89 });
    assert_eq!(parse_pieces(bytes.chunks(1000)), (events, end));
    assert!(open(&bytes).unwrap().entries().unwrap().is_empty());

    let at = HEADER_LEN + 2000;
    bytes[at] ^= 1;
    assert!(parse(&bytes).1.is_err(), "the body's CRC is checked all the same");
}

#[test]
fn a_declared_size_above_the_limit_is_refused_before_the_body_comes() {
    let limits = Limits { chunk_stored: 14, ..Limits::default() };
    let mut parser = Parser::new(limits);
    let bytes = varied();
    let mut pushed = 0;
    let error = loop {
        parser.push(&bytes[pushed..=pushed]);
        pushed += 1;
        match parser.next_event() {
            Ok(_) => assert!(pushed < bytes.len()),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("limit"), "{error}");
}

#[test]
fn bytes_behind_the_footer_are_corrupt() {
    let mut bytes = tiny();
    bytes.push(0);
    assert!(parse(&bytes).1.unwrap_err().contains("footer"));
    assert!(open(&bytes).is_err());
}
