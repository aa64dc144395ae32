//! The 16 lanes of attention in the vector registers of x86-64.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128, __m256, __m512, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehdup_ps, _mm_movehl_ps,
    _mm256_add_ps, _mm256_castpd_ps, _mm256_castps256_ps128, _mm256_cvtph_ps, _mm256_extractf128_ps, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_set1_ps, _mm256_storeu_ps, _mm512_castps_pd, _mm512_castps512_ps256,
    _mm512_cvtph_ps, _mm512_extractf64x4_pd, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::attention::{Cells, LANES, Queries, Scratch, Vector, steps};

pub(super) fn avx512(queries: &Queries<'_>, cells: &impl Cells, scratch: &mut Scratch, out: &mut [f32]) {
    // SAFETY: the caller has checked that the processor has AVX-512 F, BW and VL.
    unsafe { attend_avx512(queries, cells, scratch, out) }
}

pub(super) fn avx2(queries: &Queries<'_>, cells: &impl Cells, scratch: &mut Scratch, out: &mut [f32]) {
    // SAFETY: the caller has checked that the processor has AVX2, FMA and F16C.
    unsafe { attend_avx2(queries, cells, scratch, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
fn attend_avx512(queries: &Queries<'_>, cells: &impl Cells, scratch: &mut Scratch, out: &mut [f32]) {
    steps::<One>(queries, cells, scratch, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn attend_avx2(queries: &Queries<'_>, cells: &impl Cells, scratch: &mut Scratch, out: &mut [f32]) {
    steps::<Two>(queries, cells, scratch, out);
}

/// One register of AVX-512. Made only inside [`attend_avx512`], so its instructions are there.
#[derive(Clone, Copy)]
struct One(__m512);

/// Two registers of AVX2. Made only inside [`attend_avx2`].
#[derive(Clone, Copy)]
struct Two(__m256, __m256);

// Every method is inlined into the function that enables its instructions; slices are cut to 16
// values before their pointer is used.
impl Vector for One {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: AVX-512, see the type.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        // SAFETY: AVX-512, and 16 values.
        Self(unsafe { _mm512_loadu_ps(from[..LANES].as_ptr()) })
    }

    #[inline(always)]
    fn widen(from: &[u16]) -> Self {
        // SAFETY: AVX-512, and 16 values.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from[..LANES].as_ptr().cast())) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        // SAFETY: AVX-512, and 16 values.
        unsafe { _mm512_storeu_ps(to[..LANES].as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: AVX-512, see the type.
        Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        // SAFETY: AVX-512, see the type.
        unsafe {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0)));
            tree8(_mm256_add_ps(_mm512_castps512_ps256(self.0), high))
        }
    }
}

impl Vector for Two {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: AVX2, see the type.
        unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        let from = &from[..LANES];
        // SAFETY: AVX2, and twice 8 values.
        unsafe { Self(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from[8..].as_ptr())) }
    }

    #[inline(always)]
    fn widen(from: &[u16]) -> Self {
        let from = &from[..LANES];
        // SAFETY: F16C, and twice 8 values.
        unsafe {
            let widen = |from: &[u16]| _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast()));
            Self(widen(from), widen(&from[8..]))
        }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let to = &mut to[..LANES];
        // SAFETY: AVX2, and twice 8 values.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), self.0);
            _mm256_storeu_ps(to[8..].as_mut_ptr(), self.1);
        }
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: FMA, see the type.
        unsafe { Self(_mm256_fmadd_ps(self.0, b.0, c.0), _mm256_fmadd_ps(self.1, b.1, c.1)) }
    }

    #[inline(always)]
    fn tree(self) -> f32 {
        // SAFETY: AVX2, see the type.
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
