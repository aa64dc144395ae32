use super::*;
use proptest::prelude::*;

/// A head of every kind, at its bounds.
fn heads() -> Vec<Head> {
    let mut kinds = vec![Kind::X86 { mode: Mode::Protected }, Kind::X86 { mode: Mode::Long }];
    kinds.extend((0..4).map(|phase| Kind::Arm64 { phase }));
    kinds.extend([2, 3, 127, 128, Kind::MAX_RECORD].map(|stride| Kind::Records { stride }));
    for pixel in 1..=4 {
        kinds.extend([1, 127, 128, 16384, Kind::MAX_ROW].map(|stride| Kind::Image { pixel, stride }));
    }
    for (channels, bytes) in [(1, 1), (1, 2), (2, 2), (2, 3)] {
        for phase in 0..bytes {
            kinds.extend([false, true].map(|big_endian| Kind::Audio { channels, bytes, big_endian, phase }));
        }
    }
    let mut heads = vec![Head::PLAIN, Head { dictionary: true, ..Head::PLAIN }];
    heads.extend(kinds.into_iter().map(Head::of));
    heads
}

#[test]
fn every_head_comes_back_with_what_follows() {
    let mut seen = Vec::new();
    for head in heads() {
        let bytes = head.encode();
        assert!(!seen.contains(&bytes), "{head:?}");
        assert!(bytes.len() <= 5);
        for rest in [&b""[..], b"\0", b"rest \xff"] {
            assert_eq!(Head::decode(&[&bytes, rest].concat()), Some((head, rest)));
        }
        for cut in 0..bytes.len() {
            assert_eq!(Head::decode(&bytes[..cut]), None, "{head:?} cut to {cut}");
        }
        seen.push(bytes);
    }
    assert_eq!(Head::PLAIN.encode(), [0]);
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let refused: [&[u8]; 22] = [
        b"",
        b"\x08",
        b"\xff",
        b"\x04\x04",
        b"\x04\xff",
        b"\x05\0",
        b"\x05\x01",
        b"\x05\x81\x04",
        b"\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x05\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
        b"\x05\x82\0",
        b"\x06\0\x09",
        b"\x06\x05\x09",
        b"\x06\x01\0",
        b"\x06\x01\x81\x80\x02",
        b"\x07\0\x01\0\0",
        b"\x07\x03\x01\0\0",
        b"\x07\x01\0\0\0",
        b"\x07\x01\x04\0\0",
        b"\x07\x01\x02\x02\0",
        b"\x07\x01\x02\0\x02",
        b"\x07\x01\x01\0\x01",
    ];
    for bytes in refused {
        assert_eq!(Head::decode(bytes), None, "{bytes:02x?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_head_in_one_form_or_none(kind in 0..10u8, bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        let bytes = [&[kind][..], &bytes].concat();
        if let Some((head, rest)) = Head::decode(&bytes) {
            prop_assert_eq!([&head.encode(), rest].concat(), bytes);
        }
    }

    #[test]
    fn small_fields_are_heads_often(kind in 0..8u8, fields in prop::collection::vec(0..5u8, 0..6)) {
        let bytes = [&[kind][..], &fields].concat();
        if let Some((head, rest)) = Head::decode(&bytes) {
            prop_assert_eq!([&head.encode(), rest].concat(), bytes);
        }
    }
}
