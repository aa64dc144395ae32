//! Images and audio by the headers of their files, where a chunk begins with one.

use super::Kind;

/// Entries of a TIFF directory that are read.
const TIFF_ENTRIES: usize = 64;
/// Pixels of a row and rows at most, against nonsense.
const MOST: usize = 1 << 16;

/// What the header that `chunk` begins with tells, if it has one, and the data fill a good part of the chunk.
pub(super) fn detect(chunk: &[u8]) -> Option<Kind> {
    bmp(chunk)
        .or_else(|| pnm(chunk))
        .or_else(|| tga(chunk))
        .or_else(|| tiff(chunk))
        .or_else(|| wav(chunk))
        .or_else(|| aiff(chunk))
}

/// An image of `width` by `height` pixels of `bits`, its rows padded to a multiple of `align` bytes.
fn image(chunk: &[u8], width: usize, height: usize, bits: usize, align: usize) -> Option<Kind> {
    // What a header claims is bounded before it is multiplied.
    if !(1..=MOST).contains(&width) || !(1..=MOST).contains(&height) || bits > 64 {
        return None;
    }
    let stride = (width * bits).div_ceil(8).next_multiple_of(align);
    let fits = stride * height >= chunk.len() / 2;
    match bits {
        8 | 24 | 32 if fits && stride <= Kind::MAX_ROW => Some(Kind::Image { pixel: bits / 8, stride }),
        1 | 2 | 4 if fits && (2..=Kind::MAX_RECORD).contains(&stride) => Some(Kind::Records { stride }),
        _ => None,
    }
}

/// BMP with a header of 40 bytes or more, uncompressed; its height is negative where the first row is the top.
fn bmp(chunk: &[u8]) -> Option<Kind> {
    if !chunk.starts_with(b"BM") || le32(chunk, 14)? < 40 || !matches!(le32(chunk, 30)?, 0 | 3) {
        return None;
    }
    let height = le32(chunk, 22)?.cast_signed().unsigned_abs();
    image(chunk, le32(chunk, 18)? as usize, height as usize, le16(chunk, 28)?, 4)
}

/// Binary PGM and PPM with samples of one byte.
fn pnm(chunk: &[u8]) -> Option<Kind> {
    let bits = match chunk.first_chunk()? {
        b"P5" => 8,
        b"P6" => 24,
        _ => return None,
    };
    let header = chunk[2..].split(|&byte| byte == b'\n').filter(|line| !line.starts_with(b"#")).take(4);
    let words: Vec<&[u8]> =
        header.flat_map(|line| line.split(u8::is_ascii_whitespace)).filter(|word| !word.is_empty()).take(3).collect();
    let number = |n: usize| std::str::from_utf8(words.get(n)?).ok()?.parse::<usize>().ok();
    (number(2)? < 256).then(|| image(chunk, number(0)?, number(1)?, bits, 1)).flatten()
}

/// Uncompressed TGA, true colour or grey. It has no magic number: every field that must be 0 is looked at.
fn tga(chunk: &[u8]) -> Option<Kind> {
    let &[_, 0, kind @ (2 | 3), 0, 0, 0, 0, 0, ..] = chunk.first_chunk::<18>()? else { return None };
    let bits = usize::from(*chunk.get(16)?);
    if (kind == 3) != (bits == 8) || chunk.get(17)? & 0xc0 != 0 {
        return None;
    }
    image(chunk, le16(chunk, 12)?, le16(chunk, 14)?, bits, 1)
}

/// Uncompressed TIFF whose first directory is in the chunk, with interleaved samples of one byte.
fn tiff(chunk: &[u8]) -> Option<Kind> {
    let big = match chunk.first_chunk()? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| if big { be16(chunk, at) } else { le16(chunk, at) };
    let long = |at: usize| if big { be32(chunk, at) } else { le32(chunk, at) };
    let directory = long(4)? as usize;
    let (mut width, mut height, mut bits, mut samples, mut plain) = (0, 0, 1, 1, false);
    for n in 0..short(directory)?.min(TIFF_ENTRIES) {
        let entry = directory + 2 + 12 * n;
        // A value of type 3 is two bytes at the start of its field.
        let value = if short(entry + 2)? == 3 { short(entry + 8)? } else { long(entry + 8)? as usize };
        match short(entry)? {
            256 => width = value,
            257 => height = value,
            // More than two values stand elsewhere; all are the same in practice.
            258 => bits = if long(entry + 4)? > 2 { short(long(entry + 8)? as usize)? } else { value },
            259 => plain = value == 1,
            277 => samples = value,
            284 if value != 1 => return None,
            _ => {}
        }
    }
    let pixel = (bits <= 8 && samples <= 4).then_some(bits * samples)?;
    if plain { image(chunk, width, height, pixel, 1) } else { None }
}

/// WAV with linear samples.
fn wav(chunk: &[u8]) -> Option<Kind> {
    if !chunk.starts_with(b"RIFF") || chunk.get(8..12)? != b"WAVE" {
        return None;
    }
    let (mut at, mut layout) = (12, None);
    while let Some(id) = chunk.get(at..at + 4) {
        let (data, len) = (at + 8, le32(chunk, at + 4)? as usize);
        match id {
            b"fmt " if matches!(le16(chunk, data)?, 1 | 0xfffe) => {
                layout = Some((le16(chunk, data + 2)?, le16(chunk, data + 14)? / 8));
            }
            b"data" => {
                let (channels, bytes) = layout?;
                return audio(chunk, channels, bytes, false, data, len);
            }
            _ => {}
        }
        at = data.checked_add(len.checked_next_multiple_of(2)?)?;
    }
    None
}

/// AIFF with linear samples.
fn aiff(chunk: &[u8]) -> Option<Kind> {
    if !chunk.starts_with(b"FORM") || chunk.get(8..12)? != b"AIFF" {
        return None;
    }
    let (mut at, mut layout) = (12, None);
    while let Some(id) = chunk.get(at..at + 4) {
        let (data, len) = (at + 8, be32(chunk, at + 4)? as usize);
        match id {
            b"COMM" => layout = Some((be16(chunk, data)?, be16(chunk, data + 6)?.div_ceil(8))),
            // Eight bytes before the samples, and as many more as the first four of them tell.
            b"SSND" => {
                let (channels, bytes) = layout?;
                let start = (data + 8).checked_add(be32(chunk, data)? as usize)?;
                return audio(chunk, channels, bytes, true, start, len);
            }
            _ => {}
        }
        at = data.checked_add(len.checked_next_multiple_of(2)?)?;
    }
    None
}

/// Audio of `len` bytes from `start`.
fn audio(chunk: &[u8], channels: usize, bytes: usize, big_endian: bool, start: usize, len: usize) -> Option<Kind> {
    if start > chunk.len() / 2 || len < chunk.len() / 2 || !(1..=3).contains(&bytes) {
        return None;
    }
    match channels {
        1 | 2 => Some(Kind::Audio { channels, bytes, big_endian, phase: start % bytes }),
        3..=8 => Some(Kind::Records { stride: channels * bytes }),
        _ => None,
    }
}

fn le16(chunk: &[u8], at: usize) -> Option<usize> {
    chunk.get(at..)?.first_chunk().map(|bytes| usize::from(u16::from_le_bytes(*bytes)))
}

fn be16(chunk: &[u8], at: usize) -> Option<usize> {
    chunk.get(at..)?.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))
}

fn le32(chunk: &[u8], at: usize) -> Option<u32> {
    chunk.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn be32(chunk: &[u8], at: usize) -> Option<u32> {
    chunk.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `header` with 0 to the size of a chunk.
    fn chunk(header: &[u8]) -> Vec<u8> {
        let mut chunk = header.to_vec();
        chunk.resize(1 << 14, 0);
        chunk
    }

    #[test]
    fn image_headers_tell_rows() {
        assert_eq!(detect(&chunk(b"P6\n# a comment\n301 200\n255\n")), Some(Kind::Image { pixel: 3, stride: 903 }));
        assert_eq!(detect(&chunk(b"P5 301 200 255\n")), Some(Kind::Image { pixel: 1, stride: 301 }));
        assert_eq!(detect(&chunk(b"P5 301 200 65535\n")), None);
        let mut bmp = chunk(b"BM");
        (bmp[14], bmp[28]) = (40, 24);
        bmp[18..26].copy_from_slice(&[45, 1, 0, 0, 200, 0, 0, 0]);
        assert_eq!(detect(&bmp), Some(Kind::Image { pixel: 3, stride: 904 }));
        let mut tga = chunk(&[0, 0, 2]);
        tga[12..17].copy_from_slice(&[45, 1, 200, 0, 32]);
        assert_eq!(detect(&tga), Some(Kind::Image { pixel: 4, stride: 1204 }));
        let mut tiff = chunk(b"MM\0*\0\0\0\x08\0\x05");
        let entries = [(256, 301), (257, 200), (258, 8), (259, 1), (277, 1)];
        for (n, (tag, value)) in entries.into_iter().enumerate() {
            let entry = [[tag, 3].map(u16::to_be_bytes).concat(), vec![0, 0, 0, 1], u16::to_be_bytes(value).to_vec()];
            tiff[10 + 12 * n..20 + 12 * n].copy_from_slice(&entry.concat());
        }
        assert_eq!(detect(&tiff), Some(Kind::Image { pixel: 1, stride: 301 }));
    }

    #[test]
    fn audio_headers_tell_layouts() {
        let wav = b"RIFF\0\0\x01\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\0\0\0\0\x06\0\x18\0data\0\0\x01\0";
        let kind = Kind::Audio { channels: 2, bytes: 3, big_endian: false, phase: 2 };
        assert_eq!(detect(&chunk(wav)), Some(kind));
        let aiff = b"FORM\0\x01\0\0AIFFCOMM\0\0\0\x12\0\x01\0\0\x40\0\0\x10\0\0\0\0\0\0\0\0\0\0SSND\0\x01\0\0\0\0\0\0";
        let kind = Kind::Audio { channels: 1, bytes: 2, big_endian: true, phase: 0 };
        assert_eq!(detect(&chunk(aiff)), Some(kind));
    }
}
