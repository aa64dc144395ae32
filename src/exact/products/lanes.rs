//! What the kernels ask of an instruction set.
#![allow(unsafe_code)]

use super::kind::Format;
use super::output::Place;
use super::tile::{PlainTile, QuantisedTile};

/// An instruction set whose vectors hold [`Self::WIDTH`] outputs side by side.
///
/// # Safety
/// Every method wants the set's instructions to be there, and pointers to be valid for what it reads. All
/// are inlined into the functions that enable these instructions ([`Kernels`]).
pub(super) trait Lanes {
    /// Outputs of a vector: 4, 8 or 16.
    const WIDTH: usize;

    /// Quads whose products of quants of so many bits are summed in 16 bits ([`Self::pairs`]) before they
    /// are widened: 1, 2, 4 or 8; 0 where [`Self::dot`] sums in 32 bits at once.
    fn narrow(bits: u32) -> usize;

    /// Whether [`Self::dot`] takes the offset off weights of 8 bits, as [`Self::signed_pairs`] does.
    const SIGNED_BYTES: bool;

    /// A vector of `i32`, or of bytes: 4 for each output.
    type Ints: Copy;
    /// A vector of `f32`.
    type Floats: Copy;

    /// Brings the line at an address, which may be any, nearer.
    fn fetch(at: *const u8);
    /// Does nothing, but keeps what is computed from `a` behind what `a` is computed from.
    fn pin(a: &mut Self::Ints);
    unsafe fn zero() -> Self::Ints;
    /// The 4 bytes of [`Self::WIDTH`] outputs.
    unsafe fn load(from: *const u8) -> Self::Ints;
    /// The same 4 bytes for all outputs.
    unsafe fn splat(from: *const u8) -> Self::Ints;
    /// The low halves of bytes.
    unsafe fn low(bytes: Self::Ints) -> Self::Ints;
    /// The high halves of bytes.
    unsafe fn high(bytes: Self::Ints) -> Self::Ints;
    unsafe fn subtract(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Times 2^BY.
    unsafe fn shift<const BY: u32>(a: Self::Ints) -> Self::Ints;
    /// `sum` plus the products of 4 inputs; `weights` unsigned of `BITS` bits, `inputs` signed.
    unsafe fn dot<const BITS: u32>(sum: Self::Ints, weights: Self::Ints, inputs: Self::Ints) -> Self::Ints;
    /// Sums of the products of 2 inputs, in 16 bits; `weights` unsigned of up to 6 bits.
    unsafe fn pairs(weights: Self::Ints, inputs: Self::Ints) -> Self::Ints;
    /// The same for weights of 8 bits less their offset of 128; no input is -128.
    unsafe fn signed_pairs(weights: Self::Ints, inputs: Self::Ints) -> Self::Ints;
    /// Sums of 16 bits.
    unsafe fn add_pairs(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// `sum` plus both sums of 16 bits.
    unsafe fn widen_pairs(sum: Self::Ints, pairs: Self::Ints) -> Self::Ints;
    /// The nearest `f32`s.
    unsafe fn to_float(a: Self::Ints) -> Self::Floats;

    unsafe fn load_f32(from: *const u8) -> Self::Floats;
    unsafe fn load_f16(from: *const u8) -> Self::Floats;
    unsafe fn load_bf16(from: *const u8) -> Self::Floats;
    unsafe fn load_u8(from: *const u8) -> Self::Floats;
    unsafe fn load_i8(from: *const u8) -> Self::Floats;
    unsafe fn splat_f32(from: *const f32) -> Self::Floats;
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `-a * b + c`, rounded once.
    unsafe fn negated_fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn store(to: *mut f32, values: Self::Floats);
}

/// The kernels of an instruction set, compiled for it, as tiles of some groups and columns.
///
/// # Safety
/// The processor has the instructions; a tile has the groups of the constant and `left` columns, at least
/// one.
pub(super) trait Kernels: Lanes {
    /// Groups of a tile of one column of quantised weights, and of one of several columns.
    const QUANTISED_GROUPS: (usize, usize);
    /// The same for float weights.
    const PLAIN_GROUPS: (usize, usize);

    /// Computes the first of `left` columns; returns how many. `several`: whether the tile has the groups of
    /// a product of several columns.
    unsafe fn quantised<F: Format>(several: bool, left: usize, tile: &QuantisedTile, out: Place) -> usize;

    /// The same for floats; `KIND` is a [`super::Kind`].
    unsafe fn plain<const KIND: u8>(several: bool, left: usize, tile: &PlainTile, out: Place) -> usize;
}

/// Implements [`Kernels`] for a set: its name, its features, and for quantised and for float weights the
/// vectors of outputs with one column, the vectors with several, and the numbers of columns, descending to 1.
macro_rules! kernels {
    ($set:ident, $features:literal,
     quantised: $one:literal, $many:literal x [$($n:literal),+],
     plain: $plain_one:literal, $plain_many:literal x [$($plain_n:literal),+]) => {
        impl super::lanes::Kernels for $set {
            const QUANTISED_GROUPS: (usize, usize) = ($one * Self::WIDTH / 16, $many * Self::WIDTH / 16);
            const PLAIN_GROUPS: (usize, usize) = ($plain_one * Self::WIDTH / 16, $plain_many * Self::WIDTH / 16);

            unsafe fn quantised<F: super::kind::Format>(
                several: bool,
                left: usize,
                tile: &super::tile::QuantisedTile,
                out: super::output::Place,
            ) -> usize {
                #[target_feature(enable = $features)]
                unsafe fn compiled<F: super::kind::Format, const V: usize, const N: usize>(
                    tile: &super::tile::QuantisedTile,
                    out: super::output::Place,
                ) -> usize {
                    // SAFETY: passed on.
                    unsafe { super::tile::quantised::<$set, F, V, N>(tile, out) }
                    N
                }
                // SAFETY: by the contract; a tile of `n` columns is chosen where as many are left.
                unsafe {
                    match left {
                        _ if !several => compiled::<F, $one, 1>(tile, out),
                        $(_ if left >= $n => compiled::<F, $many, $n>(tile, out),)+
                        _ => unreachable!("no column is left"),
                    }
                }
            }

            unsafe fn plain<const KIND: u8>(
                several: bool,
                left: usize,
                tile: &super::tile::PlainTile,
                out: super::output::Place,
            ) -> usize {
                #[target_feature(enable = $features)]
                unsafe fn compiled<const KIND: u8, const V: usize, const N: usize>(
                    tile: &super::tile::PlainTile,
                    out: super::output::Place,
                ) -> usize {
                    // SAFETY: passed on.
                    unsafe { super::tile::plain::<$set, KIND, V, N>(tile, out) }
                    N
                }
                // SAFETY: as above.
                unsafe {
                    match left {
                        _ if !several => compiled::<KIND, $plain_one, 1>(tile, out),
                        $(_ if left >= $plain_n => compiled::<KIND, $plain_many, $plain_n>(tile, out),)+
                        _ => unreachable!("no column is left"),
                    }
                }
            }
        }
    };
}
pub(super) use kernels;
