use super::super::transform::x86::Mode;
use super::*;

const NOTHING: Expected = Expected { byte: 0, length: 0 };

fn kinds() -> Vec<Kind> {
    let mut kinds = vec![Kind::Plain, Kind::X86 { mode: Mode::Long }, Kind::Arm64 { phase: 3 }];
    kinds.extend([2, 3, 16, 17, Kind::MAX_RECORD].map(|stride| Kind::Records { stride }));
    for pixel in 1..=4 {
        kinds.extend([1, 2, pixel, 3 * pixel + 1, Kind::MAX_ROW].map(|stride| Kind::Image { pixel, stride }));
    }
    for (channels, bytes, phase) in [(1, 1, 0), (2, 1, 0), (1, 2, 1), (2, 2, 0), (2, 3, 2)] {
        kinds.push(Kind::Audio { channels, bytes, big_endian: true, phase });
    }
    kinds
}

fn of(kind: Kind, raw: &[u8], expected: Expected) -> [u32; CONTEXTS] {
    let (mut contexts, mut history) = (Contexts::new(kind), History::default());
    for &byte in raw {
        contexts.hashes(&history, expected);
        history.push(byte);
    }
    contexts.hashes(&history, expected)
}

fn equal(kind: Kind, a: &[u8], b: &[u8]) -> Vec<usize> {
    let (a, b) = (of(kind, a, NOTHING), of(kind, b, NOTHING));
    (0..CONTEXTS).filter(|&i| a[i] == b[i]).collect()
}

#[test]
fn any_bytes_are_in_contexts_that_differ() {
    for kind in kinds() {
        for extreme in [&[0][..], &[255], &[0, 255], &[255, 0, 0], &[0x80, 0x7f, 10]] {
            let (mut contexts, mut history) = (Contexts::new(kind), History::default());
            for n in 0..900 {
                let hashes = contexts.hashes(&history, Expected { byte: n % 513, length: n % 9 });
                assert!(contexts.place < 16, "{kind:?}");
                let distinct: std::collections::HashSet<u32> = hashes.into_iter().collect();
                assert_eq!(distinct.len(), CONTEXTS, "{kind:?}");
                history.push(extreme[n as usize % extreme.len()]);
            }
        }
    }
}

#[test]
fn orders_of_text_know_as_many_bytes() {
    for order in 1..=6 {
        let (mut a, mut b) = (*b"abcdefghij", *b"abcdefghij");
        (a[9 - order], b[9 - order]) = (b'1', b'2');
        let same = equal(Kind::Plain, &a, &b);
        assert_eq!((0..6).filter(|i| same.contains(i)).collect::<Vec<_>>(), (0..order).collect::<Vec<_>>());
    }
    assert!(equal(Kind::Plain, b"xx same Word", b"yyy, same word").contains(&7));
}

#[test]
fn matches_are_a_context_of_their_own() {
    for kind in kinds() {
        let [a, b, c] =
            [(0, 0), (98, 0), (98, 8)].map(|(byte, length)| of(kind, b"some text", Expected { byte, length }));
        assert_eq!(a[..12], b[..12], "{kind:?}");
        assert!(a[12] != b[12] && b[12] != c[12], "{kind:?}");
    }
}

#[test]
fn records_know_the_field_above_and_the_column() {
    let kind = Kind::Records { stride: 4 };
    let changed = |at: usize| {
        let mut other = *b"abcdefgh12345678";
        other[at] = b'9';
        equal(kind, b"abcdefgh12345678", &other)
    };
    assert_eq!(changed(12), [0, 1, 2, 7, 10, 12], "the field above");
    assert_eq!(changed(8), [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12], "the field two above");
    assert_eq!(changed(2).len(), CONTEXTS, "a field of a record long gone");
    // One column on.
    assert!(!equal(kind, b"abcdabcdabcd", b"abcdabcdabcda").contains(&6));
}

#[test]
fn images_know_their_neighbours() {
    let kind = Kind::Image { pixel: 3, stride: 30 };
    let flat = vec![100; 90];
    let changed = |back: usize| {
        let mut other = flat.clone();
        other[90 - back] = 140;
        equal(kind, &flat, &other)
    };
    assert!(!changed(3).contains(&0) && changed(3).contains(&1), "the pixel to the left");
    assert!(changed(30).contains(&0) && !changed(30).contains(&1), "the pixel above");
    assert_eq!(changed(17).len(), CONTEXTS, "a pixel that is none's neighbour");
}

#[test]
fn code_knows_the_place_in_a_word() {
    let kind = Kind::Arm64 { phase: 0 };
    let same = equal(kind, b"....abcd", b".....abcd");
    assert!(same.contains(&3) && !same.contains(&10));
}
