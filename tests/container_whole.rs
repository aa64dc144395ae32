//! Whole archives: written, parsed, opened, verified and recovered.

mod container_common;

use container_common::*;
use lma::container::{Event, FaultySource, Opened, VerifyReport, recover, verify};
use lma::format::{CodecId, Kind};
use lma::hash::ChunkDigest;
use lma::limits::Limits;
use lma::predict::NoModels;
use lma::progress::{Interrupt, Silent};
use std::sync::Arc;

fn verified(bytes: &[u8]) -> VerifyReport {
    verify(source(bytes), &Limits::default(), &NoModels, 3, &Silent, &Interrupt::default()).expect("a verdict")
}

fn recovered(bytes: &[u8]) -> (Vec<u8>, lma::container::RecoverReport) {
    let mut out = Vec::new();
    let report = recover(source(bytes), &Limits::default(), &mut out, &Silent, &Interrupt::default());
    (out, report.expect("something is intact"))
}

#[test]
fn the_parser_and_the_reader_see_the_same() {
    let bytes = varied();
    let (events, end) = parse(&bytes);
    assert_eq!(end, Ok(()));
    let reader = open(&bytes).unwrap();
    assert_eq!(*reader.opened(), Opened::Index);
    let batches = events.iter().filter_map(|event| match event {
        Event::Entries { batch, .. } => Some(batch.entries.clone()),
        _ => None,
    });
    assert_eq!(batches.flatten().collect::<Vec<_>>(), reader.entries().unwrap());
    for event in &events {
        match event {
            Event::Chunk { position, head, stored } => {
                assert_eq!(reader.slot(head.number).unwrap().position, *position);
                assert_eq!(reader.stored(head.number).unwrap(), (head.clone(), stored.clone()));
            }
            Event::Model { record, .. } => assert_eq!(reader.models(), std::slice::from_ref(record)),
            Event::Index(index) => assert_eq!(reader.index(), index),
            _ => {}
        }
    }
    assert!(matches!(events.last(), Some(Event::End(footer)) if footer.archive_len == bytes.len() as u64));
    assert!(contents(&reader, &reader.entries().unwrap()).values().all(|(_, bytes)| bytes.is_ok()));
}

#[test]
fn whole_archives_verify() {
    for (bytes, chunks, files) in [(varied(), 3, 5), (tiny(), 1, 1), (empty(), 0, 0)] {
        let report = verified(&bytes);
        assert!(report.is_good(), "{report:?}");
        assert_eq!((report.chunks_good, report.files_good), (chunks, files));
    }
}

#[test]
fn a_flip_in_a_chunk_names_the_chunk_and_its_files() {
    let mut bytes = varied();
    let slot = *open(&bytes).unwrap().slot(1).unwrap();
    let next = open(&bytes).unwrap().index().batches[0].position;
    bytes[next as usize - 3] ^= 4;
    assert!(slot.position < next);
    let report = verified(&bytes);
    assert_eq!(report.chunks_bad.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1]);
    assert_eq!(report.files_bad, [b"dir/part".to_vec(), b"back".to_vec()]);
    assert_eq!((report.chunks_good, report.files_good, report.structure.len()), (2, 3, 0), "{report:?}");

    let (whole, report) = recovered(&bytes);
    assert_eq!(report.chunks_lost, [1]);
    assert_eq!(report.files_lost, [b"dir/part".to_vec(), b"back".to_vec()]);
    assert_eq!((report.entries_lost, report.written.chunks, report.written.entries), (0, 2, 9));
    assert!(verified(&whole).is_good());
}

#[test]
fn a_wrong_file_digest_is_found() {
    let mut writer = lma::container::Writer::new(Vec::new()).unwrap();
    let number = chunk(&mut writer, b"abc", lma::format::CodecId::Store);
    let mut bad = file("bad", vec![data(number, 0, 3)], b"abd");
    if let Kind::File(content) = &mut bad.kind {
        content.size = 3;
    }
    writer.entries(&[bad, file("good", vec![data(number, 0, 3)], b"abc")]).unwrap();
    let report = verified(&writer.finish().unwrap().0);
    assert_eq!((report.files_bad, report.files_good), (vec![b"bad".to_vec()], 1));
}

#[test]
fn recovering_a_whole_archive_gives_it_back() {
    for bytes in [varied(), tiny(), empty()] {
        let (again, report) = recovered(&bytes);
        assert_eq!(again, bytes);
        assert!(report.skipped.is_empty() && report.chunks_lost.is_empty() && report.files_lost.is_empty());
    }
}

#[test]
fn every_failing_read_is_an_error_or_harmless() {
    let bytes = varied();
    for persistent in [false, true] {
        for n in 0.. {
            let faulty = || Arc::new(FaultySource::new(lma::container::MemorySource(bytes.clone()), n, persistent));
            let limits = Limits::default();
            let opened = lma::container::Reader::open_or_scan(faulty(), limits.clone()).map(|reader| {
                let (entries, errors) = reader.entries_lossy();
                let failed = contents(&reader, &entries).values().any(|(_, bytes)| bytes.is_err());
                failed || !errors.is_empty()
            });
            let report = verify(faulty(), &limits, &NoModels, 2, &Silent, &Interrupt::default());
            let mut out = Vec::new();
            let saved = recover(faulty(), &limits, &mut out, &Silent, &Interrupt::default());
            if let Ok(report) = &report {
                assert!(report.is_good(), "a failing read {n} is not damage: {report:?}");
            }
            assert!(saved.is_err() || out == bytes, "read {n} failed and was passed over");
            if opened.is_ok_and(|failed| !failed) && report.is_ok() && saved.is_ok() {
                assert!(n > 10, "reads are made");
                break;
            }
        }
    }
}

/// Chunks of a model cannot be decoded without it: no verdict, and nothing to recover once the record is lost.
#[test]
fn a_model_that_is_absent_and_a_model_record_that_is_lost() {
    [CodecId::Lm, CodecId::Mix].into_iter().for_each(absent_and_lost);
}

fn absent_and_lost(codec: CodecId) {
    let mut writer = lma::container::Writer::new(Vec::new()).unwrap();
    let number = writer.model(&model()).unwrap();
    let encoded = lma::codec::Encoded { codec, stored: vec![1, 2, 3] };
    let coded = writer.chunk(&encoded, Some(number), 5, ChunkDigest::of(b"coded")).unwrap();
    let plain = chunk(&mut writer, b"plain", CodecId::Store);
    let entries = [
        file("coded", vec![data(coded, 0, 5)], b"coded"),
        file("plain", vec![data(plain, 0, 5)], b"plain"),
        entry("link", Kind::HardLink(b"coded".to_vec())),
    ];
    writer.entries(&entries).unwrap();
    let mut bytes = writer.finish().unwrap().0;
    let verdict = verify(source(&bytes), &Limits::default(), &NoModels, 1, &Silent, &Interrupt::default());
    assert_eq!(verdict.unwrap_err().exit_code(), lma::ExitCode::Model);
    assert_eq!(recovered(&bytes).0, bytes, "recovery needs no model");

    bytes[lma::format::HEADER_LEN + 30] ^= 1;
    let (_, report) = recovered(&bytes);
    assert_eq!((report.chunks_lost, report.written.entries), (vec![coded], 1));
    assert_eq!(report.files_lost, [b"coded".to_vec(), b"link".to_vec()]);
}

/// The table of spec/lma-format.md §12.
#[test]
fn random_data_grows_by_no_more_than_the_stated_overhead() {
    let mut seed = 1u64;
    let mut random = |len: usize| -> Vec<u8> {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    };
    assert_eq!(empty().len(), 81);
    let chunk_len = 1 << 16;
    let (mut writer, mut files, mut paths) = (lma::container::Writer::new(Vec::new()).unwrap(), 0, 0);
    for i in 0..64 {
        let raw = random(chunk_len);
        let encoded = lma::codec::encode(&raw, lma::codec::Choice::Auto, lma::codec::Level::default(), None).unwrap();
        let number = writer.chunk(&encoded, None, raw.len() as u32, ChunkDigest::of(&raw)).unwrap();
        let entry = file(&format!("file-{i}"), vec![data(number, 0, chunk_len)], &raw);
        paths += entry.path.len() + entry.user.len() + entry.group.len();
        writer.entries(&[entry]).unwrap();
        files += 1;
    }
    let (bytes, summary) = writer.finish().unwrap();
    let content = files * chunk_len;
    let most = 117 + files * (83 + 55 + 100 + 20) + paths;
    assert!(bytes.len() <= content + most, "{} for {content}, at most {most} more", bytes.len());
    assert!((bytes.len() as f64) < content as f64 * 1.003);
    assert_eq!(summary.chunks, 64);
}

#[test]
fn a_reader_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<lma::container::Reader>();
}

#[test]
fn interruption_stops() {
    let interrupt = Interrupt::default();
    interrupt.raise();
    let limits = Limits::default();
    let report = verify(source(&varied()), &limits, &NoModels, 2, &Silent, &interrupt);
    assert!(matches!(report, Err(lma::Error::Interrupted)));
    let report = recover(source(&varied()), &limits, Vec::new(), &Silent, &interrupt);
    assert!(matches!(report, Err(lma::Error::Interrupted)));
}
