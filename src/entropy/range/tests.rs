use super::super::Cdf;
use super::*;
use proptest::prelude::*;

/// A symbol, or bits.
#[derive(Clone, Copy, Debug)]
enum Item {
    Symbol(usize),
    Bits(u32, u32),
}

fn encode(cdf: &Cdf, items: &[Item]) -> Vec<u8> {
    let mut encoder = RangeEncoder::new();
    for item in items {
        match *item {
            Item::Symbol(symbol) => {
                let (low, weight) = cdf.range(symbol).unwrap();
                encoder.encode(low, weight, cdf.total());
            }
            Item::Bits(value, bits) => encoder.encode_bits(value, bits),
        }
    }
    encoder.finish()
}

fn decode_symbol(decoder: &mut RangeDecoder<&[u8]>, cdf: &Cdf) -> Result<usize, Garbage> {
    let slot = cdf.find(decoder.target(cdf.total())?).unwrap();
    decoder.consume(slot.low, slot.weight)?;
    Ok(slot.symbol)
}

fn items(weights: &[u32], picks: &[(usize, u32)]) -> Vec<Item> {
    let codable: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] > 0).collect();
    let item = |&(pick, value): &(usize, u32)| match pick % 5 {
        0 => Item::Bits(value & 0xff, 8),
        _ => Item::Symbol(codable[pick % codable.len()]),
    };
    picks.iter().map(item).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn round_trips_and_no_other_bytes_do(
        weights in prop::collection::vec(prop_oneof![Just(0u32), 1u32..4, Just(u32::MAX), any::<u32>()], 1..200),
        picks in prop::collection::vec((any::<usize>(), any::<u32>()), 0..60),
    ) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let cdf = Cdf::new(&weights).unwrap();
        let items = items(&weights, &picks);
        let bytes = encode(&cdf, &items);
        let read = |bytes: &[u8]| -> Result<(), Garbage> {
            let mut decoder = RangeDecoder::new(bytes);
            for item in &items {
                match *item {
                    Item::Symbol(symbol) if decode_symbol(&mut decoder, &cdf)? == symbol => {}
                    Item::Bits(value, bits) if decoder.decode_bits(bits)? == value => {}
                    _ => return Err(Garbage),
                }
            }
            decoder.finish()
        };
        prop_assert_eq!(read(&bytes), Ok(()));
        for tail in [0u8, 1, 0xff] {
            let longer: Vec<u8> = bytes.iter().copied().chain([tail]).collect();
            prop_assert_eq!(read(&longer), Err(Garbage));
        }
        if let Some((last, rest)) = bytes.split_last() {
            prop_assert_eq!(read(rest), Err(Garbage));
            let other: Vec<u8> = rest.iter().copied().chain([last ^ 1]).collect();
            prop_assert_eq!(read(&other), Err(Garbage));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        weights in prop::collection::vec(any::<u32>(), 1..20),
    ) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let cdf = Cdf::new(&weights).unwrap();
        let mut decoder = RangeDecoder::new(&bytes[..]);
        for _ in 0..200 {
            if decode_symbol(&mut decoder, &cdf).is_err() || decoder.decode_bits(8).is_err() {
                break;
            }
        }
        let _ = decoder.finish();
    }
}

#[test]
fn a_carry_runs_through_many_bytes() {
    // The last symbol of a distribution keeps the interval at its upper end: 0xff bytes, until the
    // ending carries into all of them.
    let cdf = Cdf::new(&[1, 1 << 30]).unwrap();
    let items = vec![Item::Symbol(1); 1000];
    assert!(encode(&cdf, &items).len() <= 1);
    let cdf = Cdf::new(&[u32::MAX, 1]).unwrap();
    let mut items = vec![Item::Symbol(1); 50];
    items.extend(vec![Item::Symbol(0); 2000]);
    let bytes = encode(&cdf, &items);
    let mut decoder = RangeDecoder::new(&bytes[..]);
    for item in &items {
        let Item::Symbol(symbol) = item else { unreachable!() };
        assert_eq!(decode_symbol(&mut decoder, &cdf), Ok(*symbol));
    }
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn nothing_takes_no_bytes() {
    assert_eq!(RangeEncoder::new().finish(), b"");
    assert_eq!(RangeDecoder::new(b"").finish(), Ok(()));
    assert_eq!(RangeDecoder::new(b"\0").finish(), Err(Garbage));
}

#[test]
fn a_total_of_nothing_or_too_much_is_garbage() {
    assert_eq!(RangeDecoder::new(b"x").target(0), Err(Garbage));
    assert_eq!(RangeDecoder::new(b"x").target(MAX_TOTAL + 1), Err(Garbage));
    assert_eq!(RangeDecoder::new([0xff; 9]).target(3), Err(Garbage));
}

/// The vectors of spec/lm-codec.md §5, computed with exact integers of any size, not by this coder.
#[test]
fn the_specified_vectors_hold() {
    let cdf = Cdf::new(&[1, 0, 2, 1]).unwrap();
    let third = Cdf::new(&[1, 1, 1]).unwrap();
    let wide = Cdf::new(&[(1 << 28) + 1, 1, 1 << 12]).unwrap();
    let symbols = |symbol: usize, count: usize| vec![Item::Symbol(symbol); count];
    let carry = [symbols(2, 12), symbols(0, 3)].concat();
    let escape = [symbols(0, 5), symbols(2, 1), vec![Item::Bits(0xe9, 8)], symbols(0, 3), symbols(1, 1)].concat();
    let escapes = [Item::Symbol(2), Item::Bits(0xff, 8)].repeat(3);
    let cases: [(&Cdf, &[Item], &[u8]); 9] = [
        (&cdf, &[], b""),
        (&cdf, &[Item::Symbol(0)], b""),
        (&cdf, &[Item::Symbol(2)], &[0x40]),
        (&cdf, &[Item::Symbol(3)], &[0xc0]),
        (&cdf, &[Item::Bits(0xa5, 8), Item::Bits(0x5a, 8)], &[0xa5, 0x5a]),
        (&third, &[Item::Symbol(1), Item::Symbol(2), Item::Symbol(1)], &[0x98]),
        (&third, &carry, &[0xff, 0xff, 0xe1]),
        (&wide, &escape, &[0xff, 0xfa, 0xe9, 0xbf, 0x7e, 0xec, 0xa9]),
        (&wide, &escapes, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xc0, 0xfc, 0x1f, 0x82]),
    ];
    for (cdf, items, bytes) in cases {
        assert_eq!(encode(cdf, items), bytes, "{items:?}");
    }
}

#[test]
fn the_loss_against_the_ideal_length_is_small() {
    // A total near 2^28, as the quantiser's is, and the largest one.
    for (top, loss_bits) in [(1u32 << 28, 1e-6), (u32::MAX, 0.006)] {
        let mut weights: Vec<u32> = (0..60_000u32).map(|i| top >> (i % 24).min(20)).collect();
        if top < u32::MAX {
            weights.truncate(40);
        }
        let cdf = Cdf::new(&weights).unwrap();
        let mut encoder = RangeEncoder::new();
        let mut ideal = 0.0;
        let count = 20_000;
        for i in 0..count {
            let (low, weight) = cdf.range(i * 7919 % weights.len()).unwrap();
            encoder.encode(low, weight, cdf.total());
            ideal -= (f64::from(weight) / cdf.total() as f64).log2();
        }
        let actual = encoder.finish().len() as f64 * 8.0;
        assert!(actual <= ideal + loss_bits * count as f64 + 8.0, "{actual} bits, ideally {ideal}");
        assert!(actual > ideal - 8.0, "{actual} bits, ideally {ideal}");
    }
}
