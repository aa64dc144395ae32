//! The lanes in AVX-512's registers: tables of bytes are looked up for all lanes at once.

use std::arch::x86_64::*;

use super::super::adaptive::Adaptive;
use super::super::kernel::{CONTEXTS, Extra, FEW, INPUTS, Kernel, LANES, Lookup, Maps, SETS, Set, Sight};
use super::super::machine::Work;
use super::super::maths::STRETCH_BITS;
use super::super::memory::{Layout, Paths, Row, WAYS};
use super::super::mixer::Weights;
use super::super::state::RATES;
use super::{Avx2, load, store};

/// A machine with AVX-512 F, BW, VL, DQ, VBMI and VNNI, and what [`Avx2`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Avx512(Avx2);

impl Avx512 {
    /// The proof that this machine has the features.
    pub(in super::super) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vnni");
        if found { Avx2::new().map(Self) } else { None }
    }

    /// Does `work`, compiled for the features.
    #[inline(always)]
    pub(in super::super) fn run<W: Work>(self, work: W) -> W::Done {
        #[target_feature(
            enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni"
        )]
        fn compiled<W: Work>(work: W, kernel: Avx512) -> W::Done {
            work.run(kernel)
        }
        // SAFETY: `self` exists only where `new` found the features.
        unsafe { compiled(work, self) }
    }
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn prefetch<T>(self, of: &[T], at: usize) {
        self.0.prefetch(of, at);
    }

    #[inline(always)]
    fn find(self, entries: &[u32; WAYS], check: u32) -> (u32, bool) {
        self.0.find(entries, check)
    }

    #[inline(always)]
    fn lay(self, layout: &Layout, paths: &Paths, rows: &mut [Row; 8]) {
        self.0.lay(layout, paths, rows);
    }

    #[inline(always)]
    fn learn_few(self, t: &Lookup, few: [u32; FEW], shares: [i32; FEW], limits: &[u32; FEW], bit: bool) -> [u32; FEW] {
        self.0.learn_few(t, few, shares, limits, bit)
    }

    #[inline(always)]
    fn look(self, t: &Lookup, row: &Row, maps: &Maps, extra: &Extra, sight: &mut Sight) -> u32 {
        // SAFETY: `self` exists only where `new` found the features.
        unsafe { look(t, row, maps, extra, sight) }
    }

    #[inline(always)]
    fn learn(self, t: &Lookup, row: &mut Row, maps: &mut Maps, sight: &Sight, bit: bool, limit: u32) {
        // SAFETY: as above.
        unsafe { learn(t, row, maps, sight, bit, limit) }
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
        self.0.dot(weights, logits)
    }
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
fn load64<T: Copy, const N: usize>(from: &[T; N], at: usize) -> __m512i {
    assert!(at * size_of::<T>() + 64 <= size_of::<[T; N]>());
    // SAFETY: the 64 bytes lie in `from`, as was just checked.
    unsafe { _mm512_loadu_si512(from.as_ptr().add(at).cast()) }
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
fn store64<T: Copy, const N: usize>(to: &mut [T; N], at: usize, value: __m512i) {
    assert!(at * size_of::<T>() + 64 <= size_of::<[T; N]>());
    // SAFETY: the 64 bytes lie in `to`, as was just checked; they are integers.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), value) }
}

/// `table[byte]` for each byte.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
fn each(table: &[u8; 256], bytes: __m256i) -> __m256i {
    let at = _mm512_castsi256_si512(bytes);
    let low = _mm512_permutex2var_epi8(load64(table, 0), at, load64(table, 64));
    let high = _mm512_permutex2var_epi8(load64(table, 128), at, load64(table, 192));
    _mm256_mask_blend_epi8(_mm256_movepi8_mask(bytes), _mm512_castsi512_si256(low), _mm512_castsi512_si256(high))
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
fn look(t: &Lookup, row: &Row, maps: &Maps, extra: &Extra, sight: &mut Sight) -> u32 {
    let slots = load(&row.0, 0);
    let classes = _mm256_and_si256(each(&t.states.class, slots), _mm256_set1_epi16(0xff));
    store(&mut sight.classes, 0, classes);
    let map = |i: usize| {
        let seen = maps[i][usize::from(row.0[i] & 0xff)].0;
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
    // Both bytes of a lane are the slot's upper.
    let upper = _mm256_shuffle_epi8(
        slots,
        _mm256_setr_epi8(
            1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15, 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15,
        ),
    );
    let [low, high] = &t.maths.fast_bytes;
    let fast = _mm256_mask_blend_epi8(0xaaaa_aaaa, each(low, upper), each(high, upper));
    let known = _mm256_test_epi16_mask(slots, _mm256_set1_epi16(0xff));
    let certain = _mm256_test_epi16_mask(classes, _mm256_set1_epi16(128));
    let logits = _mm256_maskz_mov_epi16(known | !0 << CONTEXTS, logits);
    let confidence = _mm256_slli_epi16(_mm256_and_si256(classes, _mm256_set1_epi16(15)), 10);
    let [_, [a, b, c], [d, e, f]] = *extra;
    let sure = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c);
    let more = _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, d, e, f);
    store(&mut sight.inputs, 0, logits);
    store(&mut sight.inputs, LANES, _mm256_mask_mov_epi16(sure, certain, logits));
    store(&mut sight.inputs, 2 * LANES, _mm256_or_si256(_mm256_mulhi_epi16(fast, confidence), more));
    u32::from(known) & ((1 << CONTEXTS) - 1)
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
fn learn(t: &Lookup, row: &mut Row, maps: &mut Maps, sight: &Sight, bit: bool, limit: u32) {
    let mut moved = [0u32; LANES];
    let limit = _mm256_set1_epi32(limit as i32);
    let map = |i: usize| maps[i][usize::from(row.0[i] & 0xff)].0 as i32;
    let maps_a = _mm256_setr_epi32(map(0), map(1), map(2), map(3), map(4), map(5), map(6), map(7));
    let maps_b = _mm256_setr_epi32(map(8), map(9), map(10), map(11), map(12), 0, 0, 0);
    store(&mut moved, 0, super::learnt(maps_a, bit, limit));
    store(&mut moved, 8, super::learnt(maps_b, bit, limit));
    for i in 0..CONTEXTS {
        maps[i][usize::from(row.0[i] & 0xff)] = Adaptive(moved[i]);
    }
    let slots = load(&row.0, 0);
    let next = _mm256_and_si256(each(&t.states.next[usize::from(bit)], slots), _mm256_set1_epi16(0xff));
    let rate = _mm256_permutexvar_epi16(load(&sight.classes, 0), load(&RATES, 0));
    let half = _mm256_set1_epi16(0x80);
    let target = _mm256_set1_epi16(if bit { 255 } else { 0 });
    let p = _mm256_xor_si256(_mm256_srli_epi16(slots, 8), half);
    let p = _mm256_add_epi16(p, _mm256_mulhrs_epi16(_mm256_sub_epi16(target, p), rate));
    store(&mut row.0, 0, _mm256_or_si256(_mm256_slli_epi16(_mm256_xor_si256(p, half), 8), next));
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
fn mix(sets: [&Set; SETS], inputs: &[i16; INPUTS]) -> [i16; SETS] {
    let x = [load(inputs, 0), load(inputs, 16), load(inputs, 32)];
    let sum = |k: usize| {
        let w = &sets[k].upper;
        let a = _mm256_dpwssd_epi32(_mm256_madd_epi16(load(w, 0), x[0]), load(w, 16), x[1]);
        _mm256_dpwssd_epi32(a, load(w, 32), x[2])
    };
    super::logits([sum(0), sum(1), sum(2), sum(3), sum(4), sum(5), sum(6), sum(7)])
}

#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
fn train(sets: [&mut Set; SETS], inputs: &[i16; INPUTS], steps: [i16; SETS]) {
    let x = load64(inputs, 0);
    let last = load(inputs, 32);
    let one = |set: &mut Set, step: i16| {
        let step = _mm512_set1_epi16(step);
        let (low, high) = (_mm512_mullo_epi16(x, step), _mm512_mulhi_epi16(x, step));
        let before = load64(&set.lower, 0);
        let lower = _mm512_add_epi16(before, low);
        let carry = _mm512_cmpgt_epi16_mask(before, lower);
        let high = _mm512_mask_sub_epi16(high, carry, high, _mm512_set1_epi16(-1));
        let upper = _mm512_adds_epi16(load64(&set.upper, 0), high);
        store64(&mut set.lower, 0, lower);
        store64(&mut set.upper, 0, upper);
        super::third(set, 32, last, _mm512_castsi512_si256(step));
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
