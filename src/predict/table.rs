//! The token to bytes table (spec/lm-codec.md §2).

use crate::hash::Digest;

/// A token's number, below the vocabulary size.
pub type TokenId = u32;

/// What each token stands for. A token with no bytes is never coded (control tokens, the start token).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTable {
    start: TokenId,
    bytes: Vec<Vec<u8>>,
}

impl TokenTable {
    /// A table from each token's bytes. `start` is fed first to every stream.
    #[must_use]
    pub fn new(start: TokenId, bytes: Vec<Vec<u8>>) -> Self {
        Self { start, bytes }
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

    /// The bytes of a token; empty if it is not codable.
    #[must_use]
    pub fn bytes(&self, _token: TokenId) -> &[u8] {
        unimplemented!()
    }

    /// For each token whether it may be coded: it has bytes.
    #[must_use]
    pub fn codable(&self) -> &[bool] {
        unimplemented!()
    }

    /// Tokens for `text` by longest match at each position; `Err(i)`: no token starts with byte `i`'s.
    #[must_use]
    pub fn greedy(&self, _text: &[u8]) -> Vec<Result<TokenId, u8>> {
        unimplemented!()
    }

    /// The digest that the model record holds.
    #[must_use]
    pub fn digest(&self) -> Digest {
        unimplemented!()
    }
}
