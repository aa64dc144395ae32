use std::collections::HashMap;

use super::super::kernel::Portable;
use super::*;
use proptest::prelude::*;

fn grow(matcher: &mut Matcher, raw: &[u8]) {
    let place = matcher.place(Portable, raw);
    matcher.grow(raw, place);
}

/// How many bytes before two positions are the same.
fn same(raw: &[u8], then: usize, here: usize) -> usize {
    (0..then).take_while(|n| raw[then - 1 - n] == raw[here - 1 - n]).count()
}

/// By the bytes themselves.
struct Naive {
    last: HashMap<Vec<u8>, usize>,
    minimum: usize,
    at: usize,
    length: usize,
}

impl Naive {
    fn grow(&mut self, raw: &[u8]) {
        if self.length > 0 {
            self.length = if raw[self.at] == raw[raw.len() - 1] { self.length + 1 } else { 0 };
            self.at += 1;
        }
        let Some(from) = raw.len().checked_sub(self.minimum) else { return };
        let found = self.last.insert(raw[from..].to_vec(), raw.len());
        if self.length == 0
            && let Some(then) = found
        {
            (self.at, self.length) = (then, same(raw, then, raw.len()).min(COMPARED));
        }
    }
}

fn phrases(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::new();
    let phrases = ["the same phrase once more, ", "another phrase of some length; ", "abcabcabc", "x"];
    while out.len() < 2500 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend(phrases[state as usize >> 28 & 3].bytes());
        out.push(b'a' + (state >> 24 & 1) as u8);
    }
    out
}

#[test]
fn follows_what_a_naive_search_does() {
    for (minimum, seed) in [(5, 1), (5, 2), (16, 3), (16, 4)] {
        let text = phrases(seed);
        let mut matcher = Matcher::new(18, minimum);
        let mut naive = Naive { last: HashMap::new(), minimum, at: 0, length: 0 };
        let mut followed = 0;
        for end in 1..=text.len() {
            grow(&mut matcher, &text[..end]);
            naive.grow(&text[..end]);
            assert_eq!(matcher.length as usize, naive.length, "minimum {minimum}, byte {end}");
            let expected = (naive.length > 0).then(|| text[naive.at]);
            assert_eq!(matcher.expected(&text[..end]), expected, "minimum {minimum}, byte {end}");
            followed += usize::from(expected.is_some());
        }
        assert!(followed > 1000, "minimum {minimum}: {followed}");
    }
}

#[test]
fn lengths_are_bounded() {
    let text = vec![b'a'; 70_000];
    let mut matcher = Matcher::new(10, 5);
    for end in 1..=text.len() {
        grow(&mut matcher, &text[..end]);
        assert_eq!(matcher.length > 0, end > 5);
    }
    assert_eq!((matcher.length, matcher.at), (LONGEST, text.len() - 1));
    let ended = [&text[..], b"b"].concat();
    grow(&mut matcher, &ended);
    assert_eq!((matcher.length, matcher.expected(&ended)), (0, None));
}

#[test]
fn too_few_bytes_match_nothing() {
    let mut matcher = Matcher::new(10, 16);
    for end in 1..=16 {
        grow(&mut matcher, &[7; 16][..end]);
        assert_eq!((matcher.length, matcher.place(Portable, &[7; 15])), (0, None));
    }
    grow(&mut matcher, &[7; 17]);
    assert_eq!(matcher.length, 16);
}

proptest! {
    /// Whatever collides in a small table, a match is one.
    #[test]
    fn matches_are_true(
        text in prop::collection::vec(prop::sample::select(b"aab".to_vec()), 0..400), minimum in 1..17usize,
    ) {
        let mut matcher = Matcher::new(6, minimum);
        for end in 1..=text.len() {
            grow(&mut matcher, &text[..end]);
            if matcher.length > 0 {
                prop_assert!(matcher.at < end);
                let truly = same(&text[..end], matcher.at, end);
                prop_assert!(matcher.length as usize <= truly);
                prop_assert!(matcher.length as usize >= minimum);
            }
        }
    }

    #[test]
    fn common_ends_are_counted(text in prop::collection::vec(0..2u8, 2..120), then in any::<prop::sample::Index>()) {
        let then = then.index(text.len() - 1);
        prop_assert_eq!(common(&text, then, text.len()), same(&text, then, text.len()).min(COMPARED));
    }
}
