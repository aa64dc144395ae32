//! The lanes in AVX2's registers, and the whole step on each byte compiled for them.
#![allow(unsafe_code)]

mod wide;

pub(super) use wide::Avx512;

use std::arch::x86_64::*;

use super::adaptive::{Adaptive, MOST};
use super::kernel::{BOUND, CONTEXTS, Extra, FEW, INPUTS, Kernel, LANES, Lookup, Maps, SETS, Set, Sight};
use super::maths::STRETCH_BITS;
use super::memory::{Layout, Paths, Row, WAYS};
use super::mixer::Weights;

/// A machine with AVX2, BMI 1 and 2, LZCNT and POPCNT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof that this machine has the features.
    pub(super) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        found.then_some(Self(()))
    }

    /// Does `work`, compiled for the features.
    #[inline(always)]
    pub(super) fn run<W: super::machine::Work>(self, work: W) -> W::Done {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn compiled<W: super::machine::Work>(work: W, kernel: Avx2) -> W::Done {
            work.run(kernel)
        }
        // SAFETY: `self` exists only where `new` found the features.
        unsafe { compiled(work, self) }
    }
}

impl Kernel for Avx2 {
    #[inline(always)]
    fn prefetch<T>(self, of: &[T], at: usize) {
        // SAFETY: every machine with AVX2 has SSE. A hint may be of any address; none is read.
        unsafe { _mm_prefetch(of.as_ptr().wrapping_add(at).cast(), _MM_HINT_T0) }
    }

    #[inline(always)]
    fn find(self, entries: &[u32; WAYS], check: u32) -> (u32, bool) {
        // SAFETY: `self` exists only where `new` found the features.
        unsafe { find(entries, check) }
    }

    #[inline(always)]
    fn lay(self, layout: &Layout, paths: &Paths, rows: &mut [Row; 8]) {
        // SAFETY: as above.
        unsafe { lay(layout, paths, rows) }
    }

    #[inline(always)]
    fn learn_few(self, _: &Lookup, few: [u32; FEW], shares: [i32; FEW], limits: &[u32; FEW], bit: bool) -> [u32; FEW] {
        // SAFETY: as above.
        unsafe { learn_few(few, shares, limits, bit) }
    }

    #[inline(always)]
    fn look(self, t: &Lookup, row: &Row, maps: &Maps, extra: &Extra, sight: &mut Sight) -> u32 {
        // SAFETY: as above.
        unsafe { look(t, row, maps, extra, sight) }
    }

    #[inline(always)]
    fn learn(self, t: &Lookup, row: &mut Row, maps: &mut Maps, _: &Sight, bit: bool, limit: u32) {
        // SAFETY: as above.
        unsafe { learn(t, row, maps, bit, limit) }
    }

    #[inline(always)]
    fn mix(self, sets: [&Set; SETS], inputs: &[i16; INPUTS]) -> [i16; SETS] {
        // SAFETY: as above.
        unsafe { mix(sets, inputs) }
    }

    #[inline(always)]
    fn train(self, sets: [&mut Set; SETS], inputs: &[i16; INPUTS], steps: [i16; SETS]) {
        // SAFETY: as above.
        unsafe { train(sets, inputs, steps) }
    }

    #[inline(always)]
    fn dot(self, weights: &Weights<SETS>, logits: &[i16; SETS]) -> i32 {
        // SAFETY: as above.
        unsafe { dot(weights, logits) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load<T: Copy, const N: usize>(from: &[T; N], at: usize) -> __m256i {
    assert!(at * size_of::<T>() + 32 <= size_of::<[T; N]>());
    // SAFETY: the 32 bytes lie in `from`, as was just checked.
    unsafe { _mm256_loadu_si256(from.as_ptr().add(at).cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<T: Copy, const N: usize>(to: &mut [T; N], at: usize, value: __m256i) {
    assert!(at * size_of::<T>() + 32 <= size_of::<[T; N]>());
    // SAFETY: the 32 bytes lie in `to`, as was just checked; they are integers.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().add(at).cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn eight(from: &[u16; 8]) -> __m128i {
    // SAFETY: they are 16 bytes.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn lay(layout: &Layout, paths: &Paths, rows: &mut [Row; 8]) {
    let bucket = |i: usize| {
        let [zeros, ones] = &paths[layout.paths[i].min(8) as usize];
        let [zero, one] = layout.runs[i];
        let (zero, one) = (_mm_set1_epi16(zero as i16), _mm_set1_epi16(one as i16));
        let run = _mm_or_si128(_mm_and_si128(eight(zeros), zero), _mm_and_si128(eight(ones), one));
        _mm_or_si128(eight(&layout.buckets[i]), run)
    };
    let none = _mm_setzero_si128();
    let a = _mm256_set_m128i(bucket(8), bucket(0));
    let b = _mm256_set_m128i(bucket(9), bucket(1));
    let c = _mm256_set_m128i(bucket(10), bucket(2));
    let d = _mm256_set_m128i(bucket(11), bucket(3));
    let e = _mm256_set_m128i(bucket(12), bucket(4));
    let f = _mm256_set_m128i(none, bucket(5));
    let g = _mm256_set_m128i(none, bucket(6));
    let h = _mm256_set_m128i(none, bucket(7));
    // Both halves are transposed, eight by eight.
    let (ab, ab2) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
    let (cd, cd2) = (_mm256_unpacklo_epi16(c, d), _mm256_unpackhi_epi16(c, d));
    let (ef, ef2) = (_mm256_unpacklo_epi16(e, f), _mm256_unpackhi_epi16(e, f));
    let (gh, gh2) = (_mm256_unpacklo_epi16(g, h), _mm256_unpackhi_epi16(g, h));
    let quads = [(ab, cd, ef, gh), (ab2, cd2, ef2, gh2)];
    for (half, (ab, cd, ef, gh)) in quads.into_iter().enumerate() {
        let (low, low2) = (_mm256_unpacklo_epi32(ab, cd), _mm256_unpacklo_epi32(ef, gh));
        let (high, high2) = (_mm256_unpackhi_epi32(ab, cd), _mm256_unpackhi_epi32(ef, gh));
        store(&mut rows[4 * half].0, 0, _mm256_unpacklo_epi64(low, low2));
        store(&mut rows[4 * half + 1].0, 0, _mm256_unpackhi_epi64(low, low2));
        store(&mut rows[4 * half + 2].0, 0, _mm256_unpacklo_epi64(high, high2));
        store(&mut rows[4 * half + 3].0, 0, _mm256_unpackhi_epi64(high, high2));
    }
}

/// Lanes of 32 bits, ordered so that packing two registers puts them in place.
macro_rules! spread {
    ($at:expr) => {{
        let at = $at;
        (
            _mm256_setr_epi32(at(0), at(1), at(2), at(3), at(8), at(9), at(10), at(11)),
            _mm256_setr_epi32(at(4), at(5), at(6), at(7), at(12), 0, 0, 0),
        )
    }};
}

/// The lower halves of lanes of 32 bits, and the upper.
#[inline]
#[target_feature(enable = "avx2")]
fn halves((a, b): (__m256i, __m256i)) -> (__m256i, __m256i) {
    let low = _mm256_set1_epi32(0xffff);
    let lower = _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
    (lower, _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16)))
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn look(t: &Lookup, row: &Row, maps: &Maps, extra: &Extra, sight: &mut Sight) -> u32 {
    let slots = row.0;
    let state = |i: usize| usize::from(slots[i] & 0xff);
    let (confidence, certain) = halves(spread!(|i: usize| t.states.look[state(i)] as i32));
    let map = |i: usize| {
        let seen = maps[i][state(i)].0;
        t.maths.stretch[seen as usize >> (32 - STRETCH_BITS)]
    };
    let logits = _mm256_setr_epi16(
        map(0),
        map(1),
        map(2),
        map(3),
        map(4),
        map(5),
        map(6),
        map(7),
        map(8),
        map(9),
        map(10),
        map(11),
        map(12),
        extra[0][0],
        extra[0][1],
        extra[0][2],
    );
    let fast = |i: usize| t.maths.fast[usize::from(slots[i] >> 8)];
    let fast = _mm256_setr_epi16(
        fast(0),
        fast(1),
        fast(2),
        fast(3),
        fast(4),
        fast(5),
        fast(6),
        fast(7),
        fast(8),
        fast(9),
        fast(10),
        fast(11),
        fast(12),
        0,
        0,
        0,
    );
    let none = _mm256_setzero_si256();
    let states = _mm256_and_si256(load(&slots, 0), _mm256_set1_epi16(0xff));
    let contexts = _mm256_setr_epi16(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0);
    let unknown = _mm256_and_si256(_mm256_cmpeq_epi16(states, none), contexts);
    let logits = _mm256_andnot_si256(unknown, logits);
    let [_, [a, b, c], [d, e, f]] = *extra;
    let sure = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c);
    let fast_more = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, d, e, f);
    store(&mut sight.inputs, 0, logits);
    store(&mut sight.inputs, LANES, _mm256_or_si256(_mm256_and_si256(logits, certain), sure));
    store(&mut sight.inputs, 2 * LANES, _mm256_or_si256(_mm256_mulhi_epi16(fast, confidence), fast_more));
    let unknown = _mm256_movemask_epi8(_mm256_packs_epi16(unknown, none)) as u32;
    !(unknown & 0xff | unknown >> 8) & ((1 << CONTEXTS) - 1)
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn learn(t: &Lookup, row: &mut Row, maps: &mut Maps, bit: bool, limit: u32) {
    let slots = row.0;
    let after = &t.states.after[usize::from(bit)];
    let (next, rate) = halves(spread!(|i: usize| after[usize::from(slots[i] & 0xff)] as i32));
    let half = _mm256_set1_epi16(0x80);
    let target = _mm256_set1_epi16(if bit { 255 } else { 0 });
    let p = _mm256_xor_si256(_mm256_srli_epi16(load(&slots, 0), 8), half);
    let p = _mm256_add_epi16(p, _mm256_mulhrs_epi16(_mm256_sub_epi16(target, p), rate));
    store(&mut row.0, 0, _mm256_or_si256(_mm256_slli_epi16(_mm256_xor_si256(p, half), 8), next));

    let mut moved = [0u32; LANES];
    let limit = _mm256_set1_epi32(limit as i32);
    let map = |i: usize| maps[i][usize::from(slots[i] & 0xff)].0 as i32;
    let maps_a = _mm256_setr_epi32(map(0), map(1), map(2), map(3), map(4), map(5), map(6), map(7));
    let maps_b = _mm256_setr_epi32(map(8), map(9), map(10), map(11), map(12), 0, 0, 0);
    store(&mut moved, 0, learnt(maps_a, bit, limit));
    store(&mut moved, 8, learnt(maps_b, bit, limit));
    for i in 0..CONTEXTS {
        maps[i][usize::from(slots[i] & 0xff)] = Adaptive(moved[i]);
    }
}

/// The rates of eight probabilities, and their counts.
#[inline]
#[target_feature(enable = "avx2")]
fn rates(p: __m256i) -> (__m256i, __m256i) {
    let count = _mm256_and_si256(p, _mm256_set1_epi32(1023));
    // 131072 / (2 n + 3), rounded down: the quotient's distance to the next integer is more than
    // what a float leaves of it.
    let divisor = _mm256_add_epi32(_mm256_add_epi32(count, count), _mm256_set1_epi32(3));
    let rate = _mm256_cvttps_epi32(_mm256_div_ps(_mm256_set1_ps(131_072.0), _mm256_cvtepi32_ps(divisor)));
    (rate, count)
}

/// [`Adaptive`]'s move.
#[inline]
#[target_feature(enable = "avx2")]
fn moved_to(p: __m256i, bit: bool, rate: __m256i, count: __m256i) -> __m256i {
    let p = _mm256_srli_epi32(p, 10);
    let target = _mm256_set1_epi32(64 + if bit { MOST } else { 0 });
    let way = _mm256_srai_epi32(_mm256_sub_epi32(target, p), 7);
    let p = _mm256_add_epi32(p, _mm256_srai_epi32(_mm256_mullo_epi32(way, rate), 9));
    let p = _mm256_min_epi32(_mm256_max_epi32(p, _mm256_setzero_si256()), _mm256_set1_epi32(MOST));
    _mm256_or_si256(_mm256_slli_epi32(p, 10), count)
}

/// [`Adaptive::learn`].
#[inline]
#[target_feature(enable = "avx2")]
fn learnt(p: __m256i, bit: bool, limit: __m256i) -> __m256i {
    let (rate, count) = rates(p);
    let more = _mm256_cmpgt_epi32(limit, count);
    moved_to(p, bit, rate, _mm256_sub_epi32(count, more))
}

#[inline]
#[target_feature(enable = "avx2")]
fn learn_few(few: [u32; FEW], shares: [i32; FEW], limits: &[u32; FEW], bit: bool) -> [u32; FEW] {
    let [a, b, c, d, e, f, g, h] = few;
    let p = _mm256_setr_epi32(a as i32, b as i32, c as i32, d as i32, e as i32, f as i32, g as i32, h as i32);
    let (rate, count) = rates(p);
    let [a, b, c, d, e, f, g, h] = shares;
    let share = _mm256_setr_epi32(a, b, c, d, e, f, g, h);
    let rate = _mm256_srai_epi32(_mm256_mullo_epi32(rate, share), 8);
    let more = _mm256_cmpgt_epi32(load(limits, 0), count);
    let more = _mm256_and_si256(more, _mm256_cmpgt_epi32(share, _mm256_set1_epi32(76)));
    let mut moved = [0; FEW];
    store(&mut moved, 0, moved_to(p, bit, rate, _mm256_sub_epi32(count, more)));
    moved
}

#[inline]
#[target_feature(enable = "avx2")]
fn find(entries: &[u32; WAYS], check: u32) -> (u32, bool) {
    // SAFETY: they are 16 bytes.
    let entries = unsafe { _mm_loadu_si128(entries.as_ptr().cast()) };
    let hit = _mm_cmpeq_epi32(_mm_srli_epi32(entries, 16), _mm_set1_epi32(check as i32));
    let length = _mm_and_si128(entries, _mm_set1_epi32(0xff));
    let rank = _mm_andnot_si128(hit, _mm_add_epi32(length, _mm_set1_epi32(1)));
    let ranks = _mm_packus_epi32(rank, _mm_set1_epi32(0xffff));
    let best = _mm_cvtsi128_si32(_mm_minpos_epu16(ranks)) as u32;
    (best >> 16 & 3, best & 0xffff == 0)
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn mix(sets: [&Set; SETS], inputs: &[i16; INPUTS]) -> [i16; SETS] {
    let x = [load(inputs, 0), load(inputs, 16), load(inputs, 32)];
    let sum = |k: usize| {
        let w = &sets[k].upper;
        let a = _mm256_add_epi32(_mm256_madd_epi16(load(w, 0), x[0]), _mm256_madd_epi16(load(w, 16), x[1]));
        _mm256_add_epi32(a, _mm256_madd_epi16(load(w, 32), x[2]))
    };
    logits([sum(0), sum(1), sum(2), sum(3), sum(4), sum(5), sum(6), sum(7)])
}

/// The logits of sums that are spread over lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn logits([a, b, c, d, e, f, g, h]: [__m256i; SETS]) -> [i16; SETS] {
    let low = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let high = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let sums = _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
    let sums = _mm256_srai_epi32(sums, super::mixer::ONE_BITS as i32);
    let sums = _mm256_max_epi32(_mm256_min_epi32(sums, _mm256_set1_epi32(BOUND)), _mm256_set1_epi32(-BOUND));
    let logits = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    let mut out = [0; SETS];
    // SAFETY: they are 16 bytes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), logits) };
    out
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn train(sets: [&mut Set; SETS], inputs: &[i16; INPUTS], steps: [i16; SETS]) {
    let x = [load(inputs, 0), load(inputs, 16), load(inputs, 32)];
    let one = |set: &mut Set, step: i16| {
        let step = _mm256_set1_epi16(step);
        third(set, 0, x[0], step);
        third(set, 16, x[1], step);
        third(set, 32, x[2], step);
    };
    let [a, b, c, d, e, f, g, h] = sets;
    one(a, steps[0]);
    one(b, steps[1]);
    one(c, steps[2]);
    one(d, steps[3]);
    one(e, steps[4]);
    one(f, steps[5]);
    one(g, steps[6]);
    one(h, steps[7]);
}

/// Sixteen weights learn.
#[inline]
#[target_feature(enable = "avx2")]
fn third(set: &mut Set, at: usize, x: __m256i, step: __m256i) {
    let (low, high) = (_mm256_mullo_epi16(x, step), _mm256_mulhi_epi16(x, step));
    let before = load(&set.lower, at);
    let lower = _mm256_add_epi16(before, low);
    let high = _mm256_sub_epi16(high, _mm256_cmpgt_epi16(before, lower));
    let upper = _mm256_adds_epi16(load(&set.upper, at), high);
    store(&mut set.lower, at, lower);
    store(&mut set.upper, at, upper);
}

#[inline]
#[target_feature(enable = "avx2")]
fn dot(weights: &Weights<SETS>, logits: &[i16; SETS]) -> i32 {
    // SAFETY: both are 16 bytes.
    let (w, x) = unsafe { (_mm_loadu_si128(weights.upper.as_ptr().cast()), _mm_loadu_si128(logits.as_ptr().cast())) };
    let sums = _mm_madd_epi16(w, x);
    let sums = _mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums));
    let sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 1));
    _mm_cvtsi128_si32(sums) >> super::mixer::ONE_BITS
}
