//! Stored bytes to bytes, with a language model.

use super::encode::previous;
use super::maths::Maths;
use super::model::Model;
use super::start::Start;
use super::walk::{Masses, code};
use crate::codec::lm::drive::Decoder;
use crate::entropy::{Cdf, Garbage, RangeDecoder};
use crate::predict::tree::Leaf;
use crate::predict::{TokenId, TokenTable};

/// Reads each token as a walk through the tree of tokens.
pub(super) struct Walks {
    coder: RangeDecoder<Vec<u8>>,
    model: Box<Model>,
    sums: Vec<u64>,
}

impl Walks {
    pub(super) fn new(coded: Vec<u8>, raw_len: usize, start: &Start) -> Self {
        let model = Box::new(Model::new(true, start.mix().clone(), raw_len));
        Self { coder: RangeDecoder::new(coded), model, sums: Vec::new() }
    }
}

impl Decoder for Walks {
    fn decoded(&self) -> &[u8] {
        self.model.raw()
    }

    fn token(
        &mut self,
        table: &TokenTable,
        cdf: &Cdf,
        history: &[TokenId],
        raw_len: usize,
    ) -> Result<Option<TokenId>, Garbage> {
        let tree = table.tree();
        if !tree.cumulate(cdf, &mut self.sums) {
            return Err(Garbage);
        }
        let previous = previous(history);
        let mut masses = Masses { tree, sums: &self.sums, maths: Maths::get() };
        while self.model.raw().len() < raw_len {
            let room = raw_len - self.model.raw().len();
            if let Leaf::Token(token) = code(&mut masses, &mut self.model, &mut self.coder, &[], previous, room)? {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    fn finish(&self) -> Result<(), Garbage> {
        self.coder.finish()
    }

    fn into_decoded(self) -> Vec<u8> {
        self.model.into_raw()
    }
}
