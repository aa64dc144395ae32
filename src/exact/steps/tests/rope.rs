//! Rotary position embedding.

use std::f64::consts::PI;

use proptest::prelude::*;

use super::*;

fn terms(dimensions: usize, pairing: Pairing, random: &mut Random) -> RopeTerms {
    let yarn = random.below(2) == 0;
    let factors = (random.below(2) == 0).then(|| (0..dimensions / 2).map(|_| 1.5 + random.unit()).collect());
    RopeTerms {
        dimensions,
        pairing,
        base: random.of(&[1e4, 5e5, 1e6]),
        scale: if yarn { random.of(&[0.25, 0.1]) } else { random.of(&[1.0, 0.5]) },
        extrapolation: if yarn { random.of(&[1.0, 0.6]) } else { 0.0 },
        magnitude: random.of(&[1.0, 0.85]),
        beta_fast: 32.0,
        beta_slow: 1.0,
        trained: random.of(&[2048, 8192]),
        factors,
    }
}

/// Angle and magnitude of pair `i`, with the mathematics of the standard library.
fn true_angle(terms: &RopeTerms, i: usize, position: f64) -> (f64, f64) {
    let (n, base, scale) = (terms.dimensions as f64, f64::from(terms.base), f64::from(terms.scale));
    let factor = terms.factors.as_ref().map_or(1.0, |factors| f64::from(factors[i]));
    let angle = position * base.powf(-2.0 * i as f64 / n) / factor;
    if terms.extrapolation == 0.0 {
        return (angle * scale, terms.magnitude.into());
    }
    // The pair that turns so many times within the trained context.
    let pair = |turns: f32| n * (terms.trained as f64 / (f64::from(turns) * 2.0 * PI)).log(base) / 2.0;
    let (low, high) = (pair(terms.beta_fast).floor().max(0.0), pair(terms.beta_slow).ceil().min(n - 1.0));
    let slow = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
    let mix = (1.0 - slow) * f64::from(terms.extrapolation);
    (angle * (scale * (1.0 - mix) + mix), f64::from(terms.magnitude) * (1.0 + 0.1 * (1.0 / scale).ln()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn heads_are_turned(
        pairing in prop::sample::select(vec![Pairing::Neighbours, Pairing::Halves]), seed: u64,
        pairs in 1..70usize, more in 0..20usize, rows in [1..4usize, 1..6usize, 1..3usize], in_place: bool, wild: bool,
    ) {
        let random = &mut Random(seed);
        let fill = if wild { Fill::Wild } else { Fill::Plain };
        let extents = [2 * pairs + more, rows[0], rows[1], rows[2]];
        let table = Arc::new(RopeTable::new(terms(2 * pairs, pairing, random), random.below(40)));
        let mut positions = Array::scattered(Element::I32, [rows[1], 1, 1, 1], random);
        let numbers: Vec<i64> = (0..rows[1]).map(|_| random.of(&[0, 1, 39, 40, 41, 5000, 100_000])).collect();
        for (at, &number) in numbers.iter().enumerate() {
            positions.set_index([at, 0, 0, 0], number);
        }
        let a = Array::rows(Element::F32, extents, random).filled(fill, random);
        let (view, fresh) = (a.shared(), Array::rows(Element::F32, extents, random));
        let positions = positions.shared();
        let table_of = || Arc::clone(&table);
        let result = if in_place {
            everywhere(&a, |out| one(Rope { table: table_of(), positions, out, a: out }))
        } else {
            everywhere(&fresh, |out| one(Rope { table: table_of(), positions, out, a: view }))
        };
        for [_, head, token, lane] in places([1, rows[0], rows[1], rows[2]]) {
            let at = |i| [i, head, token, lane];
            for i in 2 * pairs..extents[0] {
                prop_assert_eq!(bits(result.get(at(i))), bits(a.get(at(i))));
            }
            for i in (0..pairs).filter(|_| !wild) {
                let (first, second) = if pairing == Pairing::Halves { (i, i + pairs) } else { (2 * i, 2 * i + 1) };
                let (angle, magnitude) = true_angle(table.terms(), i, numbers[token] as f64);
                let (x, y) = (f64::from(a.get(at(first))), f64::from(a.get(at(second))));
                let (sin, cos) = angle.sin_cos();
                assert_near(result.get(at(first)), (x * cos - y * sin) * magnitude, 3e-6);
                assert_near(result.get(at(second)), (y * cos + x * sin) * magnitude, 3e-6);
            }
        }
    }

    /// A position's multipliers do not depend on whether the table holds it.
    #[test]
    fn tables_end_anywhere(seed: u64, pairs in 1..20usize, position in 0..300i64) {
        let random = &mut Random(seed);
        let terms = terms(2 * pairs, Pairing::Neighbours, random);
        let a = Array::dense(Element::F32, [2 * pairs, 1, 1, 1]).filled(Fill::Plain, random);
        let mut positions = Array::dense(Element::I32, [1, 1, 1, 1]);
        positions.set_index([0; 4], position);
        let positions = positions.shared();
        let [short, long] = [0, 300].map(|length| {
            let table = Arc::new(RopeTable::new(terms.clone(), length));
            everywhere(&a, |out| one(Rope { table: Arc::clone(&table), positions, out, a: out })).bits()
        });
        prop_assert_eq!(short, long);
    }
}

#[test]
fn negative_positions_are_refused() {
    let random = &mut Random(1);
    let table = Arc::new(RopeTable::new(terms(16, Pairing::Halves, random), 8));
    let out = Array::dense(Element::F32, [16, 2, 5, 1]);
    let mut positions = Array::dense(Element::I32, [5, 1, 1, 1]);
    positions.set_index([3, 0, 0, 0], -1);
    let positions = positions.shared();
    assert_eq!(
        refused(&out, |out| one(Rope { table: Arc::clone(&table), positions, out, a: out })),
        "a position is negative"
    );
}
