//! Element by element.

use proptest::prelude::*;

use super::*;

pub(super) const BINARY: [BinaryOp; 4] = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div];

pub(super) const UNARY: [UnaryOp; 7] =
    [UnaryOp::Neg, UnaryOp::Relu, UnaryOp::Sigmoid, UnaryOp::Silu, UnaryOp::Tanh, UnaryOp::Gelu, UnaryOp::GeluQuick];

const FILLS: [Fill; 3] = [Fill::Plain, Fill::Tiny, Fill::Wild];

fn extents() -> impl Strategy<Value = [usize; 4]> {
    [1..75usize, 1..5usize, 1..4usize, 1..3usize]
}

/// `x` divided by one of its divisors.
fn part(x: usize, random: &mut Random) -> usize {
    let parts: Vec<usize> = (1..=x).filter(|part| x.is_multiple_of(*part)).collect();
    random.of(&parts)
}

/// The function in binary64, and how near the operator comes.
fn true_value(op: UnaryOp, x: f64) -> (f64, f64) {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match op {
        UnaryOp::Neg => (-x, 0.0),
        UnaryOp::Relu => (x.max(0.0), 0.0),
        UnaryOp::Sigmoid => (sigmoid(x), 1.2e-7),
        UnaryOp::Silu => (x * sigmoid(x), 2e-7 * x.abs()),
        UnaryOp::Tanh => (x.tanh(), 1.5e-7),
        UnaryOp::Gelu => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * x * (1.0 + 0.044_715 * x * x);
            (0.5 * x * (1.0 + inner.tanh()), 2e-7 * x.abs())
        }
        UnaryOp::GeluQuick => (x * sigmoid(1.702 * x), 2e-7 * x.abs() * (1.0 + x.abs())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn two_arrays_element_by_element(
        op in prop::sample::select(BINARY.to_vec()), extents in extents(), seed: u64,
        fill in prop::sample::select(FILLS.to_vec()), place in 0..3, repeats: [bool; 4],
    ) {
        let random = &mut Random(seed);
        let mut smaller = extents;
        for (extent, repeated) in smaller.iter_mut().zip(repeats) {
            *extent = if repeated { part(*extent, random) } else { *extent };
        }
        let a = Array::rows(Element::F32, extents, random).filled(fill, random);
        let b = Array::rows(Element::F32, smaller, random).filled(fill, random);
        let (views, fresh) = ((a.shared(), b.shared()), Array::rows(Element::F32, extents, random));
        let result = match place {
            0 => everywhere(&a, |out| one(Binary { op, out, a: out, b: views.1 })),
            1 if smaller == extents => everywhere(&b, |out| one(Binary { op, out, a: views.0, b: out })),
            _ => everywhere(&fresh, |out| one(Binary { op, out, a: views.0, b: views.1 })),
        };
        for at in places(extents) {
            let (x, y) = (a.get(at), b.get(std::array::from_fn(|d| at[d] % smaller[d])));
            let expected = match op {
                BinaryOp::Add => x + y,
                BinaryOp::Sub => x - y,
                BinaryOp::Mul => x * y,
                BinaryOp::Div => x / y,
            };
            prop_assert_eq!(bits(result.get(at)), bits(expected));
        }
    }

    #[test]
    fn one_array_element_by_element(
        op in prop::sample::select(UNARY.to_vec()), extents in extents(), seed: u64,
        fill in prop::sample::select(FILLS.to_vec()), in_place: bool,
    ) {
        let random = &mut Random(seed);
        let a = Array::rows(Element::F32, extents, random).filled(fill, random);
        let (view, fresh) = (a.shared(), Array::rows(Element::F32, extents, random));
        let result = if in_place {
            everywhere(&a, |out| one(Unary { op, out, a: out }))
        } else {
            everywhere(&fresh, |out| one(Unary { op, out, a: view }))
        };
        for at in places(extents).filter(|_| fill != Fill::Wild) {
            let (y, allowed) = true_value(op, a.get(at).into());
            // The least subnormal has no near ones.
            assert_near(result.get(at), y, allowed + 1e-44);
        }
    }

    #[test]
    fn scaled_elements_are_rounded_twice(
        extents in extents(), seed: u64, fill in prop::sample::select(FILLS.to_vec()), in_place: bool,
        factor in -3f32..3.0, offset in prop_oneof![Just(0.0), Just(-0.0), -3f32..3.0],
    ) {
        let random = &mut Random(seed);
        let a = Array::rows(Element::F32, extents, random).filled(fill, random);
        let (view, fresh) = (a.shared(), Array::rows(Element::F32, extents, random));
        let result = if in_place {
            everywhere(&a, |out| one(Scale { factor, offset, out, a: out }))
        } else {
            everywhere(&fresh, |out| one(Scale { factor, offset, out, a: view }))
        };
        for at in places(extents) {
            let product = a.get(at) * factor;
            prop_assert_eq!(bits(result.get(at)), bits(if offset == 0.0 { product } else { product + offset }));
        }
    }

    #[test]
    fn gates_open_and_close(
        op in prop::sample::select(UNARY.to_vec()), extents in extents(), seed: u64,
        fill in prop::sample::select(FILLS.to_vec()), place in 0..3, halves: bool,
    ) {
        let random = &mut Random(seed);
        let (mut gate, mut up) = (
            Array::rows(Element::F32, extents, random).filled(fill, random),
            Array::rows(Element::F32, extents, random).filled(fill, random),
        );
        // Both in the rows of one array.
        let [width, a, b, c] = extents;
        let both = Array::rows(Element::F32, [2 * width, a, b, c], random).filled(fill, random);
        let mut views = (gate.shared(), up.shared());
        if halves {
            views.0 = View { extents, ..both.shared() };
            views.1 = View { data: views.0.data.wrapping_add(4 * width), ..views.0 };
            for at in places(extents) {
                gate.set(at, both.get(at));
                up.set(at, both.get([at[0] + width, at[1], at[2], at[3]]));
            }
        }
        let fresh = Array::rows(Element::F32, extents, random);
        let result = match place {
            0 => everywhere(&gate, |out| one(Glu { op, out, gate: out, up: views.1 })),
            1 => everywhere(&up, |out| one(Glu { op, out, gate: views.0, up: out })),
            _ => everywhere(&fresh, |out| one(Glu { op, out, gate: views.0, up: views.1 })),
        };
        // The function rounded, and a product rounded.
        let opened = everywhere(&gate, |out| one(Unary { op, out, a: out }));
        for at in places(extents) {
            prop_assert_eq!(bits(result.get(at)), bits(opened.get(at) * up.get(at)));
        }
    }
}
