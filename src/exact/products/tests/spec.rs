//! The reference kernel against the specification.

use proptest::prelude::*;

use super::direct::{float, product as direct, weight};
use super::*;
use crate::exact::products::PackError;

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

fn fills() -> impl Strategy<Value = Fill> {
    prop::sample::select(vec![Fill::Finite, Fill::Finite, Fill::Any, Fill::Largest, Fill::Least])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_reference_is_the_specification(
        kind in kinds(), units in 1usize..4, outputs in 1usize..20, count in 1usize..4, fill in fills(), seed: [u8; 8],
        scale in prop::sample::select(vec![1e-44f32, 1e-40, 1e-3, 1.0, 1e30]),
        raw in prop::collection::vec(-1.0f32..1.0, 3 * 256 * 3),
        special in prop::collection::vec((0usize..3 * 256 * 3, prop::sample::select(vec![0.0, -0.0, f32::INFINITY, f32::NAN, 1e-45, f32::MAX])), 0..3),
        zeros in 0usize..80,
    ) {
        // Floats take any depth.
        let depth = if kind.unit() == 1 { 3 * units + 1 } else { units * kind.unit() };
        let bytes = ggml(kind, depth, outputs, fill, &seed);
        let mut values: Vec<f32> = raw[..depth * count].iter().map(|x| x * scale).collect();
        for (at, value) in special {
            let len = values.len();
            values[at % len] = value;
        }
        values.iter_mut().take(zeros).for_each(|x| *x = 0.0);
        let weights = Packed::new(kind, &bytes, depth, outputs).unwrap();
        let product = product(KernelSet::Scalar, &weights, Both::new(KernelSet::Scalar, &values, depth, kind).input(kind));
        for (column, products) in values.chunks_exact(depth).zip(product.chunks_exact(outputs)) {
            for (row, product) in bytes.chunks_exact(bytes.len() / outputs).zip(products) {
                prop_assert_eq!(plain_bits(direct(kind, row, column)), *product);
            }
        }
    }

    #[test]
    fn rows_are_dequantised_exactly(
        kind in kinds(), units in 1usize..4, outputs in 1usize..40, fill in fills(), seed: [u8; 8],
    ) {
        let depth = units * kind.unit();
        let bytes = ggml(kind, depth, outputs, fill, &seed);
        let weights = Packed::new(kind, &bytes, depth, outputs).unwrap();
        let mut row = vec![0.0; depth];
        for (output, ggml) in bytes.chunks_exact(bytes.len() / outputs).enumerate() {
            weights.row(output, &mut row);
            for (i, &x) in row.iter().enumerate() {
                let expected = if kind.takes_quantised() {
                    let weight = weight(kind, ggml, i);
                    let product = weight.quant as f32 * weight.scale as f32;
                    weight.minimum.map_or(product, |minimum| product - minimum as f32)
                } else {
                    float(kind, ggml, i)
                };
                prop_assert_eq!(plain_bits(expected), plain_bits(x));
            }
        }
    }

    #[test]
    fn parts_pack_what_one_thread_packs(kind in kinds(), outputs in 1usize..100, count in 1usize..9, seed: [u8; 8]) {
        let depth = kind.unit() * if kind.unit() == 1 { 7 } else { 2 };
        let bytes = ggml(kind, depth, outputs, Fill::Any, &seed);
        let whole = Packed::new(kind, &bytes, depth, outputs).unwrap();
        let mut packed = Packed::zeroed(kind, depth, outputs).unwrap();
        let parts = packed.parts(count);
        prop_assert!(parts.len() <= count);
        prop_assert_eq!(parts.iter().map(|part| part.rows().len()).sum::<usize>(), outputs);
        std::thread::scope(|scope| {
            for mut part in parts {
                let bytes = &bytes;
                scope.spawn(move || part.fill(bytes));
            }
        });
        for group in 0..whole.groups() {
            prop_assert_eq!(whole.group(group), packed.group(group));
        }
    }
}

#[test]
fn scales_that_are_products_are_exact() {
    // The widest factors: 11 bits of a binary16 number, normal or not, times 6 or 8 bits.
    for half in [0x7bffu16, 0x03ff, 0x0001, 0x3fff] {
        for factor in [63u8, 0x80, 0xff] {
            for kind in [Kind::Q4K, Kind::Q6K] {
                let mut bytes = vec![factor; kind.unit_bytes()];
                let at = if kind == Kind::Q4K { 0 } else { 208 };
                bytes[at..at + 2].copy_from_slice(&half.to_le_bytes());
                let weight = weight(kind, &bytes, 0);
                assert_eq!(f64::from(weight.scale as f32), weight.scale);
            }
        }
    }
}

#[test]
fn shapes_are_checked() {
    let depth = |kind, depth| Packed::new(kind, &[], depth, 0).unwrap_err() == PackError::Depth { kind, depth };
    assert!(depth(Kind::Q8_0, 0) && depth(Kind::Q8_0, 48) && depth(Kind::F32, 0) && depth(Kind::Q6K, 128));
    assert_eq!(
        Packed::new(Kind::Q8_0, &[0; 33], 32, 1).unwrap_err(),
        PackError::Length { kind: Kind::Q8_0, expected: 34, actual: 33 }
    );
    let outputs = usize::MAX / 16;
    assert_eq!(
        Packed::zeroed(Kind::F32, 5, outputs).unwrap_err(),
        PackError::TooLarge { kind: Kind::F32, depth: 5, outputs }
    );
    let none = Packed::new(Kind::Q4_0, &[], 32, 0).unwrap();
    assert_eq!((none.groups(), none.outputs(), none.depth()), (0, 0, 32));
}

#[test]
fn products_are_near_those_of_unquantised_activations() {
    for kind in Kind::ALL {
        let (depth, outputs) = (256, 21);
        let mut bytes = ggml(kind, depth, outputs, Fill::Finite, b"near");
        let units = match kind {
            Kind::F32 => None,
            Kind::Q6K => Some(208),
            _ => Some(0),
        };
        for unit in bytes.chunks_exact_mut(kind.unit_bytes()) {
            match units {
                Some(at) => unit[at..at + 2].copy_from_slice(&0x1000u16.to_le_bytes()),
                None => unit.copy_from_slice(&0.01f32.to_le_bytes()),
            }
            if matches!(kind, Kind::Q4_1 | Kind::Q5_1 | Kind::Q4K | Kind::Q5K) {
                unit[2..4].copy_from_slice(&0x1800u16.to_le_bytes());
            }
        }
        let weights = Packed::new(kind, &bytes, depth, outputs).unwrap();
        let column: Vec<f32> = (0..depth).map(|i| (i as f32 * 0.7).sin()).collect();
        let bits =
            product(KernelSet::current(), &weights, Both::new(KernelSet::current(), &column, depth, kind).input(kind));
        let mut row = vec![0.0; depth];
        for (output, &bits) in bits.iter().enumerate() {
            weights.row(output, &mut row);
            let exact: f64 = row.iter().zip(&column).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
            let size: f64 = row.iter().map(|&w| f64::from(w.abs())).sum();
            let error = (f64::from(f32::from_bits(bits)) - exact).abs();
            assert!(error <= size / 254.0, "{kind:?}, output {output}: {error} of {size}");
        }
    }
}
