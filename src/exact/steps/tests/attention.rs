//! Attention, and the masks before it.

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::exact::half::f32_to_f16;
use crate::exact::vector::LANES;

/// Queries, caches, and what each token sees.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) head: usize,
    pub(super) value_width: usize,
    pub(super) key_heads: usize,
    /// Query heads for each key head.
    pub(super) shared: usize,
    pub(super) tokens: usize,
    pub(super) lanes: usize,
    /// Cells of a lane, a multiple of 16.
    pub(super) cells: usize,
    /// Lane after lane.
    pub(super) seen: Vec<Range<usize>>,
    pub(super) scale: f32,
    pub(super) cap: f32,
    pub(super) seed: u64,
}

/// A scene's arrays.
pub(super) struct Arrays {
    queries: Array,
    /// `[head * key_heads, cells * lanes]`: the key of each cell as it is, not in the order of [`Keys`].
    keys: Array,
    values: Array,
}

impl Scene {
    fn heads(&self) -> usize {
        self.key_heads * self.shared
    }

    pub(super) fn arrays(&self) -> Arrays {
        let random = &mut Random(self.seed);
        let cells = self.cells * self.lanes;
        let queries = [self.head, self.tokens, self.heads(), self.lanes];
        let (keys, values) = (self.head * self.key_heads, self.value_width * self.key_heads);
        Arrays {
            queries: Array::rows(Element::F32, queries, random).filled(Fill::Plain, random),
            keys: Array::dense(Element::F16, [keys, cells, 1, 1]).filled(Fill::Plain, random),
            values: Array::dense(Element::F16, [values, cells, 1, 1]).filled(Fill::Plain, random),
        }
    }

    /// The steps of the whole: keys into their order, the mask, attention; and what they need.
    pub(super) fn run(&self, arrays: &Arrays) -> Array {
        let mut random = Random(!self.seed);
        let cells = self.cells * self.lanes;
        let hidden = f32::NEG_INFINITY;
        let element = random.of(&[Element::F16, Element::F32]);
        let mut mask = Array::rows(element, [self.cells, self.tokens, 1, self.lanes], &mut random);
        for at in places(mask.extents()) {
            let seen = self.seen[at[3] * self.tokens + at[1]].contains(&at[0]);
            mask.set(at, if seen { 0.0 } else { hidden });
        }
        let mut keys = arrays.keys.clone();
        order_keys(&arrays.keys, &mut keys);
        let out = [self.value_width, self.heads(), self.tokens, self.lanes];
        let out = Array::rows(Element::F32, out, &mut random);
        let rows = |rows: View, width: usize| View {
            extents: [width, self.cells, self.key_heads, self.lanes],
            strides: [2, rows.strides[1], 2 * width, rows.strides[1] * self.cells],
            ..rows
        };
        assert_eq!(keys.extents()[1], cells);
        let (keys, values) = (rows(keys.view(), self.head), rows(arrays.values.shared(), self.value_width));
        let (mask, queries) = (mask.shared(), arrays.queries.shared());
        everywhere(&out, |out| {
            let seen = Arc::new(Seen::new(self.tokens * self.lanes));
            let mut plan = one(See { mask, seen: Arc::clone(&seen) });
            let (scale, cap) = (self.scale, self.cap);
            plan.push(Attention { out, queries, keys, values, rows: self.cells, sequences: None, seen, scale, cap });
            plan
        })
    }

    /// The same with windows that slide: what is seen is said by positions, and each lane has `rows` rows, into which the
    /// keys and values of the positions are written in order, old ones being overwritten. `positions` has the tokens'.
    fn run_sliding(&self, arrays: &Arrays, positions: &Array, window: usize, rows: usize) -> Array {
        let mut random = Random(!self.seed);
        // Lanes are kept in another order than sequences come in.
        let lanes = Arc::new(Lanes::new(self.lanes));
        (0..self.lanes).for_each(|sequence| lanes.set(sequence, (sequence + 1) % self.lanes));
        let (head, width) = (self.head * self.key_heads, self.value_width * self.key_heads);
        let mut caches = [head, width]
            .map(|width| Array::dense(Element::F16, [width, rows * self.lanes, 1, 1]).filled(Fill::Wild, &mut random));
        let [keys, values] = &mut caches;
        for (cache, all, keys) in [(keys, &arrays.keys, true), (values, &arrays.values, false)] {
            // One lane at a time, and as many positions at a time as there are rows.
            for (lane, first) in
                (0..self.lanes).flat_map(|lane| (0..self.cells).step_by(rows).map(move |at| (lane, at)))
            {
                let count = rows.min(self.cells - first);
                let mut a = Array::dense(Element::F32, [all.extents()[0], count, 1, 1]);
                let mut indices = Array::dense(Element::I64, [count, 1, 1, 1]);
                let mut written = Array::dense(Element::I32, [count, 1, 1, 1]);
                for i in 0..count {
                    // Any row of the lane stands for the lane.
                    indices.set_index([i, 0, 0, 0], (lane * rows + random.below(rows)) as i64);
                    written.set_index([i, 0, 0, 0], (first + i) as i64);
                    for at in 0..all.extents()[0] {
                        a.set([at, i, 0, 0], all.get([at, lane * self.cells + first + i, 0, 0]));
                    }
                }
                let (out, a, indices) = (cache.view(), a.shared(), indices.shared());
                let ring = Some(Ring { positions: written.shared(), rows, lanes: Arc::clone(&lanes) });
                let plan = one(SetRows { out, a, indices, keys, ring });
                // SAFETY: arrays that live to the end of the statement, and nobody else has.
                unsafe { plan.run(KernelSet::current(), &mut Pool::new(1).unwrap()) }.unwrap();
            }
        }
        let out = Array::rows(Element::F32, [self.value_width, self.heads(), self.tokens, self.lanes], &mut random);
        let view = |cache: &Array, width: usize| {
            let cache = cache.shared();
            let stride = cache.strides[1];
            let strides = [2, stride, 2 * width, stride * rows];
            View { extents: [width, rows, self.key_heads, self.lanes], strides, ..cache }
        };
        let (keys, values) = (view(&caches[0], self.head), view(&caches[1], self.value_width));
        let (queries, positions) = (arrays.queries.shared(), positions.shared());
        everywhere(&out, |out| {
            let seen = Arc::new(Seen::new(self.tokens * self.lanes));
            let mut plan = one(Slide { positions, window, seen: Arc::clone(&seen) });
            let (sequences, scale, cap) = (Some((Arc::clone(&lanes), 0)), self.scale, self.cap);
            plan.push(Attention { out, queries, keys, values, rows, sequences, seen, scale, cap });
            plan
        })
    }

    /// One result of attention in binary64.
    fn true_value(&self, arrays: &Arrays, [at, head, token, lane]: [usize; 4]) -> f64 {
        let key_head = head / self.shared;
        let cell = |i| lane * self.cells + i;
        let seen = self.seen[lane * self.tokens + token].clone();
        let score = |i: usize| {
            let product = |d| {
                let key = arrays.keys.get([key_head * self.head + d, cell(i), 0, 0]);
                f64::from(arrays.queries.get([d, token, head, lane])) * f64::from(key)
            };
            let score = (0..self.head).map(product).sum::<f64>() * f64::from(self.scale);
            if self.cap == 0.0 { score } else { score.tanh() * f64::from(self.cap) }
        };
        let scores: Vec<f64> = seen.clone().map(score).collect();
        let most = scores.iter().fold(f64::MIN, |a, &b| a.max(b));
        let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let value = |i| f64::from(arrays.values.get([key_head * self.value_width + at, cell(i), 0, 0]));
        let sum: f64 = seen.zip(&weights).map(|(i, weight)| weight * value(i)).sum();
        if weights.is_empty() { 0.0 } else { sum / weights.iter().sum::<f64>() }
    }

    /// The same with a token alone: in the one lane, the one token of the batch.
    fn alone(&self, arrays: &Arrays, token: usize, lane: usize) -> Array {
        let scene =
            Self { tokens: 1, lanes: 1, seen: vec![self.seen[lane * self.tokens + token].clone()], ..self.clone() };
        let mut its = scene.arrays();
        for at in places(its.queries.extents()) {
            its.queries.set(at, arrays.queries.get([at[0], token, at[2], lane]));
        }
        for (its, all) in [(&mut its.keys, &arrays.keys), (&mut its.values, &arrays.values)] {
            for at in places(its.extents()) {
                its.set(at, all.get([at[0], lane * self.cells + at[1], 0, 0]));
            }
        }
        scene.run(&its)
    }
}

/// Keys in the order that attention wants, as [`Keys`] says.
fn order_keys(plain: &Array, ordered: &mut Array) {
    let [width, cells, ..] = plain.extents();
    let rows = ordered.view();
    for [at, cell, ..] in places([width, cells, 1, 1]) {
        // SAFETY: an element of a cell of the array.
        unsafe { *Keys::first_of(&rows, cell).add(at * LANES) = f32_to_f16(plain.get([at, cell, 0, 0])) }
    }
}

fn scenes() -> impl Strategy<Value = Scene> {
    let shapes = (1..=128usize, 1..=8usize, 1..4usize, 1..6usize, 1..7usize, 1..4usize, 1..10usize);
    let ranges = prop::collection::vec((0..160usize, 0..160usize, 0..5), 18);
    let caps = prop_oneof![2 => Just(0.0f32), 1 => Just(30.0), 1 => Just(2.5)];
    (shapes, ranges, caps, any::<u64>(), prop::bool::weighted(0.3)).prop_map(
        |((head, vectors, key_heads, shared, tokens, lanes, blocks), ranges, cap, seed, causal)| {
            let cells = blocks * LANES;
            let seen = (0..tokens * lanes).map(|i| {
                let (a, b, kind) = ranges[i];
                let (a, b) = (a % (cells + 1), b % (cells + 1));
                match kind {
                    _ if causal => 0..(a / 2 + i % tokens).clamp(1, cells),
                    0 => 0..0,
                    1 => 0..b,
                    _ => a.min(b)..a.max(b),
                }
            });
            let scale = (head as f32).sqrt().recip() / if cap == 0.0 { 1.0 } else { cap };
            let seen = seen.collect();
            let value_width = vectors * LANES;
            Scene { head, value_width, key_heads, shared, tokens, lanes, cells, seen, scale, cap, seed }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn attention_is_near_the_mathematics(scene in scenes()) {
        let arrays = scene.arrays();
        let result = scene.run(&arrays);
        for at in places(result.extents()) {
            // A weight's error is relative to its score's size, at most some 90 here.
            assert_near(result.get(at), scene.true_value(&arrays, at), 1e-4);
        }
    }

    /// What lies in cells that nobody sees, or only others, does not matter.
    #[test]
    fn cells_that_are_not_seen_hold_anything(scene in scenes(), bad in prop::sample::select(vec![
        f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 65504.0, -65504.0,
    ])) {
        let arrays = scene.arrays();
        let clean = scene.run(&arrays);
        let poisoned = |sees: &dyn Fn(usize, usize) -> bool| {
            let mut arrays = scene.arrays();
            for cell in (0..scene.lanes * scene.cells).filter(|cell| !sees(cell / scene.cells, cell % scene.cells)) {
                for array in [&mut arrays.keys, &mut arrays.values] {
                    for at in 0..array.extents()[0] {
                        array.set([at, cell, 0, 0], bad);
                    }
                }
            }
            scene.run(&arrays)
        };
        let by_lane = |lane: usize| &scene.seen[lane * scene.tokens..][..scene.tokens];
        let nobody = poisoned(&|lane, cell| by_lane(lane).iter().any(|seen| seen.contains(&cell)));
        prop_assert!(nobody.bits() == clean.bits());
        let (lane, token) = (scene.seed as usize % scene.lanes, scene.seed as usize / 7 % scene.tokens);
        let others = poisoned(&|other, cell| other == lane && by_lane(lane)[token].contains(&cell));
        for [at, head, ..] in places(clean.extents()) {
            let at = [at, head, token, lane];
            prop_assert_eq!(bits(others.get(at)), bits(clean.get(at)));
        }
    }

    #[test]
    fn a_token_alone_is_the_same_as_in_a_batch(scene in scenes(), wild: bool) {
        let mut arrays = scene.arrays();
        if wild {
            let random = &mut Random(scene.seed);
            arrays.queries = arrays.queries.filled(Fill::Wild, random);
            arrays.keys = arrays.keys.filled(Fill::Wild, random);
            arrays.values = arrays.values.filled(Fill::Wild, random);
        }
        let all = scene.run(&arrays);
        for (token, lane) in (0..scene.lanes).flat_map(|lane| (0..scene.tokens).map(move |token| (token, lane))).step_by(3) {
            let alone = scene.alone(&arrays, token, lane);
            for at in places(alone.extents()) {
                prop_assert_eq!(bits(alone.get(at)), bits(all.get([at[0], at[1], token, lane])));
            }
        }
    }

    /// A ring of rows that holds no more than the window and the newest tokens gives the bits of a cache that
    /// holds everything.
    #[test]
    fn windows_slide_around_a_ring(scene in scenes(), window in 1..70usize, spare in 0..3usize) {
        let mut scene = scene;
        let tokens = scene.tokens.min(scene.cells);
        scene.tokens = tokens;
        let rows = (window + tokens - 1).next_multiple_of(LANES) + spare * LANES;
        let mut positions = Array::dense(Element::I32, [tokens * scene.lanes, 1, 1, 1]);
        scene.seen = (0..tokens * scene.lanes).map(|at| {
            // The newest cells are the tokens' own.
            let position = scene.cells - tokens + at % tokens;
            positions.set_index([at, 0, 0, 0], position as i64);
            (position + 1).saturating_sub(window)..position + 1
        }).collect();
        let arrays = scene.arrays();
        let whole = scene.run(&arrays);
        prop_assert!(scene.run_sliding(&arrays, &positions, window, rows).bits() == whole.bits());
    }

    #[test]
    fn masks_are_ranges(
        cells in 1..80usize, tokens in 1..7usize, lanes in 1..4usize, seed: u64,
        element in prop::sample::select(vec![Element::F16, Element::F32]),
    ) {
        let random = &mut Random(seed);
        let mut mask = Array::rows(element, [cells, tokens, 1, lanes], random);
        let ranges: Vec<Range<usize>> = (0..tokens * lanes).map(|_| {
            let (a, b) = (random.below(cells + 1), random.below(cells + 1));
            if a < b { a..b } else { 0..0 }
        }).collect();
        for at in places([cells, tokens, 1, lanes]) {
            let seen = ranges[at[3] * tokens + at[1]].contains(&at[0]);
            mask.set(at, if seen { 0.0 } else { f32::NEG_INFINITY });
        }
        let nothing = Array::dense(Element::F32, [1; 4]);
        let step = |view| {
            let seen = Arc::new(Seen::new(tokens * lanes));
            (one(See { mask: view, seen: Arc::clone(&seen) }), seen)
        };
        let views = std::cell::RefCell::new(Vec::new());
        let view = mask.shared();
        everywhere(&nothing, |_| {
            let (plan, seen) = step(view);
            views.borrow_mut().push(seen);
            plan
        });
        for seen in views.into_inner() {
            let seen: Vec<Range<usize>> = (0..tokens * lanes).map(|token| seen.get(token)).collect();
            prop_assert_eq!(&seen, &ranges);
        }
        // A bias, seen or not, no number, or what is seen behind a hole.
        let at = [random.below(cells), random.below(tokens), 0, random.below(lanes)];
        let range = &ranges[at[3] * tokens + at[1]];
        let mut bad = vec![1.0, -1.0, f32::INFINITY, f32::NAN, -1e-7, -0.0];
        if range.contains(&at[0]) && at[0] > range.start && at[0] + 1 < range.end {
            bad.push(f32::NEG_INFINITY);
        }
        if !range.is_empty() && (at[0] + 1 < range.start || at[0] > range.end) {
            bad.push(0.0);
        }
        let mut mask = mask.clone();
        mask.set(at, random.of(&bad));
        let view = mask.shared();
        let refusal = "a mask that does not show one range of cells, without a bias";
        prop_assert_eq!(refused(&nothing, |_| step(view).0), refusal);
    }
}

#[test]
fn keys_fill_whole_blocks_without_gaps() {
    let random = &mut Random(3);
    assert!(Keys::fit(&Array::dense(Element::F16, [24, 32, 1, 1]).shared()));
    assert!(!Keys::fit(&Array::dense(Element::F32, [24, 32, 1, 1]).shared()));
    assert!(!Keys::fit(&Array::dense(Element::F16, [24, 30, 1, 1]).shared()));
    assert!(!Keys::fit(&Array::dense(Element::F16, [24, 32, 2, 1]).shared()));
    let mut gaps = Array::rows(Element::F16, [24, 32, 1, 1], random).shared();
    gaps.strides[1] = 50;
    assert!(!Keys::fit(&gaps));
}
