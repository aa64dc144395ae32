//! Norms.

use proptest::prelude::*;

use super::*;

/// A row's norm, and the size of its elements beside their distances from the mean.
fn true_values(kind: NormKind, epsilon: f32, row: &[f64]) -> (Vec<f64>, f64) {
    let n = row.len() as f64;
    let mean = if kind == NormKind::Layer { row.iter().sum::<f64>() / n } else { 0.0 };
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let root = (variance + f64::from(epsilon)).sqrt();
    (row.iter().map(|x| (x - mean) / root).collect(), row.iter().fold(0f64, |a, x| a.max(x.abs())) / root)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn rows_are_normalised(
        kind in prop::sample::select(vec![NormKind::Rms, NormKind::Layer]),
        extents in [1..200usize, 1..5usize, 1..4usize, 1..3usize], seed: u64,
        fill in prop::sample::select(vec![Fill::Plain, Fill::Plain, Fill::Tiny, Fill::Wild]),
        epsilon in prop::sample::select(vec![1e-5f32, 1e-6, 0.0, 1e-12]),
        in_place: bool, weighted: bool, repeats: [bool; 3],
    ) {
        let random = &mut Random(seed);
        let a = Array::rows(Element::F32, extents, random).filled(fill, random);
        let mut smaller = extents;
        for (extent, repeated) in smaller[1..].iter_mut().zip(repeats) {
            *extent = if repeated { 1 } else { *extent };
        }
        let weights = Array::rows(Element::F32, smaller, random).filled(Fill::Plain, random);
        let weight = weighted.then(|| weights.shared());
        let (view, fresh) = (a.shared(), Array::rows(Element::F32, extents, random));
        let result = if in_place {
            everywhere(&a, |out| one(Norm { kind, epsilon, out, a: out, weight }))
        } else {
            everywhere(&fresh, |out| one(Norm { kind, epsilon, out, a: view, weight }))
        };
        let [width, rows @ ..] = extents;
        for [_, i, j, k] in places([1, rows[0], rows[1], rows[2]]) {
            let row: Vec<f64> = (0..width).map(|at| a.get([at, i, j, k]).into()).collect();
            let (values, size) = true_values(kind, epsilon, &row);
            let weight_at = |at| [at, i % smaller[1], j % smaller[2], k % smaller[3]];
            // One number is its own mean: 0 / 0 where nothing is added.
            if fill == Fill::Plain && size < 1e3 {
                for (at, value) in values.iter().enumerate() {
                    let weight = if weighted { f64::from(weights.get(weight_at(at))) } else { 1.0 };
                    assert_near(result.get([at, i, j, k]), value * weight, 2e-6 * (size + 1.0) * weight.abs());
                }
            }
        }
        // A row alone is the same as among others.
        let [i, j, k] = rows.map(|extent| random.below(extent));
        let (mut alone, mut its) = (Array::dense(Element::F32, [width, 1, 1, 1]), weights.clone());
        for at in 0..width {
            alone.set([at, 0, 0, 0], a.get([at, i, j, k]));
            its.set([at, 0, 0, 0], weights.get([at, i % smaller[1], j % smaller[2], k % smaller[3]]));
        }
        let weight = weighted.then(|| its.shared());
        let alone = everywhere(&alone, |out| one(Norm { kind, epsilon, out, a: out, weight }));
        for at in 0..width {
            prop_assert_eq!(bits(alone.get([at, 0, 0, 0])), bits(result.get([at, i, j, k])));
        }
    }
}
