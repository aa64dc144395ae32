use super::*;
use proptest::prelude::*;

fn of(text: &[u8]) -> History {
    let mut history = History::default();
    text.iter().for_each(|&byte| history.push(byte));
    history
}

#[test]
fn the_last_bytes_are_at_hand() {
    let history = of(b"abcdefghi");
    assert_eq!((history.last4, history.before4), (u32::from_be_bytes(*b"fghi"), u32::from_be_bytes(*b"bcde")));
    assert_eq!([1, 2, 9, 10, 1000].map(|n| history.back(n)), [b'i'.into(), b'h'.into(), b'a'.into(), 0, 0]);
    assert_eq!((of(b"x").last4, of(b"").back(1)), (b'x'.into(), 0));
}

#[test]
fn words_are_letters_of_either_case() {
    let word = |text: &[u8]| of(text).word;
    assert_eq!(word(b"some Words"), word(b"wORDS"));
    assert_ne!(word(b"words"), word(b"word"));
    assert_eq!(word(b"words "), 0);
    assert_eq!(word(b"words 12"), 0);
    assert_ne!(word("\u{e9}".as_bytes()), 0);
    assert_eq!(of(b"one two ").previous, of(b"two").word);
    assert_eq!(of(b"one two  .,").previous, of(b"two").word);
    assert_eq!(of(b"one two").previous, of(b"one").word);
}

#[test]
fn fields_are_counted_in_lines() {
    let field = |text: &[u8]| of(text).field;
    assert_eq!(field(b"a,b;c|d\te"), 4);
    assert_eq!(field(b"a,b\nc,"), 1);
    assert_eq!(field(b"a,b\n"), 0);
    assert_eq!(field(b"a b.c:d"), 0);
}

#[test]
fn shapes_forget_lengths_of_runs() {
    let shape = |text: &[u8]| of(text).shape;
    assert_eq!(shape(b"abc 12,X"), shape(b"z 7,QQQ"));
    assert_ne!(shape(b"abc 12"), shape(b"ABC 12"));
    assert_ne!(shape(b"a  b"), shape(b"a b"));
    assert_eq!(shape(b"anything 1\n"), 0);
    assert_eq!(shape(b"1\nab,"), shape(b"xy,"));
}

/// The byte above, by the lines of the text.
fn above(text: &[u8]) -> u32 {
    let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let [.., above, this] = lines[..] else { return 0 };
    above.get(this.len()).map_or(10, |&byte| byte.into())
}

#[test]
fn what_is_above_is_in_the_same_column() {
    assert_eq!(of(b"abc").above(), 0);
    assert_eq!(of(b"abc\n").above(), u32::from(b'a'));
    assert_eq!(of(b"abc\nxy").above(), u32::from(b'c'));
    assert_eq!(of(b"abc\nxyz").above(), 10);
    assert_eq!(of(b"abc\nwxyz").above(), 10);
    assert_eq!(of(b"\n\n").above(), 10);
}

#[test]
fn hashes_depend_on_all_bits_of_both() {
    for bit in 0..32 {
        assert_ne!(hash(1 << bit, 7), hash(0, 7));
        assert_ne!(hash(7, 1 << bit), hash(7, 0));
    }
    assert_ne!(hash(1, 2), hash(2, 1));
}

proptest! {
    #[test]
    fn above_is_what_the_lines_say(text in prop::collection::vec(prop::sample::select(b"ab,\n\n".to_vec()), 0..60)) {
        let mut history = History::default();
        for end in 0..text.len() {
            prop_assert_eq!(history.above(), above(&text[..end]));
            history.push(text[end]);
        }
        prop_assert_eq!(history.raw, text);
    }
}
