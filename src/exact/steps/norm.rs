//! Normalisation of rows (spec/numerics.md §4.4).
#![allow(unsafe_code)]

use super::{Refusal, Step};
use crate::exact::KernelSet;
use crate::exact::pool::Member;
use crate::exact::steps::binary::{Map, Zip, map, zip};
use crate::exact::vector::{LANES, Vector, per_set};
use crate::exact::view::View;

/// What a row is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// The root of its mean square.
    Rms,
    /// Its standard deviation, after its mean is taken away.
    Layer,
}

/// `out = normalised(a)`, and times `weight` if there is one; binary32 with plain rows.
pub struct Norm {
    /// Which norm.
    pub kind: NormKind,
    /// Added to the mean square or variance.
    pub epsilon: f32,
    /// The result; may be `a`.
    pub out: View,
    /// The argument, of the same extents.
    pub a: View,
    /// Multiplied into the result, repeated as in [`super::Binary`]; its rows are as long as `a`'s.
    pub weight: Option<View>,
}

impl Step for Norm {
    fn items(&self) -> usize {
        self.out.rows()
    }

    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal> {
        let width = self.out.extents[0];
        for row in member.part(self.out.rows(), 1) {
            let place = self.out.place(row);
            let (out, a) = (self.out.row_at(place).cast(), self.a.row_at(place).cast());
            let weight = self.weight.map_or(std::ptr::null(), |weight| weight.row_at(place).cast_const().cast());
            // SAFETY: rows of this step's views, this thread's own.
            unsafe {
                match self.kind {
                    NormKind::Rms => rms(set, self.epsilon, out, a, weight, width),
                    NormKind::Layer => layer(set, self.epsilon, out, a, weight, width),
                }
            }
        }
        Ok(())
    }
}

per_set! { unsafe fn rms = rms_body(epsilon: f32, out: *mut f32, a: *const f32, weight: *const f32, n: usize) }
per_set! { unsafe fn layer = layer_body(epsilon: f32, out: *mut f32, a: *const f32, weight: *const f32, n: usize) }

/// `a` added, or its square by a fused step, to the sum `b`.
#[derive(Clone, Copy)]
struct Term<const SQUARE: bool>;

impl<V: Vector, const SQUARE: bool> Zip<V> for Term<SQUARE> {
    #[inline(always)]
    fn call(self, a: V, sum: V) -> V {
        if SQUARE { a.fma(a, sum) } else { sum.add(a) }
    }
}

/// Sum of `n` terms in 16 lanes, then a tree; lanes beyond `n` get zeros.
#[inline(always)]
unsafe fn sum<V: Vector>(a: *const f32, n: usize, term: impl Zip<V> + Copy) -> f32 {
    let mut lanes = V::splat(0.0);
    let mut at = 0;
    // SAFETY: below `n`, the caller's.
    unsafe {
        while at + LANES <= n {
            lanes = term.call(V::load(a.add(at)), lanes);
            at += LANES;
        }
        if at < n {
            lanes = term.call(V::load_part(a.add(at), n - at), lanes);
        }
    }
    lanes.tree()
}

#[inline(always)]
unsafe fn rms_body<V: Vector>(epsilon: f32, out: *mut f32, a: *const f32, weight: *const f32, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        let squares = sum::<V>(a, n, Term::<true>);
        scale::<V>(1.0 / (squares / n as f32 + epsilon).sqrt(), out, a, weight, n);
    }
}

/// Without a number.
#[derive(Clone, Copy)]
struct Less<V>(V);

impl<V: Vector> Map<V> for Less<V> {
    #[inline(always)]
    fn call(self, x: V) -> V {
        x.sub(self.0)
    }
}

#[inline(always)]
unsafe fn layer_body<V: Vector>(epsilon: f32, out: *mut f32, a: *const f32, weight: *const f32, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        let mean = V::splat(sum::<V>(a, n, Term::<false>) / n as f32);
        map(out, a, n, Less(mean));
        let squares = sum::<V>(out, n, Term::<true>);
        scale::<V>(1.0 / (squares / n as f32 + epsilon).sqrt(), out, out, weight, n);
    }
}

/// Times a number, and times a weight: two products, each rounded.
#[derive(Clone, Copy)]
struct Times<V>(V);

impl<V: Vector> Map<V> for Times<V> {
    #[inline(always)]
    fn call(self, x: V) -> V {
        x.mul(self.0)
    }
}

impl<V: Vector> Zip<V> for Times<V> {
    #[inline(always)]
    fn call(self, x: V, weight: V) -> V {
        x.mul(self.0).mul(weight)
    }
}

/// `out = a * factor`, and times `weight` where it is not null.
#[inline(always)]
unsafe fn scale<V: Vector>(factor: f32, out: *mut f32, a: *const f32, weight: *const f32, n: usize) {
    let factor = Times(V::splat(factor));
    // SAFETY: the caller's.
    unsafe {
        if weight.is_null() {
            map(out, a, n, factor);
        } else {
            zip(out, a, weight, n, factor);
        }
    }
}
