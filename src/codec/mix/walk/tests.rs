use super::super::model::Learnt;
use super::*;
use crate::entropy::{Cdf, RangeDecoder, RangeEncoder};
use crate::predict::TokenTable;
use proptest::prelude::*;

fn masses<'a>(tree: &'a TokenTree, cdf: &Cdf, sums: &'a mut Vec<u64>) -> Masses<'a> {
    assert!(tree.cumulate(cdf, sums));
    Masses { tree, sums, maths: Maths::get() }
}

fn model() -> Model {
    Model::new(true, Learnt::new(true), 1 << 10)
}

/// A leaf's bytes.
fn bytes(table: &TokenTable, leaf: Result<u32, u8>) -> Vec<u8> {
    leaf.map_or_else(|byte| vec![byte], |token| table.bytes(token).to_vec())
}

/// Codes leaves, each under the distribution that comes next, and decodes them again.
fn there_and_back(table: &TokenTable, cdfs: &[Cdf], leaves: &[Result<u32, u8>]) {
    let tree = table.tree();
    let mut encoder = RangeEncoder::new();
    let (mut sums, mut there, mut back) = (Vec::new(), model(), model());
    for (n, &leaf) in leaves.iter().enumerate() {
        let bytes = bytes(table, leaf);
        let mut masses = masses(tree, &cdfs[n % cdfs.len()], &mut sums);
        let coded = code(&mut masses, &mut there, &mut encoder, &bytes, [n as u32, 1], bytes.len());
        let expected = leaf.map_or(Leaf::Escape, |token| Leaf::Token(tree.canonical(token)));
        assert_eq!(coded, Ok(expected));
    }
    let stored = encoder.finish();
    let mut decoder = RangeDecoder::new(&stored);
    for (n, &leaf) in leaves.iter().enumerate() {
        let mut masses = masses(tree, &cdfs[n % cdfs.len()], &mut sums);
        let found = code(&mut masses, &mut back, &mut decoder, &[], [n as u32, 1], usize::MAX);
        let expected = leaf.map_or(Leaf::Escape, |token| Leaf::Token(tree.canonical(token)));
        assert_eq!(found, Ok(expected), "leaf {n}");
    }
    assert_eq!(decoder.finish(), Ok(()));
    let raw: Vec<u8> = leaves.iter().flat_map(|&leaf| self::bytes(table, leaf)).collect();
    assert_eq!(there.raw(), raw);
    assert_eq!(back.raw(), raw);
}

fn vocabulary(words: &[Vec<u8>]) -> TokenTable {
    TokenTable::new(0, std::iter::once(vec![]).chain(words.iter().cloned()).collect())
}

#[test]
fn likely_leaves_cost_little() {
    let words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).chain([b"the".to_vec(), b"them".to_vec()]).collect();
    let table = vocabulary(&words);
    let mut weights = vec![1; table.len() + 1];
    weights[257] = 1 << 20;
    let cdf = Cdf::new(&weights).unwrap();
    let cost = |token| {
        let (mut sums, mut coder) = (Vec::new(), Cost(0.0));
        let mut masses = masses(table.tree(), &cdf, &mut sums);
        let bytes = table.bytes(token);
        code(&mut masses, &mut model(), &mut coder, bytes, [0; 2], bytes.len()).unwrap();
        coder.0
    };
    let [likely, longer, other] = [257, 258, 1 + u32::from(b'x')].map(cost);
    assert!(likely < 3.0 && longer > likely + 3.0 && other > likely + 3.0, "{likely}, {longer}, {other} bits");
}

/// Counts the bits that decisions cost.
struct Cost(f64);

impl BitCoder for Cost {
    fn code(&mut self, p: i32, bit: bool) -> Result<bool, Garbage> {
        let p = f64::from(p) / 65536.0;
        self.0 -= if bit { p } else { 1.0 - p }.log2();
        Ok(bit)
    }
}

#[test]
fn a_leaf_has_to_fit_the_room() {
    let table = vocabulary(&[b"abcd".to_vec()]);
    let cdf = Cdf::new(&[0, u32::MAX, 1]).unwrap();
    let (mut sums, mut encoder) = (Vec::new(), RangeEncoder::new());
    let mut masses = masses(table.tree(), &cdf, &mut sums);
    code(&mut masses, &mut model(), &mut encoder, b"abcd", [0; 2], 4).unwrap();
    let stored = encoder.finish();
    for room in 0..6 {
        let mut decoder = RangeDecoder::new(&stored);
        let found = code(&mut masses, &mut model(), &mut decoder, &[], [0; 2], room);
        assert_eq!(found, if room < 4 { Err(Garbage) } else { Ok(Leaf::Token(1)) }, "{room}");
    }
}

fn any_words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![3 => prop::sample::select(b"abc".to_vec()), 1 => any::<u8>()];
    prop::collection::vec(prop::collection::vec(byte, 0..6), 0..40)
}

fn any_weight() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), any::<u32>(), 0..100u32, Just(u32::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_leaves_come_back_under_any_distributions(
        words in any_words(),
        weights in prop::collection::vec(prop::collection::vec(any_weight(), 42), 1..4),
        choices in prop::collection::vec((any::<u16>(), any::<u8>()), 0..40),
    ) {
        let table = vocabulary(&words);
        let cdfs: Vec<Cdf> = weights.iter().filter_map(|w| Cdf::new(&w[..=table.len()]).ok()).collect();
        prop_assume!(!cdfs.is_empty());
        let codable: Vec<u32> = (0..table.len() as u32).filter(|&token| !table.bytes(token).is_empty()).collect();
        let is_token = |byte: u8| codable.iter().any(|&token| table.bytes(token) == [byte]);
        let leaf = |&(choice, byte): &(u16, u8)| {
            let token = codable.get(usize::from(choice) % (codable.len() + 3)).copied();
            token.map(Ok).or((!is_token(byte)).then_some(Err(byte)))
        };
        let leaves: Vec<Result<u32, u8>> = choices.iter().filter_map(leaf).collect();
        there_and_back(&table, &cdfs, &leaves);
    }

    #[test]
    fn opinions_are_those_of_the_masses(words in any_words(), weights in prop::collection::vec(any_weight(), 42)) {
        let table = vocabulary(&words);
        let Ok(cdf) = Cdf::new(&weights[..=table.len()]) else { return Ok(()) };
        let tree = table.tree();
        let mut sums = Vec::new();
        let mut masses = masses(tree, &cdf, &mut sums);
        for number in 0.. {
            let node = tree.node(number);
            let mass = |branch: u32| masses.between(tree.start(node, branch), tree.start(node, branch + 1));
            let all: Vec<u64> = (node.first..node.last).map(mass).collect();
            let most = all.iter().copied().max().unwrap_or(0);
            let first = all.iter().position(|&mass| mass == most);
            let byte = first.map_or(0, |first| tree.branches(node)[first]);
            let whole = masses.between(node.low + node.ends, node.high).max(1);
            let (top, share) = masses.likeliest(node);
            prop_assert_eq!(top, byte);
            prop_assert_eq!(u128::from(share), u128::from(most) * 255 / u128::from(whole));
            if let [ones, .., zeros] = all[..] {
                let (a, b) = (node.first, node.last);
                let [low, high] = [[a, a + 1], [b - 1, b]].map(|ends| ends.map(|branch| tree.start(node, branch)));
                let logit = masses.logit((low[0], low[1]), (high[0], high[1]));
                let exact = 256.0 * (ones as f64 / zeros as f64).ln();
                prop_assert!((f64::from(logit) - exact).abs() < 3.0, "{} not {}", logit, exact);
            }
            if number > 300 || node.last as usize + 1 >= tree.leaves() {
                break;
            }
        }
    }

    #[test]
    fn any_bytes_decode_to_leaves_or_are_refused(
        words in any_words(), weights in prop::collection::vec(any_weight(), 42),
        stored in prop::collection::vec(any::<u8>(), 0..60), room in 0..9usize,
    ) {
        let table = vocabulary(&words);
        let Ok(cdf) = Cdf::new(&weights[..=table.len()]) else { return Ok(()) };
        let (mut sums, mut model) = (Vec::new(), model());
        let mut masses = masses(table.tree(), &cdf, &mut sums);
        let mut decoder = RangeDecoder::new(&stored);
        for _ in 0..50 {
            let before = model.raw().len();
            if code(&mut masses, &mut model, &mut decoder, &[], [0; 2], room).is_err() {
                break;
            }
            prop_assert!((1..=room).contains(&(model.raw().len() - before)));
        }
    }
}
