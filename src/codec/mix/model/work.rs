//! What is run on a machine's kernel: a byte, an end, a text (spec/mix-codec.md §10).

use super::super::coder::BitCoder;
use super::super::kernel::{CONTEXTS, Kernel, LANES};
use super::super::machine::Work;
use super::super::memory::{self, Row};
use super::{Guide, Hint, Model, Opinion};
use crate::entropy::Garbage;

/// Codes one byte.
pub(super) struct CodeByte<'a, C, G> {
    pub(super) model: &'a mut Model,
    pub(super) coder: &'a mut C,
    pub(super) want: u8,
    pub(super) hint: Hint,
    pub(super) guide: &'a mut G,
}

impl<C: BitCoder, G: Guide> Work for CodeByte<'_, C, G> {
    type Done = Result<u8, Garbage>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Self::Done {
        let Self { model, coder, want, hint, guide } = self;
        model.begin_byte(kernel, hint);
        let mut path = 1;
        for bit in 0..8 {
            let wanted = want >> (7 - bit) & 1 == 1;
            let coded = match guide.opinion(7 - bit) {
                Opinion::Forced(bit) => bit,
                Opinion::Logit(lm) => {
                    let node = memory::node(path, bit) as usize & 7;
                    let mut row = model.memory.rows[node];
                    let p = model.predict::<K, false>(kernel, &row, path, bit, lm);
                    let coded = coder.code(p, wanted)?;
                    model.learn::<K, false>(kernel, &mut row, coded);
                    model.memory.rows[node] = row;
                    coded
                }
            };
            guide.take(coded);
            path = path << 1 | u32::from(coded);
            match bit {
                2 | 5 => model.memory.group(kernel, path, bit + 1),
                7 => model.memory.leave(path, 2),
                _ => {}
            }
        }
        model.end_byte(kernel, path as u8);
        Ok(path as u8)
    }
}

/// Codes whether a token ends.
pub(super) struct CodeEnd<'a, C> {
    pub(super) model: &'a mut Model,
    pub(super) coder: &'a mut C,
    pub(super) want: bool,
    pub(super) hint: Hint,
    pub(super) lm: i32,
}

impl<C: BitCoder> Work for CodeEnd<'_, C> {
    type Done = Result<bool, Garbage>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Self::Done {
        let Self { model, coder, want, hint, lm } = self;
        let hashes = model.end_hashes(hint);
        model.memory.begin_singles(kernel, &hashes, model.unfinished.take());
        model.lead::<true>();
        let (mut row, mut places) = (Row([0; LANES]), [0; CONTEXTS]);
        for i in 0..CONTEXTS {
            (places[i], row.0[i]) = model.memory.single(kernel, hashes[i]);
        }
        let p = model.predict::<K, true>(kernel, &row, 1, 0, lm);
        let coded = coder.code(p, want)?;
        model.learn::<K, true>(kernel, &mut row, coded);
        for i in 0..CONTEXTS {
            model.memory.set_single(places[i], hashes[i], row.0[i]);
        }
        Ok(coded)
    }
}

/// Takes bytes in without predicting them.
pub(super) struct Study<'a> {
    pub(super) model: &'a mut Model,
    pub(super) text: &'a [u8],
}

impl Work for Study<'_> {
    type Done = ();

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) {
        let Self { model, text } = self;
        for &byte in text {
            model.begin_byte(kernel, Hint::default());
            let whole = u32::from(byte) | 256;
            for bit in 0..8 {
                let path = whole >> (8 - bit);
                let one = whole >> (7 - bit) & 1 == 1;
                let row = &mut model.memory.rows[memory::node(path, bit) as usize & 7];
                for slot in &mut row.0[..CONTEXTS] {
                    *slot = memory::learn(*slot, one, model.lookup.states);
                }
                match bit {
                    2 | 5 => model.memory.group(kernel, whole >> (7 - bit), bit + 1),
                    7 => model.memory.leave(whole, 2),
                    _ => {}
                }
            }
            model.end_byte(kernel, byte);
        }
    }
}
