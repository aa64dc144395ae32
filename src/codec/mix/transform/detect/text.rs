//! Text in ASCII, UTF-8 or an 8-bit code.

use super::smooth;

/// One byte in so many may be a control character other than those of texts.
const CONTROLS: usize = 400;
/// One byte in so many may be part of no valid UTF-8 sequence in a text with more than a quarter beyond ASCII.
const INVALID: usize = 200;
/// At least one byte in so many ends a line, or else bytes are not as near to the next as in images and sound.
const LINE: usize = 4000;
const SMOOTH: f32 = 0.4;

/// Whether `chunk` is a text.
pub(super) fn is_text(chunk: &[u8]) -> bool {
    let mut histogram = [0u32; 256];
    let mut len = 0;
    for window in smooth::windows(chunk) {
        window.iter().for_each(|&byte| histogram[usize::from(byte)] += 1);
        len += window.len();
    }
    let count = |bytes: std::ops::Range<usize>| histogram[bytes].iter().sum::<u32>() as usize;
    // Tab, line feed, form feed, carriage return and escape are at home in texts and logs.
    let controls = count(0..32) + count(127..128) - [9, 10, 12, 13, 27].iter().map(|&c| count(c..c + 1)).sum::<usize>();
    let lines = count(10..11) + count(13..14);
    if controls * CONTROLS > len || lines * LINE < len && smooth::Profile::new(chunk).near[0] < SMOOTH {
        return false;
    }
    count(128..256) * 4 < len || smooth::windows(chunk).map(invalid).sum::<usize>() * INVALID < len
}

/// Bytes of `text` in no valid sequence.
fn invalid(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.invalid().len()).sum()
}
