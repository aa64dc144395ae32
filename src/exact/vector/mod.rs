//! 16 lanes of binary32 and the operations that the operators take (spec/numerics.md §4).
//!
//! Every operator is written once, over [`Vector`], and compiled for each kernel set. All
//! implementations round alike, so the results of an operator do not depend on the set: the one on
//! plain arrays is the reference.
#![allow(unsafe_code)]

mod array;
mod maths;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use maths::{exp, gelu, sigmoid, tanh};
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Four;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{One, Two};

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// 16 values of binary32. Arithmetic is IEEE 754, round to nearest even, lane by lane.
///
/// Methods of the register types may be called only in functions compiled with their instructions:
/// [`per_set`] sees to it.
pub(crate) trait Vector: Copy {
    /// Whether there are registers for 16 vectors and more besides: the shape of tiles, not the results,
    /// depends on it.
    const WIDE: bool;

    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// 16 values.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes 16 values.
    ///
    /// # Safety
    /// They can be written.
    unsafe fn store(self, to: *mut f32);
    /// 16 values of binary16, widened exactly.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn widen(from: *const u16) -> Self;
    /// Rounds to 16 values of binary16.
    ///
    /// # Safety
    /// They can be written.
    unsafe fn narrow(self, to: *mut u16);
    /// `self + b`.
    fn add(self, b: Self) -> Self;
    /// `self - b`.
    fn sub(self, b: Self) -> Self;
    /// `self * b`.
    fn mul(self, b: Self) -> Self;
    /// `self / b`.
    fn div(self, b: Self) -> Self;
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `self` where it is greater than `b`, else `b`. For results of operations: a NaN that signals, which only
    /// memory can hold, may come out as a NaN.
    fn max(self, b: Self) -> Self;
    /// `then` where `self >= b`, else `otherwise`: also where one of the two is no number.
    fn select_ge(self, b: Self, then: Self, otherwise: Self) -> Self;
    /// Without the sign.
    fn abs(self) -> Self;
    /// 2^k of lanes that hold 1.5 * 2^23 + k, -126 <= k <= 127.
    fn pow2_of_shifted(self) -> Self;
    /// Lane `l` gets lane `l ^ 1`.
    fn swap_pairs(self) -> Self;
    /// Adds halves onto halves: lane `l` gets lane `l + n`, for n = 8, 4, 2, 1; the first lane then.
    fn tree(self) -> f32;

    /// The first `n` values, at most 16, and zeros.
    ///
    /// # Safety
    /// They can be read.
    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> Self {
        let mut part = [0f32; LANES];
        // SAFETY: `n` values of the caller's, and 16 of the array.
        unsafe {
            part.as_mut_ptr().copy_from_nonoverlapping(from, n.min(LANES));
            Self::load(part.as_ptr())
        }
    }

    /// Writes the first `n` values, at most 16.
    ///
    /// # Safety
    /// They can be written.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, n: usize) {
        let mut part = [0f32; LANES];
        // SAFETY: 16 values of the array, and `n` of the caller's.
        unsafe {
            self.store(part.as_mut_ptr());
            to.copy_from_nonoverlapping(part.as_ptr(), n.min(LANES));
        }
    }

    /// The lanes.
    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        let mut lanes = [0f32; LANES];
        // SAFETY: 16 values of the array.
        unsafe { self.store(lanes.as_mut_ptr()) }
        lanes
    }
}

/// Defines a function that runs a body over [`Vector`], compiled for each kernel set.
///
/// The function is unsafe: its caller promises that the processor runs `set`, and what the body asks.
macro_rules! per_set {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        // A body has as many arguments as its operator.
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name(set: crate::exact::KernelSet, $($arg: $ty),*) {
            // SAFETY: the caller's promise, here and below.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: as above.
                unsafe { $body::<crate::exact::vector::Two>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: as above.
                unsafe { $body::<crate::exact::vector::One>($($arg),*) }
            }
            // SAFETY: the processor runs the set.
            unsafe {
                match set {
                    #[cfg(target_arch = "x86_64")]
                    crate::exact::KernelSet::Avx512 | crate::exact::KernelSet::Avx512Vnni => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    crate::exact::KernelSet::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    crate::exact::KernelSet::Neon => $body::<crate::exact::vector::Four>($($arg),*),
                    _ => $body::<[f32; crate::exact::vector::LANES]>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use per_set;

#[cfg(test)]
mod tests;
