use super::*;

fn after(state: u8, bit: bool) -> u8 {
    ALL.next[usize::from(bit)][usize::from(state)]
}

/// The state after a run.
fn run(bit: bool, length: usize) -> u8 {
    (0..length).fold(0, |state, _| after(state, bit))
}

#[test]
fn there_are_251_and_all_lead_to_others_of_them() {
    let mut reached = vec![false; STATES];
    reached[0] = true;
    for state in 0..STATES as u8 {
        assert!(reached[usize::from(state)], "{state} is reached from an earlier one");
        for bit in [false, true] {
            let next = usize::from(after(state, bit));
            assert!((1..STATES).contains(&next), "{state} leads to {next}");
            reached[next] = true;
        }
    }
    let distinct: std::collections::HashSet<_> =
        ALL.history[..STATES].iter().map(|h| (h.zeros, h.ones, h.last)).collect();
    assert_eq!(distinct.len(), STATES);
    // No byte leads outside of the tables, even one that is no state.
    for state in STATES..256 {
        assert_eq!((ALL.next[0][state], ALL.next[1][state], ALL.history[state]), (0, 0, History::default()));
    }
}

#[test]
fn counts_are_bounded_and_the_last_bit_counts() {
    for state in 0..STATES as u8 {
        let h = ALL.history[usize::from(state)];
        let (less, more) = (h.zeros.min(h.ones), h.zeros.max(h.ones));
        assert!(more <= BOUND[usize::from(less)], "{h:?}");
        assert_eq!(h.last == 0, state == 0 || h.zeros + h.ones > LAST_UP_TO, "{h:?}");
        for bit in [false, true] {
            let then = ALL.history[usize::from(after(state, bit))];
            assert_eq!(then, h.then(bit));
            let (same, other) = if bit { (then.ones, then.zeros) } else { (then.zeros, then.ones) };
            let (had, had_other) = if bit { (h.ones, h.zeros) } else { (h.zeros, h.ones) };
            assert!(same >= 1 && same <= had + 1 && other <= had_other, "{h:?} {bit} {then:?}");
            assert!(then.last == 0 || then.last == 1 + u8::from(bit));
        }
    }
}

#[test]
fn zeros_and_ones_are_treated_alike() {
    let mirror = |h: History| History { zeros: h.ones, ones: h.zeros, last: [0, 2, 1][usize::from(h.last)] };
    for h in &ALL.history[..STATES] {
        assert!(ALL.history[..STATES].contains(&mirror(*h)), "{h:?}");
        assert_eq!(mirror(*h).then(true), mirror(h.then(false)), "{h:?}");
    }
}

#[test]
fn runs_count_up_and_stay() {
    for bit in [false, true] {
        for length in 0..60 {
            let h = ALL.history[usize::from(run(bit, length))];
            let count = length.min(40) as u8;
            assert_eq!((h.zeros, h.ones), if bit { (0, count) } else { (count, 0) });
        }
        assert_eq!(run(bit, 40), run(bit, 41), "a run of 40 stays where it is");
    }
}

#[test]
fn a_contradiction_lowers_what_was_many() {
    for length in 1..=40 {
        let h = ALL.history[usize::from(after(run(false, length), true))];
        assert_eq!((h.ones, h.last), (1, if h.zeros + 1 > LAST_UP_TO { 0 } else { 2 }));
        let kept = if length < 16 { KEPT[length] } else { 7 };
        assert_eq!(h.zeros, kept, "{length} zeros, then a one");
    }
}

#[test]
fn looks_say_what_the_histories_do() {
    for state in 0..256 {
        let h = ALL.history[state];
        let total = u32::from(h.zeros) + u32::from(h.ones);
        let certain = total > 0 && (h.zeros == 0 || h.ones == 0);
        assert_eq!(ALL.look[state] & 0xffff, total.min(8) * 1024);
        assert_eq!(ALL.look[state] >> 16, if certain { 0xffff } else { 0 });
        assert_eq!(u32::from(ALL.class[state]), total.min(8) | if certain { 128 } else { 0 });
        for bit in [0, 1] {
            assert_eq!(ALL.after[bit][state] & 0xffff, u32::from(ALL.next[bit][state]));
            let rate = ALL.after[bit][state] >> 16;
            assert_eq!(rate, u32::from(RATES[total.min(8) as usize]));
            let exact = 32768.0 / (f64::from(total.min(5)) + 1.5);
            assert!((0.0..1.0).contains(&(exact - f64::from(rate))), "{total} bits: {rate}, not {exact}");
        }
    }
    assert_eq!((ALL.look[0], ALL.class[0]), (0, 0));
}
