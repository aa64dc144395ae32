//! What a chunk of `cm` or `mix` begins with: the kind of its data (spec/mix-codec.md §11).

use super::transform::detect::Kind;
use super::transform::x86::Mode;
use crate::wire::{Cursor, put_varint};

/// How a chunk is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Contexts not seen in the chunk are looked up in the dictionary.
    pub(super) dictionary: bool,
}

const PLAIN: u8 = 0;
const DICTIONARY: u8 = 1;
const X86_PROTECTED: u8 = 2;
const X86_LONG: u8 = 3;
const ARM64: u8 = 4;
const RECORDS: u8 = 5;
const IMAGE: u8 = 6;
const AUDIO: u8 = 7;

impl Head {
    pub(super) const PLAIN: Self = Self { kind: Kind::Plain, dictionary: false };

    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, dictionary: false }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.kind {
            Kind::Plain => out.push(if self.dictionary { DICTIONARY } else { PLAIN }),
            Kind::X86 { mode: Mode::Protected } => out.push(X86_PROTECTED),
            Kind::X86 { mode: Mode::Long } => out.push(X86_LONG),
            Kind::Arm64 { phase } => out.extend([ARM64, phase as u8]),
            Kind::Records { stride } => {
                out.push(RECORDS);
                put_varint(&mut out, stride as u64);
            }
            Kind::Image { pixel, stride } => {
                out.extend([IMAGE, pixel as u8]);
                put_varint(&mut out, stride as u64);
            }
            Kind::Audio { channels, bytes, big_endian, phase } => {
                out.extend([AUDIO, channels as u8, bytes as u8, u8::from(big_endian), phase as u8]);
            }
        }
        out
    }

    /// The head at the front of `stored`, and the bytes behind it; `None` where it is no head.
    pub(super) fn decode(stored: &[u8]) -> Option<(Self, &[u8])> {
        let mut cursor = Cursor::new(stored);
        let mut dictionary = false;
        let kind = match cursor.u8()? {
            PLAIN => Kind::Plain,
            DICTIONARY => {
                dictionary = true;
                Kind::Plain
            }
            X86_PROTECTED => Kind::X86 { mode: Mode::Protected },
            X86_LONG => Kind::X86 { mode: Mode::Long },
            ARM64 => Kind::Arm64 { phase: usize::from(cursor.u8().filter(|&phase| phase < 4)?) },
            RECORDS => Kind::Records { stride: within(cursor.varint()?, 2, Kind::MAX_RECORD)? },
            IMAGE => {
                let pixel = usize::from(cursor.u8().filter(|pixel| (1..=4).contains(pixel))?);
                Kind::Image { pixel, stride: within(cursor.varint()?, 1, Kind::MAX_ROW)? }
            }
            AUDIO => {
                let channels = usize::from(cursor.u8().filter(|channels| (1..=2).contains(channels))?);
                let bytes = usize::from(cursor.u8().filter(|bytes| (1..=3).contains(bytes))?);
                let big_endian = cursor.u8().filter(|&flag| flag < 2)? == 1;
                let phase = usize::from(cursor.u8().filter(|&phase| usize::from(phase) < bytes)?);
                Kind::Audio { channels, bytes, big_endian, phase }
            }
            _ => return None,
        };
        Some((Self { kind, dictionary }, cursor.rest()))
    }
}

fn within(value: u64, least: usize, most: usize) -> Option<usize> {
    usize::try_from(value).ok().filter(|value| (least..=most).contains(value))
}

#[cfg(test)]
mod tests;
