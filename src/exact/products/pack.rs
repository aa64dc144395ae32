//! Weights, repacked so that one 64-byte load holds the same 4 inputs of 16 outputs.

use std::ops::Range;

use super::kind::{BLOCK, Kind, SUPER, Scales};
use super::unpack::Unit;
use crate::exact::half::{bf16_to_f32, f16_to_f32};

/// Outputs whose weights are interleaved.
pub const GROUP: usize = 16;

/// Alignment of a group's bytes: that of a cache line.
const LINE: usize = 64;

/// Why weights were not packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The depth is zero or does not consist of the format's blocks.
    #[error("{kind} weights of depth {depth}: not a multiple of {unit}", kind = kind.name(), unit = kind.unit())]
    Depth {
        /// The weights' kind.
        kind: Kind,
        /// The refused depth.
        depth: usize,
    },
    /// The bytes are not those of a matrix of this shape.
    #[error("{kind} weights of {actual} bytes, expected {expected}", kind = kind.name())]
    Length {
        /// The weights' kind.
        kind: Kind,
        /// Bytes of the matrix.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// The matrix is larger than memory can be.
    #[error("{kind} weights of depth {depth} and {outputs} outputs are too large", kind = kind.name())]
    TooLarge {
        /// The weights' kind.
        kind: Kind,
        /// The matrix's inputs.
        depth: usize,
        /// The matrix's outputs.
        outputs: usize,
    },
}

/// Where things lie in a group of 16 outputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) kind: Kind,
    pub(super) depth: usize,
    /// Where the scales begin.
    pub(super) scales_at: usize,
    /// Bytes of the group, a multiple of [`LINE`].
    pub(super) bytes: usize,
}

/// A matrix of weights, packed in groups of 16 outputs; outputs beyond the last are zero bytes.
///
/// A group begins with its quants, block after block of 32 inputs, stored unsigned
/// ([`Kind`] and its offset): for each quad of inputs 16 outputs of 4 bytes. Formats of 4 bits put quad
/// `2p` into the low halves of such a line and quad `2p + 1` into the high ones. Behind all quants lie the
/// scales in the order of the blocks, 16 outputs side by side. Floats have 16 outputs for each input.
///
/// Bytes per weight: F32 4, F16 and BF16 2, Q8_0 and Q5_0 1.0625, Q5_1 1.125, Q5_K 1.0781, Q6_K 1.0703,
/// Q4_0 0.5625, Q4_1 0.625, Q4_K 0.5781.
#[derive(Debug)]
pub struct Packed {
    layout: Layout,
    outputs: usize,
    /// Zeroed by the allocator, so that the threads that fill it are the first to touch it.
    memory: Vec<u8>,
    /// Where the first group begins, so that it is aligned.
    start: usize,
}

impl Packed {
    /// Packs `outputs` rows of `depth` weights in ggml's format, row after row.
    ///
    /// # Errors
    /// Where `depth` is zero or not a multiple of [`Kind::unit`], or `ggml` has another length.
    pub fn new(kind: Kind, ggml: &[u8], depth: usize, outputs: usize) -> Result<Self, PackError> {
        let mut packed = Self::zeroed(kind, depth, outputs)?;
        let expected = outputs * packed.row_bytes();
        if ggml.len() != expected {
            return Err(PackError::Length { kind, expected, actual: ggml.len() });
        }
        packed.parts(1).into_iter().for_each(|mut part| part.fill(ggml));
        Ok(packed)
    }

    /// A matrix of zero bytes, to be filled by [`Self::parts`].
    ///
    /// # Errors
    /// Where `depth` is zero or not a multiple of [`Kind::unit`], or the matrix too large.
    pub fn zeroed(kind: Kind, depth: usize, outputs: usize) -> Result<Self, PackError> {
        if depth == 0 || !depth.is_multiple_of(kind.unit()) {
            return Err(PackError::Depth { kind, depth });
        }
        let layout = Layout::new(kind, depth);
        let sizes = layout.and_then(|layout| {
            outputs.checked_mul(depth / kind.unit())?.checked_mul(kind.unit_bytes())?;
            let bytes = layout.bytes.checked_mul(outputs.div_ceil(GROUP))?.checked_add(LINE)?;
            (bytes <= isize::MAX as usize).then_some((layout, bytes))
        });
        let (layout, bytes) = sizes.ok_or(PackError::TooLarge { kind, depth, outputs })?;
        let memory = vec![0; bytes];
        let start = memory.as_ptr().align_offset(LINE).min(LINE);
        Ok(Self { layout, outputs, memory, start })
    }

    /// Divides the matrix among `count` threads, about equally.
    pub fn parts(&mut self, count: usize) -> Vec<Part<'_>> {
        let (groups, outputs, layout) = (self.groups(), self.outputs, self.layout);
        let each = groups.div_ceil(count.max(1)).max(1);
        let used = self.start..self.start + groups * layout.bytes;
        let chunks = self.memory[used].chunks_mut(each * layout.bytes);
        chunks.enumerate().map(|(i, memory)| Part { layout, outputs, first: i * each, memory }).collect()
    }

    /// Writes the weights of one output to `row`: a quantised one is its quant times its scale, rounded,
    /// less the minimum, rounded; a float is widened.
    ///
    /// # Panics
    /// Where there is no such output or `row` is not [`Self::depth`] long.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs && row.len() == self.depth());
        let (group, lane) = (self.group(output / GROUP), output % GROUP);
        let layout = &self.layout;
        if layout.kind.takes_quantised() {
            for (run, values) in row.chunks_exact_mut(16).enumerate() {
                let (b, half) = (run / 2, run % 2);
                let (scale, minimum) = layout.scale(group, b, half, lane);
                for (i, value) in values.iter_mut().enumerate() {
                    let product = layout.quant(group, b, 16 * half + i, lane) as f32 * scale;
                    *value = if let Some(minimum) = minimum { product - minimum } else { product };
                }
            }
        } else {
            for (input, value) in row.iter_mut().enumerate() {
                *value = layout.float(group, input, lane);
            }
        }
    }

    /// The weights' kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.layout.kind
    }

    /// Number of inputs.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layout.depth
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

    /// Bytes of memory held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.len()
    }

    /// Whether a product with these weights takes quantised columns.
    #[must_use]
    pub fn takes_quantised(&self) -> bool {
        self.layout.kind.takes_quantised()
    }

    /// Bytes of one row in ggml's format.
    fn row_bytes(&self) -> usize {
        self.layout.row_bytes()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The bytes of group `group`.
    pub(super) fn group(&self, group: usize) -> &[u8] {
        &self.memory[self.start + group * self.layout.bytes..][..self.layout.bytes]
    }
}

/// Some groups of a matrix that is being packed.
#[derive(Debug)]
pub struct Part<'a> {
    layout: Layout,
    outputs: usize,
    first: usize,
    memory: &'a mut [u8],
}

impl Part<'_> {
    /// The rows that [`Self::fill`] reads.
    #[must_use]
    pub fn rows(&self) -> Range<usize> {
        let end = self.first + self.memory.len() / self.layout.bytes;
        self.first * GROUP..self.outputs.min(end * GROUP)
    }

    /// Packs the rows of this part; `ggml` is the whole matrix in ggml's format.
    ///
    /// # Panics
    /// Where `ggml` is shorter than the matrix.
    pub fn fill(&mut self, ggml: &[u8]) {
        let bytes = self.layout.row_bytes();
        let rows = self.rows();
        let mut unit = Unit::ZERO;
        for (i, row) in ggml[rows.start * bytes..rows.end * bytes].chunks_exact(bytes).enumerate() {
            let group = &mut self.memory[i / GROUP * self.layout.bytes..][..self.layout.bytes];
            self.layout.put(group, i % GROUP, row, &mut unit);
        }
    }
}

impl Layout {
    fn new(kind: Kind, depth: usize) -> Option<Self> {
        let blocks = depth.div_ceil(BLOCK);
        let quants = match kind {
            Kind::F32 => depth.checked_mul(4 * GROUP)?,
            Kind::F16 | Kind::Bf16 => depth.checked_mul(2 * GROUP)?,
            _ => blocks.checked_mul(BLOCK * GROUP / if kind.nibbles() { 2 } else { 1 })?,
        };
        let scales = match kind.scales() {
            _ if !kind.takes_quantised() => 0,
            Scales::Half => blocks.checked_mul(2 * GROUP)?,
            Scales::HalfMin => blocks.checked_mul(4 * GROUP)?,
            Scales::SuperMin => (depth / SUPER).checked_mul(SUPER_MIN)?,
            Scales::Super16 => (depth / SUPER).checked_mul(SUPER_16)?,
        };
        let bytes = quants.checked_add(scales)?.checked_next_multiple_of(LINE)?;
        Some(Self { kind, depth, scales_at: quants, bytes })
    }

    fn row_bytes(&self) -> usize {
        self.depth / self.kind.unit() * self.kind.unit_bytes()
    }

    /// Writes the row of output `lane` of a group.
    fn put(&self, group: &mut [u8], lane: usize, row: &[u8], unit: &mut Unit) {
        if !self.kind.takes_quantised() {
            let size = self.kind.unit_bytes();
            for (to, from) in group.chunks_exact_mut(GROUP * size).zip(row.chunks_exact(size)) {
                to[lane * size..][..size].copy_from_slice(from);
            }
            return;
        }
        let (quants, scales) = group.split_at_mut(self.scales_at);
        let blocks = self.kind.unit() / BLOCK;
        let lines = quants.len() / (self.depth / self.kind.unit());
        for (number, (quants, bytes)) in
            quants.chunks_exact_mut(lines).zip(row.chunks_exact(self.kind.unit_bytes())).enumerate()
        {
            unit.read(self.kind, bytes);
            self.put_quants(quants, lane, &unit.quants[..blocks * BLOCK]);
            self.put_scales(scales, number, lane, unit);
        }
    }

    fn put_quants(&self, to: &mut [u8], lane: usize, quants: &[u8]) {
        let lines = to.chunks_exact_mut(4 * GROUP).map(|line| &mut line[lane * 4..][..4]);
        if self.kind.nibbles() {
            for (line, pair) in lines.zip(quants.chunks_exact(8)) {
                for (i, byte) in line.iter_mut().enumerate() {
                    *byte = pair[i] | pair[i + 4] << 4;
                }
            }
        } else {
            for (line, quad) in lines.zip(quants.chunks_exact(4)) {
                line.copy_from_slice(quad);
            }
        }
    }

    fn put_scales(&self, scales: &mut [u8], number: usize, lane: usize, unit: &Unit) {
        let mut half = |at: usize, value: u16| scales[at + 2 * lane..][..2].copy_from_slice(&value.to_le_bytes());
        match self.kind.scales() {
            Scales::Half => half(number * 2 * GROUP, unit.d),
            Scales::HalfMin => {
                half(number * 4 * GROUP, unit.d);
                half(number * 4 * GROUP + 2 * GROUP, unit.min);
            }
            Scales::SuperMin => {
                half(number * SUPER_MIN, unit.d);
                half(number * SUPER_MIN + 2 * GROUP, unit.min);
                let blocks = scales[number * SUPER_MIN + 4 * GROUP..].chunks_exact_mut(2 * GROUP);
                for (to, (scale, minimum)) in blocks.zip(unit.scales.iter().zip(unit.minimums)) {
                    to[lane] = *scale;
                    to[GROUP + lane] = minimum;
                }
            }
            Scales::Super16 => {
                half(number * SUPER_16, unit.d);
                let runs = scales[number * SUPER_16 + 2 * GROUP..].chunks_exact_mut(GROUP);
                for (to, scale) in runs.zip(unit.scales) {
                    to[lane] = scale;
                }
            }
        }
    }

    /// The quant of input `input` of block `b`, output `lane`, without its offset.
    pub(super) fn quant(&self, group: &[u8], b: usize, input: usize, lane: usize) -> i32 {
        let quad = input / 4;
        let in_line = lane * 4 + input % 4;
        let stored = if self.kind.nibbles() {
            group[b * BLOCK * GROUP / 2 + quad / 2 * 4 * GROUP + in_line] >> (4 * (quad % 2)) & 0xf
        } else {
            group[b * BLOCK * GROUP + quad * 4 * GROUP + in_line]
        };
        i32::from(stored) - self.kind.offset()
    }

    /// The scale of output `lane` for the half `half` (16 inputs) of block `b`, and its minimum.
    pub(super) fn scale(&self, group: &[u8], b: usize, half: usize, lane: usize) -> (f32, Option<f32>) {
        let scales = &group[self.scales_at..];
        let wide = |at: usize| f16_to_f32(u16::from_le_bytes([scales[at + 2 * lane], scales[at + 2 * lane + 1]]));
        match self.kind.scales() {
            Scales::Half => (wide(b * 2 * GROUP), None),
            Scales::HalfMin => (wide(b * 4 * GROUP), Some(wide(b * 4 * GROUP + 2 * GROUP))),
            Scales::SuperMin => {
                let at = b / 8 * SUPER_MIN;
                let factors = &scales[at + 4 * GROUP + b % 8 * 2 * GROUP..][..2 * GROUP];
                let minimum = wide(at + 2 * GROUP) * f32::from(factors[GROUP + lane]);
                (wide(at) * f32::from(factors[lane]), Some(minimum))
            }
            Scales::Super16 => {
                let at = b / 8 * SUPER_16;
                let factor = scales[at + 2 * GROUP + (b % 8 * 2 + half) * GROUP + lane];
                (wide(at) * f32::from(factor as i8), None)
            }
        }
    }

    /// The weight of input `input`, output `lane`, of a float kind.
    pub(super) fn float(&self, group: &[u8], input: usize, lane: usize) -> f32 {
        let size = self.kind.unit_bytes();
        let bytes = &group[(input * GROUP + lane) * size..][..size];
        match (self.kind, bytes) {
            (Kind::Bf16, &[a, b]) => bf16_to_f32(u16::from_le_bytes([a, b])),
            (_, &[a, b]) => f16_to_f32(u16::from_le_bytes([a, b])),
            (_, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("floats have 2 or 4 bytes"),
        }
    }
}

/// Bytes that 16 outputs need for the scales of a super-block ([`Scales::SuperMin`]).
pub(super) const SUPER_MIN: usize = 4 * GROUP + SUPER / BLOCK * 2 * GROUP;

/// The same for [`Scales::Super16`].
pub(super) const SUPER_16: usize = 2 * GROUP + SUPER / 16 * GROUP;
