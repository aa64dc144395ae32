//! What a chunk holds, by its bytes alone.

mod audio;
mod code;
mod cost;
mod header;
mod image;
mod records;
mod smooth;
mod text;

use super::x86::Mode;

/// Chunks shorter than this are too small to tell.
const SHORTEST: usize = 4096;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, compressed or random bytes, or anything not told apart from them.
    Plain,
    /// A table of records of `stride` bytes, 2 to [`Kind::MAX_RECORD`].
    Records {
        /// Bytes from a field to that of the next record.
        stride: usize,
    },
    /// Rows of uncompressed pixels.
    Image {
        /// Bytes of a pixel: 1, 3 or 4.
        pixel: usize,
        /// Bytes from a pixel to the one below, padding included: at most [`Kind::MAX_ROW`].
        stride: usize,
    },
    /// Linear samples, interleaved by channel.
    Audio {
        /// Samples of a frame: 1 or 2.
        channels: usize,
        /// Bytes of a sample: 1, 2 or 3.
        bytes: usize,
        /// Whether a sample begins with its most significant byte.
        big_endian: bool,
        /// Offset of the first whole sample, less than `bytes`.
        phase: usize,
    },
    /// x86 or x86-64 code.
    X86 {
        /// The processor's mode.
        mode: Mode,
    },
    /// AArch64 code.
    Arm64 {
        /// Offset of the first whole instruction, 0 to 3.
        phase: usize,
    },
}

impl Kind {
    /// The longest record that is looked for, in bytes.
    pub const MAX_RECORD: usize = 512;
    /// The longest row of pixels that is looked for, in bytes.
    pub const MAX_ROW: usize = 1 << 15;
}

/// What `chunk` holds. A guess: it serves compression and no more, and is wrong at times.
#[must_use]
pub fn detect(chunk: &[u8]) -> Kind {
    if chunk.len() < SHORTEST {
        return Kind::Plain;
    }
    if let Some(kind) = header::detect(chunk) {
        return kind;
    }
    // The cheap tests come first, and the stricter before the looser: a row of pixels is harder to mistake than a
    // sound, and a sound than a table.
    if text::is_text(chunk) {
        return Kind::Plain;
    }
    if let Some(kind) = code::detect(chunk) {
        return kind;
    }
    let profile = smooth::Profile::new(chunk);
    image::detect(chunk, &profile)
        .or_else(|| audio::detect(chunk, &profile))
        .or_else(|| records::detect(chunk))
        .unwrap_or(Kind::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers that look random, the same each time.
    fn noise(seed: u32) -> impl FnMut() -> u32 {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        move || {
            state = state.wrapping_mul(0x915f_77f5).wrapping_add(12345);
            state >> 16
        }
    }

    /// A part of an image of `width` pixels that begins in the middle of a row: hills of brightness with some noise.
    fn picture(pixel: usize, width: usize, pad: usize, len: usize) -> Vec<u8> {
        let mut noise = noise(7);
        let hill = |x: usize, y: usize, plane: usize| {
            let (x, y) = (x as f32 / 23.0 + plane as f32, y as f32 / 19.0);
            (x.sin() * y.cos() + (x * 0.31 + y * 0.77).sin()) * 50.0 + 110.0
        };
        let rows = (0..).flat_map(|y| (0..width * pixel + pad).map(move |x| (x, y)));
        rows.skip(width)
            .take(len)
            .map(|(x, y)| {
                let plane = if x / pixel < width { hill(x / pixel, y, 40 * (x % pixel)) } else { 0.0 };
                (plane + (noise() % 8) as f32) as u8
            })
            .collect()
    }

    /// Samples of 16 bits: a few tones that come and go, with some noise, in one channel or two.
    fn sound(channels: usize, big_endian: bool, samples: usize) -> Vec<u8> {
        let mut noise = noise(3);
        let tone = |at: usize, channel: usize| {
            let time = at as f32 / 44100.0;
            let wave = |pitch: f32| (time * pitch * std::f32::consts::TAU + channel as f32).sin();
            (wave(220.0) + wave(331.0 + 10.0 * channel as f32) * 0.5 + wave(1234.0) * 0.2) * (time * 3.0).cos() * 9000.0
        };
        (0..samples)
            .flat_map(|n| {
                let value = (tone(n / channels, n % channels) + (noise() % 64) as f32) as i16;
                if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
            })
            .collect()
    }

    #[test]
    fn texts_and_noise_are_plain() {
        let text = include_str!("mod.rs").repeat(4);
        let mut noise = noise(1);
        let random: Vec<u8> = (0..1 << 16).map(|_| noise() as u8).collect();
        let table: String = (0..2000).map(|n| format!("{:08}, {:6}, row\n", n * n, n % 77)).collect();
        let japanese = "\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{6587}\u{3002}\n".repeat(2000);
        for bytes in [text.as_bytes(), &random, table.as_bytes(), japanese.as_bytes(), &[0; 20000], b"short"] {
            assert_eq!(detect(bytes), Kind::Plain);
        }
    }

    #[test]
    fn images_have_their_pixel_and_row() {
        for (pixel, width, pad) in [(1, 600, 0), (3, 501, 1), (4, 320, 0)] {
            for len in [1 << 14, 1 << 16] {
                let stride = width * pixel + pad;
                assert_eq!(detect(&picture(pixel, width, pad, len)), Kind::Image { pixel, stride }, "{len}");
            }
        }
    }

    #[test]
    fn sounds_have_their_layout() {
        for channels in [1, 2] {
            for big_endian in [false, true] {
                let bytes = sound(channels, big_endian, 1 << 14);
                assert_eq!(detect(&bytes), Kind::Audio { channels, bytes: 2, big_endian, phase: 0 });
            }
        }
        let later = [&[9][..], &sound(1, false, 1 << 14)].concat();
        assert_eq!(detect(&later), Kind::Audio { channels: 1, bytes: 2, big_endian: false, phase: 1 });
    }

    #[test]
    fn tables_have_the_length_of_a_record() {
        let mut noise = noise(5);
        let record = |n: u32, noise: u32| {
            let mut record = [0; 21];
            record[..4].copy_from_slice(&(n * 3).to_le_bytes());
            record[4..8].copy_from_slice(&noise.to_le_bytes());
            record[12] = 1 + (n / 50) as u8;
            record[17] = 7;
            record
        };
        let table: Vec<u8> = (0..2000).flat_map(|n| record(n, noise())).collect();
        assert_eq!(detect(&table), Kind::Records { stride: 21 });
    }

    #[test]
    fn code_is_told_by_its_calls() {
        let mut noise = noise(11);
        let mut x86 = Vec::new();
        let mut arm64 = Vec::new();
        for n in 0..3000_u32 {
            let any = noise();
            x86.extend([0x48, 0x89, 0xc0 | any as u8, 0x48, 0x8b, 0x40 | (any >> 4) as u8 & 7, any as u8]);
            let call = (0x8000 - n * 7 + any % 64).to_le_bytes();
            x86.extend([0xe8, call[0], call[1], call[2], call[3], 0x83, 0xf8, (any >> 8) as u8]);
            for word in [
                0xf940_0000 | any,
                0xa900_0000 | any,
                0x9000_0000 | (any & 31),
                0x9400_0000 | (any & 0x3ff),
                0xaa00_03e0,
            ] {
                arm64.extend(u32::to_le_bytes(word));
            }
            arm64.extend((0x9100_0000 | any).to_le_bytes());
        }
        assert_eq!(detect(&x86), Kind::X86 { mode: Mode::Long });
        assert_eq!(detect(&arm64), Kind::Arm64 { phase: 0 });
        assert_eq!(detect(&arm64[3..]), Kind::Arm64 { phase: 1 });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Arbitrary bytes, after the beginning of a header or not, repeated up to the size of a chunk.
        #[test]
        fn total(
            header in proptest::sample::select(vec![
                &b""[..], b"BM", b"P6 ", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"RIFF\0\0\0\0WAVE",
                b"FORM\0\0\0\0AIFFCOMM", b"\0\0\x02\0\0\0\0\0",
            ]),
            bytes in proptest::collection::vec(prop_oneof![Just(0), Just(0xff), any::<u8>()], 1..600),
            len in 0..50_000usize,
        ) {
            let chunk: Vec<u8> = header.iter().chain(bytes.iter().cycle()).copied().take(len).collect();
            let _ = detect(&chunk);
        }
    }
}
