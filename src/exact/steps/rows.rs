//! Moving rows: look-ups, writes by index, copies with a change of type (spec/numerics.md §4.6).
#![allow(unsafe_code)]

use std::sync::Arc;

use super::{Keys, Lanes, Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::half::{f16_to_f32, f32_to_f16};
use crate::exact::pool::Member;
use crate::exact::products::Packed;
use crate::exact::vector::{LANES, Vector, per_set};
use crate::exact::view::{Element, View};

/// Reads an index that must be below `bound`.
///
/// # Safety
/// The place is one of the view's.
unsafe fn index(view: &View, place: [usize; 3], bound: usize) -> Result<usize, Refusal> {
    let [i, j, k] = place;
    let offset = i * view.strides[0] + j % view.extents[1] * view.strides[1] + k % view.extents[2] * view.strides[2];
    let at = view.data.wrapping_add(offset);
    // SAFETY: the caller's.
    let value = unsafe {
        match view.element {
            Element::I64 => at.cast::<i64>().read_unaligned(),
            Element::I32 => i64::from(at.cast::<i32>().read_unaligned()),
            Element::F32 | Element::F16 => return Err("an index is not an integer"),
        }
    };
    usize::try_from(value).ok().filter(|&value| value < bound).ok_or("an index is out of bounds")
}

/// `out[i] = a[indices[i]]`, rows of binary32.
pub struct GetRows {
    /// The result.
    pub out: View,
    /// The rows to choose from; dimensions 2 and 3 as in `out`.
    pub a: View,
    /// Integers: one for each row of `out`, laid out as its dimensions 1 to 3.
    pub indices: View,
}

impl Step for GetRows {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, _: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let width = self.out.extents[0];
        for row in member.part(self.out.rows(), 1) {
            let place = self.out.place(row);
            // SAFETY: rows of this step's views, the result this thread's own.
            unsafe {
                let chosen = index(&self.indices, place, self.a.extents[1])?;
                let from = self.a.row_at([chosen, place[1], place[2]]).cast::<f32>();
                self.out.row_at(place).cast::<f32>().copy_from_nonoverlapping(from, width);
            }
        }
        Ok(())
    }
}

/// `out[i]` = the weights of output `indices[i]`, as numbers of binary32 (spec/numerics.md §5.4).
pub struct GetWeights {
    /// The result.
    pub out: View,
    /// The weights.
    pub weights: Arc<Packed>,
    /// Integers, one for each row.
    pub indices: View,
}

impl Step for GetWeights {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, _: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        for row in member.part(self.out.rows(), 1) {
            let place = self.out.place(row);
            // SAFETY: rows of this step's views, the result this thread's own.
            unsafe {
                let chosen = index(&self.indices, place, self.weights.outputs())?;
                let to = self.out.row_at(place).cast::<f32>();
                self.weights.row(chosen, std::slice::from_raw_parts_mut(to, self.out.extents[0]));
            }
        }
        Ok(())
    }
}

/// `out[indices[i]] = a[i]`: rows of binary32, written as binary32 or binary16.
pub struct SetRows {
    /// What is written into; dimensions 2 and 3 as in `a`.
    pub out: View,
    /// The rows.
    pub a: View,
    /// Integers: one for each row of `a`, laid out as its dimensions 1 to 3.
    pub indices: View,
    /// Whether `out` holds keys in the order that attention wants: see [`Keys`].
    pub keys: bool,
    /// Where keys and values are kept by position: an index then says only which sequence a row belongs to.
    pub ring: Option<Ring>,
}

/// Lanes of a number of rows each, in which the row of a position is the position modulo that number.
pub struct Ring {
    /// One 32-bit position for each row that is written, not negative.
    pub positions: View,
    /// Rows of a lane.
    pub rows: usize,
    /// The lane of each sequence; a sequence has as many indices as a lane has rows.
    pub lanes: Arc<Lanes>,
}

impl Step for SetRows {
    fn items(&self) -> usize {
        self.a.rows()
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let width = self.a.extents[0];
        for row in member.part(self.a.rows(), 1) {
            let place = self.a.place(row);
            let from = self.a.row_at(place).cast::<f32>().cast_const();
            // SAFETY: rows of this step's views; no two threads write the same row, as no index occurs twice.
            unsafe {
                let mut chosen = index(&self.indices, place, self.out.extents[1])?;
                if let Some(Ring { positions, rows, lanes }) = &self.ring {
                    chosen = lanes.get(chosen / rows) * rows + positions.position(row)? % rows;
                }
                if self.keys {
                    scatter(set, Keys::first_of(&self.out, chosen), from, width);
                    continue;
                }
                let to = self.out.row_at([chosen, place[1], place[2]]);
                match self.out.element {
                    Element::F16 => narrow(set, to.cast(), from, width),
                    _ => to.cast::<f32>().copy_from_nonoverlapping(from, width),
                }
            }
        }
        Ok(())
    }
}

per_set! {
    /// Writes a key of `n` elements in the order of [`Keys`]: its elements lie 16 apart.
    unsafe fn scatter = scatter_body(first: *mut u16, a: *const f32, n: usize)
}

#[inline(always)]
unsafe fn scatter_body<V: Vector>(first: *mut u16, a: *const f32, n: usize) {
    let mut halves = [0u16; LANES];
    // SAFETY: below `n`, the caller's.
    unsafe {
        for at in (0..n).step_by(LANES) {
            let count = LANES.min(n - at);
            narrow_body::<V>(halves.as_mut_ptr(), a.add(at), count);
            for (i, half) in halves[..count].iter().enumerate() {
                *first.add((at + i) * LANES) = *half;
            }
        }
    }
}

per_set! { unsafe fn narrow = narrow_body(out: *mut u16, a: *const f32, n: usize) }

#[inline(always)]
unsafe fn narrow_body<V: Vector>(out: *mut u16, a: *const f32, n: usize) {
    // SAFETY: below `n`, the caller's.
    unsafe {
        let mut at = 0;
        while at + LANES <= n {
            V::load(a.add(at)).narrow(out.add(at));
            at += LANES;
        }
        for i in at..n {
            *out.add(i) = f32_to_f16(*a.add(i));
        }
    }
}

/// `out = a`, element by element in order, whatever the two arrays' extents: binary32 or binary16 each.
pub struct Copy {
    /// The result; it does not overlap with `a`.
    pub out: View,
    /// What is copied: as many elements.
    pub a: View,
}

impl Step for Copy {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, _: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let (width, from_width) = (self.out.extents[0], self.a.extents[0]);
        for row in member.part(self.out.rows(), 1) {
            let to = self.out.row(row);
            for i in 0..width {
                let flat = row * width + i;
                let from = self.a.row(flat / from_width).wrapping_add(flat % from_width * self.a.strides[0]);
                let to = to.wrapping_add(i * self.out.strides[0]);
                // SAFETY: elements of this step's views, the result this thread's own.
                unsafe {
                    match (self.a.element, self.out.element) {
                        (Element::F32, Element::F32) => *to.cast::<f32>() = *from.cast(),
                        (Element::F16, Element::F16) => *to.cast::<u16>() = *from.cast(),
                        (Element::F32, Element::F16) => *to.cast() = f32_to_f16(*from.cast()),
                        (Element::F16, Element::F32) => *to.cast() = f16_to_f32(*from.cast()),
                        _ => return Err("a copy of integers"),
                    }
                }
            }
        }
        Ok(())
    }
}
