//! The range coder: round trips under any distributions, and no other bytes for the same symbols.

use lma::entropy::{Cdf, Garbage, RangeDecoder, RangeEncoder};

use super::input::Input;

/// Most symbols in one text.
const SYMBOLS: usize = 300;

/// What the coder is given: a symbol under one of the distributions, or plain bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Symbol { cdf: usize, symbol: usize },
    Bits { value: u32, bits: u32 },
}

/// Takes distributions and symbols, and decodes the rest as they would be.
pub fn entropy(data: &[u8]) {
    let mut input = Input::new(data);
    let cdfs: Vec<Cdf> = (0..1 + input.below(4)).filter_map(|_| cdf(&mut input)).collect();
    if cdfs.is_empty() {
        return;
    }
    let items: Vec<Item> = (0..input.below(SYMBOLS + 1)).map_while(|_| item(&cdfs, &mut input)).collect();
    let stored = encode(&cdfs, &items);
    assert_ne!(stored.last(), Some(&0), "stored bytes never end in a zero");
    assert_eq!(decode(&cdfs, &items, &stored), Ok(items.clone()));
    if let Some(shorter) = stored.len().checked_sub(1) {
        // A shorter string is another one, and no other one is accepted.
        let other = decode(&cdfs, &items, &stored[..shorter]);
        assert_ne!(other, Ok(items.clone()));
    }
    // Any bytes: what is accepted is exactly what the encoder writes for it.
    let any = input.rest();
    if let Ok(found) = decode(&cdfs, &items, any) {
        assert_eq!(encode(&cdfs, &found), any);
    }
}

fn cdf(input: &mut Input<'_>) -> Option<Cdf> {
    let count = 1 + input.below(700);
    let scale = input.below(33) as u32;
    let pattern: Vec<u32> = (0..1 + input.below(40)).map(|_| input.u32()).collect();
    let weight = |i: usize| u32::try_from(u64::from(pattern[i % pattern.len()]) >> (scale as usize + i / 64).min(32));
    let weights: Vec<u32> = (0..count).map(|i| weight(i).unwrap_or(u32::MAX)).collect();
    let cdf = Cdf::new(&weights).ok()?;
    assert_eq!(cdf.total(), weights.iter().map(|&weight| u64::from(weight)).sum::<u64>());
    let mut low = 0;
    for (symbol, &weight) in weights.iter().enumerate() {
        assert_eq!(cdf.range(symbol), (weight > 0).then_some((low, weight)));
        for target in [low, low + u64::from(weight) / 2, low + u64::from(weight.max(1)) - 1] {
            let slot = cdf.find(target).filter(|_| weight > 0);
            assert_eq!(slot.map(|slot| slot.symbol), (weight > 0).then_some(symbol));
        }
        low += u64::from(weight);
    }
    assert_eq!(cdf.find(low), None);
    Some(cdf)
}

fn item(cdfs: &[Cdf], input: &mut Input<'_>) -> Option<Item> {
    if input.is_empty() {
        return None;
    }
    let choice = input.byte();
    if choice >= 224 {
        let bits = u32::from(choice - 224) + 1;
        let value = (u64::from(input.u32()) & ((1 << bits) - 1)) as u32;
        return Some(Item::Bits { value, bits });
    }
    let cdf = usize::from(choice) % cdfs.len();
    let target = ((u128::from(cdfs[cdf].total()) * u128::from(input.u16())) >> 16) as u64;
    let symbol = cdfs[cdf].find(target).expect("the target is below the total").symbol;
    Some(Item::Symbol { cdf, symbol })
}

fn encode(cdfs: &[Cdf], items: &[Item]) -> Vec<u8> {
    let mut encoder = RangeEncoder::new();
    for item in items {
        match *item {
            Item::Symbol { cdf, symbol } => {
                let (low, weight) = cdfs[cdf].range(symbol).expect("only codable symbols are taken");
                encoder.encode(low, weight, cdfs[cdf].total());
            }
            Item::Bits { value, bits } => encoder.encode_bits(value, bits),
        }
    }
    encoder.finish()
}

/// Items of the same sorts as `like`.
fn decode(cdfs: &[Cdf], like: &[Item], stored: &[u8]) -> Result<Vec<Item>, Garbage> {
    let mut decoder = RangeDecoder::new(stored);
    let mut items = Vec::new();
    for item in like {
        items.push(match *item {
            Item::Symbol { cdf, .. } => {
                let target = decoder.target(cdfs[cdf].total())?;
                let slot = cdfs[cdf].find(target).ok_or(Garbage)?;
                decoder.consume(slot.low, slot.weight)?;
                Item::Symbol { cdf, symbol: slot.symbol }
            }
            Item::Bits { bits, .. } => Item::Bits { value: decoder.decode_bits(bits)?, bits },
        });
    }
    decoder.finish()?;
    Ok(items)
}
