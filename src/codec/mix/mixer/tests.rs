use super::*;
use proptest::prelude::*;

const N: usize = 16;

fn whole(weights: &Weights<N>, i: usize) -> i64 {
    (i64::from(weights.upper[i]) << 16) + i64::from(weights.lower[i])
}

fn of(upper: [i16; N], lower: [i16; N]) -> Weights<N> {
    Weights { upper, lower }
}

#[test]
fn the_sum_is_weighted_by_the_upper_halves() {
    let mut weights = Weights::<N>::ZERO;
    assert_eq!(weights.dot(&[1234; N]), 0);
    (weights.upper[3], weights.lower[3]) = (1 << ONE_BITS, 32767);
    (weights.upper[5], weights.lower[5]) = (-(1 << (ONE_BITS - 1)), -32768);
    let mut inputs = [0; N];
    (inputs[3], inputs[5]) = (700, 300);
    assert_eq!(weights.dot(&inputs), 700 - 150);
}

#[test]
fn small_steps_carry_into_the_upper_half() {
    for sign in [1i16, -1] {
        let mut weights = Weights::<N>::ZERO;
        let mut inputs = [0; N];
        inputs[7] = 25;
        for n in 1..=40_000 {
            weights.learn(&inputs, 3 * sign);
            assert_eq!(whole(&weights, 7), i64::from(sign) * 75 * n);
        }
        assert_eq!(weights.upper[7], sign * 46);
        assert_eq!(whole(&weights, 6), 0);
    }
}

#[test]
fn weights_stop_at_their_bounds() {
    for (input, step, end) in [(2000, 32767, i16::MAX), (2000, -32767, i16::MIN), (i16::MIN, -32767, i16::MAX)] {
        let mut weights = Weights::<N>::ZERO;
        let mut before = 0;
        for _ in 0..200 {
            weights.learn(&[input; N], step);
            assert!(if end > 0 { weights.upper[0] >= before } else { weights.upper[0] <= before });
            before = weights.upper[0];
        }
        assert_eq!(weights.upper, [end; N]);
    }
}

#[test]
fn steps_are_rounded_and_bounded() {
    assert_eq!(step(0, 6291), 0);
    assert_eq!(step(65536, 6291), 6291);
    assert_eq!(step(-65536, 6291), -6291);
    assert_eq!(step(5, 6291), 0);
    assert_eq!(step(6, 6291), 1);
    assert_eq!(step(65536, 3 * 6291), 18873);
    assert_eq!(step(65536, 32767), 32767);
    assert_eq!(step(-65536, 32767), -32767);
}

/// A mixer that is told which of its inputs is right comes to trust it.
#[test]
fn learns_whom_to_trust() {
    let maths = super::super::maths::Maths::get();
    let mut weights = Weights::<N>::ZERO;
    weights.upper.fill(1638);
    let mut state = 1u32;
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bit = state >> 31 == 1;
        let mut inputs: [i16; N] = std::array::from_fn(|i| ((state >> i & 255) as i16 - 128) * 2);
        inputs[9] = if bit { 512 } else { -512 };
        let p = maths.squash(weights.dot(&inputs));
        weights.learn(&inputs, step((if bit { 65536 } else { 0 }) - p, 6291));
    }
    let others = (0..N).filter(|&i| i != 9).map(|i| weights.upper[i].abs()).max().unwrap();
    assert!(weights.upper[9] > 8192 && others < 2048, "{:?}", weights.upper);
}

proptest! {
    #[test]
    fn dots_like_wide_numbers(upper in any::<[i16; N]>(), lower in any::<[i16; N]>(), inputs in prop::array::uniform16(-2816..2816i16)) {
        let sum: i64 = upper.iter().zip(inputs).map(|(&w, x)| i64::from(w) * i64::from(x)).sum();
        prop_assert_eq!(i64::from(of(upper, lower).dot(&inputs)), i64::from(sum as i32 >> ONE_BITS));
    }

    #[test]
    fn learns_like_wide_numbers(
        upper in any::<[i16; N]>(), lower in any::<[i16; N]>(), inputs in any::<[i16; N]>(), step in -32767..=32767i16,
    ) {
        let before = of(upper, lower);
        let mut after = before;
        after.learn(&inputs, step);
        for i in 0..N {
            let exact = whole(&before, i) + i64::from(inputs[i]) * i64::from(step);
            // The lower half wraps within its 16 bits whatever the upper does.
            prop_assert_eq!(after.lower[i], exact as i16);
            let upper = (exact - i64::from(after.lower[i])) >> 16;
            prop_assert_eq!(i64::from(after.upper[i]), upper.clamp(i16::MIN.into(), i16::MAX.into()));
        }
    }
}
