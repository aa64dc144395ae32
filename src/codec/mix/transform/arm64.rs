//! AArch64 code: relative addresses become absolute within the chunk, and instructions big-endian.
//!
//! Instructions are words of 32 bits, little-endian. Turned round, each begins with the bits that say what it is,
//! which a context model then knows when it comes to the operands. Two kinds hold an address relative to their own
//! place that other instructions are likely to hold too:
//!
//! * BL, with the distance in words, 26 bits: the place in words is added;
//! * ADRP, with the distance in pages of 4 KiB, 21 bits in two parts: the page of the place is added.
//!
//! The sums wrap at the width of the field, so both are bijections on it, and the bits that tell the instruction
//! stay. The branches B and B.cond are left alone: their targets are seldom shared, so adding the place costs more
//! than it gains. A distance of 0 stays 0, as in `address.rs`.

use super::address::{absolute, relative};

/// Bytes of an instruction.
const WORD: usize = 4;
const BL: Field = Field { mask: 0xfc00_0000, opcode: 0x9400_0000, bits: 26 };
const ADRP: Field = Field { mask: 0x9f00_0000, opcode: 0x9000_0000, bits: 21 };

struct Field {
    mask: u32,
    opcode: u32,
    bits: u32,
}

impl Field {
    const fn is_in(&self, word: u32) -> bool {
        word & self.mask == self.opcode
    }
}

/// `chunk` with absolute addresses and big-endian words; same length. The bytes before `phase` and those after the
/// last whole word stay.
#[must_use]
pub fn encode(chunk: &[u8], phase: usize) -> Vec<u8> {
    let mut out = chunk.to_vec();
    for (number, word) in words(&mut out, phase) {
        *word = replace(u32::from_le_bytes(*word), number, absolute).to_be_bytes();
    }
    out
}

/// Undoes [`encode`] with the same phase; total, as `encode` is a bijection.
pub fn decode(chunk: &mut [u8], phase: usize) {
    for (number, word) in words(chunk, phase) {
        *word = replace(u32::from_be_bytes(*word), number, relative).to_le_bytes();
    }
}

/// The whole words from `phase` on, numbered modulo 2^32.
fn words(chunk: &mut [u8], phase: usize) -> impl Iterator<Item = (u32, &mut [u8; WORD])> {
    let start = phase.min(chunk.len());
    let words = chunk[start..].as_chunks_mut::<WORD>().0;
    words.iter_mut().enumerate().map(|(number, word)| (number as u32, word))
}

/// `word` with its address, if it has one, changed by `change(address, place, bits)`.
fn replace(word: u32, number: u32, change: impl Fn(u32, u32, u32) -> u32) -> u32 {
    if BL.is_in(word) {
        BL.opcode | change(word & !BL.mask, number, BL.bits)
    } else if ADRP.is_in(word) {
        // The two low bits of the distance are bits 29 and 30 of the word, the others 5 to 23.
        let pages = word >> 29 & 3 | (word >> 5 & 0x7_ffff) << 2;
        let page = number / (4096 / WORD as u32);
        let pages = change(pages, page, ADRP.bits);
        word & (ADRP.mask | 0x1f) | (pages & 3) << 29 | pages >> 2 << 5
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(bytes: &[u8], phase: usize) -> Vec<u8> {
        let coded = encode(bytes, phase);
        let mut back = coded.clone();
        decode(&mut back, phase);
        assert_eq!(back, bytes);
        let mut decoded = bytes.to_vec();
        decode(&mut decoded, phase);
        assert_eq!(encode(&decoded, phase), bytes);
        coded
    }

    fn code(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn calls_of_one_function_become_equal() {
        // BL to word 5 from words 1 and 2, with RET between and after.
        let bytes = code(&[0xd65f_03c0, 0x9400_0004, 0x9400_0003, 0xd65f_03c0]);
        let expected = [0xd65f_03c0_u32, 0x9400_0005, 0x9400_0005, 0xd65f_03c0].map(u32::to_be_bytes).concat();
        assert_eq!(there_and_back(&bytes, 0), expected);
    }

    #[test]
    fn calls_that_a_linker_has_yet_to_fill_stay_equal() {
        let bytes = code(&[0x9400_0000; 3]);
        assert_eq!(there_and_back(&bytes, 0), 0x9400_0000_u32.to_be_bytes().repeat(3));
    }

    #[test]
    fn pages_are_those_of_the_chunk() {
        // ADRP X3 to page 7 from the last word of page 0 and the first of page 1.
        let mut words = vec![0; 1025];
        (words[1023], words[1024]) = (0xf000_0023, 0xd000_0023);
        let coded = there_and_back(&code(&words), 0);
        assert_eq!(coded[1023 * 4..1024 * 4], 0xf000_0023_u32.to_be_bytes());
        assert_eq!(coded[1024 * 4..], 0xf000_0023_u32.to_be_bytes());
    }

    #[test]
    fn edges_stay() {
        let coded = there_and_back(&[1, 2, 3, 4, 5, 6, 7, 8], 1);
        assert_eq!(coded, [1, 5, 4, 3, 2, 6, 7, 8]);
        assert_eq!(there_and_back(&[1, 2, 3], 9), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn reversible_on_any_bytes(words in proptest::collection::vec(prop_oneof![
            any::<u32>(), (0..16u32).prop_map(|n| 0x9400_0000 | n), (0..=u32::MAX).prop_map(|n| 0x97ff_fff0 | n & 15),
            (0..=u32::MAX).prop_map(|n| 0x9000_0000 | n & 0x60ff_ffff),
        ], 0..60), phase in 0..5usize) {
            there_and_back(&code(&words), phase);
            let swapped: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            there_and_back(&swapped, phase);
        }
    }
}
