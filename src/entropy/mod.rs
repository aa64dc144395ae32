//! Integers to bits: a range coder over [`Cdf`]s. No floats here.
//!
//! The contract of a `Cdf`, whoever made it: every codable symbol has a weight of at least 1, every
//! other symbol has weight 0, the weights add up to exactly [`Cdf::total`], at most 2^48, and at
//! least one symbol is codable.

mod cdf;
mod range;

pub use cdf::Cdf;
pub use range::{RangeDecoder, RangeEncoder};
