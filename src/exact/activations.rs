//! Activations, quantised per column and block (spec/numerics.md §5.1).

use super::pack::BLOCK;

/// Quantised columns. Quants are stored with an offset of 128, as VNNI wants them unsigned.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    depth: usize,
    count: usize,
    pub(super) quants: Vec<u8>,
    pub(super) scales: Vec<f32>,
}

impl Activations {
    /// Forgets all columns and sets the depth, a multiple of 32, of the ones to come.
    ///
    /// # Panics
    /// Where `depth` is not a multiple of 32.
    pub fn reset(&mut self, depth: usize) {
        assert!(depth.is_multiple_of(BLOCK));
        self.depth = depth;
        self.count = 0;
        self.quants.clear();
        self.scales.clear();
    }

    /// Quantises one more column of `depth` values.
    ///
    /// # Panics
    /// Where `column` has another length.
    pub fn push(&mut self, column: &[f32]) {
        assert_eq!(column.len(), self.depth);
        self.count += 1;
        for block in column.chunks_exact(BLOCK) {
            let Ok(block) = block.try_into() else { continue };
            let (quants, scale) = quantize(block);
            self.quants.extend_from_slice(&quants);
            self.scales.push(scale);
        }
    }

    /// Values in a column.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Number of columns.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

/// 1.5 * 2^23: added to a value below 2^22 in magnitude, it leaves `round_half_even` of the value in
/// the low bits of the sum. Unlike a call of a rounding function, this is the same everywhere and
/// stays in vector registers.
const ROUND: f32 = 12_582_912.0;

/// One block: `scale = amax / 127`, quants `round_half_even(x * (127 / amax))`, at most 127 in
/// magnitude (the quotient may be infinite), stored plus 128. A block of zeros has scale 0; one that
/// is not finite has scale NaN, which the head refuses; the quants of both are 0. The largest
/// magnitude is found on the bits, where it does not depend on order.
fn quantize(block: &[f32; BLOCK]) -> ([u8; BLOCK], f32) {
    let amax = block.iter().fold(0u32, |max, x| max.max(x.to_bits() & 0x7fff_ffff));
    let amax = f32::from_bits(amax);
    if amax == 0.0 || !amax.is_finite() {
        return ([128; BLOCK], if amax == 0.0 { 0.0 } else { f32::NAN });
    }
    let inverse = 127.0 / amax;
    let mut quants = [0; BLOCK];
    for (quant, x) in quants.iter_mut().zip(block) {
        let scaled = x * inverse;
        // Zero times infinity is no number; such a block's values are all but zero.
        let bounded = if scaled > 127.0 {
            127.0
        } else if scaled >= -127.0 {
            scaled
        } else {
            -127.0
        };
        *quant = (bounded + ROUND).to_bits() as u8 ^ 0x80;
    }
    (quants, amax / 127.0)
}
