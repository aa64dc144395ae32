//! The default model, embedded so that a copied binary works alone.

use crate::hash::Digest;

/// The GGUF file's bytes.
pub static GGUF: &[u8] = include_bytes!("../../model/lma-seed-q8_0.gguf");

/// The file's name without its suffix.
pub const NAME: &str = "lma-seed-q8_0";

/// SHA-256 of [`GGUF`]; a test recomputes it.
pub const SHA256: Digest = Digest([
    0xce, 0x8e, 0x77, 0x4e, 0x22, 0x86, 0xf7, 0x90, 0x64, 0x41, 0xc0, 0x38, 0x7e, 0x77, 0x7c, 0xcd, 0x17, 0x50, 0x9f,
    0x72, 0x30, 0x17, 0xde, 0xcc, 0x45, 0x13, 0x33, 0x5b, 0xf1, 0x9f, 0x3b, 0x56,
]);

/// Size of [`GGUF`] in bytes; a test compares it.
pub const SIZE: u64 = 7_303_680;

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
