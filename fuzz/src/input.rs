//! Choices taken from a fuzzer's bytes.

/// Takes choices off the front of the bytes; behind their end every choice is 0.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// A number below `n`, which is at least 1 and at most 2^16.
    pub fn below(&mut self, n: usize) -> usize {
        let number = if n <= 256 { usize::from(self.byte()) } else { usize::from(self.u16()) };
        number % n
    }

    /// Once in `n` times; never behind the end.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1 && n > 1
    }

    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    /// At most `max` bytes: a length, then that many of what is left.
    pub fn bytes(&mut self, max: usize) -> &'a [u8] {
        let len = self.below(max + 1).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        bytes
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

/// Deterministic bytes that do not compress.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| step()).collect()
}

/// Content of one of a few sorts: as given, repeated, text that the toy model predicts, noise.
pub fn content(input: &mut Input<'_>, max: usize) -> Vec<u8> {
    match input.below(4) {
        0 => input.bytes(max.min(255)).to_vec(),
        1 => {
            let pattern = input.bytes(16);
            let len = input.below(max + 1);
            pattern.iter().copied().cycle().take(len).collect()
        }
        2 => {
            let seed = u64::from(input.byte());
            lma::predict::toy::text(input.below(max.min(3000) + 1), seed)
        }
        _ => {
            let seed = u64::from(input.byte());
            noise(input.below(max + 1), seed)
        }
    }
}
