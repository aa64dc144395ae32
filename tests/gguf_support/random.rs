//! Pseudo-random numbers that are the same on every machine.

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    /// A stream of its own for every seed and name.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mut random = Self(seed);
        for byte in name.bytes() {
            random.0 = random.next() ^ u64::from(byte);
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Nearly normal, mean 0, standard deviation 1, within 3.5: the sum of four uniform numbers of 16
    /// bits, which needs no logarithm (the C library's differ).
    pub(super) fn normal(&mut self) -> f32 {
        const DEVIATION: f32 = 37_837.0; // 65536 / sqrt(3)
        let bits = self.next();
        let sum: u32 = (0..4).map(|i| (bits >> (16 * i)) as u32 & 0xffff).sum();
        (sum as f32 - 2.0 * 65_535.0) / DEVIATION
    }

    /// 1 or -1.
    pub(super) fn sign(&mut self) -> f32 {
        if self.next() >> 63 == 0 { 1.0 } else { -1.0 }
    }
}
