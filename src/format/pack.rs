//! Packed bodies (spec/lma-format.md §2.5): entry batches and the index, plain or as one zstd frame.

use std::borrow::Cow;
use std::io::{Read, Write};

use super::FormatError;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Names repeat within kilobytes, so that higher levels gain little.
const LEVEL: i32 = 9;

/// The largest window that a reader reserves memory for: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Packs `raw` with zstd where that is smaller. Returns the encoding and the body.
pub(super) fn pack(raw: &[u8]) -> (u8, Vec<u8>) {
    match compress(raw) {
        Ok(packed) if packed.len() < raw.len() => (ZSTD, packed),
        _ => (PLAIN, raw.to_vec()),
    }
}

fn compress(raw: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(false)?;
    encoder.set_pledged_src_size(Some(raw.len() as u64))?;
    encoder.write_all(raw)?;
    encoder.finish()
}

/// Unpacks a body into exactly `raw_len` bytes, which the caller has charged to its limits. Memory
/// grows with the bytes produced.
pub(super) fn unpack<'a>(
    what: &'static str,
    encoding: u8,
    body: &'a [u8],
    raw_len: u64,
) -> Result<Cow<'a, [u8]>, FormatError> {
    let raw = match encoding {
        PLAIN => Cow::Borrowed(body),
        ZSTD => Cow::Owned(decompress(what, body, raw_len)?),
        other => return Err(FormatError::unsupported(what, format!("encoding {other} is not known"))),
    };
    if raw.len() as u64 != raw_len {
        let actual = if raw.len() as u64 > raw_len { "more".into() } else { raw.len().to_string() };
        return Err(FormatError::corrupt(what, format!("it unpacks to {actual} bytes, {raw_len} are declared")));
    }
    Ok(raw)
}

fn decompress(what: &'static str, body: &[u8], raw_len: u64) -> Result<Vec<u8>, FormatError> {
    let bad = |error: std::io::Error| FormatError::corrupt(what, format!("its zstd frame does not decode: {error}"));
    let mut decoder = zstd::Decoder::with_buffer(body).map_err(bad)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(bad)?;
    let mut raw = Vec::new();
    decoder.by_ref().take(raw_len.saturating_add(1)).read_to_end(&mut raw).map_err(bad)?;
    if !decoder.finish().is_empty() && raw.len() as u64 == raw_len {
        return Err(FormatError::corrupt(what, "bytes follow its zstd frame"));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_what_shrinks_and_nothing_else() {
        let (encoding, body) = pack(&[7; 1000]);
        assert_eq!(encoding, ZSTD);
        assert_eq!(unpack("x", encoding, &body, 1000).unwrap().as_ref(), &[7; 1000][..]);
        assert_eq!(pack(b"abc"), (PLAIN, b"abc".to_vec()));
        assert_eq!(pack(b""), (PLAIN, vec![]));
    }

    #[test]
    fn the_declared_length_is_a_claim() {
        let (encoding, body) = pack(&[7; 1000]);
        for claim in [0, 999, 1001, u64::MAX] {
            assert!(unpack("x", encoding, &body, claim).is_err(), "{claim}");
        }
        let mut longer = body.clone();
        longer.push(0);
        assert!(unpack("x", encoding, &longer, 1000).is_err());
        let twice = [body.clone(), body.clone()].concat();
        assert!(unpack("x", encoding, &twice, 2000).is_err());
        assert!(matches!(unpack("x", 2, &body, 1000), Err(FormatError::Unsupported { .. })));
    }

    #[test]
    fn a_large_window_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[1; 100]).unwrap();
        let body = encoder.finish().unwrap();
        assert!(unpack("x", ZSTD, &body, 100).is_err());
    }
}
