//! The token tree, held against the list of tokens.

use lma::entropy::Cdf;
use lma::predict::TokenTable;
use lma::predict::tree::{Leaf, Node, ROOT, TokenTree};
use proptest::prelude::*;

fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![4 => prop::sample::select(b"abc".to_vec()), 1 => any::<u8>()];
    prop::collection::vec(prop::collection::vec(byte, 0..6), 0..50)
}

/// All nodes with their prefixes.
fn nodes(tree: &TokenTree) -> Vec<(Vec<u8>, Node)> {
    let mut all = vec![(Vec::new(), tree.node(ROOT))];
    let mut at = 0;
    while let Some((prefix, node)) = all.get(at).cloned() {
        for (branch, &byte) in (node.first..).zip(tree.branches(node)) {
            all.push(([&prefix[..], &[byte]].concat(), tree.node(tree.behind(branch))));
        }
        at += 1;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nodes_are_the_prefixes_and_masses_those_of_their_tokens(
        words in words(), weights in prop::collection::vec(prop_oneof![Just(0), 0..9u32, any::<u32>()], 51),
    ) {
        let tree = TokenTree::new(&words);
        let missing: Vec<u8> = (0..=255).filter(|&byte| !words.contains(&vec![byte])).collect();
        let Ok(cdf) = Cdf::new(&weights[..=words.len()]) else { return Ok(()) };
        let mut sums = vec![7; 3];
        prop_assert!(tree.cumulate(&cdf, &mut sums));
        prop_assert_eq!(sums.len(), tree.leaves() + 1);
        let escape = u64::from((weights[words.len()] / missing.len().max(1) as u32).max(1));
        let nodes = nodes(&tree);
        for (prefix, node) in &nodes {
            let below = words.iter().zip(&weights).filter(|(word, _)| !word.is_empty() && word.starts_with(prefix));
            let tokens: u64 = below.map(|(_, &weight)| u64::from(weight.max(1))).sum();
            let escapes = missing.iter().filter(|&&byte| [byte].starts_with(prefix)).count() as u64;
            let mass = sums[node.high as usize] - sums[node.low as usize];
            prop_assert_eq!(mass, tokens + escapes * escape, "{:?}", prefix);
            prop_assert_eq!(tree.start(*node, node.first), node.low + node.ends);
            prop_assert_eq!(tree.start(*node, node.last), node.high);
            prop_assert!(tree.branches(*node).is_sorted_by(|a, b| a < b));
            if node.ends > 0 {
                let lowest = words.iter().position(|word| word == prefix);
                let leaf = lowest.map_or(Leaf::Escape, |token| Leaf::Token(token as u32));
                prop_assert_eq!(tree.leaf(*node), leaf);
            } else {
                prop_assert!(!words.contains(prefix) || prefix.is_empty());
            }
        }
        let mut prefixes: Vec<&[u8]> = words.iter().flat_map(|word| (0..=word.len()).map(|end| &word[..end])).collect();
        prefixes.extend(missing.chunks(1));
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut found: Vec<&[u8]> = nodes.iter().map(|(prefix, _)| &prefix[..]).collect();
        found.sort_unstable();
        prefixes.retain(|prefix| !prefix.is_empty());
        prop_assert_eq!(&found[1..], prefixes);
    }

    #[test]
    fn equal_tokens_have_one_name(words in words()) {
        let tree = TokenTable::new(0, words.clone()).tree().clone();
        prop_assert_eq!(&tree, &TokenTree::new(&words));
        for (token, word) in words.iter().enumerate() {
            let lowest = words.iter().position(|other| other == word).unwrap();
            let expected = if word.is_empty() { token } else { lowest };
            prop_assert_eq!(tree.canonical(token as u32), expected as u32);
        }
        prop_assert_eq!(tree.canonical(10_000), 10_000);
    }

    #[test]
    fn splits_part_the_branches(words in words()) {
        let tree = TokenTree::new(&words);
        for (_, node) in nodes(&tree) {
            for byte in tree.branches(node) {
                let (mut first, mut last) = (node.first, node.last);
                for bit in (0..8).rev() {
                    let at = tree.split(first, last, bit);
                    prop_assert!((first..=last).contains(&at));
                    if byte >> bit & 1 == 1 { first = at } else { last = at }
                }
                prop_assert_eq!(last - first, 1);
                prop_assert_eq!(tree.branches(node)[(first - node.first) as usize], *byte);
            }
        }
    }
}

#[test]
fn other_vocabularies_are_refused() {
    let tree = TokenTree::new(&[b"a".to_vec(), b"b".to_vec()]);
    let mut sums = vec![1, 2];
    for len in [1, 2, 4] {
        assert!(!tree.cumulate(&Cdf::new(&vec![1; len]).unwrap(), &mut sums));
    }
    assert_eq!(sums, [1, 2]);
    assert!(tree.cumulate(&Cdf::new(&[1, 1, 1]).unwrap(), &mut sums));
}
