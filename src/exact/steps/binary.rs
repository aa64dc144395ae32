//! Element by element on two arrays (spec/numerics.md §4.3).
#![allow(unsafe_code)]

use super::{Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::pool::Member;
use crate::exact::vector::{LANES, Vector, per_set};
use crate::exact::view::View;

/// What is done with two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
}

/// `out = a op b`, all of binary32 with plain rows. `b` is repeated in every dimension in which it is
/// smaller, a row of one element along the whole row. `out` may be `a` or `b` itself.
pub struct Binary {
    /// The operation.
    pub op: BinaryOp,
    /// The result, of `a`'s extents.
    pub out: View,
    /// First operand.
    pub a: View,
    /// Second operand.
    pub b: View,
}

impl Step for Binary {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let width = self.out.extents[0];
        for row in member.part(self.out.rows(), 1) {
            let place = self.out.place(row);
            let (out, a, b) = (self.out.row_at(place), self.a.row_at(place), self.b.row_at(place));
            let (out, a, b): (*mut f32, *const f32, *const f32) = (out.cast(), a.cast(), b.cast());
            // SAFETY: rows of this step's views, this thread's own.
            unsafe {
                if self.b.extents[0] == 1 {
                    with_one(set, self.op, out, a, *b, width);
                } else {
                    let period = self.b.extents[0];
                    for at in (0..width).step_by(period) {
                        with_row(set, self.op, out.add(at), a.add(at), b, period.min(width - at));
                    }
                }
            }
        }
        Ok(())
    }
}

per_set! {
    /// A row with a row of `n` elements.
    unsafe fn with_row = with_row_body(op: BinaryOp, out: *mut f32, a: *const f32, b: *const f32, n: usize)
}

per_set! {
    /// A row with one number.
    unsafe fn with_one = with_one_body(op: BinaryOp, out: *mut f32, a: *const f32, b: f32, n: usize)
}

/// A function of one vector. A trait and not a closure, because methods can be inlined always, and must be:
/// a function that is not has none of the instructions of the one that calls it.
pub(super) trait Map<V> {
    fn call(self, x: V) -> V;
}

/// A function of two vectors.
pub(super) trait Zip<V> {
    fn call(self, a: V, b: V) -> V;
}

macro_rules! zips {
    ($($name:ident $method:ident),+) => {
        $(
            #[derive(Clone, Copy)]
            struct $name;

            impl<V: Vector> Zip<V> for $name {
                #[inline(always)]
                fn call(self, a: V, b: V) -> V {
                    a.$method(b)
                }
            }
        )+
    };
}

zips!(Add add, Sub sub, Mul mul, Div div);

/// A function of two vectors whose second argument is known.
#[derive(Clone, Copy)]
struct With<F, V>(F, V);

impl<F: Zip<V>, V: Vector> Map<V> for With<F, V> {
    #[inline(always)]
    fn call(self, x: V) -> V {
        self.0.call(x, self.1)
    }
}

#[inline(always)]
unsafe fn with_row_body<V: Vector>(op: BinaryOp, out: *mut f32, a: *const f32, b: *const f32, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        match op {
            BinaryOp::Add => zip::<V, _>(out, a, b, n, Add),
            BinaryOp::Sub => zip::<V, _>(out, a, b, n, Sub),
            BinaryOp::Mul => zip::<V, _>(out, a, b, n, Mul),
            BinaryOp::Div => zip::<V, _>(out, a, b, n, Div),
        }
    }
}

#[inline(always)]
unsafe fn with_one_body<V: Vector>(op: BinaryOp, out: *mut f32, a: *const f32, b: f32, n: usize) {
    let b = V::splat(b);
    // SAFETY: the caller's.
    unsafe {
        match op {
            BinaryOp::Add => map::<V, _>(out, a, n, With(Add, b)),
            BinaryOp::Sub => map::<V, _>(out, a, n, With(Sub, b)),
            BinaryOp::Mul => map::<V, _>(out, a, n, With(Mul, b)),
            BinaryOp::Div => map::<V, _>(out, a, n, With(Div, b)),
        }
    }
}

/// `out[i] = f(a[i], b[i])` for `n` elements. A vector is read before it is written, so `out` may be one of
/// the operands.
///
/// # Safety
/// `n` elements of each can be read or written.
#[inline(always)]
pub(super) unsafe fn zip<V: Vector, F: Zip<V> + Copy>(out: *mut f32, a: *const f32, b: *const f32, n: usize, f: F) {
    // SAFETY: below `n`.
    unsafe {
        let mut at = 0;
        while at + LANES <= n {
            f.call(V::load(a.add(at)), V::load(b.add(at))).store(out.add(at));
            at += LANES;
        }
        if at < n {
            let (x, y) = (V::load_part(a.add(at), n - at), V::load_part(b.add(at), n - at));
            f.call(x, y).store_part(out.add(at), n - at);
        }
    }
}

/// `out[i] = f(a[i])` for `n` elements; `out` may be `a`.
///
/// # Safety
/// `n` elements of each can be read or written.
#[inline(always)]
pub(super) unsafe fn map<V: Vector, F: Map<V> + Copy>(out: *mut f32, a: *const f32, n: usize, f: F) {
    // SAFETY: below `n`.
    unsafe {
        let mut at = 0;
        while at + LANES <= n {
            f.call(V::load(a.add(at))).store(out.add(at));
            at += LANES;
        }
        if at < n {
            f.call(V::load_part(a.add(at), n - at)).store_part(out.add(at), n - at);
        }
    }
}
