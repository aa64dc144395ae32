//! Integer distributions.

/// Weights of `n` symbols; see the module documentation for the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cdf {
    _weights: Vec<u32>,
    _total: u64,
}

impl Cdf {
    /// The weights.
    #[must_use]
    pub fn weights(&self) -> &[u32] {
        &self._weights
    }
}
