//! The canary (spec/numerics.md §3): a digest of the weights behind a fixed probe. A machine whose
//! digest differs from a model record's would decode garbage, and learns it before it decodes
//! anything.

use super::{Feed, PredictError, Predictor, TokenId, TokenTable};
use crate::entropy::Cdf;
use crate::hash::{Digest, FileHasher};

/// Tokens of the probe. A predictor's window must hold them.
pub const PROBE_LEN: usize = 64;

/// Tokens of the probe's first feed, in the first geometry; the others come one at a time.
const FIRST_FEED: usize = 40;

/// First state of the generator that draws the probe's tokens.
const SEED: u64 = 0x006c_6d61;

/// The probe: the start token, then codable tokens drawn by a linear congruential generator.
///
/// # Errors
/// The vocabulary has no codable token.
pub fn probe(table: &TokenTable) -> Result<Vec<TokenId>, PredictError> {
    let codable: Vec<TokenId> =
        (0..).zip(table.codable()).filter_map(|(token, &codable)| codable.then_some(token)).collect();
    if codable.is_empty() {
        return Err(PredictError::Engine("no token of the vocabulary has bytes".into()));
    }
    let mut state = SEED;
    let draw = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // 31 bits scaled to the number of tokens: below it.
        codable[((u128::from(state >> 33) * codable.len() as u128) >> 31) as usize]
    };
    Ok(std::iter::once(table.start()).chain((1..PROBE_LEN).map(draw)).collect())
}

/// The digest of the weights behind each token of the probe. Runs the probe twice: on lane 0, 40
/// tokens at once and the others one by one; then on the last lane, single tokens first and the rest at
/// once, while lane 0 reads something else. All lanes must be free; they are to be restarted
/// afterwards.
///
/// # Errors
/// [`PredictError::Engine`]: the engine's failure, a window below [`PROBE_LEN`], or the two runs
/// disagree: on this machine the probabilities depend on the geometry, and nothing that it encodes
/// could be relied on.
pub fn canary(predictor: &mut dyn Predictor, table: &TokenTable) -> Result<Digest, PredictError> {
    if predictor.window() < PROBE_LEN || predictor.lanes() == 0 {
        let (lanes, window) = (predictor.lanes(), predictor.window());
        return Err(PredictError::Engine(format!(
            "{lanes} lanes with a window of {window} tokens, where at least one of {PROBE_LEN} is needed"
        )));
    }
    let probe = probe(table)?;
    let singles = PROBE_LEN - FIRST_FEED;
    let mut first = vec![FIRST_FEED];
    first.extend([1].repeat(singles));
    let mut second = [1].repeat(singles);
    second.push(FIRST_FEED);

    let last = predictor.lanes() - 1;
    let first = weights(predictor, &probe, &first, 0, false)?;
    let second = weights(predictor, &probe, &second, last, last > 0)?;
    if let Some(at) = (0..PROBE_LEN).find(|&at| first[at] != second[at]) {
        return Err(PredictError::Engine(format!(
            "the probabilities behind token {at} of the probe depend on how the tokens are batched; \
             this build cannot be used with this model on this machine"
        )));
    }
    let mut hasher = FileHasher::new();
    first.iter().for_each(|digest| hasher.update(&digest.0));
    Ok(hasher.finish())
}

/// For each token of the probe the digest of the weights behind it, the probe being fed to `lane`
/// in pieces of the given lengths (smaller ones where a batch does not hold them). With
/// `companion`, lane 0 is fed the probe's tokens from the end meanwhile, one with each piece.
fn weights(
    predictor: &mut dyn Predictor,
    probe: &[TokenId],
    pieces: &[usize],
    lane: usize,
    companion: bool,
) -> Result<Vec<Digest>, PredictError> {
    let companion = companion && predictor.batch() >= 2;
    let most = (predictor.batch() - usize::from(companion)).min(predictor.share()).max(1);
    let mut digests = Vec::new();
    let mut rest = probe;
    let mut others = probe.chunks(1).rev();
    for piece in pieces.iter().flat_map(|&len| split(len, most)) {
        let (tokens, behind) = rest.split_at(piece);
        let restart = (rest.len() == probe.len()).then_some(0);
        rest = behind;
        let mut feeds = vec![Feed { lane, restart, tokens, outputs: piece }];
        if let Some(tokens) = others.next().filter(|_| companion) {
            feeds.insert(0, Feed { lane: 0, restart, tokens, outputs: 1 });
        }
        let own = feeds.len() - 1;
        predictor.step(&feeds, &mut |feed, cdf| {
            if feed == own {
                digests.push(digest(cdf));
            }
        })?;
    }
    if digests.len() == probe.len() {
        return Ok(digests);
    }
    Err(PredictError::Engine(format!("{} distributions for a probe of {} tokens", digests.len(), probe.len())))
}

/// `len` as lengths of at most `most`.
fn split(len: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(most).map(move |at| most.min(len - at))
}

/// BLAKE3-256 of the weights, the escape's included, as little-endian `u32`.
fn digest(cdf: &Cdf) -> Digest {
    let bytes: Vec<u8> = cdf.weights().iter().flat_map(|weight| weight.to_le_bytes()).collect();
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::predict::toy::{self, ToyPredictor};

    /// A toy whose distributions or limits are off.
    struct Odd {
        inner: ToyPredictor,
        batch: usize,
        /// Swaps two weights where more than one lane or token is fed at once.
        swaps: fn(&[Feed<'_>]) -> bool,
    }

    impl Predictor for Odd {
        fn lanes(&self) -> usize {
            self.inner.lanes()
        }
        fn window(&self) -> usize {
            self.inner.window()
        }
        fn batch(&self) -> usize {
            self.batch
        }
        fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError> {
            assert!(feeds.iter().map(|feed| feed.tokens.len()).sum::<usize>() <= self.batch);
            let swap = (self.swaps)(feeds);
            self.inner.step(feeds, &mut |i, cdf| {
                let mut weights = cdf.weights().to_vec();
                weights[1] += u32::from(swap);
                sink(i, &Cdf::new(&weights).unwrap());
            })
        }
    }

    fn run(lanes: usize, window: usize, batch: usize, swaps: fn(&[Feed<'_>]) -> bool) -> Result<Digest, PredictError> {
        let table = Arc::new(toy::table(&[]));
        let inner = ToyPredictor::new(lanes, window, Arc::clone(&table));
        canary(&mut Odd { inner, batch, swaps }, &table)
    }

    #[test]
    fn lanes_windows_and_batches_do_not_matter() {
        let expected = run(1, 64, 512, |_| false).unwrap();
        for (lanes, window, batch) in [(1, 64, 1), (2, 64, 2), (8, 1000, 40), (3, 65, 41)] {
            assert_eq!(run(lanes, window, batch, |_| false).unwrap(), expected);
        }
        assert_ne!(run(2, 64, 512, |_| true).unwrap(), expected);
    }

    #[test]
    fn a_predictor_that_depends_on_the_batch_is_refused() {
        for swaps in
            [|feeds: &[Feed<'_>]| feeds.len() > 1, |feeds: &[Feed<'_>]| feeds.iter().any(|f| f.tokens.len() > 1)]
        {
            let error = run(2, 64, 512, swaps).unwrap_err();
            assert!(error.to_string().contains("batched"), "{error}");
        }
    }

    #[test]
    fn the_probe_needs_its_window() {
        let error = run(1, 63, 512, |_| false).unwrap_err();
        assert!(error.to_string().contains("63 tokens"), "{error}");
    }

    #[test]
    fn the_probe_never_changes() {
        let table = toy::table(&[]);
        let probe = probe(&table).unwrap();
        assert_eq!(probe.len(), PROBE_LEN);
        assert!(probe[1..].iter().all(|&token| table.codable()[token as usize]));
        assert_eq!(probe[..8], [0, 121, 200, 41, 94, 126, 237, 242]);
    }
}
