//! One unit of ggml's storage, taken apart.

use super::kind::{BLOCK, Kind, SUPER};

/// The integers of one block or super-block. Quants carry the offset of [`Kind::offset`]. A weight is
/// `quant * d * scale - min * minimum`, where a format has these; scales without a meaning are not set.
pub(super) struct Unit {
    /// Quants in the order of the inputs; the first [`Kind::unit`] count.
    pub(super) quants: [u8; SUPER],
    /// Binary16.
    pub(super) d: u16,
    /// Binary16. In Q4_1 and Q5_1 ggml adds it: here its sign is turned.
    pub(super) min: u16,
    /// For each 32 inputs, in Q6_K for each 16 and signed.
    pub(super) scales: [u8; 16],
    /// For each 32 inputs.
    pub(super) minimums: [u8; 8],
}

impl Unit {
    pub(super) const ZERO: Self = Self { quants: [0; SUPER], d: 0, min: 0, scales: [0; 16], minimums: [0; 8] };

    /// Takes `bytes`, one unit of a quantised `kind`, apart.
    ///
    /// # Panics
    /// Where `bytes` are not [`Kind::unit_bytes`] or `kind` is a float.
    pub(super) fn read(&mut self, kind: Kind, bytes: &[u8]) {
        assert_eq!(bytes.len(), kind.unit_bytes());
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        self.d = half(0);
        match kind {
            Kind::Q8_0 => self.bytes(&bytes[2..]),
            Kind::Q4_0 => self.halves(&bytes[2..], 0),
            Kind::Q5_0 => self.halves(&bytes[6..], word(&bytes[2..6])),
            Kind::Q4_1 => {
                self.min = half(2) ^ 0x8000;
                self.halves(&bytes[4..], 0);
            }
            Kind::Q5_1 => {
                self.min = half(2) ^ 0x8000;
                self.halves(&bytes[8..], word(&bytes[4..8]));
            }
            Kind::Q4K => {
                self.min = half(2);
                self.six_bits(&bytes[4..16]);
                self.quarters(&bytes[16..], &[0; BLOCK]);
            }
            Kind::Q5K => {
                self.min = half(2);
                self.six_bits(&bytes[4..16]);
                self.quarters(&bytes[48..], &bytes[16..48]);
            }
            Kind::Q6K => {
                self.d = half(208);
                self.scales.copy_from_slice(&bytes[192..208]);
                self.six(&bytes[..128], &bytes[128..192]);
            }
            Kind::F32 | Kind::F16 | Kind::Bf16 => panic!("floats have no quants"),
        }
    }

    /// Q8_0: signed bytes.
    fn bytes(&mut self, signed: &[u8]) {
        for (quant, byte) in self.quants.iter_mut().zip(signed) {
            *quant = byte ^ 0x80;
        }
    }

    /// Blocks of 32: 16 bytes hold the inputs 0..16 in their low halves, 16..32 in the high ones; a
    /// fifth bit for input `i` is bit `i` of `fifth`.
    fn halves(&mut self, packed: &[u8], fifth: u32) {
        let (low, high) = self.quants[..BLOCK].split_at_mut(BLOCK / 2);
        for (i, byte) in packed.iter().enumerate() {
            low[i] = byte & 0xf | ((fifth >> i & 1) << 4) as u8;
            high[i] = byte >> 4 | ((fifth >> (i + 16) & 1) << 4) as u8;
        }
    }

    /// Q4_K, Q5_K: 32 bytes for 64 inputs, the first 32 in the low halves; the fifth bit of input
    /// `32 b + i` is bit `b` of `fifth[i]`.
    fn quarters(&mut self, packed: &[u8], fifth: &[u8]) {
        for (pair, (bytes, quants)) in packed.chunks_exact(32).zip(self.quants.chunks_exact_mut(64)).enumerate() {
            let (low, high) = quants.split_at_mut(32);
            for i in 0..32 {
                low[i] = bytes[i] & 0xf | (fifth[i] >> (2 * pair) & 1) << 4;
                high[i] = bytes[i] >> 4 | (fifth[i] >> (2 * pair + 1) & 1) << 4;
            }
        }
    }

    /// Q6_K: for each 128 inputs 64 bytes of low halves and 32 of upper pairs of bits.
    fn six(&mut self, low: &[u8], high: &[u8]) {
        for (half, quants) in self.quants.chunks_exact_mut(128).enumerate() {
            let (low, high) = (&low[64 * half..][..64], &high[32 * half..][..32]);
            for (i, quant) in quants.iter_mut().enumerate() {
                let (quarter, l) = (i / 32, i % 32);
                let nibble = low[i % 64] >> (4 * (quarter / 2)) & 0xf;
                *quant = nibble | (high[l] >> (2 * quarter) & 3) << 4;
            }
        }
    }

    /// 8 scales and 8 minimums of 6 bits in 12 bytes: of the first four the low 6 bits of bytes 0..4
    /// and 4..8; of the others 4 bits in bytes 8..12 and 2 bits above the former.
    fn six_bits(&mut self, bytes: &[u8]) {
        for j in 0..4 {
            self.scales[j] = bytes[j] & 63;
            self.minimums[j] = bytes[j + 4] & 63;
            self.scales[j + 4] = bytes[j + 8] & 0xf | bytes[j] >> 6 << 4;
            self.minimums[j + 4] = bytes[j + 8] >> 4 | bytes[j + 4] >> 6 << 4;
        }
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}
