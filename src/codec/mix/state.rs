//! Bit histories (spec/mix-codec.md §5): what a context has seen, in one byte.
//!
//! A state stands for (n0, n1, last): how many zeros and ones, both bounded, and the last bit while
//! they are few. State 0 has seen nothing. A bit that contradicts many earlier ones lowers their
//! count, so that histories follow what changes.

use std::sync::LazyLock;

/// `BOUND[min(n0, n1)]` is the most that the larger of the two may be.
const BOUND: [u8; 8] = [40, 40, 24, 16, 12, 10, 8, 8];

/// What is left of a count when the other bit comes.
const KEPT: [u8; 16] = [0, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7];

/// Histories of more bits than this do not remember the last.
const LAST_UP_TO: u8 = 14;

/// By the bits seen, up to 8: how far the fast probability moves to the next, of 2^15.
pub(super) const RATES: [u16; 16] = {
    let mut rates = [0; 16];
    let mut n = 0;
    while n < 16 {
        let seen = if n < 5 { n } else { 5 };
        rates[n] = 65536 / (2 * seen as u32 + 3);
        n += 1;
    }
    let mut narrow = [0; 16];
    let mut n = 0;
    while n < 16 {
        narrow[n] = rates[n] as u16;
        n += 1;
    }
    narrow
};

/// Number of states; a byte holds them.
pub(super) const STATES: usize = 251;

/// A history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    pub(super) zeros: u8,
    pub(super) ones: u8,
    /// 0: not remembered; 1: a zero; 2: a one.
    pub(super) last: u8,
}

impl History {
    fn fits(zeros: u8, ones: u8) -> bool {
        let (less, more) = (zeros.min(ones), zeros.max(ones));
        BOUND.get(usize::from(less)).is_some_and(|&bound| more <= bound)
    }

    /// The history after one more bit.
    fn then(self, bit: bool) -> Self {
        let (same, other) = if bit { (self.ones, self.zeros) } else { (self.zeros, self.ones) };
        let (mut same, mut other) = (same + 1, KEPT.get(usize::from(other)).copied().unwrap_or(7));
        while !Self::fits(same, other) {
            if same <= other {
                other -= 1;
                continue;
            }
            if same > 1 {
                same -= 1;
            } else {
                other -= 1;
            }
            if other > 3 && !Self::fits(same, other) {
                other -= 1;
            }
        }
        let last = if same + other > LAST_UP_TO { 0 } else { 1 + u8::from(bit) };
        let (zeros, ones) = if bit { (other, same) } else { (same, other) };
        Self { zeros, ones, last }
    }
}

/// What the codec looks up by state; state 0 gives zeros, so that no step asks whether it is 0.
pub(super) struct States {
    pub(super) history: [History; 256],
    /// How to read a state: in the lower half its confidence, how much of the fast probability
    /// counts, of 2^13 (it grows with the bits seen, up to 8); in the upper half all ones if all
    /// bits seen were the same, else zeros.
    pub(super) look: [u32; 256],
    /// `after[bit][state]`: in the lower half the next state, in the upper how far the fast
    /// probability moves to the bit, of 2^15: 1 / (n + 1.5), n up to 5.
    pub(super) after: [[u32; 256]; 2],
    /// The same in bytes: `next[bit][state]`, and in `class` how many bits were seen, up to 8, and 128
    /// if all were the same.
    pub(super) next: [[u8; 256]; 2],
    pub(super) class: [u8; 256],
}

pub(super) static ALL: LazyLock<Box<States>> = LazyLock::new(|| Box::new(States::new()));

impl States {
    fn new() -> Self {
        let mut seen = vec![History::default()];
        let mut next = [[0u32; 256]; 2];
        let mut state = 0;
        // States are numbered in the order in which they are reached.
        while state < seen.len() {
            for bit in [false, true] {
                let then = seen[state].then(bit);
                let number = seen.iter().position(|&history| history == then).unwrap_or_else(|| {
                    seen.push(then);
                    seen.len() - 1
                });
                next[usize::from(bit)][state] = number as u32;
            }
            state += 1;
        }
        debug_assert_eq!(seen.len(), STATES);
        let history: [History; 256] = std::array::from_fn(|i| seen.get(i).copied().unwrap_or_default());
        let total = |i: usize| u32::from(history[i].zeros) + u32::from(history[i].ones);
        let look = |i: usize| {
            let certain = total(i) > 0 && (history[i].zeros == 0 || history[i].ones == 0);
            (u32::from(certain) * 0xffff_0000) | (total(i) * 1024).min(8192)
        };
        let class = |i: usize| (look(i) >> 16 & 128 | total(i).min(8)) as u8;
        Self {
            history,
            look: std::array::from_fn(look),
            after: next.map(|next| std::array::from_fn(|i| u32::from(RATES[total(i).min(8) as usize]) << 16 | next[i])),
            next: next.map(|next| next.map(|state| state as u8)),
            class: std::array::from_fn(class),
        }
    }
}

#[cfg(test)]
mod tests;
