use proptest::prelude::*;

use super::*;

/// Rows of ggml Q8_0 blocks made of arbitrary bytes, with scales that stay finite.
fn ggml_rows(depth: usize, outputs: usize, seed: &[u8]) -> Vec<u8> {
    let mut state = blake3::Hasher::new();
    state.update(seed);
    let mut bytes = vec![0; outputs * depth / BLOCK * 34];
    state.finalize_xof().fill(&mut bytes);
    for block in bytes.chunks_exact_mut(34) {
        // Clears the top exponent bit: no infinity, no NaN, denormals included.
        block[1] &= 0xbf;
    }
    bytes
}

fn product(set: KernelSet, weights: &PackedQ8, columns: &Activations) -> Vec<u32> {
    let stride = weights.outputs() + 3;
    let mut values = vec![f32::from_bits(0x1234_5678); columns.count().max(1) * stride];
    let groups = weights.groups();
    // Split in two, as threads would.
    for range in [0..groups / 2, groups / 2..groups] {
        matmul_q8(set, weights, columns, range, &mut Output::new(&mut values, stride));
    }
    values.into_iter().map(f32::to_bits).collect()
}

fn columns(values: &[f32], depth: usize) -> Activations {
    let mut columns = Activations::default();
    columns.reset(depth);
    values.chunks_exact(depth).for_each(|column| columns.push(column));
    columns
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_kernel_sets_agree_bit_for_bit_and_columns_never_see_each_other(
        blocks in 1usize..6, outputs in 1usize..70, count in 1usize..21, seed: [u8; 8],
        scale in prop_oneof![Just(1e-40f32), Just(1e-3), Just(1.0), Just(1e30)],
        raw in prop::collection::vec(-1.0f32..1.0, 6 * 32 * 21),
        special in prop::collection::vec((0usize..6 * 32 * 21, prop_oneof![Just(0.0), Just(-0.0), Just(f32::INFINITY), Just(f32::NAN), Just(1e-45)]), 0..3),
    ) {
        let depth = blocks * BLOCK;
        let weights = PackedQ8::new(&ggml_rows(depth, outputs, &seed), depth, outputs).unwrap();
        let mut values: Vec<f32> = raw[..depth * count].iter().map(|x| x * scale).collect();
        for (at, value) in special {
            let len = values.len();
            values[at % len] = value;
        }
        let all = columns(&values, depth);
        let reference = product(KernelSet::Scalar, &weights, &all);
        for set in [KernelSet::Avx2, KernelSet::Avx512Vnni].into_iter().filter(|set| set.available()) {
            let other = product(set, &weights, &all);
            // A NaN's payload is not specified; that it is one is.
            let plain = |bits: &[u32]| bits.iter().map(|&b| if f32::from_bits(b).is_nan() { u32::MAX } else { b }).collect::<Vec<_>>();
            prop_assert_eq!(plain(&reference), plain(&other));
        }
        let last = columns(&values[(count - 1) * depth..], depth);
        let alone = product(KernelSet::Scalar, &weights, &last);
        prop_assert_eq!(&alone[..outputs], &reference[(count - 1) * (outputs + 3)..][..outputs]);
    }
}

#[test]
fn products_are_near_those_of_unquantised_activations() {
    let (depth, outputs) = (96, 21);
    let ggml = ggml_rows(depth, outputs, b"near");
    let mut ggml = ggml;
    for block in ggml.chunks_exact_mut(34) {
        // Scale 2^-7.
        block[..2].copy_from_slice(&0x2000u16.to_le_bytes());
    }
    let weights = PackedQ8::new(&ggml, depth, outputs).unwrap();
    let column: Vec<f32> = (0..depth).map(|i| (i as f32 * 0.7).sin()).collect();
    let bits = product(KernelSet::current(), &weights, &columns(&column, depth));
    for (output, row) in ggml.chunks_exact(depth / BLOCK * 34).enumerate() {
        let exact: f64 = row
            .chunks_exact(34)
            .flat_map(|block| block[2..].iter().map(|&q| f64::from(q as i8) / 128.0))
            .zip(&column)
            .map(|(w, &x)| w * f64::from(x))
            .sum();
        assert!((f64::from(f32::from_bits(bits[output])) - exact).abs() < 0.05, "output {output}");
    }
}
