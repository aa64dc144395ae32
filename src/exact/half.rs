//! IEEE 754 binary16.

/// binary16 to binary32, exactly.
#[inline(always)]
#[must_use]
pub fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10 & 0x1f);
    let fraction = u32::from(half & 0x3ff);
    let bits = match exponent {
        // Zero and subnormals: fraction * 2^-24, exact in f32.
        0 => return f32::from_bits((fraction as f32 * f32::from_bits(0x3380_0000)).to_bits() | sign),
        // A NaN is made quiet, as processors do.
        0x1f => sign | 0x7f80_0000 | fraction << 13 | if fraction == 0 { 0 } else { 0x40_0000 },
        _ => sign | (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(bits)
}

/// bfloat16 to binary32, exactly.
#[inline(always)]
#[must_use]
pub fn bf16_to_f32(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// binary32 to binary16, to nearest, ties to even; beyond 65504 to infinity.
#[inline(always)]
#[must_use]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        // The top of the payload, made quiet.
        return sign | 0x7e00 | (magnitude >> 13 & 0x3ff) as u16;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Subnormal: adding 1/2 leaves the multiple of 2^-24 in the low bits, rounded by the addition.
        let sum = f32::from_bits(magnitude) + 0.5;
        return sign | (sum.to_bits() - 0x3f00_0000) as u16;
    }
    let rounded = magnitude - 0x3800_0000 + 0xfff + (magnitude >> 13 & 1);
    sign | (rounded >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_widen_exactly() {
        let cases = [
            (0x0000, 0.0f32),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 5.960_464_5e-8),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
        ];
        for (half, wide) in cases {
            assert_eq!(f16_to_f32(half), wide);
        }
        assert_eq!(f16_to_f32(0x8000).to_bits(), (-0.0f32).to_bits());
        assert!(f16_to_f32(0x7c00).is_infinite() && f16_to_f32(0x7e00).is_nan());
    }

    #[test]
    fn every_half_comes_back() {
        for half in 0..=u16::MAX {
            let wide = f16_to_f32(half);
            let expected = if wide.is_nan() { half | 0x200 } else { half };
            assert_eq!(f32_to_f16(wide), expected, "{half:#x}");
        }
    }

    #[test]
    fn narrowing_rounds_to_the_nearest_half_and_ties_to_even() {
        // Between each pair of neighbours: below, at, and above the middle.
        for half in 0..0x7bffu16 {
            let (low, high) = (f64::from(f16_to_f32(half)), f64::from(f16_to_f32(half + 1)));
            let middle = ((low + high) / 2.0) as f32;
            let even = if half % 2 == 0 { half } else { half + 1 };
            assert_eq!(f32_to_f16(middle), even);
            assert_eq!(f32_to_f16(middle.next_down()), half);
            assert_eq!(f32_to_f16(middle.next_up()), half + 1);
            assert_eq!(f32_to_f16(-middle), even | 0x8000);
        }
        assert_eq!(f32_to_f16(65519.996), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(f32::INFINITY), 0x7c00);
    }
}
