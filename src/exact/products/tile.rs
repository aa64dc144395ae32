//! The kernels: some vectors of outputs times some columns, over the whole depth.
#![allow(unsafe_code)]
// A column's or vector's number indexes several arrays at once.
#![allow(clippy::needless_range_loop)]

use super::columns::{Column, Field};
use super::kind::{BLOCK, Format, Kind, Scales};
use super::lanes::Lanes;
use super::output::Place;
use super::pack::{GROUP, SUPER_16, SUPER_MIN};

/// Groups and columns that one tile has at most.
pub(super) const MAX_GROUPS: usize = 8;
pub(super) const MAX_COLUMNS: usize = 8;

/// Groups of weights, and columns of one tile of [`super::columns`].
pub(super) struct QuantisedTile {
    /// Where each group begins.
    pub(super) groups: [*const u8; MAX_GROUPS],
    /// Where a group's scales begin.
    pub(super) scales_at: usize,
    pub(super) blocks: usize,
    /// The first column.
    pub(super) column: Column,
    /// Bytes to the weights that are wanted next, 0 where these have been fetched.
    pub(super) ahead: usize,
}

/// Groups of float weights, and columns.
pub(super) struct PlainTile {
    pub(super) groups: [*const u8; MAX_GROUPS],
    pub(super) depth: usize,
    /// The first column.
    pub(super) column: *const f32,
    /// Floats from one column to the next.
    pub(super) stride: usize,
}

/// A run of inputs of a tile: block `b`, or in Q6_K one half of it.
struct Run<'a> {
    tile: &'a QuantisedTile,
    b: usize,
    /// 0, or in Q6_K the half.
    half: usize,
    /// The first column's quants and fields of the block.
    quants: *const u8,
    fields: *const u8,
}

/// Runs of a block.
const fn runs(kind: Kind) -> usize {
    if matches!(kind.scales(), Scales::Super16) { 2 } else { 1 }
}

/// Computes `V` vectors of outputs for `N` columns of quantised weights.
///
/// # Safety
/// The instructions of `L` are there; all groups, and `N` columns from the first on, have `blocks` blocks;
/// `V` vectors are at most [`MAX_GROUPS`] groups and `N` at most [`MAX_COLUMNS`].
#[inline(always)]
pub(super) unsafe fn quantised<L: Lanes, F: Format, const V: usize, const N: usize>(tile: &QuantisedTile, out: Place) {
    // SAFETY: by the contract; offsets stay inside block `b` of a group or column.
    unsafe {
        let stride = tile.column.stride();
        let (mut quants, mut fields) = (tile.column.quants.cast_const(), tile.column.fields.cast_const());
        let mut sums = [[L::splat_f32(&0.0); N]; V];
        for b in 0..tile.blocks {
            if tile.ahead != 0 {
                for v in 0..V {
                    fetch::<L, F>(tile, v, b);
                }
            }
            for half in 0..runs(F::KIND) {
                let run = Run { tile, b, half, quants, fields };
                let dots = dots::<L, F, V, N>(&run);
                for v in 0..V {
                    let (scale, minimum) = scales::<L, F>(&run, v);
                    for c in 0..N {
                        let factor = L::multiply(scale, L::splat_f32(fields.add(4 * c).cast()));
                        sums[v][c] = L::fma(L::to_float(dots[v][c]), factor, sums[v][c]);
                    }
                    if let Some(minimum) = minimum {
                        let sum = fields.add(tile.column.offset(Field::Sum));
                        for c in 0..N {
                            sums[v][c] = L::negated_fma(minimum, L::splat_f32(sum.add(4 * c).cast()), sums[v][c]);
                        }
                    }
                }
            }
            (quants, fields) = (quants.wrapping_add(stride), fields.wrapping_add(stride));
        }
        for v in 0..V {
            for c in 0..N {
                L::store(out.first.add(c * out.stride + v * L::WIDTH), sums[v][c]);
            }
        }
    }
}

/// Integer sums of a run for each vector of outputs and each column, exact whatever their order.
struct IntegerSums<L: Lanes, const V: usize, const N: usize> {
    dots: [[L::Ints; N]; V],
    /// Sums of 16 bits.
    pairs: [[L::Ints; N]; V],
}

/// The integer sums of a run.
#[inline(always)]
unsafe fn dots<L: Lanes, F: Format, const V: usize, const N: usize>(run: &Run<'_>) -> [[L::Ints; N]; V] {
    // SAFETY: as in `quantised`.
    unsafe {
        let none = [[L::zero(); N]; V];
        let mut sums = IntegerSums::<L, V, N> { dots: none, pairs: none };
        // Written out: as a loop it is not always unrolled, and the sums then live in memory.
        quad::<L, F, V, N, 0>(run, &mut sums);
        quad::<L, F, V, N, 1>(run, &mut sums);
        quad::<L, F, V, N, 2>(run, &mut sums);
        quad::<L, F, V, N, 3>(run, &mut sums);
        if runs(F::KIND) == 1 {
            quad::<L, F, V, N, 4>(run, &mut sums);
            quad::<L, F, V, N, 5>(run, &mut sums);
            quad::<L, F, V, N, 6>(run, &mut sums);
            quad::<L, F, V, N, 7>(run, &mut sums);
        }
        sums.dots
    }
}

/// Adds the products of quad `I` of a run to `sums`.
#[inline(always)]
unsafe fn quad<L: Lanes, F: Format, const V: usize, const N: usize, const I: usize>(
    run: &Run<'_>,
    sums: &mut IntegerSums<L, V, N>,
) {
    let number = run.half * 4 + I;
    // Quads summed in 16 bits; with 0, sums are widened at once.
    let narrow = L::narrow(F::KIND.bits());
    // SAFETY: as in `quantised`.
    unsafe {
        let mut weights = [L::zero(); V];
        for v in 0..V {
            weights[v] = weights_of::<L, F>(run, v, number);
        }
        for c in 0..N {
            let inputs = L::splat(run.quants.add(c * BLOCK + number * 4));
            // A sum begins where it is first needed: registers are few.
            let first = if I == narrow.saturating_sub(1) { start::<L, F>(run, c) } else { L::zero() };
            for v in 0..V {
                let weights = weights[v];
                let (dot, pair) = (&mut sums.dots[v][c], &mut sums.pairs[v][c]);
                let bytes = F::KIND.bits() == 8;
                if narrow == 0 {
                    let sum = if I == 0 { first } else { *dot };
                    *dot = if bytes { L::dot::<8>(sum, weights, inputs) } else { L::dot::<6>(sum, weights, inputs) };
                    continue;
                }
                let product = if bytes { L::signed_pairs(weights, inputs) } else { L::pairs(weights, inputs) };
                *pair = if I.is_multiple_of(narrow) { product } else { L::add_pairs(*pair, product) };
                if I % narrow == narrow - 1 {
                    *dot = L::widen_pairs(if I == narrow - 1 { first } else { *dot }, *pair);
                    if narrow == 4 {
                        L::pin(dot);
                    }
                } else if narrow == 8 {
                    // Else one column after the other is computed, and all weights are spilled.
                    L::pin(pair);
                }
            }
        }
    }
}

/// What an integer sum begins with: the offset of the stored quants times the negated sum of the inputs.
#[inline(always)]
unsafe fn start<L: Lanes, F: Format>(run: &Run<'_>, c: usize) -> L::Ints {
    // SAFETY: as in `quantised`.
    unsafe {
        let fields = run.fields.add(4 * c);
        let whole = || L::splat(fields.add(run.tile.column.offset(Field::Negated)));
        let half = || L::splat(fields.add(run.tile.column.offset(Field::NegatedHalf)));
        let sum = match (runs(F::KIND), run.half) {
            (1, _) => whole(),
            (_, 0) => half(),
            _ => L::subtract(whole(), half()),
        };
        match F::KIND.offset() {
            8 => L::shift::<3>(sum),
            16 => L::shift::<4>(sum),
            32 => L::shift::<5>(sum),
            128 if !L::SIGNED_BYTES => L::shift::<7>(sum),
            _ => L::zero(),
        }
    }
}

/// The stored quants of quad `quad` of the block.
#[inline(always)]
unsafe fn weights_of<L: Lanes, F: Format>(run: &Run<'_>, v: usize, quad: usize) -> L::Ints {
    let (group, lane) = (run.tile.groups[v * L::WIDTH / GROUP], v * L::WIDTH % GROUP);
    // SAFETY: as in `quantised`.
    unsafe {
        if F::KIND.nibbles() {
            let line = L::load(group.add(run.b * BLOCK * GROUP / 2 + quad / 2 * 4 * GROUP + 4 * lane));
            if quad.is_multiple_of(2) { L::low(line) } else { L::high(line) }
        } else {
            L::load(group.add(run.b * BLOCK * GROUP + quad * 4 * GROUP + 4 * lane))
        }
    }
}

/// Fetches block `b` of the weights that are wanted next. Where there are none, an address is just a number.
#[inline(always)]
fn fetch<L: Lanes, F: Format>(tile: &QuantisedTile, v: usize, b: usize) {
    if !(v * L::WIDTH).is_multiple_of(GROUP) {
        return;
    }
    let bytes = BLOCK * GROUP / if F::KIND.nibbles() { 2 } else { 1 };
    let block = tile.groups[v * L::WIDTH / GROUP].wrapping_add(tile.ahead + b * bytes);
    for line in (0..bytes).step_by(64) {
        L::fetch(block.wrapping_add(line));
    }
    let scales = match F::KIND.scales() {
        Scales::Half => 2 * GROUP,
        Scales::HalfMin => 4 * GROUP,
        Scales::SuperMin => SUPER_MIN / 8,
        Scales::Super16 => SUPER_16 / 8,
    };
    L::fetch(tile.groups[v * L::WIDTH / GROUP].wrapping_add(tile.ahead + tile.scales_at + b * scales));
}

/// Scales and minimums of one vector of outputs for a run.
#[inline(always)]
unsafe fn scales<L: Lanes, F: Format>(run: &Run<'_>, v: usize) -> (L::Floats, Option<L::Floats>) {
    let (group, lane) = (run.tile.groups[v * L::WIDTH / GROUP], v * L::WIDTH % GROUP);
    let b = run.b;
    // SAFETY: as in `quantised`.
    unsafe {
        let scales = group.add(run.tile.scales_at);
        match F::KIND.scales() {
            Scales::Half => (L::load_f16(scales.add(b * 2 * GROUP + 2 * lane)), None),
            Scales::HalfMin => {
                let at = scales.add(b * 4 * GROUP + 2 * lane);
                (L::load_f16(at), Some(L::load_f16(at.add(2 * GROUP))))
            }
            Scales::SuperMin => {
                let at = scales.add(b / 8 * SUPER_MIN);
                let (d, min) = (L::load_f16(at.add(2 * lane)), L::load_f16(at.add(2 * GROUP + 2 * lane)));
                let factors = at.add(4 * GROUP + b % 8 * 2 * GROUP + lane);
                let minimum = L::multiply(min, L::load_u8(factors.add(GROUP)));
                (L::multiply(d, L::load_u8(factors)), Some(minimum))
            }
            Scales::Super16 => {
                let at = scales.add(b / 8 * SUPER_16);
                let factors = at.add(2 * GROUP + (b % 8 * 2 + run.half) * GROUP + lane);
                (L::multiply(L::load_f16(at.add(2 * lane)), L::load_i8(factors)), None)
            }
        }
    }
}

/// Computes `V` vectors of outputs for `N` columns of float weights.
///
/// # Safety
/// The instructions of `L` are there; all groups, and `N` columns from the first on, have `depth` values;
/// `V` vectors are at most [`MAX_GROUPS`] groups and `N` at most [`MAX_COLUMNS`].
#[inline(always)]
pub(super) unsafe fn plain<L: Lanes, const KIND: u8, const V: usize, const N: usize>(tile: &PlainTile, out: Place) {
    // SAFETY: by the contract.
    unsafe {
        let mut sums = [[L::splat_f32(&0.0); N]; V];
        for k in 0..tile.depth {
            let mut weights = [L::splat_f32(&0.0); V];
            for v in 0..V {
                let at = k * GROUP + v * L::WIDTH % GROUP;
                let group = tile.groups[v * L::WIDTH / GROUP];
                weights[v] = if KIND == Kind::F32 as u8 {
                    L::load_f32(group.add(4 * at))
                } else if KIND == Kind::F16 as u8 {
                    L::load_f16(group.add(2 * at))
                } else {
                    L::load_bf16(group.add(2 * at))
                };
            }
            for c in 0..N {
                let x = L::splat_f32(tile.column.add(c * tile.stride + k));
                for v in 0..V {
                    sums[v][c] = L::fma(weights[v], x, sums[v][c]);
                }
            }
        }
        for v in 0..V {
            for c in 0..N {
                L::store(out.first.add(c * out.stride + v * L::WIDTH), sums[v][c]);
            }
        }
    }
}
