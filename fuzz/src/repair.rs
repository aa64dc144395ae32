//! Damaged archives: `verify`, `recover` and reading get through, and deliver no wrong byte.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use lma::Error;
use lma::container::{ContainerError, MemorySource, Reader, recover, verify};
use lma::format::{Entry, Extent, FileContent, Kind};
use lma::hash::Digest;
use lma::predict::toy::ToyModels;
use lma::progress::{Interrupt, Silent};

use super::input::Input;
use super::{forge, parser};

/// The bytes of each file by its path.
type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Takes the choice of an archive, whether checksums are made right afterwards, and changes to it.
pub fn repair(data: &[u8]) {
    let mut input = Input::new(data);
    let samples = originals();
    let (original, contents) = &samples[input.below(samples.len())];
    let sealed = input.once_in(2);
    let mut bytes = original.clone();
    for _ in 0..8 {
        if input.is_empty() || bytes.is_empty() {
            break;
        }
        change(&mut bytes, &mut input);
    }
    if sealed {
        forge::forms(&bytes).iter().for_each(|bytes| look_at(bytes, None));
    } else {
        look_at(&bytes, Some(contents));
    }
}

fn originals() -> &'static [(Vec<u8>, Contents)] {
    static ORIGINALS: OnceLock<Vec<(Vec<u8>, Contents)>> = OnceLock::new();
    ORIGINALS.get_or_init(|| {
        let with_contents = |bytes: &Vec<u8>| {
            let reader = Reader::open(source(bytes), forge::limits()).expect("the sample is whole");
            let entries = reader.entries().expect("the sample is whole");
            (bytes.clone(), contents(&reader, &entries))
        };
        forge::samples().iter().map(with_contents).collect()
    })
}

/// Damage of the kinds that happen: it knows nothing of the checksums.
fn change(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let kind = input.below(8);
    let at = input.below(bytes.len());
    let len = 1 + input.below(64).min(bytes.len() - at - 1);
    match kind {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..at + len)),
        2 => bytes[at..at + len].fill(0),
        3 => {
            let again = bytes[at..at + len].to_vec();
            bytes.splice(at..at, again);
        }
        4 => bytes[at..at + len].reverse(),
        _ => bytes[at] ^= input.byte().max(1),
    }
}

fn source(bytes: &[u8]) -> Arc<MemorySource> {
    Arc::new(MemorySource(bytes.to_vec()))
}

/// The files that can be read whole.
fn contents(reader: &Reader, entries: &[Entry]) -> Contents {
    let read = |entry: &Entry| match &entry.kind {
        Kind::File(content) => Some((entry.path.clone(), read_file(reader, content)?)),
        _ => None,
    };
    entries.iter().filter_map(read).collect()
}

/// The bytes of a file, holes left out; `None` where the archive does not vouch for them.
fn read_file(reader: &Reader, content: &FileContent) -> Option<Vec<u8>> {
    let models = ToyModels::new();
    let mut out = Vec::new();
    for extent in &content.extents {
        let Extent::Data { chunk, offset, len } = *extent else { continue };
        let raw = reader.decode(chunk, &models).ok()?;
        out.extend_from_slice(raw.get(offset as usize..)?.get(..len as usize)?);
    }
    (Digest::of(&out) == content.digest).then_some(out)
}

/// `original`: what the files held before the damage, where no checksum was made right after it.
fn look_at(bytes: &[u8], original: Option<&Contents>) {
    let limits = forge::limits();
    let no_wrong_byte = |reader: &Reader, entries: &[Entry], by: &str| {
        let Some(original) = original else { return };
        for (path, found) in contents(reader, entries) {
            assert_eq!(Some(&found), original.get(&path), "{by}: {}", path.escape_ascii());
        }
    };
    if let Ok(reader) = Reader::open_or_scan(source(bytes), limits.clone()) {
        no_wrong_byte(&reader, &reader.entries_lossy().0, "read");
    }
    let verdict = |bytes| verify(source(bytes), &limits, &ToyModels::new(), 1, &Silent, &Interrupt::default());
    let end = parser::parse([bytes]).1;
    if let Ok(report) = verdict(bytes) {
        assert!(end.is_ok() || !report.is_good(), "verify calls good what ends with {end:?}");
        if report.is_good() && original.is_some() {
            let reader = Reader::open(source(bytes), limits.clone()).expect("a good archive opens");
            let entries = reader.entries().expect("a good archive lists");
            assert_eq!(Some(&contents(&reader, &entries)), original, "verify");
        }
    }
    let mut out = Vec::new();
    let recovered = recover(source(bytes), &limits, &mut out, &Silent, &Interrupt::default());
    let unwritable = matches!(&recovered, Err(Error::Container(ContainerError::Unwritable(_))));
    assert!(!unwritable, "what cannot be saved ends the recovery: {recovered:?}");
    if let Ok(report) = recovered {
        assert_eq!(parser::parse([&out[..]]).1, Ok(()), "what is recovered is an archive");
        assert_eq!(report.written.archive_len, out.len() as u64);
        let reader = Reader::open(source(&out), limits.clone()).expect("what is recovered opens");
        no_wrong_byte(&reader, &reader.entries().expect("what is recovered lists"), "recover");
        if original.is_some() {
            let report = verdict(&out).expect("what is recovered can be verified");
            assert!(report.is_good(), "what is recovered is whole: {report:?}");
        }
    }
}
