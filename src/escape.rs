//! Names and messages made safe for a terminal: a name in an archive may hold escape sequences,
//! line ends, and characters that reorder what is around them.

use std::fmt::Write;

/// A name on one line: control characters and bytes that are not UTF-8 become `\xNN` (`\n`, `\r` and
/// `\t` their usual form), invisible and reordering characters `\u{…}`, and a backslash two of them,
/// so that different names never look the same.
pub(crate) fn name(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            if c == '\\' { out.push_str("\\\\") } else { push(&mut out, c) }
        }
        for byte in part.invalid() {
            push_hex(&mut out, *byte);
        }
    }
    out
}

/// A message that may quote names: as [`name`], but backslashes stay as they are.
#[cfg(any(feature = "cli", test))]
pub(crate) fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut out, c));
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii_control() => push_hex(out, c as u8),
        c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

fn push_hex(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Characters that show as nothing or change the direction or the line of what follows.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_names_stay_as_they_are() {
        for text in ["a b/c.txt", "größe/数据/🙂", "it's \"quoted\""] {
            assert_eq!(name(text.as_bytes()), text);
            assert_eq!(message(text), text);
        }
    }

    #[test]
    fn harmful_bytes_are_spelled_out() {
        assert_eq!(name(b"\x1b[2J"), r"\x1b[2J");
        assert_eq!(name(b"a\nb\r\t\x00\x7f"), r"a\nb\r\t\x00\x7f");
        assert_eq!(name(b"\xff\xc3("), r"\xff\xc3(");
        assert_eq!(name("\u{9b}31m".as_bytes()), r"\u{9b}31m");
        assert_eq!(name("gpj.\u{202e}exe".as_bytes()), r"gpj.\u{202e}exe");
        assert_eq!(message("opening a\x1b]0;x\x07: no"), r"opening a\x1b]0;x\x07: no");
    }

    #[test]
    fn different_names_look_different() {
        assert_ne!(name(b"\\x1b"), name(b"\x1b"));
        assert_eq!(name(b"\\"), r"\\");
        assert_eq!(message(r"a\x1b"), r"a\x1b");
    }
}
