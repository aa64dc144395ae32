//! Contexts for sound: linear predictions of the sample (spec/mix-codec.md §4).

use super::contexts::Expected;
use super::history::{History, hash};
use super::kernel::{BOUND, CONTEXTS};
use super::lms::Lms;
use super::maths::Maths;
use super::squares::Squares;

/// Samples that the long and the short predictor see, of both channels.
const TAPS: usize = 32;
const FEW: usize = 16;
/// What these forget after a block, as powers of two: little by little, the short one less.
const FORGET: [u32; 2] = [4, 6];
/// How fast what they leave is learnt from, by stage.
const RATES: [u32; 3] = [27, 27, 28];
/// Predictions of a sample that are contexts.
const PREDICTIONS: usize = 5;
/// Distributions of a sample.
const OPINIONS: usize = 6;
/// How long their spreads remember, as powers of two: samples.
const MEMORY: [u32; OPINIONS] = [4, 4, 4, 7, 4, 3];

/// A logistic distribution of the sample.
#[derive(Clone, Copy, Default)]
struct Opinion {
    /// Its middle, in 16ths.
    middle: i32,
    /// 2^28 over its scale in 256ths.
    sharpness: i64,
}

impl Opinion {
    /// 16ths in 256ths of the scale.
    #[inline(always)]
    fn at(&self, x: i32) -> i32 {
        ((i64::from(x) * self.sharpness) >> 16).clamp(-1 << 24, 1 << 24) as i32
    }
}

/// Where a bit of a sample stands, for selectors.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// Which bit of the sample it is, up to 23.
    pub(super) number: usize,
    /// How wide its range is beside the distribution's scale, in octaves from 1 to 15; 0 if the
    /// distribution says nothing of it.
    pub(super) width: usize,
    /// Where in the distribution the border of its halves lies, in half nats; 16 is the middle, 31 the last.
    pub(super) place: usize,
}

/// What is learnt of a channel.
#[derive(Clone)]
struct Channel {
    long: Squares<TAPS>,
    short: Squares<FEW>,
    /// On top of the long one, each on what those before it leave.
    first: Lms<32>,
    second: Lms<16>,
    third: Lms<8>,
    /// Mean distances of samples from what the opinions are around, in 256ths.
    distances: [i32; OPINIONS],
}

#[derive(Clone)]
pub(super) struct Audio {
    bytes: usize,
    big_endian: bool,
    phase: usize,
    /// The last samples, the newest first, all channels interleaved.
    samples: [i32; TAPS],
    channels: Vec<Channel>,
    /// Whole samples, for contexts.
    predictions: [i32; PREDICTIONS],
    /// What the long predictor said of the sample that comes next, in 16ths.
    linear: i32,
    opinions: [Opinion; OPINIONS],
    /// The channel of the sample that comes next.
    channel: usize,
    /// Bits of the sample that are known, behind a 1.
    before: u32,
    maths: Maths,
    /// Bytes of the sample that are known.
    known: usize,
}

impl Audio {
    pub(super) fn new(channels: usize, bytes: usize, big_endian: bool, phase: usize) -> Self {
        let channels = channels.clamp(1, 8);
        let channel = Channel {
            long: Squares::new(FORGET[0], channels - 1),
            short: Squares::new(FORGET[1], channels - 1),
            first: Lms::new(RATES[0]),
            second: Lms::new(RATES[1]),
            third: Lms::new(RATES[2]),
            distances: [64 << 8; OPINIONS],
        };
        Self {
            bytes: bytes.clamp(1, 4),
            big_endian,
            phase,
            samples: [0; TAPS],
            channels: vec![channel; channels],
            predictions: [0; PREDICTIONS],
            linear: 0,
            opinions: [Opinion::default(); OPINIONS],
            channel: 0,
            before: 1,
            maths: Maths::get(),
            known: 0,
        }
    }

    pub(super) fn place(&self) -> usize {
        self.known
    }

    /// Takes in the sample that is complete, and predicts the next one.
    fn next_sample(&mut self, h: &History) {
        let n = h.raw.len();
        let sample = &h.raw[n - self.bytes..];
        let mut value = 0i32;
        for i in 0..self.bytes {
            let byte = if self.big_endian { sample[i] } else { sample[self.bytes - 1 - i] };
            value = value << 8 | i32::from(byte);
        }
        let unused = 32 - 8 * self.bytes as u32;
        // 8-bit samples are unsigned.
        let value = if self.bytes == 1 { value - 128 } else { value << unused >> unused };
        // To 16 bits, so that the predictor's arithmetic fits.
        let value = if self.bytes > 2 { value >> (8 * (self.bytes - 2)) } else { value };
        let channel = (n / self.bytes + self.channels.len() - 1) % self.channels.len();
        self.learn(channel, value);
        self.samples.copy_within(..TAPS - 1, 1);
        self.samples[0] = value;
        self.channel = (channel + 1) % self.channels.len();
        self.predict(self.channel);
    }

    /// Learns a sample of a channel, the one that was predicted.
    fn learn(&mut self, channel: usize, value: i32) {
        let c = &mut self.channels[channel];
        for k in 0..OPINIONS {
            let error = 16 * (16 * value - self.opinions[k].middle).abs();
            c.distances[k] += (error - c.distances[k]) >> MEMORY[k];
        }
        let rest = c.first.next(16 * value - self.linear);
        let rest = c.second.next(rest);
        c.third.next(rest);
        c.long.learn(&self.samples, value);
        c.short.learn(&self.samples, value);
    }

    /// Predicts the next sample, which is of this channel.
    fn predict(&mut self, channel: usize) {
        let s = &self.samples;
        let n = self.channels.len();
        let c = &self.channels[channel];
        let limit = if self.bytes == 1 { 128 } else { 32768 };
        let within = |x: i64| x.clamp(-16 * limit, 16 * limit - 1) as i32;
        let limit = limit as i32;
        let long = within(c.long.predict(s));
        let short = within(c.short.predict(s));
        self.linear = long;
        let one = within(i64::from(long) + i64::from(c.first.prediction));
        let two = within(i64::from(one) + i64::from(c.second.prediction));
        let all = within(i64::from(two) + i64::from(c.third.prediction));
        let middles = [all, long, short, all, one, all];
        for k in 0..OPINIONS {
            // A logistic distribution's scale is its mean distance over 2 ln 2.
            let scale = (c.distances[k] * 46 / 64).max(16);
            self.opinions[k] = Opinion { middle: middles[k], sharpness: (1 << 28) / i64::from(scale) };
        }
        let back = |k: usize| s[n * k - 1];
        let across = if n > 1 { s[0] - s[n] } else { 0 };
        let predictions = [
            (all + 8) >> 4,
            (long + 8) >> 4,
            (short + 8) >> 4,
            back(1),
            if n > 1 { back(1) + across } else { 2 * back(1) - back(2) },
        ];
        self.predictions = predictions.map(|p| p.clamp(-limit, limit - 1));
    }

    /// The range that the next bit halves: the border, and half of its width, in 16ths; nothing if the
    /// sample's bits that count are known. `path` is the bits of the byte behind a 1.
    fn range(&self, path: u32, bit: u32) -> Option<(i32, i32)> {
        let bits = if self.bytes == 1 { 8 } else { 16 };
        let place = 8 * self.known as u32 + bit;
        if place >= bits {
            return None;
        }
        // Samples of two bytes and more have a sign.
        let known = (self.before << bit | path & ((1 << bit) - 1)) & ((1 << place) - 1);
        let left = bits - place;
        let flipped = if bits == 16 && place > 0 { known ^ 1 << (place - 1) } else { known };
        let low = (flipped << left) as i32 - (1 << (bits - 1));
        let half = 1 << (left - 1);
        // A sample stands for what rounds to it.
        Some((16 * (low + half) - 8, 16 * half))
    }

    /// The logits of the next bit of the sample, by its distributions.
    ///
    /// The mass of a logistic distribution between `a` and `b` is `S(b) S(-a) (1 - e^(a-b))`, so that of two
    /// neighbouring ranges of the same width only the first two factors differ.
    pub(super) fn logits(&self, path: u32, bit: u32) -> [i16; OPINIONS] {
        let Some((border, half)) = self.range(path, bit) else { return [0; OPINIONS] };
        // The first bit of a signed sample is 1 for the lower half.
        let sign = if self.bytes > 1 && self.known == 0 && bit == 0 { -1 } else { 1 };
        self.opinions.map(|opinion| {
            let (border, half) = (opinion.at(border - opinion.middle), opinion.at(half));
            let logit = self.maths.soft(border - half) - self.maths.soft(-border - half) - border;
            (sign * logit.clamp(-BOUND, BOUND)) as i16
        })
    }

    /// Where the next bit stands in the first distribution.
    pub(super) fn standing(&self, path: u32, bit: u32) -> Standing {
        let number = 8 * self.known.min(2) + bit as usize;
        let Some((border, half)) = self.range(path, bit) else { return Standing { number, width: 0, place: 0 } };
        let opinion = &self.opinions[0];
        let width = opinion.at(half).max(1).ilog2().saturating_sub(2).clamp(1, 15) as usize;
        let place = ((opinion.at(border - opinion.middle) >> 7) + 16).clamp(0, 31) as usize;
        Standing { number, width, place }
    }

    pub(super) fn hashes(&mut self, h: &History, e: Expected) -> [u32; CONTEXTS] {
        let position = h.raw.len() + self.bytes - self.phase % self.bytes;
        self.known = position % self.bytes;
        if self.known == 0 && h.raw.len() >= self.bytes {
            self.next_sample(h);
        }
        self.before = if self.known == 0 { 1 } else { self.before << 8 | h.last4 & 0xff };
        // The bytes known of this sample, most significant first where the order allows.
        let mut out = [0; CONTEXTS];
        let c4 = h.last4;
        let known = self.known as u32;
        let bias = if self.bytes == 1 { 128 } else { 32768 };
        for k in 0..PREDICTIONS {
            let p = (self.predictions[k] + bias) as u32;
            let (coarse, fine) = if self.bytes == 1 {
                (p & 0xff, p & 0xff)
            } else if known == 0 {
                (p >> 8, p >> 5)
            } else if known == 1 && self.bytes == 2 {
                // How far the known high byte is from the predicted one.
                let actual = (c4 & 0xff) << 8;
                let distance = (actual ^ 0x8000).wrapping_sub(p).wrapping_add(1 << 15) & 0xffff;
                (distance >> 4, distance >> 1)
            } else {
                (c4 & 0xff, (c4 & 0xff) | 0x100)
            };
            out[2 * k] = hash(coarse, hash(known, 2 * k as u32 + 1));
            out[2 * k + 1] = hash(fine, hash(known, 2 * k as u32 + 2));
        }
        out[10] = hash(c4 & 0xff, hash(known, 21));
        out[11] = hash(c4 & 0xffff, hash(known, 22));
        out[12] = hash(hash(e.byte, e.length), hash(c4 & 0xff, 17));
        out
    }
}

#[cfg(test)]
mod tests;
