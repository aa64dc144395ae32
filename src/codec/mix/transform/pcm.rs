//! Little-endian samples of 2 to 8 bytes turned big-endian, so that a context model meets the byte that says most
//! about a sample first.

/// `chunk` with the bytes of each sample reversed; same length. Samples are of `width` bytes, the first at `phase`.
/// The bytes before it and those after the last whole sample stay, and so do all where `width` is below 2.
#[must_use]
pub fn encode(chunk: &[u8], width: usize, phase: usize) -> Vec<u8> {
    let mut out = chunk.to_vec();
    decode(&mut out, width, phase);
    out
}

/// Undoes [`encode`] with the same width and phase, being the same map.
pub fn decode(chunk: &mut [u8], width: usize, phase: usize) {
    let start = phase.min(chunk.len());
    let samples = &mut chunk[start..];
    // One loop for a width known when compiled, which becomes a few shuffles, and one for the rest.
    if width == 2 {
        samples.as_chunks_mut::<2>().0.iter_mut().for_each(|sample| sample.reverse());
    } else if width > 2 {
        samples.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn samples_turn_and_edges_stay() {
        assert_eq!(encode(&[1, 2, 3, 4, 5, 6], 2, 1), [1, 3, 2, 5, 4, 6]);
        assert_eq!(encode(&[1, 2, 3, 4, 5, 6, 7], 3, 0), [3, 2, 1, 6, 5, 4, 7]);
        assert_eq!(encode(&[1, 2, 3], 1, 0), [1, 2, 3]);
        assert_eq!(encode(&[1, 2, 3], 0, 5), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn reversible_on_any_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), width in 0..9usize, phase in 0..110usize,
        ) {
            let mut back = encode(&bytes, width, phase);
            decode(&mut back, width, phase);
            prop_assert_eq!(back, bytes);
        }
    }
}
