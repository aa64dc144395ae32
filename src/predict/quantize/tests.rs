use super::*;
use crate::entropy::MAX_TOTAL;

/// Reproducible pseudo-random numbers in [0, 1).
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Sums of uniforms: bell-shaped, as logits are.
    fn logits(&mut self, n: usize, scale: f64) -> Vec<f32> {
        (0..n).map(|_| (((0..6).map(|_| self.next()).sum::<f64>() - 3.0) * scale) as f32).collect()
    }
}

fn weights(logits: &[f32], codable: &[bool]) -> Vec<u32> {
    let mut cdf = Cdf::default();
    quantize(logits, codable, &mut cdf).unwrap();
    cdf.weights().to_vec()
}

#[test]
fn all_kernels_give_the_same_bits() {
    let mut lcg = Lcg(1);
    for n in [1, 2, 31, 32, 33, 63, 64, 65, 1000, 5003] {
        let mut logits = lcg.logits(n, 12.0);
        let codable: Vec<bool> = (0..n).map(|i| i == 0 || lcg.next() < 0.9).collect();
        for (i, odd) in [f32::NAN, f32::NEG_INFINITY, -1e30, -0.0, 0.0, f32::MIN_POSITIVE].into_iter().enumerate() {
            if n > 40 {
                logits[7 * i + 1] = odd;
            }
        }
        let run = |kernel: Kernel| {
            let max = kernel.largest(&logits, &codable);
            let mut out = vec![0; n];
            kernel.weigh(&logits, &codable, max, &mut out);
            (max.to_bits(), out)
        };
        let reference = run(Kernel::Portable);
        for &kernel in Kernel::all() {
            assert_eq!(run(kernel), reference, "{kernel:?}, {n} logits");
        }
    }
}

#[test]
fn known_weights() {
    // ln 2 in binary32 is a little above ln 2: t is exactly -1 after rounding.
    let ln2 = std::f32::consts::LN_2;
    let logits = [3.0, 3.0 - ln2, 3.0 - 30.0, f32::NAN, f32::NEG_INFINITY, 9.0];
    let got = weights(&logits, &[true, true, true, true, true, false]);
    assert_eq!(got[0], (1 << 28) + 1);
    assert!(got[1].abs_diff((1 << 27) + 1) <= 64, "{}", got[1]);
    assert_eq!(&got[2..], &[1, 1, 1, 0, ESCAPE_WEIGHT]);
}

#[test]
fn the_weights_of_a_grid_never_change() {
    // Pins the arithmetic: every machine must compute this digest (spec/numerics.md §2).
    let logits: Vec<f32> = (0..4096u16).map(|i| -f32::from(i) / 128.0).collect();
    let weights = weights(&logits, &[true; 4096]);
    // Computed from the specification by another program.
    for (i, weight) in [(0, 268_435_457), (1, 266_346_481), (64, 162_814_321), (89, 133_927_425), (1000, 108_622)] {
        assert_eq!(weights[i], weight);
    }
    assert_eq!(weights[..4096].iter().map(|&w| u64::from(w)).sum::<u64>(), 34_494_134_232);
    let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(crate::hash::Digest::of(&bytes).to_string(), GRID);
}
const GRID: &str = "abbb8a49e50d262447a7efc8122fa05182b37536d3d36a4360cc5d2d0314fde4";

#[test]
fn the_loss_is_below_a_thousandth() {
    let mut lcg = Lcg(2);
    for (n, scale) in [(300, 1.0), (300, 6.0), (8192, 4.0), (50_000, 3.0), (150_000, 4.0)] {
        let logits = lcg.logits(n, scale);
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let exp: Vec<f64> = logits.iter().map(|&l| f64::from(l - max).exp()).collect();
        let sum: f64 = exp.iter().sum();
        let quantised = weights(&logits, &vec![true; n]);
        let total = quantised.iter().map(|&w| f64::from(w)).sum::<f64>();
        let (mut ideal, mut actual) = (0.0, 0.0);
        for (e, &w) in exp.iter().zip(&quantised) {
            let p = e / sum;
            ideal -= p * p.log2();
            actual -= p * (f64::from(w) / total).log2();
        }
        let loss = actual / ideal - 1.0;
        println!("{n} tokens, {ideal:.3} bits: loss {:.5} %", 100.0 * loss);
        assert!(loss < 0.001, "{n} tokens, scale {scale}: {ideal} bits ideally, {actual} in fact");
    }
}

#[test]
fn what_leaves_no_distribution_is_refused() {
    let mut cdf = Cdf::default();
    assert!(quantize(&[0.0], &[], &mut cdf).is_err());
    assert!(quantize(&[], &[], &mut cdf).is_err());
    assert!(quantize(&[1.0, 2.0], &[false, false], &mut cdf).is_err());
    assert!(quantize(&[f32::NAN, f32::NEG_INFINITY], &[true, true], &mut cdf).is_err());
    assert!(quantize(&[1.0, f32::INFINITY], &[true, true], &mut cdf).is_err());
    assert!(quantize(&[1.0, f32::INFINITY], &[true, false], &mut cdf).is_ok());
}

#[test]
fn equal_logits_stay_within_the_largest_total() {
    let n = (1u64 << 20) - 1;
    assert!(n * ((1 << SCALE_BITS) + 1) + u64::from(ESCAPE_WEIGHT) <= MAX_TOTAL);
}
