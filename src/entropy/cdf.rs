//! Integer distributions.

/// Largest sum of the weights of one distribution. The range coder keeps its range at 2^56 or more,
/// so that even this total costs less than 0.006 bits a symbol; a total of 2^30 costs nothing.
pub const MAX_TOTAL: u64 = 1 << 48;

/// Symbols whose weights are summed in advance, so that neither direction walks all of a large
/// vocabulary.
const BLOCK: usize = 64;

/// Weights that are no distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdfError {
    /// No symbol is codable.
    #[error("no symbol has a weight")]
    Empty,
    /// The sum is above [`MAX_TOTAL`].
    #[error("the weights add up to more than 2^48")]
    TooLarge,
}

/// One symbol's share of a distribution: `low..low + weight` of `0..total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The symbol.
    pub symbol: usize,
    /// Sum of the weights of all symbols before it.
    pub low: u64,
    /// Its own weight, at least 1.
    pub weight: u32,
}

/// Weights of `n` symbols; see the module documentation for the contract. The default is the
/// distribution over no symbols: its total is 0 and nothing can be coded with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cdf {
    weights: Vec<u32>,
    /// `blocks[b]`: sum of the weights of symbols `b * BLOCK..(b + 1) * BLOCK`.
    blocks: Vec<u64>,
    total: u64,
}

impl Cdf {
    /// A distribution with these weights.
    ///
    /// # Errors
    /// Where the weights do not keep the contract.
    pub fn new(weights: &[u32]) -> Result<Self, CdfError> {
        let mut cdf = Self::default();
        cdf.set(weights)?;
        Ok(cdf)
    }

    /// Replaces the weights, reusing the memory.
    ///
    /// # Errors
    /// Where the weights do not keep the contract; the distribution is over no symbols then.
    pub fn set(&mut self, weights: &[u32]) -> Result<(), CdfError> {
        self.fill(weights.len(), |out| out.copy_from_slice(weights))
    }

    /// Replaces the weights by what `write` puts into a slice of `n` weights (their old values are
    /// unspecified), reusing the memory.
    ///
    /// # Errors
    /// Where the weights do not keep the contract; the distribution is over no symbols then.
    pub fn fill(&mut self, n: usize, write: impl FnOnce(&mut [u32])) -> Result<(), CdfError> {
        self.weights.resize(n, 0);
        write(&mut self.weights);
        self.blocks.clear();
        self.blocks.extend(self.weights.chunks(BLOCK).map(|block| block.iter().map(|&w| u64::from(w)).sum::<u64>()));
        // A block's sum stays below 2^38.
        self.total = self.blocks.iter().fold(0, |sum: u64, &block| sum.saturating_add(block));
        let error = match self.total {
            0 => CdfError::Empty,
            total if total > MAX_TOTAL => CdfError::TooLarge,
            _ => return Ok(()),
        };
        *self = Self::default();
        Err(error)
    }

    /// The weights.
    #[must_use]
    pub fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// Sum of the weights.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Number of symbols.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are no symbols.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The symbol's `(low, weight)`; `None` if it is not codable.
    #[must_use]
    pub fn range(&self, symbol: usize) -> Option<(u64, u32)> {
        let weight = *self.weights.get(symbol)?;
        if weight == 0 {
            return None;
        }
        let block = symbol / BLOCK;
        let before: u64 = self.blocks[..block].iter().sum();
        let within: u64 = self.weights[block * BLOCK..symbol].iter().map(|&w| u64::from(w)).sum();
        Some((before + within, weight))
    }

    /// The symbol whose `low..low + weight` holds `target`; `None` from [`Cdf::total`] on.
    #[must_use]
    pub fn find(&self, target: u64) -> Option<Slot> {
        if target >= self.total {
            return None;
        }
        let mut low = 0;
        let mut block = 0;
        while target - low >= self.blocks[block] {
            low += self.blocks[block];
            block += 1;
        }
        // The block holds `target`, so one of its symbols does.
        let first = block * BLOCK;
        for (symbol, &weight) in self.weights.iter().enumerate().skip(first) {
            if target - low < u64::from(weight) {
                return Some(Slot { symbol, low, weight });
            }
            low += u64::from(weight);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn find_inverts_range(weights in prop::collection::vec(0u32..5, 1..300)) {
            prop_assume!(weights.iter().any(|&w| w > 0));
            let cdf = Cdf::new(&weights).unwrap();
            let mut low = 0;
            for (symbol, &weight) in weights.iter().enumerate() {
                if weight == 0 {
                    prop_assert_eq!(cdf.range(symbol), None);
                    continue;
                }
                prop_assert_eq!(cdf.range(symbol), Some((low, weight)));
                for target in low..low + u64::from(weight) {
                    prop_assert_eq!(cdf.find(target), Some(Slot { symbol, low, weight }));
                }
                low += u64::from(weight);
            }
            prop_assert_eq!(cdf.total(), low);
            prop_assert_eq!(cdf.find(low), None);
            prop_assert_eq!(cdf.range(weights.len()), None);
        }
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        assert_eq!(Cdf::new(&[]), Err(CdfError::Empty));
        assert_eq!(Cdf::new(&[0; 100]), Err(CdfError::Empty));
        assert_eq!(Cdf::new(&vec![u32::MAX; (1 << 16) + 1]), Err(CdfError::TooLarge));
        assert_eq!(Cdf::new(&vec![u32::MAX; 1 << 16]).unwrap().total(), (1 << 48) - (1 << 16));
        assert_eq!(Cdf::default().find(0), None);
    }

    #[test]
    fn memory_is_reused_for_another_size() {
        let mut cdf = Cdf::new(&[1; 200]).unwrap();
        cdf.set(&[0, 3, 0, 2]).unwrap();
        assert_eq!(cdf, Cdf::new(&[0, 3, 0, 2]).unwrap());
    }
}
