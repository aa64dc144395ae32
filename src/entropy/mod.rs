//! Integers to bits: a range coder over [`Cdf`]s (spec/lm-codec.md §5). No floats here.
//!
//! The contract of a `Cdf`, whoever made it: every codable symbol has a weight of at least 1, every
//! other symbol has weight 0, the weights add up to exactly [`Cdf::total`], at most
//! [`MAX_TOTAL`], and at least one symbol is codable.

mod cdf;
mod range;

pub use cdf::{Cdf, CdfError, MAX_TOTAL, Slot};
pub use range::{Garbage, RangeDecoder, RangeEncoder};
