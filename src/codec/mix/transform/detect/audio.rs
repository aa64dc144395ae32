//! Linear audio: the size, order and phase of samples, and the number of channels.
//!
//! A sample is near to the one before it of its channel, or to what continues the line through the last two. How
//! many bits the difference takes is compared with that of two samples far apart. Only with the right layout is
//! there much of a difference: with any other, a byte of little weight stands where the heaviest is expected.

use super::{Kind, cost, smooth};

/// Bits by which neighbours are nearer to each other than any two, in each channel.
const GAIN: f32 = 0.6;
/// Bits of the difference of any two samples, below which it is silence or a table and no sound.
const LOUD: f32 = 3.0;
/// Bits by which the most likely layout must be beaten by another.
const LEAD: f32 = 0.1;
/// Of so many samples at most one may be equal to the last, and at least one each must be above and below it: a
/// table repeats or counts.
const EQUAL: u32 = 5;
/// Bits that a difference takes beside its own: to tell how many there are, and its sign.
const OVERHEAD: f32 = 1.5;
/// The greatest share of what the bytes would cost as such.
const WORTH: f32 = 0.93;
/// Distance in frames for any two samples.
const FAR: usize = 101;
/// Bytes whose cost is taken.
const PRICED: usize = 1 << 13;

/// The audio in `chunk`, which is neither text nor an image.
pub(super) fn detect(chunk: &[u8], profile: &smooth::Profile) -> Option<Kind> {
    if profile.near[0] < profile.near[1].min(profile.near[3]).min(0.8) {
        return eight_bits(chunk);
    }
    let mut best: Option<(f32, Kind)> = None;
    for bytes in [2, 3] {
        // The likeliest come first.
        for (big_endian, phase) in (0..bytes).flat_map(|phase| [(false, phase), (true, phase)]) {
            for channels in [1, 2] {
                let layout = Layout { channels, bytes, big_endian, phase };
                let Some(bits) = layout.bits(chunk) else { continue };
                let bits = bits / bytes as f32;
                if best.is_none_or(|(least, _)| bits + LEAD < least) {
                    best = Some((bits, Kind::Audio { channels, bytes, big_endian, phase }));
                }
            }
        }
    }
    let (bits, kind) = best?;
    let Kind::Audio { bytes, .. } = kind else { return None };
    let start = (chunk.len() - PRICED.min(chunk.len())) / 2;
    let sample = &chunk[start..chunk.len().min(start + PRICED)];
    let plain = cost::plain(sample, 3) as f32 / 16.0 / (sample.len() - 3) as f32;
    (bits + OVERHEAD / bytes as f32 <= WORTH * plain).then_some(kind)
}

struct Layout {
    channels: usize,
    bytes: usize,
    big_endian: bool,
    phase: usize,
}

impl Layout {
    /// Bits that the difference of neighbours takes, if they are near in every channel.
    fn bits(&self, chunk: &[u8]) -> Option<f32> {
        let mut sums = [Sums::default(); 2];
        let (mut windows, mut sounding) = (0, 0);
        for window in smooth::windows(chunk) {
            let samples: Vec<i32> =
                window[self.phase..].chunks_exact(self.bytes).map(|sample| self.value(sample)).collect();
            let mut here = [Sums::default(); 2];
            for (channel, (sums, here)) in sums.iter_mut().zip(&mut here).enumerate().take(self.channels) {
                here.add(&samples, channel, self.channels);
                sums.merge(here);
            }
            windows += 1;
            sounding += usize::from(here[..self.channels].iter().all(Sums::is_near));
        }
        let sums = &sums[..self.channels];
        // One window may be silence, or the end of something else.
        let is_sound = sounding + 1 >= windows && sums.iter().all(|sums| sums.is_near() && sums.varies());
        is_sound.then(|| sums.iter().map(Sums::near).sum::<f32>() / self.channels as f32)
    }

    /// A sample as a number, its bytes the highest of 32 bits but for one bit of room for second differences.
    fn value(&self, sample: &[u8]) -> i32 {
        let mut wide = [0; 4];
        wide[4 - self.bytes..].copy_from_slice(sample);
        if self.big_endian {
            wide[4 - self.bytes..].reverse();
        }
        i32::from_le_bytes(wide) >> (32 - 8 * self.bytes)
    }
}

/// Bits of differences in one channel, summed up.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: u32,
    first: u32,
    second: u32,
    /// Samples equal to the last, and those above it.
    same: u32,
    rising: u32,
    far: u32,
}

impl Sums {
    fn add(&mut self, samples: &[i32], channel: usize, channels: usize) {
        let bits = |difference: i32| i32::BITS - difference.unsigned_abs().leading_zeros();
        for at in (channel + FAR * channels..samples.len()).step_by(channels) {
            let [this, last, before, far] =
                [0, channels, 2 * channels, FAR * channels].map(|distance| samples[at - distance]);
            self.count += 1;
            self.first += bits(this - last);
            self.same += u32::from(this == last);
            self.rising += u32::from(this > last);
            self.second += bits(this - 2 * last + before);
            self.far += bits(this - far);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.first += other.first;
        self.second += other.second;
        self.far += other.far;
        self.same += other.same;
        self.rising += other.rising;
    }

    /// Whether neighbours are nearer than any two samples, which are not all alike.
    fn is_near(&self) -> bool {
        self.far() >= LOUD && self.far() - self.near() >= GAIN
    }

    /// Whether few samples equal the last, and both those above and below it are many.
    fn varies(&self) -> bool {
        let falling = self.count - self.same - self.rising;
        self.same * EQUAL < self.count && self.rising.min(falling) * EQUAL > self.count
    }

    fn far(&self) -> f32 {
        self.far as f32 / self.count.max(1) as f32
    }

    fn near(&self) -> f32 {
        self.first.min(self.second) as f32 / self.count.max(1) as f32
    }
}

/// Samples of one byte.
fn eight_bits(chunk: &[u8]) -> Option<Kind> {
    let start = (chunk.len() - PRICED.min(chunk.len())) / 2;
    let sample = &chunk[start..chunk.len().min(start + PRICED)];
    let line = |channels: usize| {
        let [first, second] = [false, true].map(|second| {
            cost::bits(sample, 4, |bytes, at| {
                let [last, before] = [1, 2].map(|n| bytes[at - n * channels]);
                (0, if second { last.wrapping_mul(2).wrapping_sub(before) } else { last })
            })
        });
        first.min(second)
    };
    let (bits, channels) = [1, 2].map(|channels| (line(channels), channels)).into_iter().min()?;
    (bits * 32 < cost::plain(sample, 4) * 31).then_some(Kind::Audio { channels, bytes: 1, big_endian: false, phase: 0 })
}
