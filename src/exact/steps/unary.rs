//! Element by element on one array, and gated units (spec/numerics.md §4.3).
#![allow(unsafe_code)]

use super::binary::{Map, Zip, map, zip};
use super::{Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::pool::Member;
use crate::exact::vector::{Vector, gelu, per_set, sigmoid, tanh};
use crate::exact::view::View;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// -x.
    Neg,
    /// x where it is at least 0 (-0 too), else 0.
    Relu,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// x * sigmoid(x).
    Silu,
    /// The hyperbolic tangent.
    Tanh,
    /// x * Phi(x), approximated with the hyperbolic tangent.
    Gelu,
    /// x * sigmoid(1.702 x).
    GeluQuick,
}

macro_rules! function {
    ($name:ident($x:ident) = $value:expr) => {
        #[derive(Clone, Copy)]
        struct $name;

        impl<V: Vector> Map<V> for $name {
            #[inline(always)]
            fn call(self, $x: V) -> V {
                $value
            }
        }
    };
}

function!(Neg(x) = V::splat(0.0).sub(x));
// Not `max`: of a constant and a NaN that signals, compilers may make a NaN of AArch64's maximum.
function!(Relu(x) = x.select_ge(V::splat(0.0), x, V::splat(0.0)));
function!(Sigmoid(x) = sigmoid(x));
function!(Silu(x) = x.mul(sigmoid(x)));
function!(Tanh(x) = tanh(x));
function!(Gelu(x) = gelu(x));
function!(GeluQuick(x) = x.mul(sigmoid(V::splat(1.702).mul(x))));

/// Calls `$run` with an operation's function: a type, so that no loop decides it anew.
macro_rules! with_op {
    ($op:expr, $run:ident($($argument:expr),*)) => {
        match $op {
            UnaryOp::Neg => $run::<V, _>($($argument),*, Neg),
            UnaryOp::Relu => $run::<V, _>($($argument),*, Relu),
            UnaryOp::Sigmoid => $run::<V, _>($($argument),*, Sigmoid),
            UnaryOp::Silu => $run::<V, _>($($argument),*, Silu),
            UnaryOp::Tanh => $run::<V, _>($($argument),*, Tanh),
            UnaryOp::Gelu => $run::<V, _>($($argument),*, Gelu),
            UnaryOp::GeluQuick => $run::<V, _>($($argument),*, GeluQuick),
        }
    };
}

/// `out = op(a)`, both of binary32 with plain rows; `out` may be `a`.
pub struct Unary {
    /// The function.
    pub op: UnaryOp,
    /// The result.
    pub out: View,
    /// The argument, of the same extents.
    pub a: View,
}

impl Step for Unary {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        for row in member.part(self.out.rows(), 1) {
            // SAFETY: rows of this step's views, this thread's own.
            unsafe { unary(set, self.op, self.out.row(row).cast(), self.a.row(row).cast(), self.out.extents[0]) }
        }
        Ok(())
    }
}

/// `out = a * factor + offset`: a product rounded, a sum rounded (left out where the offset is 0).
pub struct Scale {
    /// Factor.
    pub factor: f32,
    /// Offset.
    pub offset: f32,
    /// The result.
    pub out: View,
    /// The argument, of the same extents.
    pub a: View,
}

impl Step for Scale {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let width = self.out.extents[0];
        for row in member.part(self.out.rows(), 1) {
            let (out, a) = (self.out.row(row).cast(), self.a.row(row).cast());
            // SAFETY: rows of this step's views, this thread's own.
            unsafe { scale(set, self.factor, self.offset, out, a, width) }
        }
        Ok(())
    }
}

/// A gated unit: `out = op(gate) * up`, binary32 with plain rows.
pub struct Glu {
    /// The gate's function.
    pub op: UnaryOp,
    /// The result.
    pub out: View,
    /// What is put through the function.
    pub gate: View,
    /// What is multiplied with it.
    pub up: View,
}

impl Step for Glu {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let width = self.out.extents[0];
        for row in member.part(self.out.rows(), 1) {
            let (out, gate, up) = (self.out.row(row).cast(), self.gate.row(row).cast(), self.up.row(row).cast());
            // SAFETY: rows of this step's views, this thread's own.
            unsafe { glu(set, self.op, out, gate, up, width) }
        }
        Ok(())
    }
}

per_set! { unsafe fn unary = unary_body(op: UnaryOp, out: *mut f32, a: *const f32, n: usize) }
per_set! { unsafe fn scale = scale_body(factor: f32, offset: f32, out: *mut f32, a: *const f32, n: usize) }
per_set! { unsafe fn glu = glu_body(op: UnaryOp, out: *mut f32, gate: *const f32, up: *const f32, n: usize) }

#[inline(always)]
unsafe fn unary_body<V: Vector>(op: UnaryOp, out: *mut f32, a: *const f32, n: usize) {
    // SAFETY: the caller's.
    unsafe { with_op!(op, map(out, a, n)) }
}

/// The function of the first argument times the second.
#[derive(Clone, Copy)]
struct Gated<F>(F);

impl<V: Vector, F: Map<V>> Zip<V> for Gated<F> {
    #[inline(always)]
    fn call(self, gate: V, up: V) -> V {
        self.0.call(gate).mul(up)
    }
}

#[inline(always)]
unsafe fn gated<V: Vector, F: Map<V> + Copy>(out: *mut f32, gate: *const f32, up: *const f32, n: usize, f: F) {
    // SAFETY: the caller's.
    unsafe { zip::<V, _>(out, gate, up, n, Gated(f)) }
}

#[inline(always)]
unsafe fn glu_body<V: Vector>(op: UnaryOp, out: *mut f32, gate: *const f32, up: *const f32, n: usize) {
    // SAFETY: the caller's.
    unsafe { with_op!(op, gated(out, gate, up, n)) }
}

/// A product rounded, and a sum rounded.
#[derive(Clone, Copy)]
struct Affine<V, const OFFSET: bool>(V, V);

impl<V: Vector, const OFFSET: bool> Map<V> for Affine<V, OFFSET> {
    #[inline(always)]
    fn call(self, x: V) -> V {
        let product = x.mul(self.0);
        if OFFSET { product.add(self.1) } else { product }
    }
}

#[inline(always)]
unsafe fn scale_body<V: Vector>(factor: f32, offset: f32, out: *mut f32, a: *const f32, n: usize) {
    let (by, more) = (V::splat(factor), V::splat(offset));
    // SAFETY: the caller's.
    unsafe {
        if offset == 0.0 {
            map(out, a, n, Affine::<V, false>(by, more));
        } else {
            map(out, a, n, Affine::<V, true>(by, more));
        }
    }
}
