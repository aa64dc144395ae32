//! Where a product goes.
#![allow(unsafe_code)]

use std::marker::PhantomData;

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
    pub(super) fn store(&mut self, column: usize, first: usize, sums: &[f32]) {
        let at = column * self.stride + first;
        assert!(at + sums.len() <= self.len);
        // SAFETY: inside the matrix by the line above; valid and unshared by the constructors.
        unsafe { self.first.add(at).copy_from_nonoverlapping(sums.as_ptr(), sums.len()) }
    }

    /// Where output `first` of a column is, for a tile to write from there on: what it writes is of columns and
    /// outputs that the matrix [holds](Self::holds).
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline]
    pub(super) fn place(&mut self, column: usize, first: usize) -> Place {
        let at = column * self.stride + first;
        assert!(at < self.len);
        // SAFETY: inside the matrix by the line above.
        Place { first: unsafe { self.first.add(at) }, stride: self.stride }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
/// Where the results of a tile go: output `i` of its column `c` to `c * stride + i`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) first: *mut f32,
    pub(super) stride: usize,
}
