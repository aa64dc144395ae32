//! Cells of keys and values: how they lie in memory, in which lanes, and which of them each token sees
//! (spec/numerics.md §6).
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::pool::Member;
use crate::exact::vector::LANES;
use crate::exact::view::{Element, View};

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

/// Which lane of a cache each sequence of a batch has. It may change from run to run, so that the sequences of
/// any lanes are side by side.
pub struct Lanes(Vec<AtomicUsize>);

impl Lanes {
    /// For batches of at most `sequences`; each has the lane of its own number at first.
    #[must_use]
    pub fn new(sequences: usize) -> Self {
        Self((0..sequences).map(AtomicUsize::new).collect())
    }

    /// Gives a sequence its lane, which must be one of the cache's.
    pub fn set(&self, sequence: usize, lane: usize) {
        self.0[sequence].store(lane, Ordering::Relaxed);
    }

    /// The lane of a sequence.
    #[must_use]
    pub fn get(&self, sequence: usize) -> usize {
        self.0[sequence].load(Ordering::Relaxed)
    }

    /// How many sequences, and so lanes, there are at most.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
    fn items(&self) -> usize {
        self.mask.extents[1] * self.mask.extents[3]
    }

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

/// What tokens see by their positions: themselves and the `window - 1` positions before them.
pub struct Slide {
    /// One 32-bit position for each token, lane after lane, not negative.
    pub positions: View,
    /// At least 1.
    pub window: usize,
    /// The tokens' ranges, lane after lane.
    pub seen: Arc<Seen>,
}

impl Step for Slide {
    fn items(&self) -> usize {
        self.positions.extents[0]
    }

    unsafe fn run(&self, _: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        for token in member.part(self.positions.extents[0], 1) {
            // SAFETY: an element of `positions`.
            let end = unsafe { self.positions.position(token) }? + 1;
            self.seen.set(token, &(end.saturating_sub(self.window)..end));
        }
        Ok(())
    }
}

/// The range of zeros; `None` if they are not one range between `hidden` elements.
fn visible<T: PartialEq + Copy + Default>(mask: &[T], hidden: T) -> Option<Range<usize>> {
    let Some(start) = mask.iter().position(|&m| m != hidden) else { return Some(0..0) };
    let end = mask.iter().rposition(|&m| m != hidden)? + 1;
    mask[start..end].iter().all(|&m| m == T::default()).then_some(start..end)
}
