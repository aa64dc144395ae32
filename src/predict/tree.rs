//! The vocabulary as a tree of bytes (spec/mix-codec.md §2).
//!
//! The codable tokens, sorted by their bytes, are the leaves of a tree whose nodes are the prefixes
//! of tokens: the tokens that begin with a prefix are one range of the sorted vocabulary. So the
//! mass of any prefix under a distribution is a difference of two cumulative sums, and a token can
//! be coded byte by byte and bit by bit. A byte that is no token by itself has an *escape leaf*, so
//! that every string of bytes is a sequence of leaves.

use super::TokenId;
use crate::entropy::Cdf;

/// A prefix of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Leaves that begin with the prefix, as a range of ranks.
    pub low: u32,
    /// The end of the range.
    pub high: u32,
    /// How many of them, from `low` on, are the prefix itself.
    pub ends: u32,
    /// The continuations, as a range of branches.
    pub first: u32,
    /// The end of that range.
    pub last: u32,
}

/// What an ended walk stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// A token: of those with the same bytes the lowest.
    Token(TokenId),
    /// A byte that is no token, and is not shown to the model.
    Escape,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTree {
    /// Token of each rank; `escape` for escape leaves.
    order: Vec<TokenId>,
    escape: TokenId,
    escapes: u32,
    nodes: Vec<Node>,
    /// For each branch its byte, the rank that its leaves begin at, and the node behind it.
    bytes: Vec<u8>,
    starts: Vec<u32>,
    behind: Vec<u32>,
    /// The lowest token with the same bytes.
    canonical: Vec<TokenId>,
}

/// The number of the root, the empty prefix.
pub const ROOT: u32 = 0;

impl TokenTree {
    /// The tree of a vocabulary, given each token's bytes; tokens without bytes are left out.
    #[must_use]
    pub fn new(bytes: &[Vec<u8>]) -> Self {
        let escape = bytes.len() as TokenId;
        let mut leaves: Vec<(&[u8], TokenId)> =
            (0..).zip(bytes).filter(|(_, bytes)| !bytes.is_empty()).map(|(token, bytes)| (&bytes[..], token)).collect();
        let single: Vec<[u8; 1]> = (0..=255u8).map(|byte| [byte]).collect();
        let missing = single.iter().filter(|byte| !bytes.iter().any(|token| token[..] == byte[..]));
        leaves.extend(missing.map(|byte| (&byte[..], escape)));
        leaves.sort_unstable();
        let order: Vec<TokenId> = leaves.iter().map(|&(_, token)| token).collect();
        let mut canonical: Vec<TokenId> = (0..escape).collect();
        for pair in leaves.windows(2) {
            if pair[0].0 == pair[1].0 {
                canonical[pair[1].1 as usize] = canonical[pair[0].1 as usize];
            }
        }
        let escapes = order.iter().filter(|&&token| token == escape).count() as u32;
        let (nodes, bytes, starts, behind) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut tree = Self { order, escape, escapes, nodes, bytes, starts, behind, canonical };
        tree.grow(&leaves);
        tree
    }

    /// Adds the nodes breadth first, so that a node's branches are together.
    fn grow(&mut self, leaves: &[(&[u8], TokenId)]) {
        let mut waiting = std::collections::VecDeque::from([(0, leaves.len(), 0)]);
        let mut made = 1;
        while let Some((low, high, depth)) = waiting.pop_front() {
            let ends = leaves[low..high].iter().take_while(|(bytes, _)| bytes.len() == depth).count();
            let first = self.bytes.len() as u32;
            let mut start = low + ends;
            while start < high {
                let byte = leaves[start].0[depth];
                let len = leaves[start..high].partition_point(|(bytes, _)| bytes[depth] == byte);
                self.bytes.push(byte);
                self.starts.push(start as u32);
                self.behind.push(made);
                made += 1;
                waiting.push_back((start, start + len, depth + 1));
                start += len;
            }
            let last = self.bytes.len() as u32;
            self.nodes.push(Node { low: low as u32, high: high as u32, ends: ends as u32, first, last });
        }
    }

    /// A node.
    #[must_use]
    #[inline(always)]
    pub fn node(&self, node: u32) -> Node {
        self.nodes[node as usize]
    }

    /// The node behind a branch.
    #[must_use]
    #[inline(always)]
    pub fn behind(&self, branch: u32) -> u32 {
        self.behind[branch as usize]
    }

    /// The first of the branches `first..last` whose byte has `bit` set; they agree in all higher bits.
    #[must_use]
    #[inline(always)]
    pub fn split(&self, first: u32, last: u32, bit: u32) -> u32 {
        let bytes = &self.bytes[first as usize..last as usize];
        first + bytes.partition_point(|byte| byte >> bit & 1 == 0) as u32
    }

    /// The rank that a branch of `node` begins at; that of the node's end for `node.last`.
    #[must_use]
    #[inline(always)]
    pub fn start(&self, node: Node, branch: u32) -> u32 {
        if branch < node.last { self.starts[branch as usize] } else { node.high }
    }

    /// The bytes of the branches of a node.
    #[must_use]
    pub fn branches(&self, node: Node) -> &[u8] {
        &self.bytes[node.first as usize..node.last as usize]
    }

    /// What ends at a node with `ends > 0`.
    #[must_use]
    pub fn leaf(&self, node: Node) -> Leaf {
        let token = self.order[node.low as usize];
        if token == self.escape { Leaf::Escape } else { Leaf::Token(token) }
    }

    /// The token that a walk along the bytes of `token` ends in.
    #[must_use]
    pub fn canonical(&self, token: TokenId) -> TokenId {
        self.canonical.get(token as usize).copied().unwrap_or(token)
    }

    /// The number of leaves.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.order.len()
    }

    /// The masses of the leaves under a distribution over the tokens and the escape, cumulated:
    /// `sums[r]` is that of the ranks below `r`. Each leaf has at least 1. Escape leaves share the
    /// weight of the escape evenly, rounded down. `false`: the distribution is of another vocabulary.
    pub fn cumulate(&self, cdf: &Cdf, sums: &mut Vec<u64>) -> bool {
        let weights = cdf.weights();
        if weights.len() != self.escape as usize + 1 {
            return false;
        }
        sums.resize(self.order.len() + 1, 0);
        let whole = match weights[self.escape as usize].checked_div(self.escapes) {
            None => self.sum(sums, |token| weights[token as usize]),
            Some(shared) => self.sum(sums, |token| if token == self.escape { shared } else { weights[token as usize] }),
        };
        if let Some(last) = sums.last_mut() {
            *last = whole;
        }
        true
    }

    /// The sums in front of each leaf, at least 1 for each; answers that of all.
    #[inline(always)]
    fn sum(&self, sums: &mut [u64], weight: impl Fn(TokenId) -> u32) -> u64 {
        let mut sum = 0;
        for (out, &token) in sums.iter_mut().zip(&self.order) {
            *out = sum;
            sum += u64::from(weight(token).max(1));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> TokenTree {
        let words: [&[u8]; 8] = [b"", b"a", b"ab", b"abcd", b"b", b"ab", b" ", b"\xff\xfe"];
        TokenTree::new(&words.map(<[u8]>::to_vec))
    }

    /// The node behind some bytes.
    fn walk(tree: &TokenTree, bytes: &[u8]) -> Option<Node> {
        let mut node = tree.node(ROOT);
        for byte in bytes {
            let at = tree.branches(node).iter().position(|b| b == byte)?;
            node = tree.node(tree.behind(node.first + at as u32));
        }
        Some(node)
    }

    #[test]
    fn every_token_and_every_byte_is_a_leaf() {
        let tree = tree();
        for (bytes, token) in [(&b"a"[..], 1), (b"ab", 2), (b"abcd", 3), (b"b", 4), (b" ", 6), (b"\xff\xfe", 7)] {
            let node = walk(&tree, bytes).unwrap();
            assert!(node.ends > 0);
            assert_eq!(tree.leaf(node), Leaf::Token(token));
        }
        assert_eq!(tree.canonical(5), 2);
        for byte in 0..=255u8 {
            let node = walk(&tree, &[byte]).unwrap();
            assert_eq!(tree.leaf(node) == Leaf::Escape, !b"ab ".contains(&byte), "{byte}");
        }
        assert_eq!(walk(&tree, b"abc").unwrap().ends, 0);
        assert_eq!(walk(&tree, b"ac"), None);
        // 6 different tokens, one of them twice, and 253 bytes without a token.
        assert_eq!(tree.leaves(), 7 + 253);
    }

    #[test]
    fn splits_follow_the_bits() {
        let tree = tree();
        let root = tree.node(ROOT);
        let (mut first, mut last) = (root.first, root.last);
        for bit in (0..8).rev() {
            let at = tree.split(first, last, bit);
            assert_eq!(at - first, 1 << bit);
            if b'a' >> bit & 1 == 1 { first = at } else { last = at }
        }
        assert_eq!((tree.branches(root)[first as usize], last - first), (b'a', 1));
    }

    #[test]
    fn masses_are_those_of_the_tokens_below() {
        let tree = tree();
        let mut sums = Vec::new();
        assert!(!tree.cumulate(&Cdf::new(&[1; 8]).unwrap(), &mut sums));
        let cdf = Cdf::new(&[0, 10, 20, 40, 80, 5, 160, 320, 2 * 253 + 100]).unwrap();
        assert!(tree.cumulate(&cdf, &mut sums));
        let mass = |bytes: &[u8]| {
            let node = walk(&tree, bytes).unwrap();
            sums[node.high as usize] - sums[node.low as usize]
        };
        assert_eq!(mass(b"a"), 75);
        assert_eq!(mass(b"ab"), 65);
        assert_eq!(mass(b"abc"), 40);
        assert_eq!(mass(b"\xff"), 322);
        assert_eq!(mass(b"\0"), 2);
        assert_eq!(mass(b""), 10 + 20 + 40 + 80 + 5 + 160 + 320 + 2 * 253);
    }
}
