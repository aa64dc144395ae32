//! Products of weights with columns (spec/numerics.md §5).
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::Arc;

use super::{Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::pool::Member;
use crate::exact::products::{Input, Output, Packed, Plain, Quantised, matmul};
use crate::exact::view::View;

/// A cache line, for the alignment.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Memory for the quantised columns of the product at hand. One serves all products of a plan: columns are
/// quantised by a step before the products that read them.
pub struct Inputs {
    lines: Box<[UnsafeCell<Line>]>,
}

// SAFETY: plain memory, which steps of one plan share as `Step::run` asks.
unsafe impl Sync for Inputs {}

impl Inputs {
    /// Room for the largest of some shapes, given as (depth, columns).
    #[must_use]
    pub fn new(shapes: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let bytes = shapes.into_iter().map(|(depth, count)| Quantised::bytes(depth, count)).max().unwrap_or(0);
        Self { lines: (0..bytes.div_ceil(64)).map(|_| UnsafeCell::new(Line([0; 64]))).collect() }
    }

    /// The memory as columns of one shape.
    ///
    /// # Panics
    /// Where there is no room for them.
    fn columns(&self, depth: usize, count: usize) -> Quantised<'_> {
        assert!(Quantised::bytes(depth, count) <= self.lines.len() * 64);
        let first = self.lines.as_ptr().cast_mut().cast::<u8>();
        // SAFETY: initialised memory that may be written through a shared reference, long enough; the steps
        // of one plan, which alone use it, order their accesses.
        unsafe { Quantised::from_raw(first, depth, count) }
    }
}

/// Quantises columns (spec/numerics.md §5.1).
pub struct QuantizeInputs {
    /// The columns: plain rows of binary32, a multiple of 32 long.
    pub a: View,
    /// Where they go.
    pub inputs: Arc<Inputs>,
}

impl Step for QuantizeInputs {
    fn items(&self) -> usize {
        self.a.rows()
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let (depth, count) = (self.a.extents[0], self.a.rows());
        let columns = self.inputs.columns(depth, count);
        for column in member.part(count, 1) {
            let values = self.a.row(column).cast::<f32>().cast_const();
            // SAFETY: a row of the view; the column is this thread's.
            unsafe { columns.quantize(set, column, std::slice::from_raw_parts(values, depth)) }
        }
        Ok(())
    }
}

/// Multiplies weights with columns that a [`QuantizeInputs`] has left.
pub struct QuantizedProduct {
    /// The weights.
    pub weights: Arc<Packed>,
    /// The columns.
    pub inputs: Arc<Inputs>,
    /// The result: rows of outputs at one distance, one for each column.
    pub out: View,
}

impl Step for QuantizedProduct {
    fn product(&self) -> Option<(&Inputs, Range<usize>)> {
        let stride = self.out.row_stride()?;
        let first = self.out.data.addr();
        let last = first + self.out.rows().checked_sub(1)? * stride;
        Some((&self.inputs, first..last + size_of::<f32>() * self.weights.outputs()))
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let count = self.out.rows();
        let input = Input::Quantised(self.inputs.columns(self.weights.depth(), count));
        // SAFETY: passed on.
        unsafe { multiply(set, member, &self.weights, input, &self.out) }
    }
}

/// Multiplies weights that are floats with columns as they are.
pub struct DenseProduct {
    /// The weights.
    pub weights: Arc<Packed>,
    /// The columns: plain rows of binary32 at one distance.
    pub a: View,
    /// The result: rows of outputs at one distance, one for each column.
    pub out: View,
}

impl Step for DenseProduct {
    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let (depth, count) = (self.a.extents[0], self.a.rows());
        let stride = self.a.row_stride().ok_or("columns at no one distance")? / size_of::<f32>();
        // SAFETY: rows of the view.
        let columns = unsafe { Plain::from_raw(self.a.data.cast::<f32>().cast_const(), stride, depth, count) };
        // SAFETY: passed on.
        unsafe { multiply(set, member, &self.weights, Input::Plain(columns), &self.out) }
    }
}

/// This thread's share of a product: some outputs of all columns, or, where there are few outputs, all
/// outputs of some columns. Neither changes a bit.
unsafe fn multiply(
    set: KernelSet,
    member: &Member<'_>,
    weights: &Packed,
    input: Input<'_>,
    out: &View,
) -> Result<(), Refusal> {
    let count = input.count();
    let stride = out.row_stride().ok_or("outputs at no one distance")? / size_of::<f32>();
    let (columns, groups) = if weights.groups() < 2 * member.threads && count >= 2 * member.threads {
        (member.part(count, 1), 0..weights.groups())
    } else {
        (0..count, member.part(weights.groups(), 1))
    };
    if count > 0 {
        let len = (count - 1) * stride + weights.outputs();
        // SAFETY: rows of the view; the outputs written are this thread's.
        let mut out = unsafe { Output::from_raw(out.data.cast(), len, stride) };
        matmul(set, weights, input, columns, groups, &mut out);
    }
    Ok(())
}
