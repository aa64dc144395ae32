//! Columns of a product: as they are, or quantised (spec/numerics.md §5.1).
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::kind::BLOCK;
use super::quantize::quantize;
use crate::exact::KernelSet;

/// Quantised columns that lie side by side. A tile is stored block after block; a block of a tile of
/// `w` columns has `w` times 32 signed quants, then for all `w` columns each field of [`Field`].
pub(super) const TILE: usize = 8;

/// What is kept of a column's block beside its quants, 4 bytes each.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    /// The scale, an `f32`.
    Scale,
    /// The sum of the quants times the scale, rounded, an `f32`.
    Sum,
    /// The sum of the quants, negated, an `i32`.
    Negated,
    /// The same of the first 16 quants.
    NegatedHalf,
}

const FIELDS: usize = 4;

/// Bytes of one block of one column.
const RECORD: usize = BLOCK + 4 * FIELDS;

/// A cache line, for the alignment.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Memory for quantised columns, kept from one product to the next.
#[derive(Debug, Default)]
pub struct Columns {
    memory: Vec<Line>,
    depth: usize,
    count: usize,
}

impl Columns {
    /// Makes room for `count` columns of `depth` values. What they hold is then arbitrary.
    ///
    /// # Panics
    /// Where `depth` is not a multiple of 32.
    pub fn reset(&mut self, depth: usize, count: usize) {
        let lines = Quantised::bytes(depth, count).div_ceil(64);
        if self.memory.len() < lines {
            self.memory.resize(lines, Line([0; 64]));
        }
        (self.depth, self.count) = (depth, count);
    }

    /// Quantises `values` into column `column`.
    ///
    /// # Panics
    /// Where there is no such column or `values` has another length than the depth.
    pub fn quantize(&mut self, set: KernelSet, column: usize, values: &[f32]) {
        // SAFETY: the exclusive borrow keeps every other view away.
        unsafe { self.view().quantize(set, column, values) }
    }

    /// The columns, for several threads to fill and read.
    #[must_use]
    pub fn view(&mut self) -> Quantised<'_> {
        // SAFETY: `reset` has made room; the memory is borrowed for the lifetime of the view.
        unsafe { Quantised::from_raw(self.memory.as_mut_ptr().cast(), self.depth, self.count) }
    }
}

/// A view of quantised columns that threads share.
#[derive(Clone, Copy, Debug)]
pub struct Quantised<'a> {
    first: *mut u8,
    depth: usize,
    count: usize,
    _borrow: PhantomData<&'a mut [u8]>,
}

// SAFETY: plain memory; who writes it (`quantize`) promises that nobody else touches the column.
unsafe impl Send for Quantised<'_> {}
// SAFETY: as above.
unsafe impl Sync for Quantised<'_> {}

impl Quantised<'_> {
    /// Bytes of memory that `count` columns of `depth` values need.
    ///
    /// # Panics
    /// Where `depth` is not a multiple of 32.
    #[must_use]
    pub fn bytes(depth: usize, count: usize) -> usize {
        assert!(depth.is_multiple_of(BLOCK), "quantised columns consist of blocks");
        (depth / BLOCK).saturating_mul(RECORD).saturating_mul(count)
    }

    /// A view of memory at `first`; all columns begin arbitrary.
    ///
    /// # Safety
    /// `first` is the address of [`Self::bytes`] initialised bytes that only copies of this view touch while
    /// they live.
    ///
    /// # Panics
    /// Where `first` is not aligned to 4 bytes or `depth` is not a multiple of 32.
    #[must_use]
    pub unsafe fn from_raw(first: *mut u8, depth: usize, count: usize) -> Self {
        assert!(first.addr().is_multiple_of(4) && depth.is_multiple_of(BLOCK));
        Self { first, depth, count, _borrow: PhantomData }
    }

    /// Values in a column.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Number of columns.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Quantises `values` into column `column`.
    ///
    /// # Safety
    /// No other thread quantises into this column or reads it at the same time.
    ///
    /// # Panics
    /// Where there is no such column or `values` has another length than the depth.
    pub unsafe fn quantize(&self, set: KernelSet, column: usize, values: &[f32]) {
        assert!(column < self.count, "no such column");
        assert_eq!(values.len(), self.depth, "a column of another depth");
        let at = self.column(column);
        let set = if set.available() { set } else { KernelSet::Scalar };
        // SAFETY: the processor runs the set; the column is in the memory (`column`) and ours.
        unsafe { quantize(set, values, at) }
    }

    /// Where column `column`, below [`Self::count`], lies.
    // Inlined: an address that is returned in memory is read back only when all earlier outputs are stored.
    #[inline(always)]
    pub(super) fn column(&self, column: usize) -> Column {
        let tile = column / TILE * TILE;
        let width = TILE.min(self.count - tile);
        let within = column - tile;
        let record = self.depth / BLOCK * RECORD;
        // SAFETY: inside the `bytes` of the constructor: `tile` columns come before this tile.
        let first = unsafe { self.first.add(tile * record) };
        // SAFETY: the first block of a tile has `width` columns of `RECORD` bytes; the last tile is the
        // narrower one. A column of depth zero has no bytes, and nothing reads them.
        let (quants, fields) = unsafe {
            if record == 0 {
                (first, first)
            } else {
                (first.add(within * BLOCK), first.add(width * BLOCK + within * 4))
            }
        };
        Column { quants, fields, width }
    }
}

/// One column's first block. The next column of the same tile is 32 bytes behind at `quants`, 4 at `fields`.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) quants: *mut u8,
    pub(super) fields: *mut u8,
    /// Columns of the tile.
    pub(super) width: usize,
}

impl Column {
    /// Bytes from one block to the next.
    #[inline(always)]
    pub(super) fn stride(&self) -> usize {
        self.width * RECORD
    }

    /// Bytes from the first field to `field`.
    #[inline(always)]
    pub(super) fn offset(&self, field: Field) -> usize {
        self.width * 4 * field as usize
    }
}

/// Columns as they are: column `j` at `j * stride`.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    first: *const f32,
    stride: usize,
    depth: usize,
    count: usize,
    _borrow: PhantomData<&'a [f32]>,
}

// SAFETY: a shared slice in disguise.
unsafe impl Send for Plain<'_> {}
// SAFETY: as above.
unsafe impl Sync for Plain<'_> {}

impl<'a> Plain<'a> {
    /// `count` columns of `depth` values in `values`, `stride` floats apart.
    ///
    /// # Panics
    /// Where `values` is too short.
    #[must_use]
    pub fn new(values: &'a [f32], stride: usize, depth: usize, count: usize) -> Self {
        let need = count.checked_sub(1).map_or(Some(0), |before| before.checked_mul(stride)?.checked_add(depth));
        assert!(need.is_some_and(|need| need <= values.len()), "values of {count} columns are missing");
        // SAFETY: a shared slice for the lifetime of the result, long enough by the line above.
        unsafe { Self::from_raw(values.as_ptr(), stride, depth, count) }
    }

    /// `count` columns of `depth` values at `first`, `stride` floats apart.
    ///
    /// # Safety
    /// All of them are valid for reads during `'a`.
    #[must_use]
    pub unsafe fn from_raw(first: *const f32, stride: usize, depth: usize, count: usize) -> Self {
        Self { first, stride, depth, count, _borrow: PhantomData }
    }

    /// Values in a column.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Number of columns.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Floats from one column to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Where column `column`, below [`Self::count`], lies.
    // Inlined: an address that is returned in memory is read back only when all earlier outputs are stored.
    #[inline(always)]
    pub(super) fn column(&self, column: usize) -> *const f32 {
        // SAFETY: inside the memory of the constructor.
        unsafe { self.first.add(column * self.stride) }
    }
}
