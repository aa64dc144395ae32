//! How much nearer to each other the bytes at a given distance are than any two.

/// Windows that are looked at, and the bytes of each.
const WINDOWS: usize = 4;
const WINDOW: usize = 2048;
/// Distances that no structure prefers: the mean over them stands for two bytes taken at random.
const FAR: [usize; 2] = [577, 1021];
/// The greatest share of the difference of any two bytes which those a pixel apart may have.
const SMOOTH: f32 = 0.8;

/// Up to [`WINDOWS`] stretches of `chunk`, evenly spread, each of at most [`WINDOW`] bytes.
pub(super) fn windows(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    let len = WINDOW.min(chunk.len());
    let room = chunk.len() - len;
    let count = WINDOWS.min(chunk.len().div_ceil(WINDOW)).max(1);
    (0..count).map(move |n| {
        let at = if count == 1 { 0 } else { room * n / (count - 1) };
        // Multiples of 12 keep the phase of pixels and samples of 1 to 4 bytes equal in all windows.
        let at = at / 12 * 12;
        &chunk[at..at + len]
    })
}

/// How near bytes are to each other at the distances 1 to 4, as shares of the difference of any two.
pub(super) struct Profile {
    /// By the distance less 1.
    pub near: [f32; 4],
    /// By distance, whether it holds for each byte of a unit of that size, or that byte is constant.
    even: [bool; 4],
}

impl Profile {
    pub(super) fn new(chunk: &[u8]) -> Self {
        let planes = [planes::<1>(chunk), planes::<2>(chunk), planes::<3>(chunk), planes::<4>(chunk)];
        Self { near: planes.map(|(near, _)| near), even: planes.map(|(_, even)| even) }
    }

    /// The size of a pixel, if the chunk may be an image.
    ///
    /// With pixels of one byte, nearness falls with distance. With others it rises again at their size. Where red,
    /// green and blue are nearly equal, as in a grey photograph, distance 1 can still be the nearest.
    pub(super) fn pixel(&self) -> Option<usize> {
        let [one, two, three, four] = self.near;
        let pixel = if four < three {
            4
        } else if three < two * 1.06 {
            3
        } else {
            1
        };
        (self.near[pixel - 1].min(one) < SMOOTH && self.even[pixel - 1]).then_some(pixel)
    }
}

/// Nearness at distance `P`, and whether it holds for each byte of a unit of that size.
fn planes<const P: usize>(chunk: &[u8]) -> (f32, bool) {
    let (near, far) = (near::<P>(chunk, P), far::<P>(chunk));
    let share = near.iter().sum::<f32>() / far.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    (share, near.iter().zip(far).all(|(near, far)| *near <= 0.5 || *near < SMOOTH * far))
}

/// Mean difference between bytes `distance` apart, modulo 256 and without sign, by offset modulo `P`.
fn near<const P: usize>(chunk: &[u8], distance: usize) -> [f32; P] {
    let mut sums = [0u32; P];
    let mut count = 0u32;
    let start = distance.next_multiple_of(P);
    for window in windows(chunk).filter(|window| window.len() > start) {
        let later = window[start..].as_chunks::<P>().0;
        let earlier = window[start - distance..].as_chunks::<P>().0;
        for (later, earlier) in later.iter().zip(earlier) {
            for ((sum, later), earlier) in sums.iter_mut().zip(later).zip(earlier) {
                *sum += u32::from(difference(*later, *earlier));
            }
        }
        count += later.len() as u32;
    }
    sums.map(|sum| sum as f32 / count.max(1) as f32)
}

/// As [`near`], over distances beyond all structure.
fn far<const P: usize>(chunk: &[u8]) -> [f32; P] {
    let mut mean = [0f32; P];
    for distance in FAR {
        for (mean, near) in mean.iter_mut().zip(near::<P>(chunk, distance / P * P)) {
            *mean += near / FAR.len() as f32;
        }
    }
    mean
}

/// The way around from one byte to another, modulo 256: 0 to 128.
fn difference(a: u8, b: u8) -> u8 {
    a.wrapping_sub(b).cast_signed().unsigned_abs()
}
