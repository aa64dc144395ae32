//! Types of weights, and how rows of numbers become blocks of them.
//!
//! The quantisers are the simple ones: the step is the range divided by the levels. Rows decode to
//! sane values; ggml's own quantisers search for better ones.

use super::half::{bf16, f16, f16_to_f32};
use super::kquants;

/// A type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q4K,
    Q5K,
    Q6K,
    /// For refusals only: every weight is zero.
    Q2K,
    /// For refusals only: every weight is zero.
    Q3K,
}

/// Numbers that share a step in the simple types.
const BLOCK: usize = 32;

/// Numbers in a block of the nested types.
pub(super) const SUPER: usize = 256;

impl Kind {
    /// All with sane weights.
    pub(crate) const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
        }
    }

    /// The number in GGUF files.
    pub(super) fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2K => 10,
            Self::Q3K => 11,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::BF16 => 30,
        }
    }

    /// Numbers in a block, and its bytes.
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q8_0 => (BLOCK, 34),
            Self::Q4_0 => (BLOCK, 18),
            Self::Q4_1 => (BLOCK, 20),
            Self::Q5_0 => (BLOCK, 22),
            Self::Q5_1 => (BLOCK, 24),
            Self::Q2K => (SUPER, 84),
            Self::Q3K => (SUPER, 110),
            Self::Q4K => (SUPER, 144),
            Self::Q5K => (SUPER, 176),
            Self::Q6K => (SUPER, 210),
        }
    }

    /// Bytes of a row of `columns` numbers.
    pub(super) fn row_bytes(self, columns: usize) -> usize {
        let (numbers, bytes) = self.block();
        assert!(columns.is_multiple_of(numbers), "a row of {columns} has no whole blocks of {}", self.name());
        columns / numbers * bytes
    }

    /// This type, or what llama.cpp puts in its place for rows that are no multiple of its block.
    pub(super) fn for_rows_of(self, columns: usize) -> Self {
        match self {
            _ if columns.is_multiple_of(self.block().0) => self,
            Self::Q4K => Self::Q5_0,
            Self::Q5K => Self::Q5_1,
            Self::Q6K => Self::Q8_0,
            Self::Q2K | Self::Q3K => Self::Q4_0,
            _ => Self::F16,
        }
    }

    /// Appends the blocks of one row.
    pub(super) fn encode(self, row: &[f32], out: &mut Vec<u8>) {
        let end = out.len() + self.row_bytes(row.len());
        match self {
            Self::F32 => row.iter().for_each(|x| out.extend(x.to_le_bytes())),
            Self::F16 => row.iter().for_each(|x| out.extend(f16(*x).to_le_bytes())),
            Self::BF16 => row.iter().for_each(|x| out.extend(bf16(*x).to_le_bytes())),
            Self::Q8_0 => row.chunks(BLOCK).for_each(|block| q8_0(block, out)),
            Self::Q4_0 => row.chunks(BLOCK).for_each(|block| simple(&symmetric(block, 8), false, out)),
            Self::Q4_1 => row.chunks(BLOCK).for_each(|block| simple(&ranged(block, 15), false, out)),
            Self::Q5_0 => row.chunks(BLOCK).for_each(|block| simple(&symmetric(block, 16), true, out)),
            Self::Q5_1 => row.chunks(BLOCK).for_each(|block| simple(&ranged(block, 31), true, out)),
            Self::Q4K => row.chunks(SUPER).for_each(|block| kquants::q4_k(block, out)),
            Self::Q5K => row.chunks(SUPER).for_each(|block| kquants::q5_k(block, out)),
            Self::Q6K => row.chunks(SUPER).for_each(|block| kquants::q6_k(block, out)),
            Self::Q2K | Self::Q3K => out.resize(end, 0),
        }
        assert_eq!(out.len(), end);
    }
}

/// The nearest level, `x` being in steps of `step`; 0 where there is no step.
pub(super) fn level(x: f32, step: f32, low: i32, high: i32) -> i32 {
    if step == 0.0 { 0.clamp(low, high) } else { ((x / step).round() as i32).clamp(low, high) }
}

/// `x` as a binary16 holds it.
pub(super) fn halved(x: f32) -> f32 {
    f16_to_f32(f16(x))
}

fn q8_0(block: &[f32], out: &mut Vec<u8>) {
    let step = halved(block.iter().fold(0.0, |max: f32, x| max.max(x.abs())) / 127.0);
    out.extend(f16(step).to_le_bytes());
    out.extend(block.iter().map(|x| level(*x, step, -127, 127) as i8 as u8));
}

/// A block's head (step, and minimum if there is one) and its levels.
struct Levels {
    head: Vec<f32>,
    levels: Vec<u8>,
}

/// Levels from `-half` to `half - 1`, stored from 0. The number of largest magnitude has level `-half`,
/// so the step may be negative.
fn symmetric(block: &[f32], half: i32) -> Levels {
    let largest = block.iter().fold(0.0, |max: f32, &x| if x.abs() > max.abs() { x } else { max });
    let step = halved(largest / -(half as f32));
    let levels = block.iter().map(|x| (level(*x, step, -half, half - 1) + half) as u8).collect();
    Levels { head: vec![step], levels }
}

/// Levels from 0 to `top`, on top of the minimum.
fn ranged(block: &[f32], top: i32) -> Levels {
    let low = block.iter().copied().fold(f32::INFINITY, f32::min);
    let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (step, low) = (halved((high - low) / top as f32), halved(low));
    let levels = block.iter().map(|x| level(x - low, step, 0, top) as u8).collect();
    Levels { head: vec![step, low], levels }
}

/// Head, fifth bits if `five`, and two nibbles a byte: number `i` and number `i + 16`.
fn simple(block: &Levels, five: bool, out: &mut Vec<u8>) {
    block.head.iter().for_each(|x| out.extend(f16(*x).to_le_bytes()));
    if five {
        let bits = block.levels.iter().enumerate().map(|(i, level)| u32::from(level >> 4) << i);
        out.extend(bits.sum::<u32>().to_le_bytes());
    }
    let (low, high) = block.levels.split_at(BLOCK / 2);
    out.extend(low.iter().zip(high).map(|(low, high)| low & 15 | (high & 15) << 4));
}
