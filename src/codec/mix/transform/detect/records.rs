//! Tables of fixed width: the distance from a field to that of the next record.
//!
//! Bytes that differ from the one before them are counted that equal the one at each distance. A record's length
//! and its multiples stand out. Whether the best of them is of use is then tried: with what is above and the column
//! for a context, the bytes must cost less than with those before them.

use super::{Kind, cost};

/// Bytes whose equals are counted, in this many stretches.
const SAMPLE: usize = 1 << 12;
const STRETCHES: usize = 4;
/// Lengths that are tried.
const FINALISTS: usize = 3;
/// The least share of the bytes that equal the one a record before, beyond those at the median distance.
const EQUAL: f32 = 0.04;
/// The greatest share of what the bytes would cost as such: a fraction.
const WORTH: (u64, u64) = (31, 32);
/// Bytes whose cost is taken.
const PRICED: usize = 1 << 13;

/// The table in `chunk`.
pub(super) fn detect(chunk: &[u8]) -> Option<Kind> {
    let from = Kind::MAX_RECORD;
    let start = (chunk.len() - (PRICED + from).min(chunk.len())) / 2;
    let sample = &chunk[start..chunk.len().min(start + PRICED + from)];
    let above = |bytes: &[u8], at: usize, stride: usize| u32::from(bytes[at - stride]) << 16;
    let short = &sample[..sample.len().min(from + SAMPLE / 2)];
    // A multiple of the length costs nearly the same: the least length wins.
    let (_, stride) = candidates(chunk)
        .into_iter()
        .map(|stride| {
            let context = |bytes: &[u8], at: usize| (above(bytes, at, stride) | u32::from(bytes[at - 1]), 0);
            (cost::bits(short, from, context), stride)
        })
        .min_by_key(|&(bits, stride)| bits + bits / 64 * u64::from(stride.ilog2()))?;
    let before = cost::bits(sample, from, |bytes, at| (above(bytes, at, stride) | u32::from(bytes[at - 1]), 0));
    let column = cost::bits(sample, from, |bytes, at| (above(bytes, at, stride) | (at % stride) as u32, 0));
    let difference = cost::bits(sample, from, |bytes, at| ((at % stride) as u32, bytes[at - stride]));
    // Bits of a drawing: what is above on both sides, and the byte before.
    let around = cost::bits(sample, from, |bytes, at| {
        let context = [bytes[at - stride], bytes[at - stride + 1], bytes[at - 1]];
        (context.iter().fold(0, |context, byte| context << 8 | u32::from(*byte)), 0)
    });
    let bits = before.min(column).min(difference).min(around);
    (bits * WORTH.1 < cost::plain(sample, from) * WORTH.0).then_some(Kind::Records { stride })
}

/// The likeliest lengths.
fn candidates(chunk: &[u8]) -> Vec<usize> {
    let mut equal = vec![0u32; Kind::MAX_RECORD + 1];
    let mut count = 0;
    let len = SAMPLE / STRETCHES;
    let room = chunk.len().saturating_sub(len + Kind::MAX_RECORD + 1);
    for n in 0..STRETCHES {
        let from = Kind::MAX_RECORD + 1 + room * n / (STRETCHES - 1);
        let Some(bytes) = chunk.get(from..from + len) else { break };
        let changed: Vec<u8> = bytes.iter().zip(&chunk[from - 1..]).map(|(a, b)| u8::from(a != b)).collect();
        count += changed.iter().map(|&changed| u32::from(changed)).sum::<u32>();
        for (stride, equal) in equal.iter_mut().enumerate().skip(2) {
            *equal += equals(bytes, &chunk[from - stride..from - stride + len], &changed);
        }
    }
    let mut sorted = equal[2..].to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    let least = median + (EQUAL * count as f32) as u32;
    let mut strides: Vec<usize> = (2..equal.len()).filter(|&stride| equal[stride] > least).collect();
    strides.sort_by_key(|&stride| std::cmp::Reverse(equal[stride]));
    strides.truncate(FINALISTS);
    let parts =
        |stride: usize| [2, 3, 4, 5].into_iter().filter(move |n| stride.is_multiple_of(*n)).map(move |n| stride / n);
    let mut more: Vec<usize> = strides.iter().flat_map(|&stride| parts(stride)).collect();
    more.retain(|&stride| stride >= 2 && equal[stride] > least);
    strides.append(&mut more);
    strides.sort_unstable();
    strides.dedup();
    strides
}

/// Bytes that have changed and equal the one above.
fn equals(bytes: &[u8], above: &[u8], changed: &[u8]) -> u32 {
    // Sums of 128 fit a byte, in as many lanes as there are.
    let blocks = bytes.chunks(128).zip(above.chunks(128)).zip(changed.chunks(128));
    blocks
        .map(|((bytes, above), changed)| {
            let lanes = bytes.iter().zip(above).zip(changed);
            u32::from(lanes.map(|((a, b), changed)| u8::from(a == b) & changed).sum::<u8>())
        })
        .sum()
}
