//! The logistic domain in integers (spec/mix-codec.md §3): stretch, squash and logarithms.
//!
//! Probabilities are of a 1 and have 16 bits, 1 to 65535 of 65536; their logits are in 256ths of a
//! nat. The tables come from three constants by integer steps, so that every machine has the same.

use std::sync::LazyLock;

/// Logits per nat.
pub(super) const NAT: i32 = 256;

/// The largest logit is `LIMIT - 1`, the smallest `-LIMIT`: 11 nats, 1.7e-5 from certainty.
pub(super) const LIMIT: i32 = 11 * NAT;

/// Two logits share an entry of [`squash`]'s table.
const SQUASHED: usize = LIMIT as usize;

/// A probability's bits that [`stretch`] looks at.
pub(super) const STRETCH_BITS: u32 = 12;

/// Bits of a mass's mantissa that [`log`] looks at.
const LOG_BITS: u32 = 9;

/// `floor(2^62 * e^(-1/256))`.
const DECAY: u64 = 0x3fc0_1ff5_57ff_778e;

/// `round(2^16 * 256 * ln 2)`.
const LN2: u64 = 11_629_080;

pub(super) struct Tables {
    squash: [u16; SQUASHED],
    /// By the upper bits of a probability.
    pub(super) stretch: [i16; 1 << STRETCH_BITS],
    /// By a slot's upper byte: the logit of its fast probability, times 8.
    pub(super) fast: [i16; 256],
    /// The lower bytes of these, and the upper.
    pub(super) fast_bytes: [[u8; 256]; 2],
    log: [u16; 1 << LOG_BITS],
    /// `256 ln(1 + e^(-i/256))`.
    soft: [u8; SQUASHED],
}

static TABLES: LazyLock<Box<Tables>> = LazyLock::new(|| Box::new(Tables::new()));

impl Tables {
    fn new() -> Self {
        // powers[k] = 2^62 * e^(-k/256), each rounded down from the one before.
        let mut powers = vec![1u64 << 62];
        for k in 0..=LIMIT as usize {
            powers.push(((u128::from(powers[k]) * u128::from(DECAY)) >> 62) as u64);
        }
        // The middle of the two logits of an entry is odd: -LIMIT + 2 i + 1.
        let squash = std::array::from_fn(|i| {
            let logit = 2 * i as i32 + 1 - LIMIT;
            let one = u128::from(1u64 << 62);
            let power = u128::from(powers[logit.unsigned_abs() as usize]);
            let numerator = if logit < 0 { power } else { one };
            let p = ((numerator << 17) / (one + power)).div_ceil(2);
            p.clamp(1, 65535) as u16
        });
        // The first logit whose squashed value reaches the middle of the entry.
        let mut at = 0;
        let stretch: [i16; 1 << STRETCH_BITS] = std::array::from_fn(|i| {
            let middle = (i << (16 - STRETCH_BITS)) + (1 << (15 - STRETCH_BITS));
            while at + 1 < SQUASHED && usize::from(squash[at]) < middle {
                at += 1;
            }
            (2 * at as i32 + 1 - LIMIT) as i16
        });
        // The number of powers that are above 2^62 / (1 + i / 512): 256 ln(1 + i / 512), rounded up.
        let mut steps = 0;
        let log: [u16; 1 << LOG_BITS] = std::array::from_fn(|i| {
            let below = (1u128 << 62 << LOG_BITS) / ((1u128 << LOG_BITS) + i as u128);
            while u128::from(powers[steps]) > below {
                steps += 1;
            }
            steps as u16
        });
        // 1 + e^-x is the mantissa e^-x behind a 1, but for x = 0.
        let soft = std::array::from_fn(|i| match i {
            0 => LN2 >> 16,
            _ => u64::from(log[(powers[i] >> (62 - LOG_BITS)) as usize]),
        } as u8);
        let fast: [i16; 256] = std::array::from_fn(|i| stretch[((i ^ 0x80) << 4) + 8] * 8);
        let fast_bytes = [0, 1].map(|half| fast.map(|logit| logit.to_le_bytes()[half]));
        Self { squash, stretch, fast, fast_bytes, log, soft }
    }
}

/// The tables, borrowed once so that no look-up asks whether they exist.
#[derive(Clone, Copy)]
pub(super) struct Maths {
    pub(super) tables: &'static Tables,
}

impl Maths {
    pub(super) fn get() -> Self {
        Self { tables: &TABLES }
    }

    /// The probability of a logit, which is clamped first.
    #[inline(always)]
    pub(super) fn squash(self, logit: i32) -> i32 {
        let logit = logit.clamp(-LIMIT, LIMIT - 1);
        i32::from(self.tables.squash[((logit + LIMIT) >> 1) as usize])
    }

    /// The probability of a logit within the limits.
    #[inline(always)]
    pub(super) fn squash_near(self, logit: i16) -> i32 {
        let at = (i32::from(logit) + LIMIT) as usize >> 1;
        i32::from(self.tables.squash[at.min(SQUASHED - 1)])
    }

    /// The logit of a probability, `0..65536`.
    #[inline(always)]
    pub(super) fn stretch(self, p: i32) -> i32 {
        i32::from(self.tables.stretch[(p as usize >> (16 - STRETCH_BITS)) & ((1 << STRETCH_BITS) - 1)])
    }

    /// `256 ln mass` of a mass of at least 1.
    #[inline(always)]
    pub(super) fn log(self, mass: u64) -> i32 {
        let exponent = mass.max(1).ilog2();
        let mantissa = if exponent >= LOG_BITS { mass >> (exponent - LOG_BITS) } else { mass << (LOG_BITS - exponent) };
        let whole = ((u64::from(exponent) * LN2) >> 16) as i32;
        whole + i32::from(self.tables.log[mantissa as usize & ((1 << LOG_BITS) - 1)])
    }

    /// `256 ln(1 + e^(logit/256))`.
    #[inline(always)]
    pub(super) fn soft(self, logit: i32) -> i32 {
        logit.max(0) + i32::from(self.tables.soft[logit.unsigned_abs().min(LIMIT as u32 - 1) as usize])
    }
}

#[cfg(test)]
mod tests;
