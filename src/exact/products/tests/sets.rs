//! Every kernel set against the reference.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn all_kernel_sets_agree_bit_for_bit(
        kind in prop::sample::select(Kind::ALL.to_vec()),
        units in 1usize..4, outputs in 1usize..150, count in 0usize..21, seed: [u8; 8],
        fill in prop::sample::select(vec![Fill::Finite, Fill::Finite, Fill::Finite, Fill::Any, Fill::Largest, Fill::Least]),
        scale in prop::sample::select(vec![1e-44f32, 1e-40, 1e-3, 1.0, 1e30]),
        full in prop::bool::weighted(0.2),
        raw in prop::collection::vec(-1.0f32..1.0, 64),
        special in prop::collection::vec((0usize..3 * 256 * 21, prop::sample::select(vec![0.0, -0.0, f32::INFINITY, f32::NAN, 1e-45, f32::MAX])), 0..3),
    ) {
        let depth = if kind.unit() == 1 { 37 * units } else { units * kind.unit() };
        let weights = Packed::new(kind, &ggml(kind, depth, outputs, fill, &seed), depth, outputs).unwrap();
        let mut values: Vec<f32> = (0..depth * count)
            // Where `full`, every activation's quant is 127 or -127.
            .map(|i| if full { scale.copysign(raw[i / depth] + 0.5) } else { raw[i * 29 % 64] * raw[i / 64 % 64] * scale })
            .collect();
        for (at, value) in special {
            if let Some(value_at) = values.get_mut(at) {
                *value_at = value;
            }
        }
        let reference = product(KernelSet::Scalar, &weights, Both::new(KernelSet::Scalar, &values, depth, kind).input(kind));
        for set in KernelSet::all_available() {
            // The set's own quantiser, too.
            let other = product(set, &weights, Both::new(set, &values, depth, kind).input(kind));
            prop_assert!(reference == other, "{:?}", set);
        }
    }

    #[test]
    fn columns_and_groups_never_see_each_other(
        kind in prop::sample::select(Kind::ALL.to_vec()),
        outputs in 1usize..150, count in 1usize..21, seed: [u8; 8], at: prop::sample::Index, group: prop::sample::Index,
        raw in prop::collection::vec(-1.0f32..1.0, 256 * 21),
    ) {
        let depth = 256;
        let weights = Packed::new(kind, &ggml(kind, depth, outputs, Fill::Finite, &seed), depth, outputs).unwrap();
        let values = &raw[..depth * count];
        let (column, group) = (at.index(count), group.index(weights.groups()));
        for set in KernelSet::all_available() {
            let all = product(set, &weights, Both::new(set, values, depth, kind).input(kind));
            let one = &values[column * depth..][..depth];
            let alone = product(set, &weights, Both::new(set, one, depth, kind).input(kind));
            prop_assert_eq!(&alone[..], &all[column * outputs..][..outputs]);
            // One group of one column among all: nothing else is written.
            let mut some = vec![UNTOUCHED; count * outputs];
            let mut both = Both::new(set, values, depth, kind);
            matmul(set, &weights, both.input(kind), column..column + 1, group..group + 1, &mut Output::new(&mut some, outputs));
            for (i, x) in some.iter().enumerate() {
                let inside = i / outputs == column && i % outputs / GROUP == group;
                prop_assert_eq!(x.to_bits(), if inside { all[i] } else { UNTOUCHED.to_bits() });
            }
        }
    }
}

#[test]
fn threads_quantise_disjoint_columns() {
    let (depth, count) = (96, 21);
    let values: Vec<f32> = (0..depth * count).map(|i| (i as f32 * 0.37).sin()).collect();
    for set in KernelSet::all_available() {
        let weights =
            Packed::new(Kind::Q5_0, &ggml(Kind::Q5_0, depth, 33, Fill::Finite, b"threads"), depth, 33).unwrap();
        let expected = product(set, &weights, Both::new(set, &values, depth, Kind::Q5_0).input(Kind::Q5_0));
        let mut columns = Columns::default();
        columns.reset(depth, count);
        let view = columns.view();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let values = &values;
                scope.spawn(move || {
                    for column in (thread..count).step_by(4) {
                        #[allow(unsafe_code)]
                        // SAFETY: each column is one thread's, and is read after the scope.
                        unsafe {
                            view.quantize(set, column, &values[column * depth..][..depth]);
                        }
                    }
                });
            }
        });
        assert_eq!(product(set, &weights, Input::Quantised(view)), expected);
    }
}
