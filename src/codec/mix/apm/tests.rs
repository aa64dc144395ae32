use super::super::adaptive::RECIPROCALS;
use super::super::kernel::Portable;
use super::super::maths::LIMIT;
use super::*;

/// What the refinement of a logit in a context is, if a bit is learnt of it or not.
fn refine(apm: &mut Apm, context: usize, logit: i32, bit: Option<bool>) -> i32 {
    apm.enter(Portable, context);
    let p = apm.refine(logit);
    if let Some(bit) = bit {
        let (pair, shares) = apm.pair();
        let mut pair = pair.map(Adaptive);
        for (point, share) in pair.iter_mut().zip(shares) {
            point.learn_share(bit, share, apm.limit, &RECIPROCALS);
        }
        apm.put(pair[0].0, pair[1].0);
    }
    p
}

#[test]
fn is_the_identity_at_first() {
    let mut apm = Apm::new(3, 255);
    let mut before = 0;
    for logit in -LIMIT..LIMIT {
        let (p, exact) = (refine(&mut apm, 1, logit, None), Maths::get().squash(logit));
        // Straight lines between points a nat apart: an eighth of the greatest curvature.
        assert!((p - exact).abs() < 800, "{logit}: {p}, not {exact}");
        assert!(p >= before && (1..=65535).contains(&p), "{logit}");
        before = p;
    }
    // At the points themselves, but for the last, which is just not reached.
    for nat in -8..=6 {
        let logit = nat * NAT + NAT / 2;
        assert_eq!(refine(&mut apm, 0, logit, None), Maths::get().squash(logit), "{logit}");
    }
}

#[test]
fn shares_say_how_near_a_point_is() {
    let mut apm = Apm::new(1, 255);
    for logit in [-LIMIT, -1921, -1920, -1919, -1, 0, 1, 127, 128, 129, 1918, 1919, 1920, LIMIT - 1] {
        refine(&mut apm, 0, logit, None);
        let (pair, [low, high]) = apm.pair();
        assert!(pair[0] < pair[1]);
        assert!(low > 0 && high >= 0 && low + high == NAT, "{logit}: {low} and {high}");
    }
}

#[test]
fn learns_what_was_true_of_a_logit() {
    let mut apm = Apm::new(2, 127);
    // Where an even chance was promised, ones came three times out of four.
    for n in 0..4000 {
        refine(&mut apm, 1, n % 3 - 1, Some(n % 4 != 0));
    }
    let learnt = refine(&mut apm, 1, 0, None);
    assert!((learnt - 49152).abs() < 1500, "{learnt}");
    // Far logits and other contexts are untouched.
    let new = &mut Apm::new(2, 127);
    for (context, logit) in [(0, 0), (1, -1000), (1, 1000)] {
        assert_eq!(refine(&mut apm, context, logit, None), refine(new, context, logit, None));
    }
}

#[test]
fn stays_a_probability_when_all_bits_are_the_same() {
    for bit in [false, true] {
        let mut apm = Apm::new(1, 255);
        for n in 0..30_000 {
            let p = refine(&mut apm, 0, n * 37 % (2 * LIMIT) - LIMIT, Some(bit));
            assert!((1..=65535).contains(&p));
        }
        let p = refine(&mut apm, 0, 0, None);
        assert!(if bit { p > 65000 } else { p < 500 }, "{p}");
    }
}
