//! What a stretch of bytes would cost under one context at a time.

/// log2 of the slots of the table of predictions.
const SLOT_BITS: u32 = 16;
/// A slot is the odds of a one, 12 bits, above the number of bits seen.
const SEEN_BITS: u32 = 4;
const SEEN: u16 = (1 << SEEN_BITS) - 1;
/// How far odds move towards a bit, of 256, by the number of bits seen.
const SHARE: [i32; SEEN as usize + 1] = [128, 85, 64, 51, 43, 37, 32, 28, 26, 23, 21, 20, 18, 17, 16, 12];

/// What a byte is coded with: a context of 24 bits, and a byte from which it is taken as a difference.
pub(super) type Guess = (u32, u8);

/// Bits that `bytes[from..]` would take with adaptive binary predictions under the context and as the difference
/// that `guess(bytes, at)` tells, in 1/16 bit. Bytes before `from` are only looked back at.
pub(super) fn bits(bytes: &[u8], from: usize, guess: impl Fn(&[u8], usize) -> Guess) -> u64 {
    let mut slots = vec![1u16 << 15; 1 << SLOT_BITS];
    let mut total = 0u64;
    for at in from..bytes.len() {
        let (context, near) = guess(bytes, at);
        let hash = context.wrapping_mul(0x9e37_79b1);
        let byte = bytes[at].wrapping_sub(near);
        let mut node = 1u32;
        for shift in (0..8).rev() {
            let bit = u32::from(byte >> shift & 1);
            let slot = (hash ^ node.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x27d4_eb2f) >> (32 - SLOT_BITS);
            let slot = &mut slots[slot as usize];
            let (odds, seen) = (i32::from(*slot >> SEEN_BITS), *slot & SEEN);
            let taken = if bit == 1 { odds } else { 4095 - odds };
            total += u64::from(COST[(taken >> 6) as usize]);
            let target = if bit == 1 { 4095 } else { 0 };
            let odds = odds + (target - odds) * SHARE[usize::from(seen)] / 256;
            *slot = (odds as u16) << SEEN_BITS | (seen + 1).min(SEEN);
            node = node << 1 | bit;
        }
    }
    total
}

/// The least cost of [`bits`] under the last 0, 1, 2 and 3 bytes; `from` is at least 3.
pub(super) fn plain(bytes: &[u8], from: usize) -> u64 {
    let orders = [order::<0>, order::<1>, order::<2>, order::<3>];
    orders.into_iter().map(|order| bits(bytes, from, order)).min().unwrap_or_default()
}

/// The last `N` bytes, at most 3, as a context.
fn order<const N: usize>(bytes: &[u8], at: usize) -> Guess {
    (bytes[at - N..at].iter().fold(0, |context, byte| context << 8 | u32::from(*byte)), 0)
}

/// -log2((i + 1/2) / 64) in 1/16 bit.
const COST: [u8; 64] = [
    112, 87, 75, 67, 61, 57, 53, 49, 47, 44, 42, 40, 38, 36, 34, 33, 31, 30, 29, 27, 26, 25, 24, 23, 22, 21, 20, 19,
    19, 18, 17, 16, 16, 15, 14, 14, 13, 12, 12, 11, 11, 10, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 5, 4, 4, 3, 3, 2, 2, 2, 1, 1,
    1, 0,
];
