//! Arrays of the tests' own, laid out in all the ways a view can be.

use super::bits;
use crate::exact::half::{f16_to_f32, f32_to_f16};
use crate::exact::view::{Element, View};

/// SplitMix64: the same numbers everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// One of some things.
    pub(super) fn of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    /// A multiple of 2^-23 from -1 to 1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// From -4 to 4.
    Plain,
    /// Subnormal, or nearly.
    Tiny,
    /// Everything, also what is no number.
    Wild,
}

impl Fill {
    pub(super) fn value(self, random: &mut Random) -> f32 {
        match self {
            Self::Plain => random.unit() * 4.0,
            Self::Tiny => random.unit() * random.of(&[1e-37, 1e-39, 1e-44]),
            Self::Wild => match random.below(8) {
                0 => random.of(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN]),
                1 => random.of(&[0.0, -0.0, f32::MAX, f32::from_bits(1), 65504.0, -87.0]),
                2..4 => f32::from_bits(random.next() as u32),
                _ => random.unit() * 100.0,
            },
        }
    }
}

/// An array and its memory.
#[derive(Clone)]
pub(super) struct Array {
    memory: Vec<u64>,
    element: Element,
    extents: [usize; 4],
    strides: [usize; 4],
    first: usize,
}

impl Array {
    /// Zeros, without gaps, dimension after dimension.
    pub(super) fn dense(element: Element, extents: [usize; 4]) -> Self {
        Self::laid_out(element, extents, [0, 1, 2, 3], [0; 4], 0)
    }

    /// Zeros with plain rows; the other dimensions in any order, with gaps.
    pub(super) fn rows(element: Element, extents: [usize; 4], random: &mut Random) -> Self {
        let order = random.of(&[[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 2, 1], [0, 2, 3, 1]]);
        let gaps = [0, random.below(4), random.below(3), random.below(2)];
        Self::laid_out(element, extents, order, gaps, random.below(5))
    }

    /// Zeros in any order of the dimensions, with gaps.
    pub(super) fn scattered(element: Element, extents: [usize; 4], random: &mut Random) -> Self {
        let order = random.of(&[[0, 1, 2, 3], [1, 0, 2, 3], [2, 1, 0, 3], [3, 1, 2, 0]]);
        let gaps = [random.below(2), random.below(3), random.below(2), random.below(2)];
        Self::laid_out(element, extents, order, gaps, random.below(5))
    }

    /// Dimensions in `order`, the first the fastest, with `gaps` elements beyond each one's extent.
    fn laid_out(element: Element, extents: [usize; 4], order: [usize; 4], gaps: [usize; 4], first: usize) -> Self {
        let mut strides = [0; 4];
        let mut stride = element.size();
        for (dimension, gap) in order.into_iter().zip(gaps) {
            stride += gap * element.size();
            strides[dimension] = stride;
            stride *= extents[dimension];
        }
        let first = first * element.size();
        let memory = vec![0; (first + stride).div_ceil(8) + 2];
        let mut array = Self { memory, element, extents, strides, first };
        array.bytes().fill(0x5a);
        for place in super::places(extents) {
            array.set(place, 0.0);
        }
        array
    }

    pub(super) fn filled(mut self, fill: Fill, random: &mut Random) -> Self {
        for place in super::places(self.extents) {
            self.set(place, fill.value(random));
        }
        self
    }

    pub(super) fn extents(&self) -> [usize; 4] {
        self.extents
    }

    /// The array as operators get it.
    pub(super) fn view(&mut self) -> View {
        let data = self.memory.as_mut_ptr().cast::<u8>().wrapping_add(self.first);
        View { data, element: self.element, extents: self.extents, strides: self.strides }
    }

    /// The same for an array that is only read.
    pub(super) fn shared(&self) -> View {
        let data = self.memory.as_ptr().cast::<u8>().wrapping_add(self.first).cast_mut();
        View { data, element: self.element, extents: self.extents, strides: self.strides }
    }

    fn bytes(&mut self) -> &mut [u8] {
        let len = self.memory.len() * 8;
        // SAFETY: bytes of initialised integers.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), len) }
    }

    fn offset(&self, place: [usize; 4]) -> usize {
        self.first + place.iter().zip(self.strides).map(|(at, stride)| at * stride).sum::<usize>()
    }

    fn put(&mut self, place: [usize; 4], value: &[u8]) {
        let at = self.offset(place);
        self.bytes()[at..at + value.len()].copy_from_slice(value);
    }

    pub(super) fn set(&mut self, place: [usize; 4], value: f32) {
        match self.element {
            Element::F16 => self.put(place, &f32_to_f16(value).to_ne_bytes()),
            Element::F32 => self.put(place, &value.to_ne_bytes()),
            Element::I32 | Element::I64 => self.set_index(place, value as i64),
        }
    }

    pub(super) fn set_index(&mut self, place: [usize; 4], value: i64) {
        match self.element {
            Element::I64 => self.put(place, &value.to_ne_bytes()),
            _ => self.put(place, &i32::try_from(value).unwrap().to_ne_bytes()),
        }
    }

    /// An element, of binary16 or binary32.
    pub(super) fn get(&self, place: [usize; 4]) -> f32 {
        let at = self.shared().data.wrapping_add(self.offset(place) - self.first);
        // SAFETY: an element.
        unsafe {
            match self.element {
                Element::F16 => f16_to_f32(at.cast::<u16>().read_unaligned()),
                _ => at.cast::<f32>().read_unaligned(),
            }
        }
    }

    /// The bits of all elements, as binary32, in order.
    pub(super) fn bits(&self) -> Vec<u32> {
        super::places(self.extents).map(|place| bits(self.get(place))).collect()
    }

    /// The memory without the elements.
    pub(super) fn beside(&self) -> Vec<u64> {
        let mut rest = self.clone();
        let zeros = [0; 8];
        for place in super::places(self.extents) {
            rest.put(place, &zeros[..self.element.size()]);
        }
        rest.memory
    }
}
