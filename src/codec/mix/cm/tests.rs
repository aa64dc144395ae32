use super::super::model::Learnt;
use super::super::transform::x86::Mode;
use super::*;
use proptest::prelude::*;

/// All of a chunk, for somebody who waits.
fn decode(stored: &[u8], raw_len: usize, start: &Start) -> Result<Vec<u8>, Garbage> {
    super::decode(stored, raw_len, start, &*crate::predict::whole()).map(|raw| raw.expect("somebody waits"))
}

/// A head of every kind.
fn heads() -> Vec<Head> {
    let kinds = [
        Kind::Plain,
        Kind::X86 { mode: Mode::Protected },
        Kind::X86 { mode: Mode::Long },
        Kind::Arm64 { phase: 2 },
        Kind::Records { stride: 7 },
        Kind::Records { stride: Kind::MAX_RECORD },
        Kind::Image { pixel: 3, stride: 31 },
        Kind::Image { pixel: 4, stride: 1 },
        Kind::Image { pixel: 1, stride: Kind::MAX_ROW },
        Kind::Audio { channels: 1, bytes: 1, big_endian: true, phase: 0 },
        Kind::Audio { channels: 2, bytes: 2, big_endian: false, phase: 1 },
        Kind::Audio { channels: 2, bytes: 3, big_endian: true, phase: 2 },
        Kind::Audio { channels: 1, bytes: 3, big_endian: false, phase: 1 },
    ];
    let dictionary = Head { dictionary: true, ..Head::PLAIN };
    kinds.map(Head::of).into_iter().chain([dictionary]).collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn round_trip(raw: &[u8], head: Head) -> usize {
    let (stored, progress) = encode(raw, head, Start::get());
    assert_eq!(Head::decode(&stored).unwrap().0, head);
    assert_eq!(decode(&stored, raw.len(), Start::get()).as_deref(), Ok(raw), "{head:?}");
    assert!(progress.exceeded(raw.len(), stored.len()) && !progress.exceeded(1, stored.len() - 1));
    stored.len()
}

#[test]
fn any_bytes_come_back_as_any_kind() {
    let ramp: Vec<u8> = (0..900u32).map(|n| (n * n / 50) as u8).collect();
    for head in heads() {
        for raw in [&b""[..], b"\0", b"\xff", b"ab", &[0; 300], &[255; 300], &noise(400), &ramp] {
            round_trip(raw, head);
        }
        round_trip(include_bytes!("tests.rs"), head);
    }
}

#[test]
fn noise_costs_little_beyond_itself() {
    let raw = noise(12_000);
    for head in heads() {
        let size = round_trip(&raw, head);
        assert!(size < raw.len() + raw.len() / 40 + 16, "{head:?}: {size} bytes");
    }
    let best = encode_best(&raw, Start::get()).0;
    assert!(best.len() < raw.len() + raw.len() / 60, "{} bytes", best.len());
}

#[test]
fn repetition_costs_nearly_nothing() {
    let raw = b"the same line again and again, as logs have it\n".repeat(200);
    for head in heads() {
        assert!(round_trip(&raw, head) < 250, "{head:?}");
    }
    assert!(round_trip(&[0; 50_000], Head::PLAIN) < 40);
}

#[test]
fn each_kind_is_worth_its_head() {
    let start = Start::get();
    let size = |raw: &[u8], head| encode(raw, head, start).0.len();
    let sound: Vec<u8> = (0..4000)
        .flat_map(|n| ((f64::from(n) * 0.05).sin() * 8000.0 + f64::from(n % 7)).round().to_le_bytes_16())
        .collect();
    let audio = Head::of(Kind::Audio { channels: 1, bytes: 2, big_endian: false, phase: 0 });
    assert!(size(&sound, audio) * 10 < size(&sound, Head::PLAIN) * 9, "sound");
    let picture: Vec<u8> = (0..9000).map(|n| ((n % 90) / 3 * 3 + n / 90 + n * 7 % 3) as u8).collect();
    let image = Head::of(Kind::Image { pixel: 3, stride: 90 });
    assert!(size(&picture, image) * 10 < size(&picture, Head::PLAIN) * 9, "picture");
    let words = b"The dictionary knows the words of this sentence, and which other words they follow.";
    assert!(size(words, Head { dictionary: true, ..Head::PLAIN }) < size(words, Head::PLAIN), "dictionary");
}

trait Samples {
    fn to_le_bytes_16(self) -> [u8; 2];
}

impl Samples for f64 {
    fn to_le_bytes_16(self) -> [u8; 2] {
        (self as i16).to_le_bytes()
    }
}

#[test]
fn learning_gives_smaller_chunks() {
    let raw = include_bytes!("tests.rs");
    let mut learnt = Learnt::new(false);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let (size, after) = learn(raw, Head::PLAIN, learnt, Start::get());
        sizes.push(size);
        learnt = after;
    }
    assert!(sizes[1] < sizes[0] && sizes[2] <= sizes[1], "{sizes:?}");
}

#[test]
fn the_way_is_the_smaller_one() {
    let start = Start::get();
    for raw in [&b"some words in a row"[..], &noise(600), b"", include_bytes!("tests.rs")] {
        let best = encode_best(raw, start).0;
        for head in [Head::PLAIN, Head { dictionary: true, ..Head::PLAIN }] {
            assert!(best.len() <= encode(raw, head, start).0.len());
        }
        assert_eq!(decode(&best, raw.len(), start).as_deref(), Ok(raw));
    }
}

#[test]
fn damage_is_refused_or_gives_as_many_bytes() {
    let raw = &include_bytes!("tests.rs")[..300];
    for head in heads() {
        let stored = encode(raw, head, Start::get()).0;
        let mut refused = 0;
        for at in (0..stored.len()).step_by(9) {
            let mut flipped = stored.clone();
            flipped[at] ^= 1 << (at % 8);
            for (bytes, raw_len) in [(&stored[..at], raw.len()), (&flipped, raw.len()), (&stored, at)] {
                match decode(bytes, raw_len, Start::get()) {
                    Ok(found) => assert_eq!(found.len(), raw_len),
                    Err(Garbage) => refused += 1,
                }
            }
        }
        assert!(refused > 0, "{head:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_of_any_kind(raw in prop::collection::vec(any::<u8>(), 0..200), head in prop::sample::select(heads())) {
        round_trip(&raw, head);
    }

    #[test]
    fn any_stored_bytes(stored in prop::collection::vec(any::<u8>(), 0..60), kind in 0..9u8, raw_len in 0..300usize) {
        let stored = [&[kind][..], &stored].concat();
        if let Ok(raw) = decode(&stored, raw_len, Start::get()) {
            prop_assert_eq!(raw.len(), raw_len);
        }
    }
}
