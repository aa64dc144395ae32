//! The reference: plain arrays.

use super::{LANES, Vector};
use crate::exact::half::{f16_to_f32, f32_to_f16};

#[inline(always)]
fn lanes(f: impl FnMut(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

impl Vector for [f32; LANES] {
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: the caller's.
        unsafe { from.cast::<[u16; LANES]>().read_unaligned() }.map(f16_to_f32)
    }

    #[inline(always)]
    unsafe fn narrow(self, to: *mut u16) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[u16; LANES]>().write_unaligned(self.map(f32_to_f16)) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        lanes(|l| self[l] + b[l])
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        lanes(|l| self[l] - b[l])
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        lanes(|l| self[l] * b[l])
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        lanes(|l| self[l] / b[l])
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        lanes(|l| self[l].mul_add(b[l], c[l]))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        lanes(|l| if self[l] > b[l] { self[l] } else { b[l] })
    }

    #[inline(always)]
    fn select_ge(self, b: Self, then: Self, otherwise: Self) -> Self {
        lanes(|l| if self[l] >= b[l] { then[l] } else { otherwise[l] })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        self.map(f32::abs)
    }

    #[inline(always)]
    fn pow2_of_shifted(self) -> Self {
        self.map(|x| f32::from_bits((x.to_bits() << 23).wrapping_add(0x3f80_0000)))
    }

    #[inline(always)]
    fn swap_pairs(self) -> Self {
        lanes(|l| self[l ^ 1])
    }

    #[inline(always)]
    fn tree(mut self) -> f32 {
        let mut n = LANES / 2;
        while n > 0 {
            for l in 0..n {
                self[l] += self[l + n];
            }
            n /= 2;
        }
        self[0]
    }
}
