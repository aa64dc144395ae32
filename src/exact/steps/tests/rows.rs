//! Moving rows.

use proptest::prelude::*;

use super::*;
use crate::exact::half::{f16_to_f32, f32_to_f16};
use crate::exact::products::{Kind, Packed};
use crate::exact::vector::LANES;

const FILLS: [Fill; 3] = [Fill::Plain, Fill::Tiny, Fill::Wild];

/// `x` as an element of an array.
fn stored(element: Element, x: f32) -> u32 {
    bits(if element == Element::F16 { f16_to_f32(f32_to_f16(x)) } else { x })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn rows_are_looked_up(
        width in 1..75usize, count in 1..9usize, rest in [1..3usize, 1..3usize], seed: u64,
        element in prop::sample::select(vec![Element::I32, Element::I64]),
    ) {
        let random = &mut Random(seed);
        let a = Array::rows(Element::F32, [width, 7, rest[0], rest[1]], random).filled(Fill::Wild, random);
        let mut indices = Array::scattered(element, [count, rest[0], rest[1], 1], random);
        let extents = [width, count, rest[0], rest[1]];
        let mut expected = Array::dense(Element::F32, extents);
        for [_, i, j, k] in places([1, count, rest[0], rest[1]]) {
            let chosen = random.below(7);
            indices.set_index([i, j, k, 0], chosen as i64);
            for at in 0..width {
                expected.set([at, i, j, k], a.get([at, chosen, j, k]));
            }
        }
        let (fresh, a, indices) = (Array::rows(Element::F32, extents, random), a.shared(), indices.shared());
        prop_assert_eq!(everywhere(&fresh, |out| one(GetRows { out, a, indices })).bits(), expected.bits());
    }

    #[test]
    fn weights_are_looked_up(
        kind in prop::sample::select(Kind::ALL.to_vec()), outputs in 1..40usize, count in 1..9usize, seed: u64,
    ) {
        let random = &mut Random(seed);
        let depth = 256;
        let bytes: Vec<u8> = (0..outputs * depth / kind.unit() * kind.unit_bytes()).map(|_| random.next() as u8).collect();
        let weights = Arc::new(Packed::new(kind, &bytes, depth, outputs).unwrap());
        let mut indices = Array::scattered(Element::I32, [count, 1, 1, 1], random);
        let mut expected = Vec::new();
        for i in 0..count {
            let chosen = random.below(outputs);
            indices.set_index([i, 0, 0, 0], chosen as i64);
            let mut row = vec![0.0; depth];
            weights.row(chosen, &mut row);
            expected.extend(row.into_iter().map(bits));
        }
        let fresh = Array::rows(Element::F32, [depth, count, 1, 1], random);
        let indices = indices.shared();
        let result = everywhere(&fresh, |out| one(GetWeights { out, weights: Arc::clone(&weights), indices }));
        prop_assert_eq!(result.bits(), expected);
    }

    #[test]
    fn rows_are_written(
        width in 1..75usize, count in 1..9usize, rest in [1..3usize, 1..3usize], seed: u64,
        fill in prop::sample::select(FILLS.to_vec()),
        element in prop::sample::select(vec![Element::F16, Element::F32]),
    ) {
        let random = &mut Random(seed);
        let a = Array::rows(Element::F32, [width, count, rest[0], rest[1]], random).filled(fill, random);
        let before = Array::rows(element, [width, 11, rest[0], rest[1]], random).filled(Fill::Plain, random);
        let mut indices = Array::scattered(Element::I64, [count, rest[0], rest[1], 1], random);
        let mut expected = before.clone();
        for [_, i, j, k] in places([1, count, rest[0], rest[1]]) {
            let chosen = (i * 4 + j + 2 * k) % 11;
            indices.set_index([i, j, k, 0], chosen as i64);
            for at in 0..width {
                expected.set([at, chosen, j, k], a.get([at, i, j, k]));
            }
        }
        let (a, indices) = (a.shared(), indices.shared());
        let result = everywhere(&before, |out| one(SetRows { out, a, indices, keys: false, ring: None }));
        prop_assert_eq!(result.bits(), expected.bits());
    }

    #[test]
    fn keys_are_written_in_blocks(width in 1..75usize, blocks in 1..4usize, count in 1..9usize, seed: u64) {
        let random = &mut Random(seed);
        let a = Array::rows(Element::F32, [width, count, 1, 1], random).filled(Fill::Wild, random);
        let before = Array::dense(Element::F16, [width, blocks * LANES, 1, 1]).filled(Fill::Plain, random);
        let mut indices = Array::scattered(Element::I64, [count, 1, 1, 1], random);
        prop_assert!(Keys::fit(&before.shared()));
        let mut expected = before.bits();
        for i in 0..count {
            let cell = (i * 5 + 3) % (blocks * LANES);
            indices.set_index([i, 0, 0, 0], cell as i64);
            for at in 0..width {
                let place = cell / LANES * LANES * width + at * LANES + cell % LANES;
                expected[place] = stored(Element::F16, a.get([at, i, 0, 0]));
            }
        }
        let (a, indices) = (a.shared(), indices.shared());
        let result = everywhere(&before, |out| one(SetRows { out, a, indices, keys: true, ring: None }));
        prop_assert_eq!(result.bits(), expected);
    }

    #[test]
    fn elements_are_copied_in_order(
        extents in [1..20usize, 1..5usize, 1..4usize, 1..3usize], seed: u64, fill in prop::sample::select(FILLS.to_vec()),
        elements in prop::sample::select(vec![
            [Element::F32, Element::F32], [Element::F32, Element::F16], [Element::F16, Element::F32], [Element::F16, Element::F16],
        ]),
        reshaped in prop::sample::select(vec![[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1]]),
    ) {
        let random = &mut Random(seed);
        let a = Array::scattered(elements[0], extents, random).filled(fill, random);
        let fresh = Array::scattered(elements[1], reshaped.map(|d: usize| extents[d]), random);
        let view = a.shared();
        let result = everywhere(&fresh, |out| one(Copy { out, a: view }));
        let expected: Vec<u32> = a.bits().into_iter().map(|x| stored(elements[1], f32::from_bits(x))).collect();
        prop_assert_eq!(result.bits(), expected);
    }
}

#[test]
fn indices_beyond_the_array_are_refused() {
    let random = &mut Random(5);
    let rows = Array::dense(Element::F32, [20, 6, 1, 1]).filled(Fill::Plain, random);
    let keys = Array::dense(Element::F16, [20, 16, 1, 1]);
    let weights = Arc::new(Packed::new(Kind::F16, &[0; 20 * 6 * 2], 20, 6).unwrap());
    let refusal = "an index is out of bounds";
    for bad in [6, 16, -1, i64::from(i32::MAX), i64::from(i32::MIN)] {
        for element in [Element::I32, Element::I64] {
            let mut indices = Array::dense(element, [6, 1, 1, 1]);
            for i in 0..6 {
                indices.set_index([i, 0, 0, 0], if i == 4 { bad } else { i as i64 });
            }
            let (a, indices) = (rows.shared(), indices.shared());
            let weights = || Arc::clone(&weights);
            assert_eq!(refused(&rows, |out| one(GetRows { out, a, indices })), refusal);
            assert_eq!(refused(&rows, |out| one(SetRows { out, a, indices, keys: false, ring: None })), refusal);
            assert_eq!(refused(&rows, |out| one(GetWeights { out, weights: weights(), indices })), refusal);
            // The cache has more rows.
            if bad != 6 {
                assert_eq!(refused(&keys, |out| one(SetRows { out, a, indices, keys: true, ring: None })), refusal);
            }
        }
    }
}
