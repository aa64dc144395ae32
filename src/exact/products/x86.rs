//! The lanes of x86-64: AVX-512 with and without VNNI, and AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::{Lanes, kernels};

/// AVX-512 F and BW.
pub(super) struct Avx512;

/// AVX-512 F, BW and VNNI.
pub(super) struct Vnni;

/// AVX2, FMA and F16C.
pub(super) struct Avx2;

kernels!(Vnni, "avx512f,avx512bw,avx512vnni,avx2,fma,f16c",
    quantised: 4, 2 x [8, 4, 2, 1],
    plain: 8, 2 x [8, 4, 2, 1]);
kernels!(Avx512, "avx512f,avx512bw,avx2,fma,f16c",
    quantised: 4, 2 x [4, 2, 1],
    plain: 8, 2 x [8, 4, 2, 1]);
kernels!(Avx2, "avx2,fma,f16c",
    quantised: 4, 2 x [4, 2, 1],
    plain: 8, 2 x [4, 2, 1]);

/// Quads whose sums of pairs stay within 16 bits. A stored quant is below `2^bits`, an input at most 127 in
/// magnitude; so `quads` pairs sum to at most `quads * 2 * (2^bits - 1) * 127`: 30,480 for 4 bits and 8
/// quads, 31,496 for 5 bits and 4, 32,004 for 6 bits and 2. Of signed bytes one pair is at most 32,512.
const fn narrow(bits: u32) -> usize {
    match bits {
        4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    }
}

/// What both sets of AVX-512 share.
macro_rules! lanes_of_16 {
    () => {
        const WIDTH: usize = 16;
        type Ints = __m512i;
        type Floats = __m512;

        #[inline(always)]
        fn fetch(at: *const u8) {
            // SAFETY: a hint; it never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }

        #[inline(always)]
        unsafe fn zero() -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_setzero_si512() }
        }
        #[inline(always)]
        unsafe fn load(from: *const u8) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }
        #[inline(always)]
        unsafe fn splat(from: *const u8) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_set1_epi32(from.cast::<i32>().read()) }
        }
        #[inline(always)]
        unsafe fn low(bytes: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(0xf)) }
        }
        #[inline(always)]
        unsafe fn high(bytes: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(0xf)) }
        }
        #[inline(always)]
        unsafe fn subtract(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_sub_epi32(a, b) }
        }
        #[inline(always)]
        unsafe fn shift<const BY: u32>(a: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_slli_epi32(a, BY) }
        }
        #[inline(always)]
        unsafe fn pairs(weights: __m512i, inputs: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_maddubs_epi16(weights, inputs) }
        }
        #[inline(always)]
        unsafe fn signed_pairs(weights: __m512i, inputs: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe {
                let signed = _mm512_xor_si512(weights, _mm512_set1_epi8(-128));
                let negative = _mm512_movepi8_mask(signed);
                let turned = _mm512_mask_sub_epi8(inputs, negative, _mm512_setzero_si512(), inputs);
                _mm512_maddubs_epi16(_mm512_abs_epi8(signed), turned)
            }
        }
        #[inline(always)]
        unsafe fn add_pairs(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_add_epi16(a, b) }
        }
        #[inline(always)]
        unsafe fn widen_pairs(sum: __m512i, pairs: __m512i) -> __m512i {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))) }
        }
        #[inline(always)]
        unsafe fn to_float(a: __m512i) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_cvtepi32_ps(a) }
        }
        #[inline(always)]
        unsafe fn load_f32(from: *const u8) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_loadu_ps(from.cast()) }
        }
        #[inline(always)]
        unsafe fn load_f16(from: *const u8) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
        }
        #[inline(always)]
        unsafe fn load_bf16(from: *const u8) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe {
                let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))
            }
        }
        #[inline(always)]
        unsafe fn load_u8(from: *const u8) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn load_i8(from: *const u8) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn splat_f32(from: *const f32) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_set1_ps(from.read()) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn negated_fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_fnmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, values: __m512) {
            // SAFETY: the contract of the trait.
            unsafe { _mm512_storeu_ps(to, values) }
        }
    };
}

impl Lanes for Vnni {
    const SIGNED_BYTES: bool = false;

    #[inline(always)]
    fn pin(_: &mut __m512i) {}

    #[inline(always)]
    fn narrow(_: u32) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sum: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
        // SAFETY: the contract of the trait.
        unsafe { _mm512_dpbusd_epi32(sum, weights, inputs) }
    }

    lanes_of_16!();
}

impl Lanes for Avx512 {
    const SIGNED_BYTES: bool = true;

    #[inline(always)]
    fn pin(a: &mut __m512i) {
        // SAFETY: as the trait says, the set's instructions are there.
        unsafe { pin_zmm(a) }
    }

    #[inline(always)]
    fn narrow(bits: u32) -> usize {
        narrow(bits)
    }

    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sum: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
        // SAFETY: the contract of the trait.
        unsafe { Self::widen_pairs(sum, Self::pairs(weights, inputs)) }
    }

    lanes_of_16!();
}

impl Lanes for Avx2 {
    const SIGNED_BYTES: bool = true;
    #[inline(always)]
    fn pin(a: &mut __m256i) {
        // SAFETY: as the trait says, the set's instructions are there.
        unsafe { pin_ymm(a) }
    }

    const WIDTH: usize = 8;
    type Ints = __m256i;
    type Floats = __m256;

    #[inline(always)]
    fn fetch(at: *const u8) {
        // SAFETY: a hint; it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn narrow(bits: u32) -> usize {
        narrow(bits)
    }

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const u8) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read()) }
    }
    #[inline(always)]
    unsafe fn low(bytes: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(0xf)) }
    }
    #[inline(always)]
    unsafe fn high(bytes: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0xf)) }
    }
    #[inline(always)]
    unsafe fn subtract(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_sub_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn shift<const BY: u32>(a: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(BY as i32)) }
    }
    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sum: __m256i, weights: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { Self::widen_pairs(sum, Self::pairs(weights, inputs)) }
    }
    #[inline(always)]
    unsafe fn pairs(weights: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_maddubs_epi16(weights, inputs) }
    }
    #[inline(always)]
    unsafe fn signed_pairs(weights: __m256i, inputs: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe {
            let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
            _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(inputs, signed))
        }
    }
    #[inline(always)]
    unsafe fn add_pairs(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_add_epi16(a, b) }
    }
    #[inline(always)]
    unsafe fn widen_pairs(sum: __m256i, pairs: __m256i) -> __m256i {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))) }
    }
    #[inline(always)]
    unsafe fn to_float(a: __m256i) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_cvtepi32_ps(a) }
    }
    #[inline(always)]
    unsafe fn load_f32(from: *const u8) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))
        }
    }
    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const u8) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn splat_f32(from: *const f32) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_set1_ps(from.read()) }
    }
    #[inline(always)]
    unsafe fn multiply(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn negated_fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, values: __m256) {
        // SAFETY: the contract of the trait.
        unsafe { _mm256_storeu_ps(to, values) }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn pin_zmm(a: &mut __m512i) {
    // SAFETY: no instruction.
    unsafe { std::arch::asm!("/* {0} */", inout(zmm_reg) * a, options(nomem, nostack, preserves_flags)) }
}

#[inline]
#[target_feature(enable = "avx")]
fn pin_ymm(a: &mut __m256i) {
    // SAFETY: no instruction.
    unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) * a, options(nomem, nostack, preserves_flags)) }
}
