//! One leaf of the token tree as a walk of binary decisions (spec/mix-codec.md §2, §10).

use super::coder::BitCoder;
use super::maths::Maths;
use super::model::{self, Guide, Hint, Model};
use crate::entropy::Garbage;
use crate::predict::TokenId;
use crate::predict::tree::{Leaf, Node, ROOT, TokenTree};

/// What a language model says of the decisions of one walk.
pub(super) trait Opinion {
    /// The tree.
    fn tree(&self) -> &TokenTree;
    /// The likeliest byte behind a node (the lowest of equals), and its share in 256ths, below 256.
    fn likeliest(&mut self, node: Node) -> (u8, u32);
    /// The logit of the ranks `ones` against the ranks `zeros`.
    fn logit(&mut self, ones: (u32, u32), zeros: (u32, u32)) -> i32;
}

/// A distribution over the leaves of a tree, as cumulative sums.
pub(super) struct Masses<'a> {
    pub(super) tree: &'a TokenTree,
    pub(super) sums: &'a [u64],
    pub(super) maths: Maths,
}

impl Masses<'_> {
    fn between(&self, low: u32, high: u32) -> u64 {
        self.sums[high as usize] - self.sums[low as usize]
    }
}

impl Opinion for Masses<'_> {
    fn tree(&self) -> &TokenTree {
        self.tree
    }

    fn logit(&mut self, ones: (u32, u32), zeros: (u32, u32)) -> i32 {
        self.maths.log(self.between(ones.0, ones.1)) - self.maths.log(self.between(zeros.0, zeros.1))
    }

    fn likeliest(&mut self, node: Node) -> (u8, u32) {
        let mut best = (0, 0);
        let mut low = self.sums[self.tree.start(node, node.first) as usize];
        let whole = (self.sums[node.high as usize] - low).max(1);
        for branch in node.first..node.last {
            let high = self.sums[self.tree.start(node, branch + 1) as usize];
            if high - low > best.1 {
                best = (branch, high - low);
            }
            low = high;
        }
        let byte = self.tree.branches(node).get((best.0.wrapping_sub(node.first)) as usize).copied().unwrap_or(0);
        (byte, ((u128::from(best.1) * 255) / u128::from(whole)) as u32)
    }
}

/// The way of one byte through a node's branches, `first..last` of them being left.
struct Branches<'a, O> {
    opinion: &'a mut O,
    node: Node,
    first: u32,
    last: u32,
    split: u32,
}

impl<O: Opinion> Guide for Branches<'_, O> {
    #[inline(always)]
    fn opinion(&mut self, bit: u32) -> model::Opinion {
        let (first, last) = (self.first, self.last);
        self.split = self.opinion.tree().split(first, last, bit);
        if self.split == first || self.split == last {
            return model::Opinion::Forced(self.split == first);
        }
        let [low, middle, high] = [first, self.split, last].map(|branch| self.opinion.tree().start(self.node, branch));
        model::Opinion::Logit(self.opinion.logit((middle, high), (low, middle)))
    }

    #[inline(always)]
    fn take(&mut self, one: bool) {
        if one { self.first = self.split } else { self.last = self.split }
    }
}

/// Codes one leaf: that of `bytes` where the coder encodes, the next one where it decodes.
/// `previous` are the last two tokens, the newest first. A leaf longer than `room` is garbage.
pub(super) fn code(
    opinion: &mut impl Opinion,
    model: &mut Model,
    coder: &mut impl BitCoder,
    bytes: &[u8],
    previous: [TokenId; 2],
    room: usize,
) -> Result<Leaf, Garbage> {
    let mut number = ROOT;
    for depth in 0..room {
        let node = opinion.tree().node(number);
        let byte = bytes.get(depth).copied().unwrap_or(0);
        let (top, top_p) = opinion.likeliest(node);
        let hint = Hint { node: number, depth: depth as u32, previous: previous[0], before: previous[1], top, top_p };
        let mut branches = Branches { opinion: &mut *opinion, node, first: node.first, last: node.last, split: 0 };
        model.code_byte(coder, byte, hint, &mut branches)?;
        number = {
            let first = branches.first;
            opinion.tree().behind(first)
        };
        let node = opinion.tree().node(number);
        if node.ends == 0 {
            continue;
        }
        let ends = node.first == node.last || {
            let end = node.low + node.ends;
            let lm = opinion.logit((node.low, end), (end, node.high));
            model.code_end(coder, depth + 1 == bytes.len(), Hint { node: number, ..hint }, lm)?
        };
        if ends {
            model.boundary();
            return Ok(opinion.tree().leaf(node));
        }
    }
    Err(Garbage)
}

#[cfg(test)]
mod tests;
