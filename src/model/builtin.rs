//! The default model, embedded so that a copied binary works alone.

use crate::hash::Digest;

/// The GGUF file's bytes.
pub static GGUF: &[u8] = include_bytes!("../../model/lma-8m-q8_0.gguf");

/// The file's name without its suffix.
pub const NAME: &str = "lma-8m-q8_0";

/// SHA-256 of [`GGUF`]; a test recomputes it.
pub const SHA256: Digest = Digest([
    0x5d, 0x11, 0x8a, 0xaf, 0x5f, 0x64, 0x2e, 0xae, 0x11, 0xf4, 0x9a, 0x6e, 0x50, 0xa0, 0x43, 0x51, 0x0d, 0x0c, 0x88,
    0x3e, 0xf2, 0xf6, 0x17, 0x4f, 0x87, 0xfa, 0x17, 0x80, 0x72, 0xbf, 0x44, 0x01,
]);

/// Size of [`GGUF`] in bytes; a test compares it.
pub const SIZE: u64 = 8_934_656;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_describe_the_embedded_file() {
        assert_eq!(GGUF.len() as u64, SIZE);
        assert_eq!(crate::model::digest_cache::sha256(GGUF).unwrap(), SHA256);
        assert!(GGUF.starts_with(b"GGUF"));
    }
}
