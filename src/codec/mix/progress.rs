//! How far an encoder has come, for another one to be measured by.

/// Raw bytes at which sizes are compared, and what is allowed there beyond the bound, in shares of it:
/// less and less, as what is left could still make up for less.
const MARKS: [(usize, usize); 4] = [(6 << 10, 6), (12 << 10, 12), (24 << 10, 24), (48 << 10, 48)];

/// A token may pass a mark by this many bytes.
const PASSED: usize = 64;

/// Stored bytes at some points of a chunk, and at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    marks: [usize; MARKS.len()],
    end: usize,
}

impl Progress {
    /// No bounds but one on the whole.
    pub(crate) fn at_most(end: usize) -> Self {
        Self { marks: [usize::MAX; MARKS.len()], end }
    }

    /// The same, and `end` at most as the bound on the whole.
    pub(crate) fn and_at_most(self, end: usize) -> Self {
        Self { end: self.end.min(end), ..self }
    }

    /// Less `gain` thousandths of each.
    pub(crate) fn less(self, gain: usize) -> Self {
        let less = |size: usize| size - size / 1000 * gain - size % 1000 * gain / 1000;
        Self { marks: self.marks.map(less), end: less(self.end) }
    }

    /// Notes that `raw` bytes have become `stored`.
    pub(super) fn note(&mut self, raw: usize, stored: usize) {
        if let Some(mark) = MARKS.iter().position(|&(at, _)| at == raw) {
            self.marks[mark] = stored;
        }
    }

    /// Whether `stored` bytes for the first `raw` ones are too many: more than there may be in the
    /// end, or at a mark that was just passed.
    pub(super) fn exceeded(&self, raw: usize, stored: usize) -> bool {
        let passed = MARKS.iter().rposition(|&(at, _)| (at..at + PASSED).contains(&raw));
        stored >= self.end
            || passed.is_some_and(|mark| stored > self.marks[mark].saturating_add(self.marks[mark] / MARKS[mark].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_bound_what_has_just_passed_them() {
        let mut other = Progress::at_most(10_000);
        other.note(6 << 10, 1200);
        other.note(7 << 10, 1);
        let bounds = other.less(100).and_at_most(9500);
        assert_eq!(bounds.end, 9000);
        assert!(!bounds.exceeded((6 << 10) + 3, 1080 + 180));
        assert!(bounds.exceeded((6 << 10) + 3, 1080 + 181));
        assert!(!bounds.exceeded((6 << 10) + PASSED, 5000));
        assert!(!bounds.exceeded(12 << 10, 8999));
        assert!(bounds.exceeded(1, 9000));
        assert_eq!(Progress::at_most(usize::MAX).less(0), Progress::at_most(usize::MAX));
    }
}
