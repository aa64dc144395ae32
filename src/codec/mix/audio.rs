//! Contexts for sound: linear predictions of the sample (spec/mix-codec.md §4).

use super::contexts::Expected;
use super::history::{History, hash};
use super::kernel::CONTEXTS;
use super::maths::Maths;

/// Taps of the adaptive predictor, over both channels.
const TAPS: usize = 32;
/// Predictions of a sample.
const PREDICTIONS: usize = 5;

#[derive(Clone)]
pub(super) struct Audio {
    channels: usize,
    bytes: usize,
    big_endian: bool,
    phase: usize,
    /// The last samples, the newest first, all channels interleaved.
    samples: [i32; TAPS + 4],
    /// Weights of the adaptive predictor of each channel, 2^16 is 1.
    weights: Vec<[i32; TAPS]>,
    predictions: [i32; PREDICTIONS],
    /// The mean distance of each channel's samples from the adaptive prediction, in 16ths.
    distances: Vec<i32>,
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
        let mut first = [0; TAPS];
        first[channels - 1] = 1 << 16;
        Self {
            channels,
            bytes: bytes.clamp(1, 4),
            big_endian,
            phase,
            samples: [0; TAPS + 4],
            weights: vec![first; channels],
            predictions: [0; PREDICTIONS],
            distances: vec![16 * 64; channels],
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
        let channel = (n / self.bytes + self.channels - 1) % self.channels;
        self.learn(channel, value);
        self.samples.copy_within(0..TAPS + 3, 1);
        self.samples[0] = value;
        self.channel = (channel + 1) % self.channels;
        self.predict(self.channel);
    }

    /// Normalised least mean squares, in integers.
    fn learn(&mut self, channel: usize, value: i32) {
        let error = (value - self.predictions[0]).clamp(-32768, 32767);
        let distance = &mut self.distances[channel];
        *distance += error.abs() - *distance / 16;
        let energy: i64 = self.samples[..TAPS].iter().map(|&s| i64::from(s) * i64::from(s)).sum();
        let step = (i64::from(error) << 27) / (energy + 4096);
        for (weight, &sample) in self.weights[channel].iter_mut().zip(&self.samples) {
            *weight = (i64::from(*weight) + ((step * i64::from(sample)) >> 15)).clamp(-(1 << 20), 1 << 20) as i32;
        }
    }

    fn predict(&mut self, channel: usize) {
        let s = &self.samples;
        let c = self.channels;
        let limit = if self.bytes == 1 { 128 } else { 32768 };
        let sum: i64 = self.weights[channel].iter().zip(s).map(|(&w, &s)| i64::from(w) * i64::from(s)).sum();
        let back = |k: usize| s[c * k - 1];
        let across = if c > 1 { s[0] - s[c] } else { 0 };
        let predictions = [
            (sum >> 16) as i32,
            back(1),
            2 * back(1) - back(2),
            3 * back(1) - 3 * back(2) + back(3),
            if c > 1 { back(1) + across } else { (back(1) + back(2)) / 2 },
        ];
        self.predictions = predictions.map(|p| p.clamp(-limit, limit - 1));
    }

    /// The logit of the next bit of the sample, `path` being the bits of its byte behind a 1: samples
    /// are distributed logistically around the adaptive prediction, as widely as they were of late.
    pub(super) fn logit(&self, path: u32, bit: u32) -> i32 {
        let bits = if self.bytes == 1 { 8 } else { 16 };
        let place = 8 * self.known as u32 + bit;
        if place >= bits {
            return 0;
        }
        // The range that is left, in numbers that ascend with the sample: its middle and half of its
        // width. Samples of two bytes and more have a sign.
        let known = (self.before << bit | path & ((1 << bit) - 1)) & ((1 << place) - 1);
        let signed = bits == 16;
        let left = bits - place;
        let flipped = if signed && place > 0 { known ^ 1 << (place - 1) } else { known };
        let low = (flipped << left) as i32 - (1 << (bits - 1));
        let half = 1 << (left - 1);
        let middle = low + half - self.predictions[0];
        // The logistic distribution's scale is the mean distance over 2 ln 2.
        let scale = (self.distances[self.channel] * 46 / 64).max(8);
        let at = |x: i32| (i64::from(x) * 16 * 256 / i64::from(scale)).clamp(-2815, 2815) as i32;
        let logit = if i64::from(half) * 16 * 2 > i64::from(scale) {
            let [low, middle, high] = [middle - half, middle, middle + half].map(|x| self.maths.squash(at(x)));
            self.maths.log((high - middle).max(1) as u64) - self.maths.log((middle - low).max(1) as u64)
        } else {
            // Narrow ranges: by the slope of the logarithm of the density.
            let slope = 2 * self.maths.squash(at(middle)) - 65536;
            -((i64::from(slope) * i64::from(half) * 16 * 256 / i64::from(scale)) >> 16) as i32
        };
        // The first bit of a signed sample is 1 for the lower half.
        if signed && place == 0 { -logit } else { logit }
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
