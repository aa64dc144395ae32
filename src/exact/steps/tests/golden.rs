//! Results over fixed inputs, once and for all: what one machine computed, every other must.
//!
//! A digest here changes only together with the name of the numerics profile.

use super::attention::Scene;
use super::elements::{BINARY, UNARY};
use super::products::{product, some_weights};
use super::*;
use crate::exact::products::{Kind, Packed};

const DIGESTS: &str = include_str!("golden.txt");

/// The lines of [`DIGESTS`].
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, result: &Array) {
        let bytes: Vec<u8> = result.bits().into_iter().flat_map(u32::to_le_bytes).collect();
        self.0 += &format!("{name:24} {}\n", &blake3::hash(&bytes).to_hex()[..32]);
    }
}

/// Binary32, without gaps.
fn floats(extents: [usize; 4], fill: Fill, random: &mut Random) -> Array {
    Array::dense(Element::F32, extents).filled(fill, random)
}

fn elements(lines: &mut Lines) {
    let random = &mut Random(1);
    let [a, b] = [[171, 6, 2, 1], [171, 2, 1, 1]].map(|extents| floats(extents, Fill::Wild, random));
    let (a, b) = (a.clone(), b.shared());
    for op in BINARY {
        lines.add(&format!("{op:?}"), &everywhere(&a, |out| one(Binary { op, out, a: out, b })));
    }
    let a = floats([3001, 2, 1, 1], Fill::Wild, random);
    let plain = floats([3001, 2, 1, 1], Fill::Plain, random);
    let up = plain.shared();
    for op in UNARY {
        lines.add(&format!("{op:?}"), &everywhere(&a, |out| one(Unary { op, out, a: out })));
        lines.add(&format!("{op:?} gate"), &everywhere(&plain, |out| one(Glu { op, out, gate: out, up })));
    }
    lines.add("Scale", &everywhere(&a, |out| one(Scale { factor: 0.3, offset: -0.7, out, a: out })));
}

fn norms(lines: &mut Lines) {
    let random = &mut Random(2);
    for fill in [Fill::Plain, Fill::Tiny] {
        let (a, weight) = (floats([387, 5, 1, 1], fill, random), floats([387, 1, 1, 1], Fill::Plain, random));
        let weight = Some(weight.shared());
        for kind in [NormKind::Rms, NormKind::Layer] {
            let norm = everywhere(&a, |out| one(Norm { kind, epsilon: 1e-6, out, a: out, weight }));
            lines.add(&format!("{kind:?} {fill:?}"), &norm);
        }
    }
}

fn ropes(lines: &mut Lines) {
    let random = &mut Random(3);
    let a = floats([80, 2, 9, 1], Fill::Plain, random);
    let mut positions = Array::dense(Element::I32, [9, 1, 1, 1]);
    for (i, position) in [0, 1, 2, 100, 511, 512, 4095, 32_768, 1_000_000].into_iter().enumerate() {
        positions.set_index([i, 0, 0, 0], position);
    }
    let positions = positions.shared();
    let plain = RopeTerms {
        dimensions: 64,
        pairing: Pairing::Neighbours,
        base: 10_000.0,
        scale: 1.0,
        extrapolation: 0.0,
        magnitude: 1.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        trained: 4096,
        factors: None,
    };
    let yarn = RopeTerms { scale: 0.25, extrapolation: 1.0, base: 5e5, pairing: Pairing::Halves, ..plain.clone() };
    let factors = Some((0..32).map(|i| 1.0 + 0.37 * i as f32).collect());
    let divided = RopeTerms { factors, pairing: Pairing::Halves, ..plain.clone() };
    for (name, terms) in [("Rope", plain), ("Rope by YaRN", yarn), ("Rope with factors", divided)] {
        let table = Arc::new(RopeTable::new(terms, 512));
        lines.add(name, &everywhere(&a, |out| one(Rope { table: Arc::clone(&table), positions, out, a: out })));
    }
}

fn rows(lines: &mut Lines) {
    let random = &mut Random(4);
    let a = floats([997, 3, 1, 1], Fill::Wild, random);
    let mut indices = Array::dense(Element::I64, [3, 1, 1, 1]);
    for (i, index) in [4, 0, 3].into_iter().enumerate() {
        indices.set_index([i, 0, 0, 0], index);
    }
    let (a, indices) = (a.shared(), indices.shared());
    let halves = Array::dense(Element::F16, [997, 5, 1, 1]);
    lines.add("SetRows", &everywhere(&halves, |out| one(SetRows { out, a, indices, keys: false, ring: None })));
}

fn attentions(lines: &mut Lines) {
    let scene = Scene {
        head: 40,
        value_width: 80,
        key_heads: 2,
        shared: 3,
        tokens: 3,
        lanes: 2,
        cells: 112,
        seen: vec![0..1, 0..50, 17..112, 5..97, 0..0, 64..80],
        scale: 0.158_113_88,
        cap: 0.0,
        seed: 5,
    };
    lines.add("Attention", &scene.run(&scene.arrays()));
    let capped = Scene { cap: 20.0, scale: scene.scale / 20.0, ..scene };
    lines.add("Attention with a cap", &capped.run(&capped.arrays()));
}

fn products(lines: &mut Lines) {
    let random = &mut Random(6);
    let (depth, outputs) = (512, 43);
    let mut a = floats([depth, 9, 1, 1], Fill::Plain, random);
    for at in 0..40 {
        a.set([at, 3, 0, 0], 0.0);
        a.set([at + 64, 4, 0, 0], 1e-41 * at as f32);
    }
    for kind in Kind::ALL {
        let bytes = some_weights(kind, depth, outputs, random);
        let weights = Arc::new(Packed::new(kind, &bytes, depth, outputs).unwrap());
        let out = Array::dense(Element::F32, [outputs, 9, 1, 1]);
        lines.add(&format!("Product {}", kind.name()), &product(&weights, a.shared(), &out));
    }
}

#[test]
fn all_machines_compute_the_same() {
    let mut lines = Lines::default();
    for part in [elements, norms, ropes, rows, attentions, products] {
        part(&mut lines);
    }
    assert!(lines.0 == DIGESTS, "these are not the digests of golden.txt:\n{}", lines.0);
}
