//! Functions of one variable, from additions, multiplications and divisions alone: no mathematics
//! library, the same bits everywhere (spec/numerics.md §4.2).

use super::Vector;

/// 1.5 * 2^23: adding it rounds to an integer in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// e^x for -87 <= x <= 0, within 3e-7 + 7.5e-8 |x| of it (relative): the series, and the rounding of the
/// exponent of 2. 0 below -87 and where `x` is no number.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    let least = V::splat(-87.0);
    let zero = V::splat(0.0);
    let t = x.select_ge(least, x, zero).mul(V::splat(std::f32::consts::LOG2_E));
    let shifted = t.add(V::splat(ROUND));
    let f = t.sub(shifted.sub(V::splat(ROUND)));
    // 2^f on -1/2..=1/2: the Taylor series of e^(f ln 2) up to the sixth power.
    let mut p = V::splat(1.540_353e-4);
    for c in [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, 6.931_472e-1, 1.0] {
        p = p.fma(f, V::splat(c));
    }
    x.select_ge(least, p.mul(shifted.pow2_of_shifted()), zero)
}

/// -|x|.
#[inline(always)]
fn negative<V: Vector>(x: V) -> V {
    V::splat(0.0).sub(x.abs())
}

/// 1 / (1 + e^-x), within 1.2e-7; 0 where `x` is no number.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    let e = exp(negative(x));
    let one = V::splat(1.0);
    x.select_ge(V::splat(0.0), one, e).div(one.add(e))
}

/// The hyperbolic tangent, within 1.5e-7; -1 where `x` is no number. The sign comes from a comparison, not from
/// the bit: the sign of a NaN that an operation makes is not the same on all processors.
#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    let e = exp(negative(x.add(x)));
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let size = one.sub(e).div(one.add(e));
    x.select_ge(zero, size, zero.sub(size))
}

/// x * Phi(x), by its usual approximation with the hyperbolic tangent; within 1.5e-7 |x| of that.
#[inline(always)]
pub(crate) fn gelu<V: Vector>(x: V) -> V {
    // sqrt(2 / pi)
    let inner = V::splat(0.797_884_6).mul(x);
    let cubic = V::splat(0.044_715).mul(x).fma(x, V::splat(1.0));
    V::splat(0.5).mul(x).mul(V::splat(1.0).add(tanh(inner.mul(cubic))))
}
