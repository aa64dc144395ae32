//! Attention over cached keys and values (spec/numerics.md §6).
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use super::{Lanes, Refusal, Seen, Step};
use crate::exact::KernelSet;
use crate::exact::pool::Member;
use crate::exact::vector::{LANES, Vector, exp, per_set, tanh};
use crate::exact::view::View;

/// Most queries that share one pass over keys and values: as many as leave registers for 4 vectors of keys.
const TILE: usize = 6;

/// How many queries share a pass: those of one token, or a part of them without a remainder, as they see the same cells.
fn tile_of(shared: usize) -> usize {
    [6, 5, 4].into_iter().find(|&tile| shared.is_multiple_of(tile)).unwrap_or(4)
}

/// Attention of every query head over the cells that its token sees. Cells are numbered by the positions of
/// their tokens; cell `i` is kept in row `i` modulo the number of rows.
pub struct Attention {
    /// The result, binary32: `[value width, heads, tokens, lanes]`, plain rows.
    pub out: View,
    /// Binary32: `[head, tokens, heads, lanes]`, plain rows.
    pub queries: View,
    /// Binary16: `[head, rows, key heads, lanes]`, in the order of [`Keys`]; a cell's heads side by side.
    pub keys: View,
    /// Binary16: `[value width, rows, key heads, lanes]`, plain rows.
    pub values: View,
    /// Rows of a lane, a multiple of 16; `keys` and `values` show their beginning, all that are in use.
    pub rows: usize,
    /// Where the lanes of keys and values are not those of the queries one by one: the sequences of the queries, and the
    /// number of the first.
    pub sequences: Option<(Arc<Lanes>, usize)>,
    /// What each token sees, lane after lane.
    pub seen: Arc<Seen>,
    /// What a score is multiplied by.
    pub scale: f32,
    /// The bound that scores are bent under; 0 for none.
    pub cap: f32,
}

/// One tile of queries of one key head in one lane.
struct Tile<'a> {
    queries: &'a [*const f32],
    outs: &'a [*mut f32],
    seen: &'a [Range<usize>],
    /// The first block of 16 cells that one of them sees, and the end of the last.
    blocks: Range<usize>,
    /// Rows of the lane.
    rows: usize,
    /// Element 0 of the head in block 0.
    keys: *const u16,
    /// Elements from one block of cells to the next.
    key_stride: usize,
    head: usize,
    /// Element 0 of the head in cell 0.
    values: *const u16,
    /// Elements from one cell to the next.
    value_stride: usize,
    value_width: usize,
    scale: f32,
    cap: f32,
}

impl Step for Attention {
    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        thread_local! {
            static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        let [head, tokens, heads, lanes] = self.queries.extents;
        let key_heads = self.keys.extents[2];
        let shared = heads / key_heads;
        // Where threads outnumber the tiles, tiles are smaller.
        let most = tile_of(shared).min((tokens * shared * key_heads * lanes).div_ceil(member.threads));
        let tiles = (tokens * shared).div_ceil(most);
        SCORES.with_borrow_mut(|scores| {
            for item in member.part(lanes * key_heads * tiles, 1) {
                let (tile, key_head, lane) = (item % tiles, item / tiles % key_heads, item / (tiles * key_heads));
                let first = tile * most;
                let count = most.min(tokens * shared - first);
                let mut queries = [std::ptr::null::<f32>(); TILE];
                let mut outs = [std::ptr::null_mut::<f32>(); TILE];
                let mut seen = [const { 0..0 }; TILE];
                for i in 0..count {
                    let (token, query_head) = ((first + i) / shared, key_head * shared + (first + i) % shared);
                    queries[i] = self.queries.row_at([token, query_head, lane]).cast::<f32>().cast_const();
                    outs[i] = self.out.row_at([query_head, token, lane]).cast();
                    seen[i] = self.seen.get(lane * tokens + token);
                }
                let start = seen[..count].iter().map(|seen| seen.start).min().unwrap_or(0) / LANES;
                let end = seen[..count].iter().map(|seen| seen.end).max().unwrap_or(0).div_ceil(LANES);
                scores.resize(scores.len().max(count * LANES * (end - start)), 0.0);
                let cached = self.sequences.as_ref().map_or(lane, |(lanes, first)| lanes.get(first + lane));
                let keys = self.keys.data.wrapping_add(cached * self.keys.strides[3]).cast::<u16>();
                let tile = Tile {
                    queries: &queries[..count],
                    outs: &outs[..count],
                    seen: &seen[..count],
                    blocks: start..end,
                    rows: self.rows,
                    keys: keys.wrapping_add(key_head * head * LANES),
                    key_stride: LANES * self.keys.strides[1] / 2,
                    head,
                    values: self.values.row_at([0, key_head, cached]).cast::<u16>().cast_const(),
                    value_stride: self.values.strides[1] / 2,
                    value_width: self.values.extents[0],
                    scale: self.scale,
                    cap: self.cap,
                };
                // SAFETY: rows of this step's views, the result this thread's own; scratch for a tile.
                unsafe { attend(set, &tile, scores.as_mut_ptr()) }
            }
        });
        Ok(())
    }
}

per_set! {
    /// Attends with one tile; `scores` has a float for each query and cell of the tile's blocks.
    unsafe fn attend = attend_body(tile: &Tile<'_>, scores: *mut f32)
}

#[inline(always)]
unsafe fn attend_body<V: Vector>(tile: &Tile<'_>, scores: *mut f32) {
    // SAFETY: the caller's; the number of queries is the tile's.
    unsafe {
        match tile.queries.len() {
            6 => attend_some::<V, 6>(tile, scores),
            5 => attend_some::<V, 5>(tile, scores),
            4 => attend_some::<V, 4>(tile, scores),
            3 => attend_some::<V, 3>(tile, scores),
            2 => attend_some::<V, 2>(tile, scores),
            _ => attend_some::<V, 1>(tile, scores),
        }
    }
}

#[inline(always)]
unsafe fn attend_some<V: Vector, const Q: usize>(tile: &Tile<'_>, scores: *mut f32) {
    let Range { start, end } = tile.blocks;
    let stride = (end - start) * LANES;
    let mut totals = [0f32; Q];
    // SAFETY: blocks of rows, whose number is a multiple of 16; scores of blocks of the tile.
    unsafe {
        for part in adjoining(start..end, tile.rows / LANES) {
            let mut block = part.start;
            while V::WIDE && block + 4 <= part.end {
                score::<V, Q, 4>(tile, block, scores, stride);
                block += 4;
            }
            while V::WIDE && block + 2 <= part.end {
                score::<V, Q, 2>(tile, block, scores, stride);
                block += 2;
            }
            while block < part.end {
                score::<V, Q, 1>(tile, block, scores, stride);
                block += 1;
            }
        }
        for (q, total) in totals.iter_mut().enumerate() {
            let Range { start, end } = tile.seen[q];
            let seen = if start < end { tile.at(start)..tile.at(end) } else { 0..0 };
            *total = weigh::<V>(scores.add(q * stride), &seen);
        }
        let mut at = 0;
        while V::WIDE && at + 4 * LANES <= tile.value_width {
            gather::<V, Q, 4>(tile, at, scores, stride, &totals);
            at += 4 * LANES;
        }
        while at < tile.value_width {
            gather::<V, Q, 1>(tile, at, scores, stride, &totals);
            at += LANES;
        }
    }
}

/// The parts of a range, at most as long as `ring`, that adjoin in a ring: ascending, perhaps empty.
#[inline(always)]
fn adjoining(range: Range<usize>, ring: usize) -> [Range<usize>; 2] {
    let turn = range.end.min((range.start / ring + 1) * ring);
    [range.start..turn, turn..range.end]
}

impl Tile<'_> {
    /// The place of a cell among a query's scores.
    #[inline(always)]
    fn at(&self, cell: usize) -> usize {
        cell - self.blocks.start * LANES
    }
}

/// Scores of `B` adjoining blocks of 16 cells, each one chain of fused steps along the head.
#[inline(always)]
unsafe fn score<V: Vector, const Q: usize, const B: usize>(
    tile: &Tile<'_>,
    block: usize,
    scores: *mut f32,
    stride: usize,
) {
    let mut sums = [[V::splat(0.0); B]; Q];
    let mut queries = [std::ptr::null(); Q];
    queries.copy_from_slice(tile.queries);
    // SAFETY: elements of the queries, and of these blocks' keys; the caller's scratch.
    unsafe {
        let keys = tile.keys.add(block % (tile.rows / LANES) * tile.key_stride);
        for d in 0..tile.head {
            let mut key = [V::splat(0.0); B];
            for (b, key) in key.iter_mut().enumerate() {
                *key = V::widen(keys.add(b * tile.key_stride + d * LANES));
            }
            for (q, sums) in sums.iter_mut().enumerate() {
                let query = V::splat(*queries[q].add(d));
                for (b, sum) in sums.iter_mut().enumerate() {
                    *sum = key[b].fma(query, *sum);
                }
            }
        }
        // Nothing more here: with a longer body the loops are not unrolled, and the sums live in memory all along.
        let scores = scores.add(tile.at(block * LANES));
        for (q, sums) in sums.iter().enumerate() {
            for (b, sum) in sums.iter().enumerate() {
                sum.mul(V::splat(tile.scale)).store(scores.add(q * stride + b * LANES));
            }
        }
        if tile.cap != 0.0 {
            for at in (0..Q).flat_map(|q| (0..B).map(move |b| q * stride + b * LANES)) {
                tanh(V::load(scores.add(at))).mul(V::splat(tile.cap)).store(scores.add(at));
            }
        }
    }
}

/// Turns the scores of the seen cells into e^(score - largest); returns their sum, cell `i` in lane
/// `i mod 16`, then a tree.
#[inline(always)]
unsafe fn weigh<V: Vector>(scores: *mut f32, seen: &Range<usize>) -> f32 {
    let (first, last) = (seen.start / LANES * LANES, seen.end.next_multiple_of(LANES));
    // SAFETY: whole blocks that hold seen cells: the caller's scratch.
    unsafe {
        for i in (first..seen.start).chain(seen.end..last) {
            *scores.add(i) = f32::NEG_INFINITY;
        }
        let mut largest = V::splat(f32::NEG_INFINITY);
        for at in (first..last).step_by(LANES) {
            largest = V::load(scores.add(at)).max(largest);
        }
        let mut most = f32::NEG_INFINITY;
        for &lane in &largest.lanes() {
            most = if lane > most { lane } else { most };
        }
        let mut sums = V::splat(0.0);
        for at in (first..last).step_by(LANES) {
            let weight = exp(V::load(scores.add(at)).sub(V::splat(most)));
            weight.store(scores.add(at));
            sums = sums.add(weight);
        }
        sums.tree()
    }
}

/// `W` vectors of the results from element `at` on: weighted sums of values, cells ascending, divided by
/// the total. Cells that all queries of the tile see are gone through together.
#[inline(always)]
unsafe fn gather<V: Vector, const Q: usize, const W: usize>(
    tile: &Tile<'_>,
    at: usize,
    scores: *const f32,
    stride: usize,
    totals: &[f32; Q],
) {
    let common = tile.seen.iter().map(|seen| seen.start).max().unwrap_or(0)
        ..tile.seen.iter().map(|seen| seen.end).min().unwrap_or(0);
    let mut sums = [[V::splat(0.0); W]; Q];
    // SAFETY: seen cells are cells; `at` and the width are multiples of 16; results are the caller's.
    unsafe {
        let values = tile.values.add(at);
        if common.is_empty() {
            for (q, sums) in sums.iter_mut().enumerate() {
                add_one::<V, W>(tile, values, scores.add(q * stride), tile.seen[q].clone(), sums);
            }
        } else {
            for (q, sums) in sums.iter_mut().enumerate() {
                add_one::<V, W>(tile, values, scores.add(q * stride), tile.seen[q].start..common.start, sums);
            }
            for part in adjoining(common.clone(), tile.rows) {
                let rows = values.add(part.start % tile.rows * tile.value_stride);
                let scores = scores.add(tile.at(part.start));
                for i in 0..part.len() {
                    let row = rows.add(i * tile.value_stride);
                    let mut value = [V::splat(0.0); W];
                    for (w, value) in value.iter_mut().enumerate() {
                        *value = V::widen(row.add(w * LANES));
                    }
                    for (q, sums) in sums.iter_mut().enumerate() {
                        let weight = V::splat(*scores.add(q * stride + i));
                        for (w, sum) in sums.iter_mut().enumerate() {
                            *sum = weight.fma(value[w], *sum);
                        }
                    }
                }
            }
            for (q, sums) in sums.iter_mut().enumerate() {
                add_one::<V, W>(tile, values, scores.add(q * stride), common.end..tile.seen[q].end, sums);
            }
        }
        for (q, sums) in sums.iter().enumerate() {
            let total = V::splat(totals[q]);
            for (w, sum) in sums.iter().enumerate() {
                let result = if tile.seen[q].is_empty() { V::splat(0.0) } else { sum.div(total) };
                result.store(tile.outs[q].add(at + w * LANES));
            }
        }
    }
}

/// Adds some cells' values for one query.
#[inline(always)]
unsafe fn add_one<V: Vector, const W: usize>(
    tile: &Tile<'_>,
    values: *const u16,
    weights: *const f32,
    cells: Range<usize>,
    sums: &mut [V; W],
) {
    for cell in cells {
        // SAFETY: the caller's.
        unsafe {
            let weight = V::splat(*weights.add(tile.at(cell)));
            let row = values.add(cell % tile.rows * tile.value_stride);
            for (w, sum) in sums.iter_mut().enumerate() {
                *sum = weight.fma(V::widen(row.add(w * LANES)), *sum);
            }
        }
    }
}
