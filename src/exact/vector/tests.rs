//! Every implementation against arrays, and the functions against binary64.

use proptest::prelude::*;

use super::*;
use crate::exact::KernelSet;
use crate::exact::half::{f16_to_f32, f32_to_f16};

/// The bits of `x`, one value for all NaNs: their signs and payloads are not specified.
fn bits(x: f32) -> u32 {
    if x.is_nan() { u32::MAX } else { x.to_bits() }
}

/// Any binary32, and those where something special happens more often than chance would have it.
fn anything() -> impl Strategy<Value = f32> {
    let special = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
        f32::from_bits(1),
        -f32::MIN_POSITIVE,
        f32::MAX,
        65519.996,
        65520.0,
        -87.0,
        (-87f32).next_down(),
    ];
    prop_oneof![
        3 => any::<u32>().prop_map(f32::from_bits),
        3 => -100f32..100.0,
        2 => prop::sample::select(special),
        // Subnormal as binary16.
        1 => -7e-5f32..7e-5,
    ]
}

fn sixteen() -> impl Strategy<Value = [f32; LANES]> {
    prop::collection::vec(anything(), LANES).prop_map(|values| values.try_into().unwrap())
}

per_set! { unsafe fn operations = operations_body(out: &mut Vec<u32>, abc: &[[f32; LANES]; 3], part: usize) }

#[inline(always)]
unsafe fn operations_body<V: Vector>(out: &mut Vec<u32>, abc: &[[f32; LANES]; 3], part: usize) {
    // SAFETY: 16 values each, `part` is at most as many.
    let [a, b, c] = unsafe { [0, 1, 2].map(|i: usize| V::load(abc[i].as_ptr())) };
    let results = [
        a,
        V::splat(abc[0][0]),
        a.add(b),
        a.sub(b),
        a.mul(b),
        a.div(b),
        a.fma(b, c),
        a.max(b),
        a.select_ge(b, c, a),
        a.abs(),
        a.swap_pairs(),
        exp(a),
        sigmoid(a),
        tanh(a),
        gelu(a),
    ];
    for result in results {
        out.extend(result.lanes().map(bits));
        out.push(bits(result.tree()));
    }
    let (mut some, mut halves) = ([0.5f32; LANES], [0u16; LANES]);
    // SAFETY: arrays of 16.
    unsafe {
        V::load_part(abc[0].as_ptr(), part).store(some.as_mut_ptr());
        out.extend(some.map(f32::to_bits));
        b.store_part(some.as_mut_ptr(), part);
        out.extend(some.map(f32::to_bits));
        c.narrow(halves.as_mut_ptr());
        out.extend(halves.map(u32::from));
        out.extend(V::widen(halves.as_ptr()).lanes().map(bits));
    }
}

fn all_operations(set: KernelSet, abc: &[[f32; LANES]; 3], part: usize) -> Vec<u32> {
    let mut out = Vec::new();
    // SAFETY: an available set.
    unsafe { operations(set, &mut out, abc, part) }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_operation_gives_the_bits_of_the_reference(a in sixteen(), b in sixteen(), c in sixteen(), part in 0..=LANES) {
        let abc = [a, b, c];
        let reference = all_operations(KernelSet::Scalar, &abc, part);
        for set in KernelSet::all_available() {
            prop_assert_eq!(&reference, &all_operations(set, &abc, part), "{:?}", set);
        }
    }

    /// Also where the processor has no such instruction, and a library stands in for it.
    #[test]
    fn fused_steps_round_once(a in sixteen(), b in sixteen(), c in sixteen(), near: bool) {
        for l in 0..LANES {
            // Sums that cancel, or fall on the middle of two numbers, are the difficult ones.
            let c = if near { -(a[l] * b[l]) * (1.0 + c[l].signum() * f32::EPSILON) } else { c[l] };
            let fused = Vector::fma([a[l]; LANES], [b[l]; LANES], [c; LANES])[0];
            prop_assert_eq!(bits(fused), bits(fma_in_two(a[l], b[l], c)), "{} * {} + {}", a[l], b[l], c);
        }
    }
}

/// `a * b + c` by binary64: the product is exact there, and the sum is rounded to odd, so that rounding it once
/// more is rounding once.
fn fma_in_two(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    if !sum.is_finite() || error == 0.0 || sum.to_bits() % 2 == 1 {
        return sum as f32;
    }
    (if error > 0.0 { sum.next_up() } else { sum.next_down() }) as f32
}

per_set! { unsafe fn widen_all = widen_all_body(out: &mut [f32], halves: &[u16]) }

#[inline(always)]
unsafe fn widen_all_body<V: Vector>(out: &mut [f32], halves: &[u16]) {
    for (out, halves) in out.chunks_exact_mut(LANES).zip(halves.chunks_exact(LANES)) {
        // SAFETY: 16 of each.
        unsafe { V::widen(halves.as_ptr()).store(out.as_mut_ptr()) }
    }
}

per_set! { unsafe fn narrow_all = narrow_all_body(out: &mut [u16], wide: &[f32]) }

#[inline(always)]
unsafe fn narrow_all_body<V: Vector>(out: &mut [u16], wide: &[f32]) {
    for (out, wide) in out.chunks_exact_mut(LANES).zip(wide.chunks_exact(LANES)) {
        // SAFETY: 16 of each.
        unsafe { V::load(wide.as_ptr()).narrow(out.as_mut_ptr()) }
    }
}

#[test]
fn halves_are_widened_and_rounded_alike() {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    // Every half, the middle to the next one, and the numbers around both.
    let wide: Vec<f32> = (0..=u32::MAX / 0x800)
        .flat_map(|top| [0, 1, 0x7ff].map(|low| f32::from_bits(top * 0x800 + low)))
        .chain([0.0; 2 * LANES])
        .collect();
    let wide = &wide[..wide.len() / LANES * LANES];
    for set in KernelSet::all_available() {
        let (mut widened, mut narrowed) = (vec![0.0; halves.len()], vec![0; wide.len()]);
        // SAFETY: an available set.
        unsafe {
            widen_all(set, &mut widened, &halves);
            narrow_all(set, &mut narrowed, wide);
        }
        assert!(halves.iter().zip(&widened).all(|(&h, &w)| bits(w) == bits(f16_to_f32(h))), "{set:?}");
        for (&wide, &half) in wide.iter().zip(&narrowed) {
            let same = if wide.is_nan() { f16_to_f32(half).is_nan() } else { half == f32_to_f16(wide) };
            assert!(same, "{set:?}: {wide} -> {half:#x}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Exp,
    Sigmoid,
    Tanh,
    Gelu,
}

per_set! { unsafe fn function = function_body(function: Function, values: &mut [f32]) }

#[inline(always)]
unsafe fn function_body<V: Vector>(function: Function, values: &mut [f32]) {
    for values in values.chunks_exact_mut(LANES) {
        // SAFETY: 16 values.
        unsafe {
            let x = V::load(values.as_ptr());
            match function {
                Function::Exp => exp(x),
                Function::Sigmoid => sigmoid(x),
                Function::Tanh => tanh(x),
                Function::Gelu => gelu(x),
            }
            .store(values.as_mut_ptr());
        }
    }
}

/// Numbers of one sign with every exponent, `count` of each.
fn of_all_sizes(sign: f32, count: u32) -> impl Iterator<Item = f32> {
    (0..255u32).flat_map(move |exponent| {
        let step = (1 << 23) / count;
        (0..count).map(move |i| sign * f32::from_bits((exponent << 23) + i * step + exponent * 977 % step))
    })
}

/// Checks that all sets agree on a function, and calls `near` with each argument and value.
fn over(f: Function, arguments: impl Iterator<Item = f32>, mut near: impl FnMut(f64, f64)) {
    let mut arguments: Vec<f32> = arguments.collect();
    arguments.resize(arguments.len().next_multiple_of(LANES), -1.0);
    let values = |set| {
        let mut values = arguments.clone();
        // SAFETY: an available set.
        unsafe { function(set, f, &mut values) }
        values
    };
    let reference = values(KernelSet::Scalar);
    for set in KernelSet::all_available() {
        let same = values(set).iter().zip(&reference).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{f:?} on {set:?}");
    }
    for (&x, &y) in arguments.iter().zip(&reference) {
        near(f64::from(x), f64::from(y));
    }
}

/// Arguments in which the functions are not yet constant, densely.
fn grid(from: f32, to: f32) -> impl Iterator<Item = f32> {
    const STEPS: u32 = 1 << 20;
    (0..=STEPS).map(move |i| from + (to - from) * (i as f32 / STEPS as f32))
}

#[test]
fn exp_is_near_the_power_of_e() {
    let mut worst = 0f64;
    over(Function::Exp, grid(-87.0, 0.0).chain(of_all_sizes(-1.0, 1 << 10)), |x, y| {
        if x < -87.0 {
            assert_eq!(y, 0.0);
        } else {
            let error = (y / x.exp() - 1.0).abs();
            worst = worst.max(error / (3e-7 - 7.5e-8 * x));
        }
    });
    assert!((0.8..1.0).contains(&worst), "{worst} of the bound");
}

#[test]
fn sigmoid_and_tanh_are_near_the_true_values() {
    let arguments = || grid(-30.0, 30.0).chain(of_all_sizes(-1.0, 1 << 9)).chain(of_all_sizes(1.0, 1 << 9));
    let mut worst = [0f64; 2];
    over(Function::Sigmoid, arguments(), |x, y| {
        worst[0] = worst[0].max((y - 1.0 / (1.0 + (-x).exp())).abs());
    });
    over(Function::Tanh, arguments(), |x, y| worst[1] = worst[1].max((y - x.tanh()).abs()));
    assert!(worst[0] < 1.2e-7 && worst[1] < 1.5e-7, "{worst:?}");
}

#[test]
fn gelu_is_near_its_formula() {
    let mut worst = 0f64;
    over(
        Function::Gelu,
        grid(-12.0, 12.0).chain(of_all_sizes(-1.0, 1 << 9)).chain(of_all_sizes(1.0, 1 << 9)),
        |x, y| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * x * (1.0 + 0.044_715 * x * x);
            let error = (y - 0.5 * x * (1.0 + inner.tanh())).abs();
            worst = worst.max(error / x.abs().max(1e-30));
        },
    );
    assert!(worst < 1.5e-7, "{worst:e} of the argument");
}

#[test]
fn functions_are_defined_beside_the_numbers() {
    let nan = f32::NAN;
    let of = |f: Function, x: f32| {
        let mut values = [x; LANES];
        // SAFETY: the reference runs everywhere.
        unsafe { function(KernelSet::Scalar, f, &mut values) }
        values[0]
    };
    for nan in [nan, -nan] {
        assert_eq!(of(Function::Exp, nan), 0.0);
        assert_eq!(of(Function::Sigmoid, nan), 0.0);
        assert_eq!(of(Function::Tanh, nan), -1.0);
        assert!(of(Function::Gelu, nan).is_nan());
    }
    for (x, sigmoid, tanh) in [(f32::INFINITY, 1.0, 1.0), (f32::NEG_INFINITY, 0.0, -1.0)] {
        assert_eq!((of(Function::Sigmoid, x), of(Function::Tanh, x)), (sigmoid, tanh));
    }
    assert_eq!(of(Function::Gelu, f32::INFINITY), f32::INFINITY);
    assert_eq!(of(Function::Exp, f32::NEG_INFINITY), 0.0);
    assert_eq!(of(Function::Exp, 0.0), 1.0);
}
