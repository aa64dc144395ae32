//! Against floating point, which the codec never asks.

use super::*;
use proptest::prelude::*;

fn logistic(logit: f64) -> f64 {
    65536.0 / (1.0 + (-logit / f64::from(NAT)).exp())
}

/// How fast the probability grows, of 65536 for each logit, where it is `p`.
fn slope(p: f64) -> f64 {
    p * (65536.0 - p) / 65536.0 / f64::from(NAT)
}

#[test]
fn constants_are_what_they_say() {
    let two62 = 2f64.powi(62);
    assert!((DECAY as f64 - two62 * (-1.0 / 256.0f64).exp()).abs() <= 1024.0);
    assert!((LN2 as f64 - 65536.0 * 256.0 * std::f64::consts::LN_2).abs() <= 0.5);
    assert_eq!(i32::from(i16::try_from(LIMIT).unwrap()), LIMIT);
}

#[test]
fn squash_is_the_logistic_of_the_middle_of_two_logits() {
    let maths = Maths::get();
    for logit in -LIMIT..LIMIT {
        let exact = logistic(f64::from(logit | 1)).clamp(1.0, 65535.0);
        let p = maths.squash(logit);
        assert!((f64::from(p) - exact).abs() <= 0.5 + 1e-6, "{logit}: {p}, not {exact}");
        assert_eq!(maths.squash_near(logit as i16), p, "{logit}");
        assert!(maths.squash(logit + 1) >= p, "{logit}");
        assert!((p + maths.squash(-1 - logit) - 65536).abs() <= 1, "{logit}");
    }
}

#[test]
fn squash_clamps_any_logit() {
    let maths = Maths::get();
    let (least, most) = (maths.squash(-LIMIT), maths.squash(LIMIT - 1));
    assert_eq!((least, most), (1, 65535));
    for far in [LIMIT, LIMIT + 1, 1 << 20, i32::MAX] {
        assert_eq!(maths.squash(far), most);
        assert_eq!(maths.squash(-far), least);
    }
    assert_eq!(maths.squash(i32::MIN), least);
    assert_eq!((maths.squash_near(i16::MAX), maths.squash_near((LIMIT - 1) as i16)), (most, most));
}

#[test]
fn stretch_is_the_logit_of_the_middle_of_its_entry() {
    let maths = Maths::get();
    let mut before = -LIMIT;
    for p in 0..65536 {
        let logit = maths.stretch(p);
        assert!(logit >= before, "{p}");
        before = logit;
        let middle = f64::from(p >> 4 << 4 | 8);
        let exact = f64::from(NAT) * (middle / (65536.0 - middle)).ln();
        // The first of the logits, two apart, whose probability rounds to the middle or more.
        let error = f64::from(logit) - exact;
        let rounding = 0.51 / slope(middle) * 1.1;
        assert!((-rounding..2.0 + rounding).contains(&error), "{p}: {logit}, not {exact}");
    }
}

#[test]
fn stretch_and_squash_undo_each_other() {
    let maths = Maths::get();
    for p in 0..65536 {
        let back = maths.squash(maths.stretch(p));
        let bound = 8.0 + 1.0 + 2.0 * slope(f64::from(p.clamp(8, 65528)));
        assert!(f64::from((back - p).abs()) <= bound, "{p} became {back}");
    }
    for logit in -7 * NAT..7 * NAT {
        let back = maths.stretch(maths.squash(logit));
        let bound = 3.0 + 16.5 / slope(logistic(f64::from(logit)));
        assert!(f64::from((back - logit).abs()) <= bound, "{logit} became {back}");
    }
}

#[test]
fn the_fast_logits_are_those_of_bytes() {
    let maths = Maths::get();
    for slot in 0..256 {
        let p = (slot ^ 0x80) << 8 | 0x80;
        assert_eq!(i32::from(maths.tables.fast[slot as usize]), maths.stretch(p) * 8, "{slot}");
        let [low, high] = maths.tables.fast_bytes.map(|half| half[slot as usize]);
        assert_eq!(i16::from_le_bytes([low, high]), maths.tables.fast[slot as usize]);
    }
    // Slot 0, which has seen nothing, is undecided.
    assert!(maths.tables.fast[0].abs() <= 32);
}

fn log_error(mass: u64) -> f64 {
    f64::from(Maths::get().log(mass)) - f64::from(NAT) * (mass as f64).ln()
}

#[test]
fn logarithms_of_small_and_of_round_masses() {
    let maths = Maths::get();
    assert_eq!((maths.log(0), maths.log(1)), (0, 0));
    for mass in (1..100_000).chain((0..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1])) {
        let mass = u64::max(mass, 1);
        assert!((-1.6..1.01).contains(&log_error(mass)), "{mass}: {}", log_error(mass));
        // Rounding may take one logit back.
        assert!(maths.log(mass + 1) + 1 >= maths.log(mass), "{mass}");
    }
    assert!((-1.6..1.01).contains(&log_error(u64::MAX)));
}

proptest! {
    #[test]
    fn logarithms_are_within_two_logits(mass in any::<u64>(), shift in 0..64u32) {
        let mass = (mass >> shift).max(1);
        prop_assert!((-1.6..1.01).contains(&log_error(mass)), "{}: {}", mass, log_error(mass));
    }
}

#[test]
fn soft_is_what_it_says() {
    let maths = Maths::get();
    for logit in -2 * LIMIT..2 * LIMIT {
        let exact = 256.0 * (f64::from(logit) / 256.0).exp().ln_1p();
        assert!((f64::from(maths.soft(logit)) - exact).abs() < 1.01, "{logit}");
        assert_eq!(maths.soft(logit) - maths.soft(-logit), logit);
    }
}
