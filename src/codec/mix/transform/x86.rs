//! x86 and x86-64 code: relative addresses become absolute within the chunk, most significant byte first.
//!
//! Two calls of one function hold different displacements, since each counts from its own place. The sum of
//! displacement and place is the same in both, and so is what a context model learns from. The idea is that of
//! the branch filters of 7-Zip and xz and of the E8E9 step of paq; the operands of long mode that count from the
//! instruction pointer, and the order of the bytes, are added.
//!
//! # Why it is reversible
//!
//! Both directions go upwards. The bytes before a field say that it is one; both sides have them in their original
//! form. They pass over the field, changed or not, so fields never overlap.
//!
//! What is done to a field is a bijection. Let A be the fields whose last byte, as in code, is 0x00 or 0xff, and B
//! those whose first byte is. A displacement of 25 bits with its sign spread over 32 is in A; adding the place
//! modulo 2^25 keeps it there, and reversing the bytes takes A onto B. The fields in B and not in A are reversed
//! too, which takes them to those in A and not in B. The rest, in neither, stay. A displacement of 0 stays 0, as in
//! `address.rs`.

use super::address::{absolute, relative};

/// Bytes of a displacement.
const FIELD: usize = 4;
/// Bits of a displacement that is changed: one more than three bytes, as its sign fills the fourth.
const BITS: u32 = 25;
const WINDOW: u32 = (1 << BITS) - 1;

/// Which instructions hold a displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 32-bit code: calls and jumps. An operand of the form that long mode reads as relative is absolute here.
    Protected,
    /// 64-bit code: calls, jumps, and operands relative to the instruction pointer.
    Long,
}

/// `chunk` with absolute addresses; same length.
#[must_use]
pub fn encode(chunk: &[u8], mode: Mode) -> Vec<u8> {
    let mut out = chunk.to_vec();
    let mut last = 0;
    while last + FIELD < chunk.len() {
        if is_field(chunk, last, mode) {
            step(&mut out, last + 1, |stored, place| {
                if spread(stored[FIELD - 1]) {
                    signed(absolute(u32::from_le_bytes(stored) & WINDOW, place, BITS)).to_be_bytes()
                } else if spread(stored[0]) {
                    reversed(stored)
                } else {
                    stored
                }
            });
            last += FIELD;
        }
        last += 1;
    }
    out
}

/// Undoes [`encode`] with the same mode; total, as `encode` is a bijection.
pub fn decode(chunk: &mut [u8], mode: Mode) {
    let mut last = 0;
    while last + FIELD < chunk.len() {
        if is_field(chunk, last, mode) {
            step(chunk, last + 1, |coded, place| {
                if spread(coded[0]) {
                    signed(relative(u32::from_be_bytes(coded) & WINDOW, place, BITS)).to_le_bytes()
                } else if spread(coded[FIELD - 1]) {
                    reversed(coded)
                } else {
                    coded
                }
            });
            last += FIELD;
        }
        last += 1;
    }
}

/// Replaces the field at `at`, told it and the place that its displacement counts from, modulo 2^32.
fn step(chunk: &mut [u8], at: usize, change: impl Fn([u8; FIELD], u32) -> [u8; FIELD]) {
    if let Some(field) = chunk[at..].first_chunk_mut::<FIELD>() {
        *field = change(*field, (at + FIELD) as u32);
    }
}

/// Whether a displacement follows the byte at `last`, by that byte and up to two before it.
#[inline(always)]
fn is_field(chunk: &[u8], last: usize, mode: Mode) -> bool {
    if !LAST_BYTES[mode as usize][usize::from(chunk[last])] {
        return false;
    }
    let before = |n: usize| last.checked_sub(n).map_or(0, |at| chunk[at]);
    let (byte, opcode, prefix) = (chunk[last], before(1), before(2));
    match byte {
        // CALL, JMP.
        0xe8 | 0xe9 => true,
        // Jcc.
        0x80..=0x8f => opcode == 0x0f,
        _ => mode == Mode::Long && is_pointer_relative(byte) && takes_operand(opcode, prefix),
    }
}

/// Whether a ModRM byte stands for a displacement from the instruction pointer and nothing else.
const fn is_pointer_relative(modrm: u8) -> bool {
    modrm & 0xc7 == 0x05
}

/// The opcodes that often have such an operand. More would find more fields, and more that are none.
fn takes_operand(opcode: u8, prefix: u8) -> bool {
    match opcode {
        // CMP, MOV, LEA, and those with an immediate operand after the displacement.
        0x39 | 0x3b | 0x80 | 0x81 | 0x83 | 0x89 | 0x8b | 0x8d | 0xc6 | 0xc7 => true,
        // ADD, SUB, XOR, MOVSXD, TEST: with a REX prefix only.
        0x03 | 0x2b | 0x33 | 0x63 | 0x85 if prefix & 0xf0 == 0x40 => true,
        // Opcodes of two bytes: SSE, MOVZX, CMOV.
        _ => prefix == 0x0f,
    }
}

/// The bytes that can end a prefix, by mode: most are passed over by one look.
static LAST_BYTES: [[bool; 256]; 2] = [last_bytes(false), last_bytes(true)];

const fn last_bytes(long: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        table[byte] = matches!(value, 0xe8 | 0xe9 | 0x80..=0x8f) || long && is_pointer_relative(value);
        byte += 1;
    }
    table
}

/// A number of [`BITS`] bits with its sign spread over 32.
fn signed(address: u32) -> u32 {
    ((address << (u32::BITS - BITS)).cast_signed() >> (u32::BITS - BITS)).cast_unsigned()
}

/// Whether a most significant byte is the spread sign of a 25-bit number.
fn spread(byte: u8) -> bool {
    byte == 0 || byte == 0xff
}

fn reversed(bytes: [u8; FIELD]) -> [u8; FIELD] {
    u32::from_le_bytes(bytes).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(bytes: &[u8], mode: Mode) -> Vec<u8> {
        let coded = encode(bytes, mode);
        assert_eq!(coded.len(), bytes.len());
        let mut back = coded.clone();
        decode(&mut back, mode);
        assert_eq!(back, bytes, "{mode:?}");
        // A decoder meets bytes that no encoder made. It must map them one to one as well.
        let mut decoded = bytes.to_vec();
        decode(&mut decoded, mode);
        assert_eq!(encode(&decoded, mode), bytes, "{mode:?}");
        coded
    }

    #[test]
    fn calls_of_one_function_become_equal() {
        // Both call 0x100: from 5, and from 0x45.
        let mut code = vec![0x90; 0x80];
        code[..5].copy_from_slice(&[0xe8, 0xfb, 0, 0, 0]);
        code[0x40..0x45].copy_from_slice(&[0xe8, 0xbb, 0, 0, 0]);
        let coded = there_and_back(&code, Mode::Protected);
        assert_eq!(coded[1..5], [0, 0, 1, 0]);
        assert_eq!(coded[0x41..0x45], [0, 0, 1, 0]);
    }

    #[test]
    fn backward_and_conditional_jumps_have_absolute_targets() {
        // Both to 2.
        let code = [0xe9, 0xfd, 0xff, 0xff, 0xff, 0x0f, 0x85, 0xf7, 0xff, 0xff, 0xff];
        let coded = there_and_back(&code, Mode::Protected);
        assert_eq!(coded, [0xe9, 0, 0, 0, 2, 0x0f, 0x85, 0, 0, 0, 2]);
    }

    #[test]
    fn operands_relative_to_the_pointer_are_of_long_mode() {
        // LEA RDI, [RIP + 0x10].
        let code = [0x48, 0x8d, 0x3d, 0x10, 0, 0, 0];
        assert_eq!(there_and_back(&code, Mode::Protected), code);
        assert_eq!(there_and_back(&code, Mode::Long), [0x48, 0x8d, 0x3d, 0, 0, 0, 0x17]);
    }

    #[test]
    fn a_field_that_looks_coded_is_told_from_one_that_is() {
        let code = [0xe8, 0, 1, 2, 3];
        assert_eq!(there_and_back(&code, Mode::Protected), [0xe8, 3, 2, 1, 0]);
        let code = [0xe8, 4, 1, 2, 3];
        assert_eq!(there_and_back(&code, Mode::Protected), code);
    }

    #[test]
    fn chunks_without_room_for_a_field_stay() {
        for len in 0..=FIELD {
            let code = vec![0xe8; len];
            assert_eq!(there_and_back(&code, Mode::Long), code);
        }
    }

    proptest! {
        /// Made of the bytes that decide, so that fields overlap and every case occurs.
        #[test]
        fn reversible_on_any_bytes(bytes in proptest::collection::vec(prop_oneof![
            Just(0xe8), Just(0), Just(0xff), Just(0x0f), Just(0x80), Just(0x05), Just(0x8b), any::<u8>(),
        ], 0..200)) {
            there_and_back(&bytes, Mode::Protected);
            there_and_back(&bytes, Mode::Long);
        }
    }
}
