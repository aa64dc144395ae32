//! Attention over cached keys and values (spec/numerics.md §6).
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::pool::Member;
use crate::exact::vector::{LANES, Vector, exp, per_set, tanh};
use crate::exact::view::{Element, View};

/// Queries that share one pass over keys and values.
const TILE: usize = 4;

/// How cached keys lie in memory: in blocks of 16 cells, and in a block the same element of all 16 cells
/// side by side, so that a vector of keys belongs to 16 scores. The memory is that of an array of one
/// plain row for each cell; only the order within 16 rows is another.
pub struct Keys;

impl Keys {
    /// Whether an array of one row for each cell can hold keys in this order: its rows adjoin, and fill whole
    /// blocks.
    #[must_use]
    pub fn fit(rows: &View) -> bool {
        let [width, cells, a, b] = rows.extents;
        rows.element == Element::F16 && (a, b) == (1, 1) && rows.strides[1] == 2 * width && cells.is_multiple_of(LANES)
    }

    /// The first element of one cell's key, in an array of one row for each cell; the next ones follow
    /// every 16 elements.
    #[must_use]
    pub fn first_of(rows: &View, cell: usize) -> *mut u16 {
        let block = rows.data.wrapping_add(cell / LANES * LANES * rows.strides[1]);
        block.cast::<u16>().wrapping_add(cell % LANES)
    }
}

/// Which cells each token sees: one range a token, empty until a [`See`] has run.
pub struct Seen(Vec<AtomicU64>);

impl Seen {
    /// For `tokens` tokens, those of all lanes together.
    #[must_use]
    pub fn new(tokens: usize) -> Self {
        Self((0..tokens).map(|_| AtomicU64::new(0)).collect())
    }

    fn set(&self, token: usize, cells: &Range<usize>) {
        self.0[token].store((cells.start as u64) << 32 | cells.end as u64, Ordering::Relaxed);
    }

    /// The cells that a token sees.
    #[must_use]
    pub fn get(&self, token: usize) -> Range<usize> {
        let both = self.0[token].load(Ordering::Relaxed);
        (both >> 32) as usize..(both & 0xffff_ffff) as usize
    }
}

/// Reads a mask: 0 for a cell that is seen, minus infinity for others. Refuses all other values, and masks
/// that do not show one range.
pub struct See {
    /// Binary32 or binary16: `[cells, tokens, 1, lanes]`.
    pub mask: View,
    /// The tokens' ranges, lane after lane.
    pub seen: Arc<Seen>,
}

impl Step for See {
    unsafe fn run(&self, _: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let [cells, tokens, _, lanes] = self.mask.extents;
        let mut outcome = Ok(());
        for row in member.part(tokens * lanes, 1) {
            let at = self.mask.row_at([row % tokens, 0, row / tokens]);
            // SAFETY: a row of the mask; rows are plain.
            let range = unsafe {
                match self.mask.element {
                    Element::F16 => visible(std::slice::from_raw_parts(at.cast::<u16>(), cells), 0xfc00),
                    _ => visible(std::slice::from_raw_parts(at.cast::<u32>(), cells), 0xff80_0000),
                }
            };
            match range {
                Some(range) => self.seen.set(row, &range),
                None => {
                    self.seen.set(row, &(0..0));
                    outcome = Err("a mask that does not show one range of cells, without a bias");
                }
            }
        }
        outcome
    }
}

/// The range of zeros; `None` if they are not one range between `hidden` elements.
fn visible<T: PartialEq + Copy + Default>(mask: &[T], hidden: T) -> Option<Range<usize>> {
    let Some(start) = mask.iter().position(|&m| m != hidden) else { return Some(0..0) };
    let end = mask.iter().rposition(|&m| m != hidden)? + 1;
    mask[start..end].iter().all(|&m| m == T::default()).then_some(start..end)
}

/// Attention of every query head over the cells that its token sees.
pub struct Attention {
    /// The result, binary32: `[value width, heads, tokens, lanes]`, plain rows.
    pub out: View,
    /// Binary32: `[head, tokens, heads, lanes]`, plain rows.
    pub queries: View,
    /// Binary16: `[head, cells, key heads, lanes]`, in the order of [`Keys`]; a cell's heads side by side.
    pub keys: View,
    /// Binary16: `[value width, cells, key heads, lanes]`, plain rows.
    pub values: View,
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
        let tiles = (tokens * shared).div_ceil(TILE);
        let cells = self.keys.extents[1].next_multiple_of(LANES);
        SCORES.with_borrow_mut(|scores| {
            scores.resize(scores.len().max(TILE * cells), 0.0);
            for item in member.part(lanes * key_heads * tiles, 1) {
                let (tile, key_head, lane) = (item % tiles, item / tiles % key_heads, item / (tiles * key_heads));
                let first = tile * TILE;
                let count = TILE.min(tokens * shared - first);
                let mut queries = [std::ptr::null::<f32>(); TILE];
                let mut outs = [std::ptr::null_mut::<f32>(); TILE];
                let mut seen = [const { 0..0 }; TILE];
                for i in 0..count {
                    let (token, query_head) = ((first + i) / shared, key_head * shared + (first + i) % shared);
                    queries[i] = self.queries.row_at([token, query_head, lane]).cast::<f32>().cast_const();
                    outs[i] = self.out.row_at([query_head, token, lane]).cast();
                    seen[i] = self.seen.get(lane * tokens + token);
                }
                let keys = self.keys.data.wrapping_add(lane * self.keys.strides[3]).cast::<u16>();
                let tile = Tile {
                    queries: &queries[..count],
                    outs: &outs[..count],
                    seen: &seen[..count],
                    keys: keys.wrapping_add(key_head * head * LANES),
                    key_stride: LANES * self.keys.strides[1] / 2,
                    head,
                    values: self.values.row_at([0, key_head, lane]).cast::<u16>().cast_const(),
                    value_stride: self.values.strides[1] / 2,
                    value_width: self.values.extents[0],
                    scale: self.scale,
                    cap: self.cap,
                };
                // SAFETY: rows of this step's views, the result this thread's own; scratch for a tile.
                unsafe { attend(set, &tile, scores.as_mut_ptr(), cells) }
            }
        });
        Ok(())
    }
}

per_set! {
    /// Attends with one tile; `scores` has `stride` floats, a multiple of 16, for each query.
    unsafe fn attend = attend_body(tile: &Tile<'_>, scores: *mut f32, stride: usize)
}

#[inline(always)]
unsafe fn attend_body<V: Vector>(tile: &Tile<'_>, scores: *mut f32, stride: usize) {
    // SAFETY: the caller's; the number of queries is the tile's.
    unsafe {
        match tile.queries.len() {
            4 => attend_some::<V, 4>(tile, scores, stride),
            3 => attend_some::<V, 3>(tile, scores, stride),
            2 => attend_some::<V, 2>(tile, scores, stride),
            _ => attend_some::<V, 1>(tile, scores, stride),
        }
    }
}

#[inline(always)]
unsafe fn attend_some<V: Vector, const Q: usize>(tile: &Tile<'_>, scores: *mut f32, stride: usize) {
    let start = tile.seen.iter().map(|seen| seen.start).min().unwrap_or(0) / LANES;
    let end = tile.seen.iter().map(|seen| seen.end).max().unwrap_or(0).div_ceil(LANES);
    let mut totals = [0f32; Q];
    // SAFETY: blocks of cells below the number of cells, which is a multiple of 16 where keys are.
    unsafe {
        let mut block = start;
        while V::WIDE && block + 4 <= end {
            score::<V, Q, 4>(tile, block, scores, stride);
            block += 4;
        }
        while V::WIDE && block + 2 <= end {
            score::<V, Q, 2>(tile, block, scores, stride);
            block += 2;
        }
        while block < end {
            score::<V, Q, 1>(tile, block, scores, stride);
            block += 1;
        }
        for (q, total) in totals.iter_mut().enumerate() {
            *total = weigh::<V>(scores.add(q * stride), &tile.seen[q]);
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

/// Scores of `B` blocks of 16 cells, each one chain of fused steps along the head.
#[inline(always)]
unsafe fn score<V: Vector, const Q: usize, const B: usize>(
    tile: &Tile<'_>,
    block: usize,
    scores: *mut f32,
    stride: usize,
) {
    let mut sums = [[V::splat(0.0); Q]; B];
    // SAFETY: elements of the queries, and of these blocks' keys; the caller's scratch.
    unsafe {
        let keys = tile.keys.add(block * tile.key_stride);
        for d in 0..tile.head {
            for (b, sums) in sums.iter_mut().enumerate() {
                let key = V::widen(keys.add(b * tile.key_stride + d * LANES));
                for (q, sum) in sums.iter_mut().enumerate() {
                    *sum = key.fma(V::splat(*tile.queries[q].add(d)), *sum);
                }
            }
        }
        for (b, sums) in sums.iter().enumerate() {
            for (q, sum) in sums.iter().enumerate() {
                let mut score = sum.mul(V::splat(tile.scale));
                if tile.cap != 0.0 {
                    score = tanh(score).mul(V::splat(tile.cap));
                }
                score.store(scores.add(q * stride + (block + b) * LANES));
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
            for cell in common.clone() {
                let row = values.add(cell * tile.value_stride);
                let mut value = [V::splat(0.0); W];
                for (w, value) in value.iter_mut().enumerate() {
                    *value = V::widen(row.add(w * LANES));
                }
                for (q, sums) in sums.iter_mut().enumerate() {
                    let weight = V::splat(*scores.add(q * stride + cell));
                    for (w, sum) in sums.iter_mut().enumerate() {
                        *sum = weight.fma(value[w], *sum);
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
            let weight = V::splat(*weights.add(cell));
            for (w, sum) in sums.iter_mut().enumerate() {
                *sum = weight.fma(V::widen(values.add(cell * tile.value_stride + w * LANES)), *sum);
            }
        }
    }
}
