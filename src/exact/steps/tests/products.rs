//! Products as steps: how threads share them out, and rows at any distance.

use proptest::prelude::*;

use super::*;
use crate::exact::products::{Kind, Packed};

/// Bytes of weights with finite scales.
pub(super) fn some_weights(kind: Kind, depth: usize, outputs: usize, random: &mut Random) -> Vec<u8> {
    // Without the highest bit of an exponent there are no infinities.
    (0..outputs * depth / kind.unit() * kind.unit_bytes()).map(|_| random.next() as u8 & 0xbf).collect()
}

/// The whole product of rows of `a`.
pub(super) fn product(weights: &Arc<Packed>, a: View, out: &Array) -> Array {
    everywhere(out, |out| {
        let weights = Arc::clone(weights);
        if !weights.takes_quantised() {
            return one(DenseProduct { weights, a, out });
        }
        let inputs = Arc::new(Inputs::new([(a.extents[0], a.rows())]));
        let mut plan = one(QuantizeInputs { a, inputs: Arc::clone(&inputs) });
        plan.push(QuantizedProduct { weights, inputs, out });
        plan
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn threads_share_products(
        kind in prop::sample::select(Kind::ALL.to_vec()), outputs in 1..150usize, extents in [1..12usize, 1..4usize], seed: u64,
    ) {
        let random = &mut Random(seed);
        let depth = 256;
        let [count, more] = extents;
        let mut bytes = some_weights(kind, depth, outputs, random);
        let numbers: Vec<f32> = (0..outputs * depth).map(|_| random.unit()).collect();
        if kind == Kind::F32 {
            bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        }
        let weights = Arc::new(Packed::new(kind, &bytes, depth, outputs).unwrap());
        // Rows at one distance: of one array, or of a part of each.
        let a = Array::dense(Element::F32, [depth + random.below(3), count, more, 1]).filled(Fill::Plain, random);
        let a = (View { extents: [depth, count, more, 1], ..a.shared() }, a);
        let out = Array::dense(Element::F32, [outputs, count, more, 1]);
        let result = product(&weights, a.0, &out);
        for [output, i, j, _] in places(out.extents()).filter(|_| kind == Kind::F32) {
            let product = |d| f64::from(numbers[output * depth + d]) * f64::from(a.1.get([d, i, j, 0]));
            assert_near(result.get([output, i, j, 0]), (0..depth).map(product).sum(), 1e-4);
        }
    }
}

#[test]
fn rows_at_no_one_distance_are_refused() {
    let weights = Arc::new(Packed::new(Kind::F32, &[0; 16 * 4 * 16], 16, 16).unwrap());
    let mut a = Array::dense(Element::F32, [16, 4, 3, 1]);
    let out = Array::dense(Element::F32, [16, 2, 3, 1]);
    let view = View { extents: [16, 2, 3, 1], ..a.view() };
    let refusal = refused(&out, |out| one(DenseProduct { weights: Arc::clone(&weights), a: view, out }));
    assert_eq!(refusal, "columns at no one distance");
}
