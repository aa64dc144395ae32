use super::*;
use proptest::prelude::*;

fn random(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as u32
}

/// The same move in numbers that nothing can overflow.
fn model(value: u32, bit: bool, share: i64, limit: u32, whole: bool) -> u32 {
    let (p, count) = (i64::from(value >> 10), value & 1023);
    let rate = 131_072 / (2 * i64::from(count) + 3);
    let rate = if whole { rate } else { (rate * share) >> 8 };
    let target = if bit { i64::from(MOST) } else { 0 };
    let moved = (p + ((((target - p + 64) >> 7) * rate) >> 9)).clamp(0, i64::from(MOST));
    let counts = count < limit && (whole || share > 76);
    (moved as u32) << 10 | (count + u32::from(counts))
}

#[test]
fn reciprocals_are_those_of_the_counts() {
    for (n, &reciprocal) in RECIPROCALS.iter().enumerate() {
        let exact = 65536.0 / (n as f64 + 1.5);
        assert!((0.0..1.0).contains(&(exact - f64::from(reciprocal))), "{n}: {reciprocal}, not {exact}");
    }
}

#[test]
fn the_first_bits_are_believed_as_a_mean_is() {
    let mut value = Adaptive::new(32768);
    assert_eq!((value.p(), value.count()), (32768, 0));
    value.learn(true, 255, &RECIPROCALS);
    // Two thirds of the way.
    assert!((value.p() - (32768 + 32768 * 2 / 3)).abs() < 128, "{}", value.p());
    assert_eq!(value.count(), 1);
    assert_eq!(Adaptive::new(1 << 20).p(), 65535);
}

#[test]
fn converges_to_the_share_of_ones() {
    for (ones, limit) in [(10, 1023), (300, 1023), (512, 255), (900, 255), (1014, 1023)] {
        let (mut value, mut state) = (Adaptive::new(32768), 7);
        let (mut sum, rounds) = (0.0, 40_000);
        for round in 0..rounds {
            value.learn(random(&mut state) % 1024 < ones, limit, &RECIPROCALS);
            if round >= rounds / 2 {
                sum += f64::from(value.p());
            }
        }
        let (mean, truth) = (sum / f64::from(rounds / 2), f64::from(ones) * 64.0);
        assert!((mean - truth).abs() < 650.0, "{ones} of 1024: {mean}, not {truth}");
        assert_eq!(value.count(), limit);
    }
}

#[test]
fn stays_within_its_bounds_at_either_end() {
    for bit in [false, true] {
        for first in [0, 1, 32768, 65535] {
            let mut value = Adaptive::new(first);
            for _ in 0..5000 {
                value.learn(bit, 1023, &RECIPROCALS);
            }
            assert!(if bit { value.p() > 65000 } else { value.p() < 500 }, "{bit}: {}", value.p());
            assert_eq!(value.count(), 1023);
        }
        for value in [0, 1023, u32::MAX, u32::MAX - 1023, (MOST as u32) << 10] {
            let mut moved = Adaptive(value);
            moved.learn(bit, 255, &RECIPROCALS);
            assert_eq!(moved.0, model(value, bit, 256, 255, true), "{value:#x}");
        }
    }
}

#[test]
fn a_share_moves_less_and_counts_where_it_is_large() {
    let mut none = Adaptive::new(20_000);
    none.learn_share(true, 0, 255, &RECIPROCALS);
    assert_eq!(none, Adaptive::new(20_000));
    let mut before = 20_000;
    for share in 1..=256 {
        let mut value = Adaptive::new(20_000);
        value.learn_share(true, share, 255, &RECIPROCALS);
        assert!(value.p() >= before);
        assert_eq!(value.count(), u32::from(share > 76), "{share}");
        before = value.p();
    }
    let (mut whole, mut share) = (Adaptive::new(20_000), Adaptive::new(20_000));
    whole.learn(true, 255, &RECIPROCALS);
    share.learn_share(true, 256, 255, &RECIPROCALS);
    assert_eq!(whole, share);
}

proptest! {
    #[test]
    fn moves_like_wide_numbers(value in any::<u32>(), bit in any::<bool>(), share in 0..=256i32, limit in 0..1024u32) {
        let (mut whole, mut part) = (Adaptive(value), Adaptive(value));
        whole.learn(bit, limit, &RECIPROCALS);
        prop_assert_eq!(whole.0, model(value, bit, 256, limit, true));
        part.learn_share(bit, share, limit, &RECIPROCALS);
        prop_assert_eq!(part.0, model(value, bit, share.into(), limit, false));
        let towards = |p: i32| if bit { p >= Adaptive(value).p() } else { p <= Adaptive(value).p() };
        prop_assert!(towards(whole.p()) && towards(part.p()));
    }
}
