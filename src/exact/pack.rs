//! Q8_0 weights, repacked so that one vector load holds the same 4 inputs of 16 outputs.

/// Weights and activations that share one scale (ggml's `QK8_0`).
pub const BLOCK: usize = 32;

/// Outputs whose weights are interleaved.
pub const GROUP: usize = 16;

/// Bytes of one ggml `block_q8_0`: an f16 scale, then 32 signed bytes.
const GGML_BLOCK: usize = 2 + BLOCK;

/// A matrix of Q8_0 weights. For group `g` of 16 outputs and block `b` of 32 inputs, at
/// `g * blocks + b`: 16 scales, 16 sums, and 512 quants ordered by input quad, output, input.
/// Outputs beyond the last are zero.
#[derive(Clone, Debug)]
pub struct PackedQ8 {
    outputs: usize,
    blocks: usize,
    pub(super) quants: Vec<[i8; GROUP * BLOCK]>,
    pub(super) scales: Vec<[f32; GROUP]>,
    /// -128 times the sum of the output's quants: undoes the offset of unsigned activations.
    pub(super) offsets: Vec<[i32; GROUP]>,
}

impl PackedQ8 {
    /// Repacks `outputs` rows of `depth` weights in ggml's Q8_0 format, row after row.
    /// `None` where `depth` is not a multiple of 32 or `ggml` has another length.
    #[must_use]
    pub fn new(ggml: &[u8], depth: usize, outputs: usize) -> Option<Self> {
        let blocks = depth / BLOCK;
        if depth == 0 || !depth.is_multiple_of(BLOCK) || ggml.len() != outputs.checked_mul(blocks * GGML_BLOCK)? {
            return None;
        }
        let cells = outputs.div_ceil(GROUP) * blocks;
        let mut packed = Self {
            outputs,
            blocks,
            quants: vec![[0; GROUP * BLOCK]; cells],
            scales: vec![[0.0; GROUP]; cells],
            offsets: vec![[0; GROUP]; cells],
        };
        for (output, row) in ggml.chunks_exact(blocks * GGML_BLOCK).enumerate() {
            for (b, block) in row.chunks_exact(GGML_BLOCK).enumerate() {
                packed.put(output, b, block);
            }
        }
        Some(packed)
    }

    fn put(&mut self, output: usize, b: usize, block: &[u8]) {
        let (cell, lane) = (output / GROUP * self.blocks + b, output % GROUP);
        self.scales[cell][lane] = f16_to_f32(u16::from_le_bytes([block[0], block[1]]));
        let mut sum = 0i32;
        for (i, &byte) in block[2..].iter().enumerate() {
            let quant = byte as i8;
            self.quants[cell][i / 4 * (4 * GROUP) + lane * 4 + i % 4] = quant;
            sum += i32::from(quant);
        }
        self.offsets[cell][lane] = -128 * sum;
    }

    /// Number of inputs.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.blocks * BLOCK
    }

    /// Number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of groups of outputs, the last one perhaps not full.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.outputs.div_ceil(GROUP)
    }

    /// Number of blocks of inputs.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }
}

/// IEEE binary16 to binary32, exactly.
pub(super) fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10 & 0x1f);
    let fraction = u32::from(half & 0x3ff);
    let bits = match exponent {
        // Zero and subnormals: fraction * 2^-24, exact in f32.
        0 => return f32::from_bits((fraction as f32 * f32::from_bits(0x3380_0000)).to_bits() | sign),
        0x1f => sign | 0x7f80_0000 | fraction << 13,
        _ => sign | (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::f16_to_f32;

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
}
