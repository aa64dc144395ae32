//! Floats of 16 bits.

/// The nearest IEEE 754 binary16, ties to even.
pub(super) fn f16(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = x.abs();
    if magnitude.is_nan() {
        return sign | 0x7e00;
    }
    if magnitude >= 65_520.0 {
        return sign | 0x7c00;
    }
    // Below the smallest normal number the step is 2^-24, and adding one half, whose last bit is worth
    // that, rounds. (The steps of 0.5 are 2^-24.)
    if magnitude < 6.103_515_6e-5 {
        return sign | ((magnitude + 0.5).to_bits() - 0.5f32.to_bits()) as u16;
    }
    // 13 bits are dropped, the exponent's bias goes from 127 to 15; a carry rightly enters the exponent.
    let bits = magnitude.to_bits();
    let rounded = bits + 0xfff + (bits >> 13 & 1);
    sign | ((rounded - (112 << 23)) >> 13) as u16
}

/// What a binary16 stands for; exact.
pub(super) fn f16_to_f32(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction as f32 / 16_777_216.0,
        31 if fraction == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    sign * magnitude
}

/// The nearest bfloat16 of a finite number, ties to even.
pub(super) fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    // Benchmarks are built without the tests.
    #[allow(unused_imports)]
    use super::*;

    #[test]
    fn every_f16_is_its_own_nearest_and_ties_go_to_even() {
        for bits in (0..0x7c00).chain(0x8000..0xfc00) {
            assert_eq!(f16(f16_to_f32(bits)), bits);
        }
        for bits in 0..0x7bff {
            let between = (f16_to_f32(bits) + f16_to_f32(bits + 1)) / 2.0;
            assert_eq!(f16(between), bits + (bits & 1));
            assert_eq!(f16(f32::from_bits(between.to_bits() - 1)), bits);
            assert_eq!(f16(f32::from_bits(between.to_bits() + 1)), bits + 1);
        }
    }
}
