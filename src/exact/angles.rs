//! Logarithm, power of two, sine and cosine in binary64, from the four operations and `floor` alone
//! (spec/numerics.md §4.2): the tables of rotary embedding are made from them.

use std::f64::consts::{LN_2, PI, SQRT_2};

/// The natural logarithm of a positive, normal number, within 1e-15 of its size or of 1.
#[must_use]
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    if m > SQRT_2 {
        m /= 2.0;
        exponent += 1;
    }
    let t = (m - 1.0) / (m + 1.0);
    let square = t * t;
    let mut sum = 0.0;
    for k in (0..=12).rev() {
        sum = sum * square + 1.0 / f64::from(2 * k + 1);
    }
    exponent as f64 * LN_2 + 2.0 * t * sum
}

/// 2^x for -1000 < x < 1000, within 1e-15 (relative).
#[must_use]
pub fn exp2(x: f64) -> f64 {
    let whole = (x + 0.5).floor();
    let y = (x - whole) * LN_2;
    let mut sum = 1.0;
    for k in (1..=18).rev() {
        sum = sum * y / f64::from(k) + 1.0;
    }
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// Sine and cosine of an angle of either sign, within 1e-15 of 1 and 1e-16 of the angle.
#[must_use]
pub fn sin_cos(angle: f64) -> (f64, f64) {
    let turns = angle * (0.5 / PI);
    let turns = turns - (turns + 0.5).floor();
    let quarter = (4.0 * turns + 0.5).floor();
    let r = (turns - quarter / 4.0) * (2.0 * PI);
    let square = r * r;
    let (mut sin, mut cos) = (1.0, 1.0);
    for k in (1..=9).rev() {
        let k = f64::from(k);
        sin = 1.0 - square / (2.0 * k * (2.0 * k + 1.0)) * sin;
        cos = 1.0 - square / (2.0 * k * (2.0 * k - 1.0)) * cos;
    }
    sin *= r;
    match quarter as i64 {
        0 => (sin, cos),
        1 => (cos, -sin),
        -1 => (-cos, sin),
        _ => (-sin, -cos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_near_the_true_values() {
        for i in 1..20_000 {
            let x = f64::from(i) * 37.31;
            assert!((ln(x) - x.ln()).abs() <= 2e-15 * x.ln().abs().max(1.0), "ln {x}");
            assert!((ln(1.0 / x) + x.ln()).abs() <= 2e-15 * x.ln().abs().max(1.0));
            let y = f64::from(i - 10_000) / 100.0;
            assert!((exp2(y) / y.exp2() - 1.0).abs() < 1e-15, "exp2 {y}");
            let angle = f64::from(i - 10_000) * 0.739;
            let (sin, cos) = sin_cos(angle);
            let allowed = 1e-15 + 3e-16 * angle.abs();
            assert!((sin - angle.sin()).abs() < allowed && (cos - angle.cos()).abs() < allowed, "{angle}");
        }
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp2(3.0), 8.0);
    }
}
