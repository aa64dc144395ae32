//! Warnings, counted; and names made fit for a terminal.

use std::cell::Cell;
use std::path::PathBuf;

use crate::progress::Progress;

/// A progress that counts what it was warned of.
pub(super) struct Notes<'a> {
    pub(super) progress: &'a dyn Progress,
    warnings: Cell<u64>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, warnings: Cell::new(0) }
    }

    pub(super) fn warn(&self, message: &str) {
        self.warnings.set(self.warnings.get() + 1);
        self.progress.warn(message);
    }

    pub(super) fn warnings(&self) -> u64 {
        self.warnings.get()
    }
}

/// A path as it may be printed: what is no text and what would steer a terminal is escaped.
pub(super) fn show(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for piece in path.utf8_chunks() {
        for c in piece.valid().chars() {
            // Characters that turn the direction of writing hide what follows as well as control characters do.
            if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in piece.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// [`show`] as the path of an error.
pub(super) fn show_path(path: &[u8]) -> PathBuf {
    show(path).into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_reaches_the_terminal_unescaped() {
        assert_eq!(super::show("a\u{1b}[2J\n\u{202e}é".as_bytes()), "a\\u{1b}[2J\\n\\u{202e}é");
        assert_eq!(super::show(b"\xff.txt"), "\\xff.txt");
    }
}
