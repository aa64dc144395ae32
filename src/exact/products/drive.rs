//! Divides a product into tiles.
#![allow(unsafe_code)]

use std::ops::Range;

use super::columns::TILE;
use super::kind::{BLOCK, Format, Kind, format};
use super::lanes::Kernels;
use super::output::Place;
use super::pack::{GROUP, Packed};
use super::tile::{MAX_COLUMNS, MAX_GROUPS, PlainTile, QuantisedTile};
use super::{Input, Output, Plain, Quantised};

/// Computes `columns` and `groups` of a product.
///
/// Callers have checked that the processor has the instructions of `K`, that `input` is what `weights`
/// take, and the ranges.
pub(super) fn matmul<K: Kernels>(
    weights: &Packed,
    input: Input<'_>,
    columns: Range<usize>,
    groups: Range<usize>,
    out: &mut Output<'_>,
) {
    let mut work = Work { weights, columns, groups, out };
    match (input, weights.kind()) {
        (Input::Quantised(input), Kind::Q4_0) => quantised::<K, format::Q4_0>(&mut work, input),
        (Input::Quantised(input), Kind::Q4_1) => quantised::<K, format::Q4_1>(&mut work, input),
        (Input::Quantised(input), Kind::Q5_0) => quantised::<K, format::Q5_0>(&mut work, input),
        (Input::Quantised(input), Kind::Q5_1) => quantised::<K, format::Q5_1>(&mut work, input),
        (Input::Quantised(input), Kind::Q8_0) => quantised::<K, format::Q8_0>(&mut work, input),
        (Input::Quantised(input), Kind::Q4K) => quantised::<K, format::Q4K>(&mut work, input),
        (Input::Quantised(input), Kind::Q5K) => quantised::<K, format::Q5K>(&mut work, input),
        (Input::Quantised(input), Kind::Q6K) => quantised::<K, format::Q6K>(&mut work, input),
        (Input::Plain(input), Kind::F32) => plain::<K, { Kind::F32 as u8 }>(&mut work, input),
        (Input::Plain(input), Kind::F16) => plain::<K, { Kind::F16 as u8 }>(&mut work, input),
        (Input::Plain(input), Kind::Bf16) => plain::<K, { Kind::Bf16 as u8 }>(&mut work, input),
        _ => unreachable!("columns of the wrong form"),
    }
}

/// A product, or what one thread does of it.
struct Work<'a, 'b> {
    weights: &'a Packed,
    columns: Range<usize>,
    groups: Range<usize>,
    out: &'a mut Output<'b>,
}

impl Work<'_, '_> {
    /// The addresses of `n` groups from `group` on. Those beyond the range repeat the last one: their
    /// results are not stored.
    fn groups(&self, group: usize, n: usize) -> [*const u8; MAX_GROUPS] {
        let mut addresses = [std::ptr::null(); MAX_GROUPS];
        for (i, address) in addresses.iter_mut().enumerate() {
            *address = self.weights.group((group + i.min(n - 1)).min(self.groups.end - 1)).as_ptr();
        }
        addresses
    }

    /// Has `tile` write the outputs of `n` groups from `group` on, for some columns from `column` on, of which it
    /// returns the number: into the result, or, where some of the groups' outputs are not wanted, beside it
    /// first.
    fn compute(&mut self, group: usize, n: usize, column: usize, tile: impl FnOnce(Place) -> usize) -> usize {
        let first = group * GROUP;
        let wanted = self.weights.outputs().min(self.groups.end * GROUP) - first;
        if wanted >= n * GROUP {
            return tile(self.out.place(column, first));
        }
        let mut beside = [[0f32; MAX_GROUPS * GROUP]; MAX_COLUMNS];
        let count = tile(Place { first: beside.as_mut_ptr().cast(), stride: MAX_GROUPS * GROUP });
        for (i, sums) in beside[..count].iter().enumerate() {
            self.out.store(column + i, first, &sums[..wanted]);
        }
        count
    }
}

/// How far ahead weights are fetched, in bytes: the next groups while the first columns meet these, so that
/// the second-level cache always holds what comes next. Of very deep weights, whose groups do not fit into it,
/// only the next blocks. Not for one column where the cache may hold the whole matrix: to ask for what is
/// there costs as much as to use it.
fn ahead(weights: &Packed, several: bool, step: usize) -> usize {
    const CACHE: usize = 1 << 20;
    let groups = step * weights.layout().bytes;
    match () {
        () if !several && weights.memory() < CACHE => 0,
        () if groups > CACHE / 4 => CACHE / 64,
        () => groups,
    }
}

fn quantised<K: Kernels, F: Format>(work: &mut Work<'_, '_>, input: Quantised<'_>) {
    let several = work.columns.len() > 1;
    let step = if several { K::QUANTISED_GROUPS.1 } else { K::QUANTISED_GROUPS.0 };
    let ahead = ahead(work.weights, several, step);
    for group in work.groups.clone().step_by(step) {
        let mut tile = QuantisedTile {
            groups: work.groups(group, step),
            scales_at: work.weights.layout().scales_at,
            blocks: work.weights.depth() / BLOCK,
            column: input.column(work.columns.start),
            ahead,
        };
        let mut column = work.columns.start;
        while column < work.columns.end {
            // The next column in memory is the next one of the same tile.
            let left = work.columns.end.min(column / TILE * TILE + TILE) - column;
            tile.column = input.column(column);
            // SAFETY: the caller's checks; `left` columns of the tile are there, and room for their outputs.
            column += work.compute(group, step, column, |out| unsafe { K::quantised::<F>(several, left, &tile, out) });
            tile.ahead = 0;
        }
    }
}

fn plain<K: Kernels, const KIND: u8>(work: &mut Work<'_, '_>, input: Plain<'_>) {
    let several = work.columns.len() > 1;
    let step = if several { K::PLAIN_GROUPS.1 } else { K::PLAIN_GROUPS.0 };
    for group in work.groups.clone().step_by(step) {
        let mut column = work.columns.start;
        while column < work.columns.end {
            let tile = PlainTile {
                groups: work.groups(group, step),
                depth: work.weights.depth(),
                column: input.column(column),
                stride: input.stride(),
            };
            let left = work.columns.end - column;
            // SAFETY: the caller's checks; there is room for the outputs of `left` columns.
            column += work.compute(group, step, column, |out| unsafe { K::plain::<KIND>(several, left, &tile, out) });
        }
    }
}
