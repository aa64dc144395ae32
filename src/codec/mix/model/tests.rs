//! Every kernel is the reference's equal, in both directions.

use super::*;
use crate::entropy::{RangeDecoder, RangeEncoder};

/// Text, noise and records, so that runs, buckets, matches and evictions all occur.
fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut random = 1u32;
    for line in 0..1500u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend(format!("{line},{},the same again {:x}\n", random >> 28, random >> 20).bytes());
        if line % 16 == 0 {
            bytes.extend(random.to_be_bytes());
        }
    }
    bytes
}

fn code(lm: bool, kernel: usize, raw: &[u8], stored: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let machine = Machine::all().nth(kernel).unwrap();
    let mut model = Model::with(machine, lm, Kind::Plain, Learnt::new(lm), raw.len(), None);
    let mut encoder = RangeEncoder::new();
    let mut decoder = RangeDecoder::new(stored.unwrap_or_default());
    for (at, &byte) in raw.iter().enumerate() {
        let hint = Hint { node: at as u32 % 7, depth: at as u32 % 3, top: b'a', top_p: byte.into(), ..Hint::default() };
        let ends = byte % 5 == 0;
        let lm = if ends { 700 } else { -300 };
        if stored.is_some() {
            model.code_byte(&mut decoder, 0, hint, &mut Alone).unwrap();
            assert_eq!(model.code_end(&mut decoder, false, hint, lm), Ok(ends));
        } else {
            model.code_byte(&mut encoder, byte, hint, &mut Alone).unwrap();
            model.code_end(&mut encoder, ends, hint, lm).unwrap();
        }
        if ends {
            model.boundary();
        }
    }
    (encoder.finish(), model.raw().to_vec())
}

#[test]
fn all_kernels_store_the_same_and_decode_each_other() {
    let raw = sample();
    for lm in [false, true] {
        let kernels = Machine::all().count();
        let (reference, _) = code(lm, kernels - 1, &raw, None);
        for kernel in 0..kernels {
            assert!(code(lm, kernel, &raw, None).0 == reference, "kernel {kernel}, language model: {lm}");
            assert!(code(lm, kernel, &raw, Some(&reference)).1 == raw, "kernel {kernel}, language model: {lm}");
        }
    }
}

#[test]
fn all_kernels_store_the_same_of_every_kind() {
    use crate::codec::mix::transform::x86::Mode;
    let kinds = [
        Kind::X86 { mode: Mode::Long },
        Kind::Records { stride: 23 },
        Kind::Image { pixel: 4, stride: 64 },
        Kind::Audio { channels: 2, bytes: 2, big_endian: true, phase: 1 },
    ];
    let raw = &sample()[..6000];
    let mut teacher = Model::new(false, Learnt::new(false), raw.len());
    teacher.study(&sample()[6000..12_000]);
    let known = Arc::new(teacher.into_known());
    for kind in kinds {
        for known in [None, Some(&known)] {
            let mut stored = Vec::new();
            for machine in Machine::all() {
                let mut model = Model::with(machine, false, kind, Learnt::new(false), raw.len(), known.cloned());
                let mut encoder = RangeEncoder::new();
                for &byte in raw {
                    model.code_byte(&mut encoder, byte, Hint::default(), &mut Alone).unwrap();
                }
                stored.push(encoder.finish());
            }
            assert!(stored.iter().all(|one| *one == stored[0]), "{kind:?}");
        }
    }
}

/// Whatever a chunk claims to hold, its tables are within bounds.
#[test]
fn tables_are_bounded() {
    for raw_len in [0, 1, 2, 3, 255, 4096, 65_536, 1 << 20, 16 << 20, 1 << 31] {
        let (entries, lines) = memory_bits(raw_len);
        let bytes = (4usize << entries) + (64 << lines) + MATCHES * (4 << match_bits(raw_len));
        assert!(bytes <= 27 << 20, "{bytes} bytes for {raw_len}");
        assert!(bytes <= 100 * raw_len + (64 << 10), "{bytes} bytes for {raw_len}");
    }
}
