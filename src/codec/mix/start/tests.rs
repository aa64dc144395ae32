use super::super::transform::x86::Mode;
use super::*;

/// One head of each way without a language model.
fn heads() -> [Head; 5] {
    let dictionary = Head { dictionary: true, ..Head::PLAIN };
    let kinds = [Kind::X86 { mode: Mode::Long }, Kind::Records { stride: 5 }, Kind::Image { pixel: 3, stride: 9 }];
    let [code, records, image] = kinds.map(Head::of);
    [Head::PLAIN, dictionary, code, records, image]
}

#[test]
fn the_files_are_read_to_their_end() {
    let file = zstd::bulk::decompress(LEARNT, MOST).unwrap();
    let mut cursor = Cursor::new(&file);
    for way in Way::ALL {
        let rest = cursor.rest();
        assert!(Learnt::load(way == Way::Mix, &mut cursor).is_some(), "{way:?}");
        let read = &rest[..rest.len() - cursor.rest().len()];
        assert!(read.len() > 1000, "{way:?}: {} bytes", read.len());
    }
    assert!(cursor.is_empty(), "{} bytes behind the last", cursor.rest().len());
    let text = zstd::bulk::decompress(DICTIONARY, MOST).unwrap();
    assert!(text.len() > 50_000, "{} bytes", text.len());
    assert_eq!(Start::get().text, text);
}

#[test]
fn first_values_take_next_to_no_bytes() {
    for lm in [false, true] {
        let stored = Learnt::new(lm).store(lm);
        assert!(stored.len() < 100, "{} bytes", stored.len());
        let mut cursor = Cursor::new(&stored);
        assert!(Learnt::load(lm, &mut cursor).unwrap().store(lm) == stored && cursor.is_empty());
    }
}

#[test]
fn every_way_has_values_of_its_own() {
    let start = Start::get();
    assert_eq!(heads().map(Way::of).to_vec(), Way::ALL[..5].iter().copied().map(Some).collect::<Vec<_>>());
    assert_eq!(Way::ALL[5..], [Way::Mix]);
    assert_eq!(Way::of(Head::of(Kind::Arm64 { phase: 1 })), Some(Way::Code));
    let mut stored = heads().map(|head| start.learnt(head).store(false)).to_vec();
    let audio = Kind::Audio { channels: 1, bytes: 2, big_endian: true, phase: 0 };
    assert_eq!(Way::of(Head::of(audio)), None);
    stored.push(start.learnt(Head::of(audio)).store(false));
    for (n, one) in stored.iter().enumerate() {
        assert!(!stored[..n].contains(one), "{n}");
    }
    assert!(start.mix().store(true) != Learnt::new(true).store(true));
}

#[test]
fn what_is_missing_or_damaged_is_fresh() {
    let file = unpack(LEARNT);
    let fresh = Learnt::new(false).store(false);
    for end in [0, 1, 1000] {
        let start = Start::new(&file[..end], Vec::new());
        assert!(heads().iter().all(|&head| start.learnt(head).store(false) == fresh), "{end} bytes");
    }
    let start = Start::new(&vec![0xff; 5000], Vec::new());
    assert!(start.learnt(Head::PLAIN).store(false) == fresh);
    assert_eq!(unpack(b"no file"), b"");
}

#[test]
fn any_bytes_are_values_or_none() {
    let file = unpack(LEARNT);
    for at in (0..3000).chain((3000..file.len()).step_by(997)) {
        let mut other = file[..file.len().min(60_000)].to_vec();
        if let Some(byte) = other.get_mut(at) {
            *byte ^= 0x41;
            // Too few bytes, or the wrong ones: no panic, no large allocation.
            let _ = Learnt::load(false, &mut Cursor::new(&other[..other.len().min(at + 300)]));
        }
    }
}

#[test]
fn the_dictionary_is_learnt_once() {
    let start = Start::get();
    assert!(Arc::ptr_eq(&start.dictionary(), &start.dictionary()));
}
