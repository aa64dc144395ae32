//! Each step of every kernel, on numbers that chunks hardly lead to.

use super::super::adaptive::RECIPROCALS;
use super::super::machine::{Machine, Work};
use super::super::maths::Maths;
use super::super::state;
use super::*;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 ^ (self.0 >> 5) as u32
    }

    fn of(&mut self, values: &[i16]) -> i16 {
        values[self.next() as usize % values.len()]
    }

    /// Any, or one of the extremes.
    fn i16(&mut self) -> i16 {
        let any = self.next() as i16;
        self.of(&[any, any, any >> 6, 0, 1, -1, i16::MAX, i16::MIN])
    }

    /// Within the bounds of logits.
    fn logit(&mut self) -> i16 {
        let any = (self.next() % (2 * BOUND as u32 + 1)) as i16 - BOUND as i16;
        self.of(&[any, any, 0, BOUND as i16, -BOUND as i16])
    }

    fn adaptive(&mut self) -> u32 {
        let any = self.next();
        [any, any, 0, u32::MAX, any & 1023, any | !1023][self.next() as usize % 6]
    }

    fn slot(&mut self) -> u16 {
        let state = if self.next().is_multiple_of(4) { 0 } else { self.next() % state::STATES as u32 };
        (self.next() << 8 | state) as u16
    }
}

fn lookup() -> Lookup {
    Lookup { maths: Maths::get().tables, states: &state::ALL, reciprocals: &RECIPROCALS }
}

/// All steps, on numbers from a seed; what came of them.
struct Steps(u64);

#[derive(Debug, Default, PartialEq, Eq)]
struct Came {
    found: Vec<(u32, bool)>,
    known: u32,
    inputs: Vec<i16>,
    slots: Vec<u16>,
    maps: Vec<u32>,
    few: [u32; FEW],
    logits: [i16; SETS],
    weights: Vec<i16>,
    last: i32,
    rows: Vec<u16>,
}

impl Work for Steps {
    type Done = Came;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Came {
        let (t, mut random) = (lookup(), Random(self.0));
        let mut came = Came::default();
        for _ in 0..8 {
            let entries = std::array::from_fn(|_| (random.next() % 3) << 16 | random.next() & 0x0101);
            came.found.push(kernel.find(&entries, random.next() % 3));
        }
        let bit = random.next() & 1 == 1;
        let mut maps: Box<Maps> = Box::new([[Adaptive(0); 256]; CONTEXTS]);
        maps.as_flattened_mut().fill_with(|| Adaptive(random.adaptive()));
        // Lanes that no context has are empty, as rows are laid.
        let mut row = Row([0; LANES]);
        row.0[..CONTEXTS].fill_with(|| random.slot());
        let extra: Extra = std::array::from_fn(|_| std::array::from_fn(|_| random.logit()));
        let mut sight = Sight { inputs: [0; INPUTS], classes: [0; LANES] };
        came.known = kernel.look(&t, &row, &maps, &extra, &mut sight);
        came.inputs = sight.inputs.to_vec();
        let limit = [0, 1, 127, 255, 1023][random.next() as usize % 5];
        kernel.learn(&t, &mut row, &mut maps, &sight, bit, limit);
        came.slots = row.0[..CONTEXTS].to_vec();
        came.maps = maps.as_flattened().iter().map(|p| p.0).collect();
        let few = std::array::from_fn(|_| random.adaptive());
        let shares = std::array::from_fn(|_| (random.next() % 257) as i32);
        let limits = std::array::from_fn(|_| random.next() % 1024);
        came.few = kernel.learn_few(&t, few, shares, &limits, bit);
        let mut sets: [Set; SETS] = [Set::ZERO; SETS];
        for set in &mut sets {
            set.upper.fill_with(|| random.i16());
            set.lower.fill_with(|| random.i16());
        }
        let any_inputs: [i16; INPUTS] = std::array::from_fn(|_| random.i16());
        let inputs = if random.next() & 1 == 1 { &any_inputs } else { &sight.inputs };
        came.logits = kernel.mix(sets.each_ref(), inputs);
        let steps = std::array::from_fn(|_| random.i16().max(-32767));
        kernel.train(sets.each_mut(), inputs, steps);
        came.weights = sets.iter().flat_map(|set| set.upper.into_iter().chain(set.lower)).collect();
        let last = Weights { upper: std::array::from_fn(|_| random.i16()), lower: [0; SETS] };
        came.last = kernel.dot(&last, &std::array::from_fn(|_| random.logit()));
        came.rows = laid(kernel, &mut random);
        came
    }
}

/// The rows of buckets and runs.
#[inline(always)]
fn laid<K: Kernel>(kernel: K, random: &mut Random) -> Vec<u16> {
    let mut layout = Layout { buckets: [[0; 8]; LANES], paths: [8; LANES], runs: [[0; 2]; LANES] };
    let mut paths: Paths = [[[0; 8]; 2]; 9];
    for path in 0..8 {
        for node in 1..8 {
            paths[path][node & 1][node] = if random.next() & 1 == 1 { 0xffff } else { 0 };
        }
    }
    for i in 0..CONTEXTS {
        if random.next() & 1 == 1 {
            layout.buckets[i][1..].fill_with(|| random.slot());
        } else {
            layout.paths[i] = random.next() % 9;
            layout.runs[i] = [random.slot(), random.slot()];
        }
    }
    let mut rows = [Row([0; LANES]); 8];
    kernel.lay(&layout, &paths, &mut rows);
    rows[1..].iter().flat_map(|row| row.0[..CONTEXTS].to_vec()).collect()
}

#[test]
fn all_kernels_take_the_same_steps() {
    for seed in 0..500 {
        let reference = Steps(seed).run(Portable);
        for machine in Machine::all() {
            assert!(machine.run(Steps(seed)) == reference, "{machine:?}, seed {seed}");
        }
    }
}

#[test]
fn the_shortest_run_gives_way() {
    let entry = |check: u32, length: u32| check << 16 | 7 << 8 | length;
    let full = [entry(3, 9), entry(5, 2), entry(7, 255), entry(9, 2)];
    for (check, found) in [(3, (0, true)), (9, (3, true)), (7, (2, true)), (1, (1, false))] {
        assert_eq!(Portable.find(&full, check), found);
    }
    assert_eq!(Portable.find(&[entry(3, 1), 0, 0, 0], 1), (1, false));
    // Of equal ones the first, and that with the check before an empty one.
    assert_eq!(Portable.find(&[0, entry(1, 40), entry(1, 1), 0], 1), (1, true));
}

#[test]
fn contexts_that_have_seen_nothing_say_nothing() {
    let t = lookup();
    let maps: Box<Maps> = Box::new([[Adaptive(u32::MAX); 256]; CONTEXTS]);
    let mut sight = Sight { inputs: [1; INPUTS], classes: [0; LANES] };
    let known = Portable.look(&t, &Row([0; LANES]), &maps, &[[5, 6, 7]; PER], &mut sight);
    assert_eq!(known, 0);
    for plane in sight.inputs.chunks(LANES) {
        assert_eq!(plane[..CONTEXTS], [0; CONTEXTS]);
        assert_eq!(plane[CONTEXTS..], [5, 6, 7]);
    }
    let mut row = Row([0; LANES]);
    row.0[4] = memory::learn(0, true, t.states);
    let known = Portable.look(&t, &row, &maps, &[[0; LANES - CONTEXTS]; PER], &mut sight);
    assert_eq!(known, 1 << 4);
    assert!(sight.inputs[4] > 2000 && sight.inputs[LANES + 4] == sight.inputs[4] && sight.inputs[2 * LANES + 4] > 0);
}

#[test]
fn logits_of_sets_are_bounded() {
    let mut set = Set::ZERO;
    set.upper.fill(8192);
    let others = Set::ZERO;
    let mut sets = [&others; SETS];
    sets[2] = &set;
    assert_eq!(Portable.mix(sets, &[500; INPUTS])[1..4], [0, BOUND as i16, 0]);
    assert_eq!(Portable.mix(sets, &[-500; INPUTS])[1..4], [0, -BOUND as i16, 0]);
    assert_eq!(Portable.mix(sets, &[1; INPUTS])[2], INPUTS as i16);
}
