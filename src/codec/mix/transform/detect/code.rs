//! Machine code, by the instructions that transforms change.

use super::{Kind, Mode};

/// Bytes looked at, in the middle of a chunk.
const SAMPLE: usize = 1 << 16;
/// x86: at least one call or jump with a near target in so many bytes, and so many of all E8 and E9.
const BYTES_PER_JUMP: usize = 500;
const NEAR_TARGETS: f32 = 0.6;
/// x86: at least one of the commonest opcodes in so many bytes.
const BYTES_PER_MOVE: usize = 40;
/// x86: at least one of the commonest opcodes with a REX.W prefix in so many of all tells long mode.
const MOVES_PER_LONG: usize = 8;
/// AArch64: at least so many of all words are of the commonest kinds, each kind one in so many words at least.
const COMMON: f32 = 0.25;
const WORDS_PER_KIND: usize = 512;

/// The code in `chunk`.
pub(super) fn detect(chunk: &[u8]) -> Option<Kind> {
    let start = (chunk.len() - SAMPLE.min(chunk.len())) / 2;
    let sample = &chunk[start..chunk.len().min(start + SAMPLE)];
    x86(sample).map(|mode| Kind::X86 { mode }).or_else(|| {
        // The phase is that of the chunk.
        arm64(sample).map(|phase| Kind::Arm64 { phase: (start + phase) % 4 })
    })
}

fn x86(sample: &[u8]) -> Option<Mode> {
    let near = |top: u8| usize::from(top == 0 || top == 0xff);
    let (mut calls, mut near_calls, mut jumps, mut moves, mut long) = (0, 0, 0, 0, 0);
    for window in sample.windows(6) {
        match *window {
            [0xe8 | 0xe9, _, _, _, top, _] => {
                calls += 1;
                near_calls += near(top);
            }
            [0x0f, 0x80..=0x8f, _, _, _, top] => jumps += near(top),
            [prefix, 0x83 | 0x85 | 0x89 | 0x8b | 0x8d, ..] => {
                moves += 1;
                long += usize::from(prefix & 0xf8 == 0x48);
            }
            _ => {}
        }
    }
    let is_code = (near_calls + jumps) * BYTES_PER_JUMP > sample.len()
        && near_calls as f32 > NEAR_TARGETS * calls as f32
        && moves * BYTES_PER_MOVE > sample.len();
    is_code.then_some(if long * MOVES_PER_LONG > moves { Mode::Long } else { Mode::Protected })
}

/// The phase of the words, if they are instructions.
fn arm64(sample: &[u8]) -> Option<usize> {
    (0..4).find(|&phase| {
        let words = sample.get(phase..).unwrap_or_default().as_chunks::<4>().0;
        let mut kinds = [0usize; 6];
        for word in words {
            match u32::from_le_bytes(*word) >> 24 {
                // BL, by its highest six bits.
                0x94..=0x97 => kinds[0] += 1,
                // ADRP, by all but two of the highest.
                0x90 | 0xb0 | 0xd0 | 0xf0 => kinds[1] += 1,
                // LDR and STR, LDP and STP, of 64 bits.
                0xf9 => kinds[2] += 1,
                0xa9 => kinds[3] += 1,
                // ORR as a move; ADD of an immediate; B.cond, CBZ, MOVZ.
                0xaa | 0x2a => kinds[4] += 1,
                0x91 | 0x54 | 0x34 | 0xb4 | 0x52 => kinds[5] += 1,
                _ => {}
            }
        }
        kinds.iter().sum::<usize>() as f32 > COMMON * words.len() as f32
            && kinds.iter().all(|&kind| kind * WORDS_PER_KIND > words.len())
    })
}
