//! Where a product goes.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::pack::GROUP;

/// A matrix of results: column `j`, output `i` at `j * stride + i`. Several threads may write
/// different outputs of one matrix, hence no slice.
pub struct Output<'a> {
    first: *mut f32,
    len: usize,
    stride: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> Output<'a> {
    /// A matrix in `values`, `stride` floats from one column to the next.
    #[must_use]
    pub fn new(values: &'a mut [f32], stride: usize) -> Self {
        // SAFETY: an exclusive slice for the lifetime of the result.
        unsafe { Self::from_raw(values.as_mut_ptr(), values.len(), stride) }
    }

    /// A matrix of `len` floats at `first`.
    ///
    /// # Safety
    /// The floats are valid for writes during `'a`, and nobody else touches the outputs that are
    /// written through this.
    #[must_use]
    pub unsafe fn from_raw(first: *mut f32, len: usize, stride: usize) -> Self {
        Self { first, len, stride, _borrow: PhantomData }
    }

    /// Whether `columns` columns, at least one, of `outputs` outputs fit.
    pub(super) fn holds(&self, columns: usize, outputs: usize) -> bool {
        outputs <= self.stride
            && (columns - 1)
                .checked_mul(self.stride)
                .and_then(|at| at.checked_add(outputs))
                .is_some_and(|n| n <= self.len)
    }

    /// Writes `sums` to the outputs from `first` on of one column.
    #[inline]
    pub(super) fn store(&mut self, column: usize, first: usize, sums: &[f32]) {
        let at = column * self.stride + first;
        assert!(at + sums.len() <= self.len);
        // SAFETY: inside the matrix by the line above; valid and unshared by the constructors.
        let to = unsafe { self.first.add(at) };
        // The usual tile in a few moves instead of a call.
        if let Ok(pair) = <&[f32; 2 * GROUP]>::try_from(sums) {
            // SAFETY: as many values as above.
            unsafe { to.cast::<[f32; 2 * GROUP]>().write_unaligned(*pair) }
        } else {
            // SAFETY: as above.
            unsafe { to.copy_from_nonoverlapping(sums.as_ptr(), sums.len()) }
        }
    }
}
