//! The models embedded in the program, so that a copied binary works alone.

use std::fmt;

use crate::hash::Digest;

/// A GGUF file that is part of the program.
pub struct Builtin {
    /// The file's name without its suffix.
    pub name: &'static str,
    /// The file's bytes.
    pub gguf: &'static [u8],
    /// SHA-256 of [`Self::gguf`]; a test recomputes it.
    pub sha256: Digest,
}

impl Builtin {
    /// Size of [`Self::gguf`] in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.gguf.len() as u64
    }
}

impl PartialEq for Builtin {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for Builtin {}

/// All but the bytes.
impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builtin").field("name", &self.name).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// What archives are made with, where nothing else is asked for.
pub static DEFAULT: Builtin = Builtin {
    name: "lma-8m-q5_0",
    gguf: include_bytes!("../../model/lma-8m-q5_0.gguf"),
    sha256: Digest([
        0xbd, 0xc4, 0xb0, 0xed, 0x7b, 0xbb, 0x3f, 0xc3, 0x4f, 0x17, 0x80, 0x87, 0x78, 0xca, 0x9e, 0xf3, 0xd5, 0xab,
        0xf4, 0x7a, 0x01, 0x6f, 0x70, 0x21, 0x98, 0x23, 0x7e, 0x38, 0x2b, 0xbe, 0x59, 0x10,
    ]),
};

/// A smaller one, for levels that are to be faster and for slow machines.
pub static SMALL: Builtin = Builtin {
    name: "lma-1m-q5_0",
    gguf: include_bytes!("../../model/lma-1m-q5_0.gguf"),
    sha256: Digest([
        0x1f, 0xf3, 0x3a, 0xfd, 0xaa, 0x6d, 0xe0, 0xa5, 0x0a, 0x8b, 0x35, 0x23, 0xfc, 0x2e, 0x59, 0x3a, 0x42, 0x7a,
        0x68, 0x6a, 0xeb, 0xac, 0x8b, 0x59, 0x10, 0x35, 0xd5, 0x1f, 0x20, 0xfa, 0xa5, 0xc0,
    ]),
};

/// All of them.
pub static ALL: [&Builtin; 2] = [&DEFAULT, &SMALL];

/// The one to make archives with: the small one where time counts for more.
#[must_use]
pub fn suited(small: bool) -> &'static Builtin {
    if small { &SMALL } else { &DEFAULT }
}

/// The one with this digest.
#[must_use]
pub fn find(sha256: Digest) -> Option<&'static Builtin> {
    ALL.into_iter().find(|builtin| builtin.sha256 == sha256)
}

/// The one of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Builtin> {
    ALL.into_iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_describe_the_embedded_files() {
        for builtin in ALL {
            assert_eq!(crate::model::digest_cache::sha256(builtin.gguf).unwrap(), builtin.sha256, "{}", builtin.name);
            assert!(builtin.gguf.starts_with(b"GGUF"));
        }
    }
}
