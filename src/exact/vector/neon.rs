//! Registers of AArch64: four of NEON.
//!
//! NEON is part of every AArch64 target with floats, so its intrinsics may be called anywhere.

use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;

use super::Vector;

/// Four registers of NEON.
#[derive(Clone, Copy)]
pub(in crate::exact) struct Four([float32x4_t; 4]);

/// Applies an intrinsic to each of the four registers.
macro_rules! each {
    ($op:ident($a:ident $(, $b:ident)*)) => {
        // SAFETY: see the module.
        unsafe { Four([
            $op($a.0[0] $(, $b.0[0])*),
            $op($a.0[1] $(, $b.0[1])*),
            $op($a.0[2] $(, $b.0[2])*),
            $op($a.0[3] $(, $b.0[3])*),
        ]) }
    };
}

/// `a` where it is greater than `b`, else `b`. `vmaxq_f32` would prefer numbers' opposites: a NaN of either
/// operand, and of two zeros the positive one.
#[inline(always)]
unsafe fn greater(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: see the module.
    unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
}

#[inline(always)]
unsafe fn select(a: float32x4_t, b: float32x4_t, then: float32x4_t, otherwise: float32x4_t) -> float32x4_t {
    // SAFETY: see the module.
    unsafe { vbslq_f32(vcgeq_f32(a, b), then, otherwise) }
}

/// `a * b + c`: the intrinsic has the sum first.
#[inline(always)]
unsafe fn fused(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
    // SAFETY: see the module.
    unsafe { vfmaq_f32(c, a, b) }
}

#[inline(always)]
unsafe fn pow2(shifted: float32x4_t) -> float32x4_t {
    // SAFETY: see the module.
    unsafe {
        let exponent = vshlq_n_s32::<23>(vreinterpretq_s32_f32(shifted));
        vreinterpretq_f32_s32(vaddq_s32(exponent, vdupq_n_s32(0x3f80_0000)))
    }
}

/// 4 values of binary16, widened. By assembly, as the intrinsic needs a later compiler than the rest.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn widen4(from: *const u16) -> float32x4_t {
    // SAFETY: the caller's; one instruction on registers.
    unsafe {
        let halves = vld1_u16(from);
        let wide: float32x4_t;
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) wide, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
        wide
    }
}

/// Rounds to 4 values of binary16.
///
/// # Safety
/// They can be written.
#[inline(always)]
unsafe fn narrow4(wide: float32x4_t, to: *mut u16) {
    // SAFETY: the caller's; one instruction on registers.
    unsafe {
        let halves: uint16x4_t;
        asm!("fcvtn {0:v}.4h, {1:v}.4s", out(vreg) halves, in(vreg) wide, options(pure, nomem, nostack, preserves_flags));
        vst1_u16(to, halves);
    }
}

// SAFETY of every block below: see the module; pointers are the caller's.
impl Vector for Four {
    // 8 vectors fill the 32 registers.
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Self([unsafe { vdupq_n_f32(x) }; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(from_fn(|i| unsafe { vld1q_f32(from.add(4 * i)) }))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (i, lanes) in self.0.into_iter().enumerate() {
            // SAFETY: see above.
            unsafe { vst1q_f32(to.add(4 * i), lanes) }
        }
    }

    #[inline(always)]
    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: see above.
        Self(from_fn(|i| unsafe { widen4(from.add(4 * i)) }))
    }

    #[inline(always)]
    unsafe fn narrow(self, to: *mut u16) {
        for (i, lanes) in self.0.into_iter().enumerate() {
            // SAFETY: see above.
            unsafe { narrow4(lanes, to.add(4 * i)) }
        }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        each!(vaddq_f32(self, b))
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        each!(vsubq_f32(self, b))
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        each!(vmulq_f32(self, b))
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        each!(vdivq_f32(self, b))
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        each!(fused(self, b, c))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        each!(greater(self, b))
    }

    #[inline(always)]
    fn select_ge(self, b: Self, then: Self, otherwise: Self) -> Self {
        each!(select(self, b, then, otherwise))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        each!(vabsq_f32(self))
    }

    #[inline(always)]
    fn pow2_of_shifted(self) -> Self {
        each!(pow2(self))
    }

    #[inline(always)]
    fn swap_pairs(self) -> Self {
        each!(vrev64q_f32(self))
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: see above.
        unsafe {
            let four = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }
}
