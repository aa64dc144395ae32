//! The default model, embedded so that a copied binary works alone.

use crate::hash::Digest;

/// The GGUF file's bytes.
pub static GGUF: &[u8] = include_bytes!("../../model/lma-8m-q8_0.gguf");

/// The file's name without its suffix.
pub const NAME: &str = "lma-8m-q8_0";

/// SHA-256 of [`GGUF`]; a test recomputes it.
pub const SHA256: Digest = Digest([
    0x99, 0x7c, 0xe3, 0xac, 0xf2, 0x59, 0x15, 0xec, 0xf9, 0x91, 0x4a, 0x8e, 0xe9, 0x47, 0x81, 0x17, 0x61, 0xa5, 0x27,
    0x61, 0xad, 0xa4, 0x8a, 0x3e, 0x14, 0x3f, 0x24, 0x9e, 0x02, 0x7d, 0x33, 0xdf,
]);

/// Size of [`GGUF`] in bytes; a test compares it.
pub const SIZE: u64 = 8_934_688;

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
