//! The lanes of AArch64: NEON with the dot product instructions.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::lanes::{Lanes, kernels};

/// NEON and its dot product instructions.
pub(super) struct Neon;

kernels!(Neon, "neon,dotprod",
    quantised: 8, 4 x [4, 2, 1],
    plain: 16, 4 x [4, 2, 1]);

impl Lanes for Neon {
    const WIDTH: usize = 4;
    const SIGNED_BYTES: bool = true;
    type Ints = int32x4_t;
    type Floats = float32x4_t;

    #[inline(always)]
    fn narrow(_: u32) -> usize {
        0
    }
    #[inline(always)]
    fn fetch(at: *const u8) {
        // SAFETY: a hint; it never faults.
        unsafe { asm!("prfm pldl2keep, [{0}]", in(reg) at, options(nostack, preserves_flags, readonly)) }
    }
    #[inline(always)]
    fn pin(_: &mut int32x4_t) {}
    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vdupq_n_s32(0) }
    }
    #[inline(always)]
    unsafe fn load(from: *const u8) -> int32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vreinterpretq_s32_u8(vld1q_u8(from)) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const u8) -> int32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vld1q_dup_s32(from.cast()) }
    }
    #[inline(always)]
    unsafe fn low(bytes: int32x4_t) -> int32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vandq_s32(bytes, vdupq_n_s32(0x0f0f_0f0f)) }
    }
    #[inline(always)]
    unsafe fn high(bytes: int32x4_t) -> int32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vreinterpretq_s32_u8(vshrq_n_u8::<4>(vreinterpretq_u8_s32(bytes))) }
    }
    #[inline(always)]
    unsafe fn subtract(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vsubq_s32(a, b) }
    }
    #[inline(always)]
    unsafe fn shift<const BY: u32>(a: int32x4_t) -> int32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vshlq_s32(a, vdupq_n_s32(BY as i32)) }
    }
    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sum: int32x4_t, weights: int32x4_t, inputs: int32x4_t) -> int32x4_t {
        // SAFETY: the contract of the trait. Weights of fewer bits are the same signed as unsigned.
        unsafe {
            if BITS == 8 {
                signed_dot(sum, veorq_s32(weights, vdupq_n_s32(i32::from_ne_bytes([0x80; 4]))), inputs)
            } else {
                signed_dot(sum, weights, inputs)
            }
        }
    }
    #[inline(always)]
    unsafe fn pairs(_: int32x4_t, _: int32x4_t) -> int32x4_t {
        unreachable!("sums are of 32 bits")
    }
    #[inline(always)]
    unsafe fn signed_pairs(_: int32x4_t, _: int32x4_t) -> int32x4_t {
        unreachable!("sums are of 32 bits")
    }
    #[inline(always)]
    unsafe fn add_pairs(_: int32x4_t, _: int32x4_t) -> int32x4_t {
        unreachable!("sums are of 32 bits")
    }
    #[inline(always)]
    unsafe fn widen_pairs(_: int32x4_t, _: int32x4_t) -> int32x4_t {
        unreachable!("sums are of 32 bits")
    }
    #[inline(always)]
    unsafe fn to_float(a: int32x4_t) -> float32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vcvtq_f32_s32(a) }
    }
    #[inline(always)]
    unsafe fn load_f32(from: *const u8) -> float32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vreinterpretq_f32_u8(vld1q_u8(from)) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> float32x4_t {
        let wide: float32x4_t;
        // SAFETY: the contract of the trait; the instruction widens 4 halves exactly.
        unsafe {
            let halves = vld1_u8(from);
            asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) wide, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
        }
        wide
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> float32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vreinterpret_u16_u8(vld1_u8(from)))) }
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> float32x4_t {
        // SAFETY: the contract of the trait.
        let bytes = unsafe { from.cast::<[u8; 4]>().read() }.map(f32::from);
        // SAFETY: 4 floats.
        unsafe { vld1q_f32(bytes.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> float32x4_t {
        // SAFETY: the contract of the trait.
        let bytes = unsafe { from.cast::<[i8; 4]>().read() }.map(f32::from);
        // SAFETY: 4 floats.
        unsafe { vld1q_f32(bytes.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn splat_f32(from: *const f32) -> float32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vld1q_dup_f32(from) }
    }
    #[inline(always)]
    unsafe fn multiply(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn negated_fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: the contract of the trait.
        unsafe { vfmsq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, values: float32x4_t) {
        // SAFETY: the contract of the trait.
        unsafe { vst1q_f32(to, values) }
    }
}

/// `sum` plus, for each output, the sum of 4 products of signed bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn signed_dot(mut sum: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // SAFETY: registers only. The intrinsic is not stable.
    unsafe {
        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}
