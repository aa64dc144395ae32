//! Which contexts a byte is predicted in, by the kind of data (spec/mix-codec.md §4).

use super::audio::Audio;
use super::history::{History, hash};
use super::kernel::CONTEXTS;
use super::transform::detect::Kind;

/// The byte that a match predicts, and how far it is to be trusted.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// 0: none; then 1 to 256 for the long match, 257 to 512 for the short one.
    pub(super) byte: u32,
    /// A quarter of the long match's length, up to 8.
    pub(super) length: u32,
}

/// Contexts of the kinds of data without a language model.
#[derive(Clone)]
pub(super) struct Contexts {
    kind: Kind,
    audio: Audio,
    /// A small number that says where in its structure the next byte is, below 16.
    pub(super) place: usize,
}

impl Contexts {
    pub(super) fn new(kind: Kind) -> Self {
        let audio = match kind {
            Kind::Audio { channels, bytes, big_endian, phase } => Audio::new(channels, bytes, big_endian, phase),
            _ => Audio::new(1, 2, true, 0),
        };
        Self { kind, audio, place: 0 }
    }

    /// What predicts sound, where the data is sound.
    #[inline(always)]
    pub(super) fn sound(&self) -> Option<&Audio> {
        if matches!(self.kind, Kind::Audio { .. }) { Some(&self.audio) } else { None }
    }

    /// The hashes for the byte that comes next.
    pub(super) fn hashes(&mut self, history: &History, expected: Expected) -> [u32; CONTEXTS] {
        match self.kind {
            Kind::Plain => {
                self.place = history.field.min(15) as usize;
                text(history, expected)
            }
            Kind::X86 { .. } | Kind::Arm64 { .. } => {
                self.place = history.raw.len() & 3;
                code(history, expected)
            }
            Kind::Records { stride } => {
                let stride = stride.max(1);
                self.place = (history.raw.len() % stride).min(15);
                records(history, expected, stride)
            }
            Kind::Image { pixel, stride } => {
                let pixel = pixel.max(1);
                self.place = (history.raw.len() % pixel).min(15);
                image(history, expected, pixel, stride.max(1))
            }
            Kind::Audio { .. } => {
                let hashes = self.audio.hashes(history, expected);
                self.place = self.audio.place();
                hashes
            }
        }
    }
}

fn text(h: &History, e: Expected) -> [u32; CONTEXTS] {
    let (c4, c8) = (h.last4, h.before4);
    [
        hash(c4 & 0xff, 1),
        hash(c4 & 0xffff, 2),
        hash(c4 & 0xff_ffff, 3),
        hash(c4, 4),
        hash(c4, (c8 & 0xff) << 8 | 5),
        hash(c4, (c8 & 0xffff) << 8 | 6),
        hash(h.word, hash(7, c4 & 0xff)),
        hash(h.word, hash(h.previous, 8)),
        hash(c4 & 0xff00, 11),
        hash(c4 & 0xff_0000 | if c4 & 0xff != 0 { c4 & 0xf0 } else { 0 }, 12),
        hash(hash(h.above(), h.field), hash(c4 & 0xff, 13)),
        hash(h.shape, hash(c4 & 0xff, 14)),
        hash(hash(e.byte, e.length), hash(c4 & 0xff, 17)),
    ]
}

fn code(h: &History, e: Expected) -> [u32; CONTEXTS] {
    let (c4, c8) = (h.last4, h.before4);
    let place = h.raw.len() as u32 & 3;
    [
        hash(c4 & 0xff, 1),
        hash(c4 & 0xffff, 2),
        hash(c4 & 0xff_ffff, 3),
        hash(c4, 4),
        hash(c4, (c8 & 0xff) << 8 | 5),
        hash(c4, (c8 & 0xffff) << 8 | 6),
        hash(c4 & 0xff_ff00, 7),
        hash(c4 & 0xff_00ff, 8),
        hash(c4 & 0xff00, 11),
        hash(c4 & 0xffff_0000, 12),
        hash(c4 & 0xff00_0000, hash(place, 13)),
        hash(c4 & 0xf0f0_f0f0, hash(c8 & 0xf0f0, 14)),
        hash(hash(e.byte, e.length), hash(c4 & 0xff, 17)),
    ]
}

fn records(h: &History, e: Expected, stride: usize) -> [u32; CONTEXTS] {
    let c4 = h.last4;
    let place = (h.raw.len() % stride) as u32;
    let n = h.back(stride);
    let nn = h.back(2 * stride);
    let nw = h.back(stride + 1);
    let ne = if stride > 1 { h.back(stride - 1) } else { 0 };
    let c1 = c4 & 0xff;
    [
        hash(c1, 1),
        hash(c4 & 0xffff, 2),
        hash(c4 & 0xff_ffff, 3),
        hash(c4, 4),
        hash(n, hash(c1, 5)),
        hash(n, hash(nn, 6)),
        hash(n, hash(place, 7)),
        hash(place, hash(c1, 8)),
        hash(n.wrapping_add(c1).wrapping_sub(nw), hash(place, 11)),
        hash(hash(n, c4 & 0xffff), 12),
        hash(c4 & 0xff00, hash(place, 13)),
        hash(hash(n, ne), hash(c1, 14)),
        hash(hash(e.byte, e.length), hash(c1, 17)),
    ]
}

fn image(h: &History, e: Expected, pixel: usize, row: usize) -> [u32; CONTEXTS] {
    let at = |distance: usize| h.back(distance) as i32;
    let (w, n) = (at(pixel), at(row));
    let (nw, ww, nn) = (at(row + pixel), at(2 * pixel), at(2 * row));
    let ne = if row > pixel { at(row - pixel) } else { n };
    let channel = (h.raw.len() % pixel) as u32;
    let clamp = |v: i32| v.clamp(0, 255) as u32;
    let gradient = clamp(w + n - nw);
    // The change of the channel before, added to this channel's neighbours.
    let (c1, c1n, c1w) = if pixel > 1 && channel > 0 { (at(1), at(row + 1), at(pixel + 1)) } else { (0, 0, 0) };
    let (by_n, by_w) = (clamp(n + c1 - c1n), clamp(w + c1 - c1w));
    let both = clamp(w + n - nw + c1 - clamp(c1w + c1n - at(row + pixel + 1).min(255)) as i32);
    let busy = (w - nw).unsigned_abs() + (n - nw).unsigned_abs() + (n - ne).unsigned_abs();
    let busy = (busy + 1).ilog2();
    let c = |context: u32, salt: u32| hash(context, hash(channel, salt));
    [
        c(w as u32, 1),
        c(n as u32, 2),
        c(gradient, 3),
        c(w as u32 >> 1 | (n as u32 >> 1) << 8, 4),
        c(by_n, 5),
        c(by_w, 6),
        c(gradient | busy << 8, 7),
        c(clamp(n + ne - at(2 * row).min(255)) | (w as u32 >> 3) << 8, 8),
        c(clamp(2 * w - ww), 11),
        c(clamp(2 * n - nn) | busy << 8, 12),
        c(both | busy << 8, 13),
        c(by_n >> 1 | (by_w >> 1) << 8 | (gradient >> 2) << 16, 14),
        hash(hash(e.byte, e.length), hash(clamp((w + ne) / 2), 17)),
    ]
}

#[cfg(test)]
mod tests;
