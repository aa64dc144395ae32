//! Blocks of 256 numbers with quantised steps of their own for every 32 or 16.

use super::half::f16;
use super::kind::{SUPER, halved, level};

/// Steps and minima of the eight parts of a block, and the numbers' levels.
struct Nested {
    step: f32,
    minimum: f32,
    steps: [u8; 8],
    minima: [u8; 8],
    levels: Vec<u8>,
}

/// Levels from 0 to `top`. A number is `step * steps[i] * level - minimum * minima[i]`; steps and minima
/// have six bits.
fn nested(block: &[f32], top: i32) -> Nested {
    let parts: Vec<&[f32]> = block.chunks(32).collect();
    let depth = |part: &[f32]| part.iter().fold(0.0, |low: f32, x| low.max(-x));
    let range = |part: &[f32]| (part.iter().fold(0.0, |high: f32, x| high.max(*x)) + depth(part)) / top as f32;
    let largest = |of: &dyn Fn(&[f32]) -> f32| parts.iter().fold(0.0, |max: f32, part| max.max(of(part)));
    let step = halved(largest(&range) / 63.0);
    let minimum = halved(largest(&depth) / 63.0);
    let (mut steps, mut minima, mut levels) = ([0; 8], [0; 8], Vec::with_capacity(SUPER));
    for (i, part) in parts.iter().enumerate() {
        let (own_step, own_minimum) = (level(range(part), step, 0, 63), level(depth(part), minimum, 0, 63));
        (steps[i], minima[i]) = (own_step as u8, own_minimum as u8);
        let (own_step, low) = (step * own_step as f32, minimum * own_minimum as f32);
        levels.extend(part.iter().map(|x| level(x + low, own_step, 0, top) as u8));
    }
    Nested { step, minimum, steps, minima, levels }
}

impl Nested {
    /// Step, minimum, and twelve bytes of six-bit steps and minima: the first four of each whole, the low
    /// four bits of the others in bytes 8 to 11, their high two bits on top of the first eight bytes.
    fn head(&self, out: &mut Vec<u8>) {
        out.extend(f16(self.step).to_le_bytes());
        out.extend(f16(self.minimum).to_le_bytes());
        let mut packed = [0; 12];
        for i in 0..4 {
            packed[i] = self.steps[i] | self.steps[i + 4] >> 4 << 6;
            packed[i + 4] = self.minima[i] | self.minima[i + 4] >> 4 << 6;
            packed[i + 8] = self.steps[i + 4] & 15 | (self.minima[i + 4] & 15) << 4;
        }
        out.extend(packed);
    }

    /// For each 64 numbers 32 bytes of nibbles: the first half low, the second high.
    fn nibbles(&self, out: &mut Vec<u8>) {
        for pair in self.levels.chunks(64) {
            out.extend((0..32).map(|i| pair[i] & 15 | (pair[i + 32] & 15) << 4));
        }
    }
}

pub(super) fn q4_k(block: &[f32], out: &mut Vec<u8>) {
    let nested = nested(block, 15);
    nested.head(out);
    nested.nibbles(out);
}

pub(super) fn q5_k(block: &[f32], out: &mut Vec<u8>) {
    let nested = nested(block, 31);
    nested.head(out);
    // Fifth bits: byte `i` holds those of numbers `i` of the eight parts.
    let fifth = |i: usize| (0..8).map(|part| (nested.levels[32 * part + i] >> 4) << part).sum::<u8>();
    out.extend((0..32).map(fifth));
    nested.nibbles(out);
}

/// Levels from -32 to 31; a step of eight bits for every 16 numbers.
pub(super) fn q6_k(block: &[f32], out: &mut Vec<u8>) {
    let range = |part: &[f32]| part.iter().fold(0.0, |max: f32, x| max.max(x.abs())) / 31.0;
    let step = halved(block.chunks(16).map(range).fold(0.0, f32::max) / 127.0);
    let (mut steps, mut levels) = (Vec::with_capacity(16), Vec::with_capacity(SUPER));
    for part in block.chunks(16) {
        let own = level(range(part), step, 0, 127);
        steps.push(own as u8);
        levels.extend(part.iter().map(|x| (level(*x, step * own as f32, -32, 31) + 32) as u8));
    }
    // In each half of the block, numbers `i`, `i + 32`, `i + 64` and `i + 96` share bytes.
    for half in levels.chunks(128) {
        let nibbles = |i: usize| half[i] & 15 | (half[i + 64] & 15) << 4;
        out.extend((0..64).map(nibbles));
    }
    for half in levels.chunks(128) {
        let high = |i: usize| (0..4).map(|k| half[i + 32 * k] >> 4 << (2 * k)).sum::<u8>();
        out.extend((0..32).map(high));
    }
    out.extend(steps);
    out.extend(f16(step).to_le_bytes());
}
