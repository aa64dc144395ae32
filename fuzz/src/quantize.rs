//! The quantiser: any logits give a distribution that keeps the contract, or a reason; every version
//! of its loops gives the same bits, and those are what the specification says.

use lma::entropy::{Cdf, MAX_TOTAL};
use lma::predict::quantize::{ESCAPE_WEIGHT, SCALE_BITS, quantize as best, quantize_by_each};

use super::input::Input;

/// Takes how the logits are written, then pairs of a logit and whether it is codable.
pub fn quantize(data: &[u8]) {
    let mut input = Input::new(data);
    let raw = input.once_in(2);
    let scale = f32::from(input.byte()) / 16.0;
    let pattern = input.byte();
    let (mut logits, mut codable) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        logits.push(if raw {
            f32::from_bits(input.u32())
        } else {
            f32::from(input.u16().cast_signed()) / 256.0 * scale
        });
        codable.push(pattern >> (logits.len() % 8) & 1 == 0);
    }
    let mut cdf = Cdf::default();
    let outcome = best(&logits, &codable, &mut cdf);
    for (name, other) in quantize_by_each(&logits, &codable) {
        assert_eq!(other, outcome.map(|()| cdf.clone()), "{name}");
    }
    assert!(best(&logits, &codable[..codable.len() / 2], &mut Cdf::default()).is_err() || codable.len() < 2);

    let used = || logits.iter().zip(&codable).filter(|(logit, codable)| **codable && !logit.is_nan()).map(|(l, _)| *l);
    let max = used().fold(f32::NEG_INFINITY, f32::max);
    assert_eq!(outcome.is_ok(), max.is_finite(), "the largest logit is {max}");
    if outcome.is_err() {
        return;
    }
    let weights = cdf.weights();
    assert_eq!(weights.len(), logits.len() + 1);
    assert_eq!(weights.last(), Some(&ESCAPE_WEIGHT));
    assert_eq!(cdf.total(), weights.iter().map(|&weight| u64::from(weight)).sum::<u64>());
    assert!(cdf.total() <= MAX_TOTAL);
    for ((&weight, &logit), &codable) in weights.iter().zip(&logits).zip(&codable) {
        assert_eq!(weight > 0, codable);
        if codable {
            let x = if logit.is_nan() { f64::NEG_INFINITY } else { f64::from(logit - max) };
            let ideal = (x.exp() * f64::from(1u32 << SCALE_BITS)).floor() + 1.0;
            // The product with log2(e) is rounded to 24 bits: up to 58 * 2^-25 in the exponent.
            assert!((f64::from(weight) - ideal).abs() <= 2.0 + ideal * 4e-6, "{weight} for {logit} below {max}");
        }
    }
    let likeliest = weights[..logits.len()].iter().max();
    assert_eq!(likeliest, Some(&((1 << SCALE_BITS) + 1)));
}
