//! Registers of x86-64: one of AVX-512, or two of AVX2.
//!
//! Values of these types are made only inside functions that enable the instructions, which every
//! method is inlined into (see [`super::per_set`]); that is why the intrinsics may be called.

use std::arch::x86_64::*;

use super::Vector;

/// One register of AVX-512 (F, BW, DQ, VL).
#[derive(Clone, Copy)]
pub(in crate::exact) struct One(__m512);

/// Two registers of AVX2, with FMA and F16C.
#[derive(Clone, Copy)]
pub(in crate::exact) struct Two(__m256, __m256);

const SIGN: i32 = i32::MIN;

// SAFETY of every block below: the instructions are enabled, see the module; pointers are the caller's.
impl Vector for One {
    const WIDE: bool = true;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn narrow(self, to: *mut u16) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0)) }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_sub_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_mul_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_div_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_max_ps(self.0, b.0) })
    }

    #[inline(always)]
    fn select_ge(self, b: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0, b.0), otherwise.0, then.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn pow2_of_shifted(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(self.0));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f80_0000)))
        })
    }

    #[inline(always)]
    fn swap_pairs(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_permute_ps::<0b10_11_00_01>(self.0) })
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        // SAFETY: see above.
        unsafe {
            let high = _mm512_extractf32x8_ps::<1>(self.0);
            tree8(_mm256_add_ps(_mm512_castps512_ps256(self.0), high))
        }
    }
}

/// Applies an intrinsic to both halves.
macro_rules! both {
    ($op:ident($a:ident $(, $b:ident)*)) => {
        // SAFETY: see the module.
        unsafe { Two($op($a.0 $(, $b.0)*), $op($a.1 $(, $b.1)*)) }
    };
}

impl Vector for Two {
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: see the module.
        unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the module.
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the module.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: see the module.
        unsafe {
            Self(_mm256_cvtph_ps(_mm_loadu_si128(from.cast())), _mm256_cvtph_ps(_mm_loadu_si128(from.add(8).cast())))
        }
    }

    #[inline(always)]
    unsafe fn narrow(self, to: *mut u16) {
        // SAFETY: see the module.
        unsafe {
            _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
            _mm_storeu_si128(to.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.1));
        }
    }

    #[inline(always)]
    fn add(self, b: Self) -> Self {
        both!(_mm256_add_ps(self, b))
    }

    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        both!(_mm256_sub_ps(self, b))
    }

    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        both!(_mm256_mul_ps(self, b))
    }

    #[inline(always)]
    fn div(self, b: Self) -> Self {
        both!(_mm256_div_ps(self, b))
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        both!(_mm256_fmadd_ps(self, b, c))
    }

    #[inline(always)]
    fn max(self, b: Self) -> Self {
        both!(_mm256_max_ps(self, b))
    }

    #[inline(always)]
    fn select_ge(self, b: Self, then: Self, otherwise: Self) -> Self {
        #[inline(always)]
        fn half(a: __m256, b: __m256, then: __m256, otherwise: __m256) -> __m256 {
            // SAFETY: see the module.
            unsafe { _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps::<_CMP_GE_OQ>(a, b)) }
        }
        Self(half(self.0, b.0, then.0, otherwise.0), half(self.1, b.1, then.1, otherwise.1))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        #[inline(always)]
        fn half(a: __m256) -> __m256 {
            // SAFETY: see the module.
            unsafe { _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_set1_epi32(SIGN)), a) }
        }
        Self(half(self.0), half(self.1))
    }

    #[inline(always)]
    fn pow2_of_shifted(self) -> Self {
        #[inline(always)]
        fn half(a: __m256) -> __m256 {
            // SAFETY: see the module.
            unsafe {
                let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(a));
                _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3f80_0000)))
            }
        }
        Self(half(self.0), half(self.1))
    }

    #[inline(always)]
    fn swap_pairs(self) -> Self {
        // SAFETY: see the module.
        unsafe { Self(_mm256_permute_ps::<0b10_11_00_01>(self.0), _mm256_permute_ps::<0b10_11_00_01>(self.1)) }
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        // SAFETY: see the module.
        unsafe { tree8(_mm256_add_ps(self.0, self.1)) }
    }
}

/// The tree from 8 lanes on.
///
/// # Safety
/// The processor has AVX.
#[inline(always)]
unsafe fn tree8(lanes: __m256) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let four: __m128 = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}
