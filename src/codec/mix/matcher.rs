//! The longest earlier occurrence of the bytes at hand (spec/mix-codec.md §7).

use super::kernel::Kernel;

/// Matches are followed up to this length, bytes.
const LONGEST: u32 = 65535;
/// Bytes compared when a match begins; its length is at most this then.
const COMPARED: usize = 32;

#[derive(Clone)]
pub(super) struct Matcher {
    /// `last[hash]`: the position behind the bytes hashed, plus 1; 0 where there is none.
    last: Vec<u32>,
    shift: u32,
    /// Bytes hashed, at most 16; a match has at least as many.
    minimum: usize,
    /// The position of the byte predicted, if `length > 0`.
    pub(super) at: usize,
    pub(super) length: u32,
}

impl Matcher {
    pub(super) fn new(bits: u32, minimum: usize) -> Self {
        Self { last: vec![0; 1 << bits], shift: 64 - bits, minimum: minimum.min(16), at: 0, length: 0 }
    }

    /// The byte that followed, if there is a match.
    #[inline(always)]
    pub(super) fn expected(&self, raw: &[u8]) -> Option<u8> {
        if self.length > 0 { raw.get(self.at).copied() } else { None }
    }

    /// Where the bytes at the end of `raw` are noted; `None` as long as they are too few.
    #[inline(always)]
    pub(super) fn place(&self, kernel: impl Kernel, raw: &[u8]) -> Option<usize> {
        if raw.len() < self.minimum {
            return None;
        }
        // The newest byte is the uppermost; those beyond the minimum are shifted out.
        let newest = before(raw, raw.len()) >> (8 * (16 - self.minimum));
        let hash = (newest as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((newest >> 64) as u64).rotate_left(23);
        let place = (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> self.shift) as usize;
        kernel.prefetch(&self.last, place);
        Some(place)
    }

    /// `raw` has grown by its last byte, and this is its place.
    #[inline(always)]
    pub(super) fn grow(&mut self, raw: &[u8], place: Option<usize>) {
        let here = raw.len();
        if self.length > 0 {
            if raw[self.at] == raw[here - 1] {
                self.length = (self.length + 1).min(LONGEST);
                self.at += 1;
            } else {
                self.length = 0;
            }
        }
        let Some(place) = place else { return };
        let entry = &mut self.last[place];
        if self.length == 0 && *entry > 0 {
            let then = (*entry - 1) as usize;
            let length = common(raw, then, here);
            if length >= self.minimum {
                (self.at, self.length) = (then, length as u32);
            }
        }
        *entry = here as u32 + 1;
    }
}

/// The 16 bytes before `at`, the nearest uppermost; zeros before the first.
#[inline(always)]
fn before(raw: &[u8], at: usize) -> u128 {
    match raw[..at].last_chunk::<16>() {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => raw[..at].iter().fold(0, |all, &byte| all >> 8 | u128::from(byte) << 120),
    }
}

/// How many bytes before `then` and before `here` are the same; `then < here`.
#[inline(always)]
fn common(raw: &[u8], then: usize, here: usize) -> usize {
    let mut length = 0;
    while length < COMPARED && length < then {
        let differ = before(raw, then - length) ^ before(raw, here - length);
        let same = differ.leading_zeros() as usize / 8;
        length += same;
        if same < 16 {
            break;
        }
    }
    length.min(then).min(COMPARED)
}

#[cfg(test)]
mod tests;
