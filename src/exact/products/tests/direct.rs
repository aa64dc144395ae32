//! The specification read directly: from ggml's bytes, one weight at a time, not from packed ones.

use super::Kind;

/// One weight: its quant, its scale, and its minimum, where the kind has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weight {
    pub(super) quant: i64,
    pub(super) scale: f64,
    pub(super) minimum: Option<f64>,
}

/// Weight `i` of a row of a quantised kind.
pub(super) fn weight(kind: Kind, row: &[u8], i: usize) -> Weight {
    let unit = &row[i / kind.unit() * kind.unit_bytes()..][..kind.unit_bytes()];
    let i = i % kind.unit();
    let nibble = |from: usize, i: usize| i64::from(unit[from + i % 16] >> (i / 16 * 4) & 15);
    let bit = |from: usize, i: usize| i64::from(unit[from + i / 8] >> (i % 8) & 1);
    let half = |at: usize| binary16(u16::from_le_bytes([unit[at], unit[at + 1]]));
    let (quant, scale, minimum) = match kind {
        Kind::Q8_0 => (i64::from(unit[2 + i] as i8), half(0), None),
        Kind::Q4_0 => (nibble(2, i) - 8, half(0), None),
        Kind::Q5_0 => (nibble(6, i) + 16 * bit(2, i) - 16, half(0), None),
        Kind::Q4_1 => (nibble(4, i), half(0), Some(-half(2))),
        Kind::Q5_1 => (nibble(8, i) + 16 * bit(4, i), half(0), Some(-half(2))),
        Kind::Q4K | Kind::Q5K => {
            let (block, within) = (i / 32, i % 32);
            let quants = if kind == Kind::Q4K { 16 } else { 48 };
            let low = i64::from(unit[quants + block / 2 * 32 + within] >> (block % 2 * 4) & 15);
            let high = if kind == Kind::Q4K { 0 } else { i64::from(unit[16 + within] >> block & 1) };
            let [scale, minimum] = six_bits(&unit[4..16], block);
            (low + 16 * high, half(0) * scale, Some(half(2) * minimum))
        }
        Kind::Q6K => {
            let (upper, within) = (i / 128, i % 128);
            let low = i64::from(unit[64 * upper + within % 64] >> (within / 64 * 4) & 15);
            let high = i64::from(unit[128 + 32 * upper + within % 32] >> (within / 32 * 2) & 3);
            (low + 16 * high - 32, half(208) * f64::from(unit[192 + i / 16] as i8), None)
        }
        Kind::F32 | Kind::F16 | Kind::Bf16 => panic!("no quantised kind"),
    };
    Weight { quant, scale, minimum }
}

/// Weight `i` of a row of floats.
pub(super) fn float(kind: Kind, row: &[u8], i: usize) -> f32 {
    match kind {
        Kind::F32 => f32::from_le_bytes(row[4 * i..][..4].try_into().unwrap()),
        Kind::F16 => binary16(u16::from_le_bytes([row[2 * i], row[2 * i + 1]])) as f32,
        _ => f32::from_le_bytes([0, 0, row[2 * i], row[2 * i + 1]]),
    }
}

/// The scale and the minimum of a block of Q4_K or Q5_K.
fn six_bits(bytes: &[u8], block: usize) -> [f64; 2] {
    [0, 4].map(|shift| {
        f64::from(if block < 4 {
            bytes[block + shift] % 64
        } else {
            (bytes[block + 4] >> shift) % 16 + bytes[block - 4 + shift] / 64 * 16
        })
    })
}

fn binary16(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let magnitude = match exponent {
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        0 => fraction / 1024.0 / 16384.0,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

/// A block of 32 activations: quants, scale, and sum times scale.
pub(super) fn quantize(block: &[f32]) -> (Vec<i64>, f32, f32) {
    let amax = block.iter().fold(0f32, |most, x| if x.abs() <= most { most } else { x.abs() });
    if !block.iter().all(|x| x.is_finite()) {
        return (vec![0; 32], f32::NAN, f32::NAN);
    }
    if amax == 0.0 {
        return (vec![0; 32], 0.0, 0.0);
    }
    let quants: Vec<i64> = block
        .iter()
        .map(|x| {
            let scaled = x * (127.0 / amax);
            // Zero times an infinite quotient is no number and becomes -127.
            if scaled.is_nan() { -127 } else { scaled.round_ties_even().clamp(-127.0, 127.0) as i64 }
        })
        .collect();
    let scale = amax / 127.0;
    let sum = quants.iter().sum::<i64>() as f32 * scale;
    (quants, scale, sum)
}

/// One output for one column.
pub(super) fn product(kind: Kind, row: &[u8], column: &[f32]) -> f32 {
    let mut y = 0f32;
    if !kind.takes_quantised() {
        for (i, &x) in column.iter().enumerate() {
            y = float(kind, row, i).mul_add(x, y);
        }
        return y;
    }
    let run = if kind == Kind::Q6K { 16 } else { 32 };
    for (b, block) in column.chunks_exact(32).enumerate() {
        let (quants, scale, sum) = quantize(block);
        for (r, quants) in quants.chunks_exact(run).enumerate() {
            let first = b * 32 + r * run;
            let dot: i64 = quants.iter().enumerate().map(|(i, a)| a * weight(kind, row, first + i).quant).sum();
            let weight = weight(kind, row, first);
            y = (dot as f32).mul_add(weight.scale as f32 * scale, y);
            if let Some(minimum) = weight.minimum {
                y = (-minimum as f32).mul_add(sum, y);
            }
        }
    }
    y
}
