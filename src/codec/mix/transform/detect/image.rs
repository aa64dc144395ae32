//! Uncompressed images: the size of a pixel and the distance from a row to the next.
//!
//! In an image a byte is near to the one a pixel before it, and to the one a row before. The first makes a chunk
//! worth a search for the second, which alone tells an image from other smooth data: at one distance, and not a few
//! pixels beside it, bytes are alike even where the row itself changes most.

use super::{Kind, cost, smooth};

/// The shortest row looked for, in bytes.
const SHORTEST_ROW: usize = 48;
/// The narrowest image, in pixels.
const NARROWEST: usize = 64;
/// Stretches that are compared at every distance, those compared at the best of these, and the bytes of each.
const FIRST_BLOCKS: usize = 12;
const BLOCKS: usize = 48;
const BLOCK: usize = 16;
/// Distances left for the comparison of all blocks, and of these for one of [`SAMPLE`] bytes.
const SECOND_ROUND: usize = 256;
const LAST_ROUND: usize = 24;
const SAMPLE: usize = 1 << 13;
/// A whole number of pixels of 1, 3 and 4 bytes.
const BESIDE: usize = 12;
/// The greatest share of the difference of bytes [`BESIDE`] a row's distance, and of that of any two, which bytes a
/// row apart may have.
const DIP: f32 = 0.82;
const ROWS_ALIKE: f32 = 0.7;
/// The same share in drawings.
const DRAWING: f32 = 0.15;
/// Distances that no structure prefers, for the difference of any two bytes.
const FAR: [usize; 4] = [331, 577, 809, 1021];
/// Bytes whose cost is taken.
const PRICED: usize = 1 << 12;

/// The image in `chunk`, which is no text.
pub(super) fn detect(chunk: &[u8], profile: &smooth::Profile) -> Option<Kind> {
    let pixel = profile.pixel()?;
    let (stride, alike) = row(chunk)?;
    let from = stride + pixel.max(3);
    let start = (chunk.len() / 2).min(chunk.len().saturating_sub(from + PRICED));
    let sample = &chunk[start..chunk.len().min(start + from + PRICED)];
    let smooth = cost::bits(sample, from, |bytes, at| (0, plane(bytes, at, pixel, stride))).min(cost::bits(
        sample,
        from,
        |bytes, at| (0, bytes[at - pixel].midpoint(bytes[at - stride])),
    ));
    let exact =
        cost::bits(sample, from, |bytes, at| (u32::from(bytes[at - pixel]) << 8 | u32::from(bytes[at - stride]), 0));
    let plain = cost::plain(sample, from);
    // Tables, too, repeat what is above exactly; a drawing does in most of its bytes.
    let drawing = stride > Kind::MAX_RECORD && alike < DRAWING && exact * 50 < plain * 51;
    // Where a table is as likely, the image must be worth more; of long rows, noisy ones are believed.
    let worth = if stride > Kind::MAX_RECORD { smooth * 50 < plain * 51 } else { smooth * 20 < plain * 19 };
    (stride >= NARROWEST * pixel && (drawing || smooth < exact && worth)).then_some(Kind::Image { pixel, stride })
}

/// What continues the plane through the left, the upper and the upper left neighbour.
fn plane(bytes: &[u8], at: usize, pixel: usize, stride: usize) -> u8 {
    let [left, upper, corner] = [pixel, stride, stride + pixel].map(|back| i16::from(bytes[at - back]));
    (left + upper - corner).clamp(0, 255) as u8
}

/// The distance between rows, if there is one, and the difference of bytes so far apart as a share of that of any two.
fn row(chunk: &[u8]) -> Option<(usize, f32)> {
    // Leaves room for the blocks behind the longest row.
    let longest = Kind::MAX_ROW.min(chunk.len() / 4 * 3);
    let blocks = active_blocks(chunk, longest);
    let mut costs = vec![0u32; longest + 1];
    for at in blocks.iter().step_by(BLOCKS / FIRST_BLOCKS) {
        add_costs(&mut costs, chunk, *at, SHORTEST_ROW..longest + 1);
    }
    let mut strides: Vec<usize> = (SHORTEST_ROW + BESIDE..=longest - BESIDE).collect();
    keep_cheapest(&mut strides, SECOND_ROUND, |stride| costs[stride]);
    let all = |stride: usize| blocks.iter().map(|&at| apart_block(chunk, at, at - stride)).sum::<u32>();
    let mut priced: Vec<(u32, usize)> = strides.iter().map(|&stride| (all(stride), stride)).collect();
    priced.sort_unstable();
    priced.truncate(LAST_ROUND);
    priced.retain(|&(cost, stride)| cost as f32 <= DIP * all(stride - BESIDE).midpoint(all(stride + BESIDE)) as f32);
    let mean_apart = |stride: usize| {
        let from = stride.max((chunk.len() - SAMPLE.min(chunk.len())) / 2);
        let to = chunk.len().min(from + SAMPLE);
        apart(&chunk[from..to], &chunk[from - stride..to - stride]) as f32 / (to - from) as f32
    };
    let far = FAR.iter().map(|&distance| mean_apart(distance)).sum::<f32>() / FAR.len() as f32;
    // Blocks of great change and a stretch of all: a slanted edge misleads the one, a flat area the other.
    let (_, stride) = priced
        .iter()
        .map(|&(cost, stride)| (cost as f32 * (mean_apart(stride) + 0.25), stride))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let alike = mean_apart(stride) / far.max(f32::MIN_POSITIVE);
    (alike <= ROWS_ALIKE).then_some((stride, alike))
}

/// Starts of blocks behind `longest`, one for each part of the rest: the place where bytes change most.
fn active_blocks(chunk: &[u8], longest: usize) -> Vec<usize> {
    const TRIES: usize = 16;
    let part = (chunk.len() - BLOCK - longest) / BLOCKS;
    let most_active = |start: usize| {
        (0..TRIES).map(|n| start + n * part / TRIES).max_by_key(|&at| apart_block(chunk, at, at - BESIDE))
    };
    (0..BLOCKS).filter_map(|n| most_active(longest + n * part)).collect()
}

/// Adds to the cost of each distance in `strides` the difference of the block at `at` and that far before it.
fn add_costs(costs: &mut [u32], chunk: &[u8], at: usize, strides: std::ops::Range<usize>) {
    let Some(block) = chunk[at..].first_chunk::<BLOCK>() else { return };
    let earlier = chunk[at + 1 - strides.end..at - strides.start + BLOCK].windows(BLOCK).rev();
    for (cost, earlier) in costs[strides].iter_mut().zip(earlier) {
        *cost += apart(block, earlier);
    }
}

fn keep_cheapest(strides: &mut Vec<usize>, count: usize, cost: impl Fn(usize) -> u32) {
    if count < strides.len() {
        strides.select_nth_unstable_by_key(count, |&stride| cost(stride));
        strides.truncate(count);
    }
}

fn apart_block(chunk: &[u8], a: usize, b: usize) -> u32 {
    apart(&chunk[a..a + BLOCK], &chunk[b..b + BLOCK])
}

/// Sum of the differences.
#[inline(always)]
fn apart(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(*b)).unsigned_abs()).sum()
}
