//! For the programs that learn: the starting values (spec/mix-codec.md §12), and what a language model need not know.

use super::cm;
use super::encode::Walks;
use super::head::Head;
use super::model::Learnt;
use super::progress::Progress;
use super::start::{Start, Way};
use super::transform::detect::{Kind, detect};
use crate::predict::{LoadedModel, PredictError, RunError};

/// What each byte of a chunk of text costs `cm` without its dictionary, in bits.
#[must_use]
pub fn costs(raw: &[u8]) -> Vec<f64> {
    cm::costs(raw, Start::get())
}

/// Learns from chunk after chunk.
pub struct Trainer {
    start: Start,
    learnt: Vec<Learnt>,
}

impl Trainer {
    /// A trainer that knows nothing but the dictionary.
    #[must_use]
    pub fn new(dictionary: Vec<u8>) -> Self {
        let learnt = Way::ALL.map(|way| Learnt::new(way == Way::Mix)).into();
        Self { start: Start::new(&[], dictionary), learnt }
    }

    /// Learns from a chunk of text, without the dictionary and with it. Gives the sizes.
    pub fn text(&mut self, raw: &[u8]) -> [usize; 2] {
        [Head::PLAIN, Head { dictionary: true, ..Head::PLAIN }]
            .map(|head| self.learn(raw, head).map_or(0, |(_, size)| size))
    }

    /// Learns from a chunk of another kind. Gives the way that has learnt, and the chunk's size; `None` for
    /// a chunk that is of no such kind.
    pub fn data(&mut self, raw: &[u8]) -> Option<(Way, usize)> {
        match detect(raw) {
            Kind::Plain => None,
            kind => self.learn(raw, Head::of(kind)),
        }
    }

    fn learn(&mut self, raw: &[u8], head: Head) -> Option<(Way, usize)> {
        let way = Way::of(head)?;
        let learnt = &mut self.learnt[way as usize];
        let (size, after) = cm::learn(raw, head, learnt.clone(), &self.start);
        *learnt = after;
        Some((way, size))
    }

    /// Learns from a chunk with a language model.
    ///
    /// # Errors
    /// The engine's.
    pub fn mixed(&mut self, model: &LoadedModel, raw: &[u8]) -> Result<usize, RunError> {
        let learnt = &mut self.learnt[Way::Mix as usize];
        let walks = Walks::new(learnt.clone(), raw.len(), Progress::at_most(usize::MAX)).run(model, raw)?;
        let walks = walks.ok_or_else(|| PredictError::Engine("an encoder without bounds gave up".into()))?;
        let (stored, after) = walks.into_learnt();
        *learnt = after;
        Ok(stored)
    }

    /// The file's contents, unpacked.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        Way::ALL.into_iter().zip(&self.learnt).flat_map(|(way, learnt)| learnt.store(way == Way::Mix)).collect()
    }
}
