//! The quantiser's loops compiled for AVX2 and AVX-512: the same code, hence the same bits. No
//! feature lets the compiler fuse a multiplication and an addition by itself.
#![allow(unsafe_code)]

use super::{largest, weigh};

macro_rules! kernel {
    ($name:ident, $doc:literal, $enable:literal, $($feature:tt),+) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct $name(());

        impl $name {
            /// The proof that this machine has the features.
            pub(super) fn new() -> Option<Self> {
                ($(std::arch::is_x86_feature_detected!($feature))&&+).then_some(Self(()))
            }

            pub(super) fn largest(self, logits: &[f32], codable: &[bool]) -> f32 {
                #[target_feature(enable = $enable)]
                fn compiled(logits: &[f32], codable: &[bool]) -> f32 {
                    largest(logits, codable)
                }
                // SAFETY: `self` exists only where `new` found the features.
                unsafe { compiled(logits, codable) }
            }

            pub(super) fn weigh(self, logits: &[f32], codable: &[bool], max: f32, out: &mut [u32]) {
                #[target_feature(enable = $enable)]
                fn compiled(logits: &[f32], codable: &[bool], max: f32, out: &mut [u32]) {
                    weigh(logits, codable, max, out);
                }
                // SAFETY: `self` exists only where `new` found the features.
                unsafe { compiled(logits, codable, max, out) }
            }
        }
    };
}

kernel!(Avx2, "A machine with AVX2.", "avx2", "avx2");
kernel!(Avx512, "A machine with AVX-512 (F and VL).", "avx512f,avx512vl", "avx512f", "avx512vl");
