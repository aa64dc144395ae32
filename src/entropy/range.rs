//! The range coder (spec/lm-codec.md §5, §6): 64-bit state, bytes out, carries propagated into the
//! bytes already written.
//!
//! The encoder narrows an interval `low..low + range`, seen through a window of 64 bits that moves
//! one byte to the right whenever the leading byte is settled but for a carry. The stored bytes
//! are the shortest ones that, followed by zeros for ever, lie in the last interval; they never
//! end in a zero. So there is exactly one string of bytes for a sequence of symbols, and
//! [`RangeDecoder::finish`] refuses all others.

use super::cdf::MAX_TOTAL;

/// Range below which a byte is shifted out: with totals of at most 2^48, `range / total` keeps at
/// least 8 bits.
const MIN_RANGE: u64 = 1 << 56;
const _: () = assert!(MIN_RANGE / MAX_TOTAL >= 1 << 8);

/// Most bits of one [`RangeEncoder::encode_bits`].
const MAX_BITS: u32 = 32;

/// Distance from `low` to the value that ends the stored bytes: the next multiple of 2^64, or else
/// of 2^56, in the interval. `range >= MIN_RANGE`, so the latter always lies inside.
fn ending(low: u64, range: u64) -> u64 {
    let carried = low.wrapping_neg();
    if carried < range { carried } else { carried & (MIN_RANGE - 1) }
}

/// Encoder. Invariant between calls: `range >= 2^56`.
#[derive(Clone, Debug)]
pub struct RangeEncoder {
    low: u64,
    range: u64,
    out: Vec<u8>,
}

impl Default for RangeEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl RangeEncoder {
    /// An encoder that has encoded nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { low: 0, range: u64::MAX, out: Vec::new() }
    }

    /// Encodes the symbol whose share is `low..low + weight` of `0..total`: a [`super::Cdf`]'s
    /// `range(symbol)` and `total()`. `1 <= weight`, `low + weight <= total <= MAX_TOTAL`.
    pub fn encode(&mut self, low: u64, weight: u32, total: u64) {
        debug_assert!(weight >= 1 && low + u64::from(weight) <= total && total <= MAX_TOTAL);
        let unit = self.range / total;
        self.narrow(unit * low, unit * u64::from(weight));
    }

    /// Encodes the low `bits` bits of `value`, all values being equally likely. `bits <= 32`.
    pub fn encode_bits(&mut self, value: u32, bits: u32) {
        debug_assert!(bits <= MAX_BITS && u64::from(value) >> bits == 0);
        let unit = self.range >> bits;
        self.narrow(unit * u64::from(value), unit);
    }

    /// Encodes a bit that is 1 with probability `p / 65536`. `1 <= p`.
    #[inline(always)]
    pub fn encode_bit(&mut self, p: u16, bit: bool) {
        debug_assert!(p >= 1);
        let unit = self.range >> 16;
        let ones = unit * u64::from(p);
        if bit {
            self.narrow(0, ones);
        } else {
            self.narrow(ones, (unit << 16) - ones);
        }
    }

    /// Bytes that are out already; the end adds at most one.
    #[must_use]
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// The stored bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let distance = ending(self.low, self.range);
        self.add(distance);
        self.out.push((self.low >> 56) as u8);
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }

    fn narrow(&mut self, offset: u64, range: u64) {
        self.add(offset);
        self.range = range;
        // `range >= 1`: at most seven rounds.
        while self.range < MIN_RANGE {
            self.out.push((self.low >> 56) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    fn add(&mut self, distance: u64) {
        let (low, carry) = self.low.overflowing_add(distance);
        self.low = low;
        if carry {
            // The whole interval stays below 1, so some byte is not 0xff.
            for byte in self.out.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }
}

/// The bytes are not what a [`RangeEncoder`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a range coder's")]
pub struct Garbage;

/// Decoder: per symbol [`RangeDecoder::target`], a look-up, [`RangeDecoder::consume`]. It reads zeros
/// past the end. Invariant between calls: `range >= 2^56`, and `code < range` once a target was
/// accepted.
#[derive(Clone, Debug)]
pub struct RangeDecoder<B> {
    bytes: B,
    /// Bytes read; runs past the end.
    position: usize,
    /// The encoder's `low` (its window), for [`RangeDecoder::finish`].
    low: u64,
    range: u64,
    /// The stored number, seen through the same window, less `low`.
    code: u64,
    /// `range / total` of the last target.
    unit: u64,
}

impl<B: AsRef<[u8]>> RangeDecoder<B> {
    /// A decoder at the front of `bytes`.
    #[must_use]
    pub fn new(bytes: B) -> Self {
        let mut decoder = Self { bytes, position: 0, low: 0, range: u64::MAX, code: 0, unit: 1 };
        for _ in 0..8 {
            decoder.code = decoder.code << 8 | decoder.next();
        }
        decoder
    }

    /// Where in `0..total` the next symbol lies. `1 <= total <= MAX_TOTAL`.
    ///
    /// # Errors
    /// [`Garbage`] where no encoder leads here.
    pub fn target(&mut self, total: u64) -> Result<u64, Garbage> {
        if total == 0 || total > MAX_TOTAL {
            return Err(Garbage);
        }
        self.unit = self.range / total;
        let target = self.code / self.unit;
        if target < total { Ok(target) } else { Err(Garbage) }
    }

    /// Goes past the symbol with `low..low + weight` around the last target.
    ///
    /// # Errors
    /// [`Garbage`] where the share does not hold the last target.
    pub fn consume(&mut self, low: u64, weight: u32) -> Result<(), Garbage> {
        let offset = self.unit.checked_mul(low).ok_or(Garbage)?;
        let range = self.unit.checked_mul(u64::from(weight)).ok_or(Garbage)?;
        self.narrow(offset, range)
    }

    /// The next `bits` bits. `bits <= 32`.
    ///
    /// # Errors
    /// [`Garbage`] where no encoder leads here.
    pub fn decode_bits(&mut self, bits: u32) -> Result<u32, Garbage> {
        debug_assert!(bits <= MAX_BITS);
        let unit = self.range >> bits;
        let value = self.code / unit;
        if value >> bits != 0 {
            return Err(Garbage);
        }
        self.narrow(unit * value, unit)?;
        Ok(value as u32)
    }

    /// The next bit, which is 1 with probability `p / 65536`. `1 <= p`.
    ///
    /// # Errors
    /// [`Garbage`] where no encoder leads here.
    #[inline(always)]
    pub fn decode_bit(&mut self, p: u16) -> Result<bool, Garbage> {
        debug_assert!(p >= 1);
        let unit = self.range >> 16;
        let ones = unit * u64::from(p);
        let bit = self.code < ones;
        if bit {
            self.narrow(0, ones)?;
        } else {
            self.narrow(ones, (unit << 16) - ones)?;
        }
        Ok(bit)
    }

    /// Checks, behind the last symbol, that the bytes are exactly what the encoder writes.
    ///
    /// # Errors
    /// [`Garbage`]: bytes are left, end in a zero, or end in another number than the encoder's.
    pub fn finish(&self) -> Result<(), Garbage> {
        let bytes = self.bytes.as_ref();
        let all_read = bytes.len() <= self.position;
        if all_read && bytes.last() != Some(&0) && self.code == ending(self.low, self.range) {
            Ok(())
        } else {
            Err(Garbage)
        }
    }

    fn narrow(&mut self, offset: u64, range: u64) -> Result<(), Garbage> {
        let code = self.code.checked_sub(offset).filter(|&code| code < range).ok_or(Garbage)?;
        self.code = code;
        self.low = self.low.wrapping_add(offset);
        self.range = range;
        // `range > code >= 0`: at most seven rounds.
        while self.range < MIN_RANGE {
            self.code = self.code << 8 | self.next();
            self.low <<= 8;
            self.range <<= 8;
        }
        Ok(())
    }

    fn next(&mut self) -> u64 {
        let byte = self.bytes.as_ref().get(self.position).copied().unwrap_or(0);
        self.position = self.position.saturating_add(1);
        u64::from(byte)
    }
}

#[cfg(test)]
mod tests;
