//! What the contexts are made of: the bytes so far, words, lines and fields (spec/mix-codec.md §4).

/// A hash of two numbers; all 32 bits are mixed.
#[inline(always)]
pub(super) fn hash(a: u32, b: u32) -> u32 {
    let mut h = a.wrapping_mul(0x2f0b_4c47).wrapping_add(b.wrapping_mul(0x9e37_79b1)).wrapping_add(0x7f4a_7c15);
    h ^= h >> 15;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^ (h >> 13)
}

#[derive(Clone, Default)]
pub(super) struct History {
    pub(super) raw: Vec<u8>,
    /// The last four bytes, the newest lowest, and the four before.
    pub(super) last4: u32,
    pub(super) before4: u32,
    /// Hash of the word so far, 0 outside of words, and of the word before.
    pub(super) word: u32,
    pub(super) previous: u32,
    /// Hash of the kinds of the last bytes: runs of digits, of letters, and all else as it is.
    pub(super) shape: u32,
    kind: u8,
    /// Where this line and the one before begin.
    line: usize,
    above: usize,
    /// Separators since the line began.
    pub(super) field: u32,
}

impl History {
    #[inline(always)]
    pub(super) fn push(&mut self, byte: u8) {
        self.raw.push(byte);
        self.before4 = self.before4 << 8 | self.last4 >> 24;
        self.last4 = self.last4 << 8 | u32::from(byte);
        if byte.is_ascii_alphabetic() || byte >= 128 {
            self.word = hash(self.word, u32::from(byte | if byte < 128 { 32 } else { 0 }));
        } else if self.word != 0 {
            self.previous = self.word;
            self.word = 0;
        }
        let kind = match byte {
            b'0'..=b'9' => b'0',
            b'a'..=b'z' => b'a',
            b'A'..=b'Z' => b'A',
            128.. => 128,
            _ => byte,
        };
        if kind != self.kind || !kind.is_ascii_alphanumeric() {
            self.shape = hash(self.shape, u32::from(kind));
            self.kind = kind;
        }
        match byte {
            b'\n' => {
                self.above = self.line;
                self.line = self.raw.len();
                self.field = 0;
                self.shape = 0;
            }
            b',' | b'\t' | b';' | b'|' => self.field += 1,
            _ => {}
        }
    }

    /// The byte `distance` back from the one that comes next, 0 before the chunk.
    #[inline(always)]
    pub(super) fn back(&self, distance: usize) -> u32 {
        self.raw.len().checked_sub(distance).map_or(0, |at| u32::from(self.raw[at]))
    }

    /// The byte of the line above in the column of the byte that comes next; a line feed beyond its end,
    /// 0 in the first line.
    #[inline(always)]
    pub(super) fn above(&self) -> u32 {
        if self.line == 0 {
            return 0;
        }
        let at = self.above + (self.raw.len() - self.line);
        if at < self.line { u32::from(self.raw[at]) } else { 10 }
    }
}

#[cfg(test)]
mod tests;
