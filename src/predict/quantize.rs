//! Logits to [`Cdf`]: the one place where floats become integers.

use crate::entropy::Cdf;

/// Turns logits into a distribution over `logits.len() + 1` symbols: the tokens, then the escape.
/// Tokens that `codable` denies get weight 0. Exact on every machine: see spec/numerics.md.
///
/// # Errors
/// The reason, where a logit is not finite in a way that leaves no distribution.
pub fn quantize(_logits: &[f32], _codable: &[bool], _out: &mut Cdf) -> Result<(), &'static str> {
    unimplemented!()
}
