//! The token to bytes table (spec/lm-codec.md §2).

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use super::tree::TokenTree;
use crate::hash::{Digest, FileHasher};

/// A token's number, below the vocabulary size.
pub type TokenId = u32;

/// What each token stands for. A token with no bytes is never coded (control tokens, the start token).
#[derive(Clone)]
pub struct TokenTable {
    start: TokenId,
    bytes: Vec<Vec<u8>>,
    codable: Vec<bool>,
    /// For [`TokenTable::greedy`]; made on first use, since decoders never need it.
    longest: OnceLock<Longest>,
    tree: OnceLock<TokenTree>,
}

impl TokenTable {
    /// A table from each token's bytes. `start` is fed first to every stream.
    #[must_use]
    pub fn new(start: TokenId, bytes: Vec<Vec<u8>>) -> Self {
        let codable = bytes.iter().map(|bytes| !bytes.is_empty()).collect();
        Self { start, bytes, codable, longest: OnceLock::new(), tree: OnceLock::new() }
    }

    /// The token fed first.
    #[must_use]
    pub fn start(&self) -> TokenId {
        self.start
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of a token; empty if it is not codable, or no token of the vocabulary.
    #[must_use]
    pub fn bytes(&self, token: TokenId) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// For each token whether it may be coded: it has bytes.
    #[must_use]
    pub fn codable(&self) -> &[bool] {
        &self.codable
    }

    /// The vocabulary as a tree of bytes; made on first use.
    #[must_use]
    pub fn tree(&self) -> &TokenTree {
        self.tree.get_or_init(|| TokenTree::new(&self.bytes))
    }

    /// Tokens for `text` by longest match at each position; `Err(i)`: no token starts with byte
    /// `i`'s. Of tokens with the same bytes the lowest is taken.
    #[must_use]
    pub fn greedy(&self, text: &[u8]) -> Vec<Result<TokenId, u8>> {
        let longest = self.longest.get_or_init(|| Longest::new(&self.bytes));
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(&first) = rest.first() {
            let found = longest.find(rest);
            out.push(found.map(|(token, _)| token).ok_or(first));
            rest = &rest[found.map_or(1, |(_, len)| len)..];
        }
        out
    }

    /// The digest that the model record holds: BLAKE3-256 of `start`, the number of tokens, and for
    /// each token the number of its bytes and the bytes; numbers as little-endian `u32`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // A vocabulary and its tokens are far below 2^32; a larger one would be refused long before.
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut hasher = FileHasher::new();
        hasher.update(&self.start.to_le_bytes());
        hasher.update(&number(self.bytes.len()));
        for bytes in &self.bytes {
            hasher.update(&number(bytes.len()));
            hasher.update(bytes);
        }
        hasher.finish()
    }
}

impl PartialEq for TokenTable {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start && self.bytes == other.bytes
    }
}

impl Eq for TokenTable {}

impl fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenTable").field("start", &self.start).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Finds the longest token at the front of some bytes.
#[derive(Clone)]
struct Longest {
    tokens: HashMap<Vec<u8>, TokenId>,
    /// For each first byte the lengths of its tokens, longest first.
    lengths: Vec<Vec<usize>>,
}

impl Longest {
    fn new(bytes: &[Vec<u8>]) -> Self {
        let mut tokens = HashMap::new();
        let mut lengths = vec![Vec::new(); 256];
        for (token, bytes) in (0..).zip(bytes) {
            if let Some(&first) = bytes.first() {
                tokens.entry(bytes.clone()).or_insert(token);
                lengths[usize::from(first)].push(bytes.len());
            }
        }
        for lengths in &mut lengths {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
        }
        Self { tokens, lengths }
    }

    fn find(&self, text: &[u8]) -> Option<(TokenId, usize)> {
        let lengths = &self.lengths[usize::from(*text.first()?)];
        lengths.iter().find_map(|&len| Some((*self.tokens.get(text.get(..len)?)?, len)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TokenTable {
        let words: [&[u8]; 8] = [b"", b"a", b"ab", b"abcd", b"b", b"ab", b" ", b"\xff\xfe"];
        TokenTable::new(0, words.map(<[u8]>::to_vec).into())
    }

    #[test]
    fn greedy_takes_the_longest_then_the_lowest() {
        assert_eq!(table().greedy(b"abcdabc b\xff\xff\xfe"), [Ok(3), Ok(2), Err(b'c'), Ok(6), Ok(4), Err(0xff), Ok(7)]);
        assert_eq!(table().greedy(b""), []);
    }

    #[test]
    fn a_token_without_bytes_is_not_codable() {
        let table = table();
        assert_eq!(table.codable(), [false, true, true, true, true, true, true, true]);
        assert_eq!(table.bytes(0), b"");
        assert_eq!(table.bytes(99), b"");
        assert_eq!(table.bytes(7), b"\xff\xfe");
    }

    #[test]
    fn the_digest_covers_start_and_boundaries() {
        let digest =
            |start, words: &[&[u8]]| TokenTable::new(start, words.iter().map(|w| w.to_vec()).collect()).digest();
        let one = digest(0, &[b"", b"ab", b"c"]);
        assert_ne!(one, digest(1, &[b"", b"ab", b"c"]));
        assert_ne!(one, digest(0, &[b"", b"a", b"bc"]));
        assert_ne!(one, digest(0, &[b"", b"ab", b"c", b""]));
        let bytes = b"\0\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0x";
        assert_eq!(digest(0, &[b"", b"x"]), Digest::of(bytes));
    }
}
