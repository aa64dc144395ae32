//! Where contexts keep what they have seen (spec/mix-codec.md §4).
//!
//! Most contexts have only ever been followed by one byte. Such a context is one *entry* of 32
//! bits: a check, the byte, and how often it came. When another byte comes, the entry is expanded
//! into *buckets*: a check and seven slots, one for each way through three bits; a byte goes
//! through three of them. The histories and fast probabilities of a run follow from its length, so
//! that both forms predict the same.
//!
//! While a byte is coded the slots of its current three bits lie in *rows*, one for each way so
//! far, with a lane for each context. So the work on each bit is on one row, whatever the contexts
//! are.

use std::sync::Arc;

use super::kernel::{CONTEXTS, Kernel, LANES};
use super::state::{self, States};

/// Buckets in a line of 64 bytes, entries of a hash.
pub(super) const WAYS: usize = 4;
/// `u16`s in a line: the checks of its buckets, then slots 1 to 7 of each.
const LINE: usize = 32;
/// Slots in a bucket.
const SLOTS: usize = 7;

/// The length that says that a context's bytes are in buckets.
const EXPANDED: u8 = 255;
/// Runs are counted up to this length.
const LONGEST: u8 = 40;

/// A line of buckets. A slot: a bit history in the lower byte; the fast probability, less a half,
/// in the upper.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u16; LINE]);

const EMPTY: Line = Line([0; LINE]);

/// The entries of a hash: check (16 bits), byte (8), length of the run (8; 0: none).
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Entries([u32; WAYS]);

const NONE: Entries = Entries([0; WAYS]);

/// The slots of all contexts at one way through three bits.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Row(pub(super) [u16; LANES]);

/// For each way through three bits, and none: the slots that lie on it, apart for the two bits that
/// it goes on with. Slot 0 lies on none.
pub(super) type Paths = [[[u16; 8]; 2]; 9];

/// What the contexts' rows are laid from.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Layout {
    /// The slots of each bucket, 0 (which is none) to 7; zeros for runs.
    pub(super) buckets: [[u16; 8]; LANES],
    /// The way that each run goes through these three bits, or 8; an index of [`Paths`].
    pub(super) paths: [u32; LANES],
    /// The slots of runs, if a 0 follows and if a 1 does; zeros for buckets.
    pub(super) runs: [[u16; 2]; LANES],
}

/// Tables that were learnt once, and are shared: what a memory does not find in its own it takes from
/// them.
pub(super) struct Known {
    entries: Vec<Entries>,
    lines: Vec<Line>,
    entry_shift: u32,
    line_shift: u32,
}

impl Known {
    /// The entry of a context, 0 if there is none.
    #[inline(always)]
    fn entry(&self, kernel: impl Kernel, hash: u32) -> u32 {
        let group = &self.entries[(hash >> self.entry_shift) as usize].0;
        let (way, hit) = kernel.find(group, check(hash));
        if hit { group[way as usize & (WAYS - 1)] } else { 0 }
    }

    /// The slots of a bucket, if it is there.
    fn bucket(&self, hash: u32) -> Option<&[u16]> {
        let line = &self.lines[(hash >> self.line_shift) as usize].0;
        let way = line[..WAYS].iter().position(|&found| u32::from(found) == check(hash))?;
        Some(&line[WAYS + way * SLOTS..][..SLOTS])
    }
}

#[derive(Clone)]
pub(super) struct Memory {
    known: Option<Arc<Known>>,
    entries: Vec<Entries>,
    /// Behind the buckets: a line that stays empty, and one for what goes nowhere.
    lines: Vec<Line>,
    entry_shift: u32,
    line_shift: u32,
    empty: u32,
    states: &'static States,
    /// By length: the slot that has seen as many zeros, or ones.
    runs: Box<[[u16; 2]; 256]>,
    hashes: [u32; LANES],
    places: [u32; CONTEXTS],
    /// The entries as they were when the byte began, 0 if there were none.
    found: [u32; LANES],
    /// Lines that the rows go back to, and where in them slot 0 would be.
    homes: [u32; LANES],
    offsets: [u8; LANES],
    layout: Layout,
    pub(super) rows: [Row; 8],
}

const PATHS: Paths = {
    let mut paths = [[[0; 8]; 2]; 9];
    let mut path = 0;
    while path < 8 {
        paths[path][path >> 2 & 1][1] = 0xffff;
        paths[path][path >> 1 & 1][2 | path >> 2] = 0xffff;
        paths[path][path & 1][4 | path >> 1] = 0xffff;
        path += 1;
    }
    paths
};

#[inline(always)]
fn spread(hash: u32, salt: u32) -> u32 {
    let h = (hash ^ salt).wrapping_mul(0x9e37_79b1);
    (h ^ (h >> 15)).wrapping_mul(0x85eb_ca6b)
}

/// A slot after one more bit.
#[inline(always)]
pub(super) fn learn(slot: u16, bit: bool, states: &States) -> u16 {
    let after = states.after[usize::from(bit)][usize::from(slot & 0xff)];
    let p = i32::from(slot >> 8 ^ 0x80);
    let target = if bit { 255 } else { 0 };
    let p = p + (((target - p) * (after >> 16) as i32 + (1 << 14)) >> 15);
    (p as u16 ^ 0x80) << 8 | after as u16
}

impl Memory {
    pub(super) fn new(entry_bits: u32, line_bits: u32, known: Option<Arc<Known>>) -> Self {
        let states: &'static States = &state::ALL;
        let mut runs = Box::new([[0; 2]; 256]);
        for bit in [false, true] {
            let mut slot = 0;
            for run in runs.iter_mut().take(usize::from(LONGEST) + 1) {
                run[usize::from(bit)] = slot;
                slot = learn(slot, bit, states);
            }
        }
        let mut lines = vec![EMPTY; (1 << line_bits) + 2];
        lines[1 << line_bits].0[0] = 1;
        Self {
            known,
            entries: vec![NONE; 1 << (entry_bits - 2)],
            lines,
            entry_shift: 32 - (entry_bits - 2),
            line_shift: 32 - line_bits,
            empty: 1 << line_bits,
            states,
            runs,
            hashes: [0; LANES],
            places: [0; CONTEXTS],
            found: [0; LANES],
            homes: [0; LANES],
            offsets: [0; LANES],
            layout: Layout { buckets: [[0; 8]; LANES], paths: [8; LANES], runs: [[0; 2]; LANES] },
            rows: [Row([0; LANES]); 8],
        }
    }

    /// What was learnt, for others to know. The byte that was begun last is left out.
    pub(super) fn into_known(self) -> Known {
        let Self { entries, lines, entry_shift, line_shift, .. } = self;
        Known { entries, lines, entry_shift, line_shift }
    }

    /// The place of a hash's entry, and the entry, 0 if it is not there. If so, the place is the one
    /// to take: that of the shortest run.
    #[inline(always)]
    fn entry(&self, kernel: impl Kernel, hash: u32) -> (u32, u32) {
        let index = hash >> self.entry_shift;
        let group = &self.entries[index as usize].0;
        let (way, hit) = kernel.find(group, check(hash));
        let entry = group[way as usize & (WAYS - 1)];
        (index * WAYS as u32 + way, if hit { entry } else { 0 })
    }

    #[inline(always)]
    fn set_entry(&mut self, place: u32, entry: u32) {
        self.entries[place as usize / WAYS].0[place as usize % WAYS] = entry;
    }

    /// Begins a byte in these contexts; `last` is the byte before, if it was begun as well.
    #[inline(always)]
    pub(super) fn begin(&mut self, kernel: impl Kernel, hashes: &[u32; LANES], last: Option<u8>) {
        let (mut spreads, mut lines) = ([0; LANES], [0; LANES]);
        for i in 0..LANES {
            spreads[i] = spread(hashes[i], 0);
            lines[i] = spread(spreads[i], 1) >> self.line_shift;
        }
        for i in 0..CONTEXTS {
            kernel.prefetch(&self.entries, (spreads[i] >> self.entry_shift) as usize);
            kernel.prefetch(&self.lines, lines[i] as usize);
        }
        if let Some(known) = &self.known {
            for i in 0..CONTEXTS {
                kernel.prefetch(&known.entries, (spreads[i] >> known.entry_shift) as usize);
            }
        }
        // While these come, the byte before is finished.
        if let Some(byte) = last {
            self.finish(byte);
        }
        self.hashes = spreads;
        for i in 0..CONTEXTS {
            let (place, mut entry) = self.entry(kernel, spreads[i]);
            if entry == 0
                && let Some(known) = &self.known
            {
                entry = known.entry(kernel, spreads[i]);
                if entry as u8 == EXPANDED {
                    self.set_entry(place, entry);
                }
            }
            self.places[i] = place;
            self.found[i] = entry;
            self.layout.runs[i] = self.runs[entry as usize & 0xff];
        }
        self.group(kernel, 1, 0);
    }

    /// Goes on to the group that begins at bit number `bit`, 0, 3 or 6; `bits` are those of the byte
    /// so far behind a leading 1.
    #[inline(always)]
    pub(super) fn group(&mut self, kernel: impl Kernel, bits: u32, bit: u32) {
        let (mut lines, mut checks, mut homes, mut hashes) = ([0; LANES], [0; LANES], [0; LANES], [0; LANES]);
        let (empty, shift) = (self.empty, self.line_shift);
        for i in 0..LANES {
            let entry = self.found[i];
            let expanded = entry & 0xff == u32::from(EXPANDED);
            let hash = spread(self.hashes[i], bits);
            hashes[i] = hash;
            lines[i] = if expanded { hash >> shift } else { empty };
            checks[i] = if expanded { check(hash) } else { 1 };
            homes[i] = if expanded { hash >> shift } else { empty + 1 };
            let run = entry >> 8 & 0xff | 256;
            let path = (run << 1 >> (6 - bit)) & 7;
            self.layout.paths[i] = if run >> (8 - bit) == bits { path } else { 8 };
        }
        if bit > 0 {
            for i in 0..CONTEXTS {
                kernel.prefetch(&self.lines, lines[i] as usize);
            }
            // While these come, the group before is left.
            self.leave(bits, 3);
        }
        self.homes = homes;
        if let Some(known) = &self.known {
            // What will be recalled is on its way before the first of it is waited for.
            for i in 0..CONTEXTS {
                if found(&self.lines[lines[i] as usize].0, checks[i]) == 0 {
                    kernel.prefetch(&known.lines, (hashes[i] >> known.line_shift) as usize);
                }
            }
        }
        for i in 0..CONTEXTS {
            let line = &mut self.lines[lines[i] as usize].0;
            let (offset, new) = bucket(line, checks[i]);
            if new && let Some(known) = &self.known {
                recall(line, offset, known, hashes[i]);
            }
            self.offsets[i] = offset as u8;
            self.layout.buckets[i] = *line[offset..].first_chunk().unwrap_or(&[0; 8]);
        }
        kernel.lay(&self.layout, &PATHS, &mut self.rows);
    }

    /// Ends a group of `count` bits, the last of `bits`.
    #[inline(always)]
    pub(super) fn leave(&mut self, bits: u32, count: u32) {
        let second = (2 | bits >> (count - 1) & 1) as usize;
        let third = if count == 3 { (4 | bits >> 1 & 3) as usize } else { second };
        for i in 0..CONTEXTS {
            let line = &mut self.lines[self.homes[i] as usize].0;
            let offset = usize::from(self.offsets[i]);
            for node in [1, second, third] {
                line[(offset + node) % LINE] = self.rows[node].0[i];
            }
        }
    }

    /// The byte that was begun is known.
    #[inline(always)]
    fn finish(&mut self, byte: u8) {
        for i in 0..CONTEXTS {
            let (place, hash, entry) = (self.places[i], self.hashes[i], self.found[i]);
            let (old, length) = ((entry >> 8) as u8, entry as u8);
            if length == EXPANDED {
                continue;
            }
            if old == byte || length == 0 {
                let length = (length + 1).min(LONGEST);
                self.set_entry(place, check(hash) << 16 | u32::from(byte) << 8 | u32::from(length));
            } else {
                self.set_entry(place, check(hash) << 16 | u32::from(EXPANDED));
                self.expand(hash, old, length, byte);
            }
        }
    }

    /// Turns a run of `length` times `old` and one `new` into buckets.
    #[inline(never)]
    fn expand(&mut self, hash: u32, old: u8, length: u8, new: u8) {
        let (old, new) = (u32::from(old) | 256, u32::from(new) | 256);
        for bit in [0, 3, 6] {
            let ways = [old >> (8 - bit), new >> (8 - bit)];
            let paths = [old, new].map(|byte| (byte << 1 >> (6 - bit) & 7) as usize);
            self.lay_run(spread(hash, ways[0]), paths[0], usize::from(length));
            if ways[0] != ways[1] {
                self.lay_run(spread(hash, ways[1]), paths[1], 1);
                continue;
            }
            let hash = spread(hash, ways[0]);
            let line = &mut self.lines[(hash >> self.line_shift) as usize].0;
            let (offset, _) = bucket(line, check(hash));
            for (node, bit) in [(1, 2), (2 | paths[1] >> 2, 1), (4 | paths[1] >> 1, 0)] {
                let slot = &mut line[(offset + node) % LINE];
                *slot = learn(*slot, paths[1] >> bit & 1 == 1, self.states);
            }
        }
    }

    /// Makes a bucket that of a run of this length.
    #[inline(always)]
    fn lay_run(&mut self, hash: u32, path: usize, length: usize) {
        let [zero, one] = self.runs[length];
        let line = &mut self.lines[(hash >> self.line_shift) as usize].0;
        let (offset, _) = bucket(line, check(hash));
        for node in 1..8 {
            line[(offset + node) % LINE] = PATHS[path][0][node] & zero | PATHS[path][1][node] & one;
        }
    }

    /// Single decisions in these contexts will be asked for.
    #[inline(always)]
    pub(super) fn begin_singles(&mut self, kernel: impl Kernel, hashes: &[u32; CONTEXTS], last: Option<u8>) {
        for &hash in hashes {
            kernel.prefetch(&self.entries, (spread(hash, 2) >> self.entry_shift) as usize);
        }
        if let Some(byte) = last {
            self.finish(byte);
        }
    }

    /// The slot of a single decision in a context, and where it is.
    #[inline(always)]
    pub(super) fn single(&self, kernel: impl Kernel, hash: u32) -> (u32, u16) {
        let (place, entry) = self.entry(kernel, spread(hash, 2));
        (place, entry as u16)
    }

    #[inline(always)]
    pub(super) fn set_single(&mut self, place: u32, hash: u32, slot: u16) {
        self.set_entry(place, check(spread(hash, 2)) << 16 | u32::from(slot));
    }
}

/// What tells hashes of the same line apart; never 0, which is that of nothing.
#[inline(always)]
fn check(hash: u32) -> u32 {
    hash & 0xffff | 1
}

/// Fills a bucket that is new with what is known of it.
#[inline(never)]
fn recall(line: &mut [u16; LINE], offset: usize, known: &Known, hash: u32) {
    if let Some(slots) = known.bucket(hash) {
        line[offset + 1..][..SLOTS].copy_from_slice(slots);
    }
}

/// Where in a line the bucket with a check is: the lowest bit is the uppermost of a lane of 16 bits; 0
/// if it is not there.
#[inline(always)]
fn found(line: &[u16; LINE], check: u32) -> u64 {
    const ONES: u64 = 0x0001_0001_0001_0001;
    let checks = u64::from(line[0]) | u64::from(line[1]) << 16 | u64::from(line[2]) << 32 | u64::from(line[3]) << 48;
    let differ = checks ^ (u64::from(check) * ONES);
    // The lowest of the upper bits is that of the first lane of zeros.
    differ.wrapping_sub(ONES) & !differ & (ONES << 15)
}

/// Where in a line slot 0 of the bucket with a check would be, and whether the bucket is new: it is
/// emptied if it was another's.
#[inline(always)]
fn bucket(line: &mut [u16; LINE], check: u32) -> (usize, bool) {
    let zeros = found(line, check);
    let way = if zeros != 0 { zeros.trailing_zeros() / 16 } else { evict(line, check as u16) };
    (WAYS - 1 + (way as usize & (WAYS - 1)) * SLOTS, zeros == 0)
}

/// Gives the bucket that has seen least to another check.
#[inline(never)]
fn evict(line: &mut [u16; LINE], check: u16) -> u32 {
    let mut best = u32::MAX;
    for way in 0..WAYS {
        // Slot 1 is on every way, so it has seen what the bucket has.
        let seen = line[WAYS + way * SLOTS] & 0xff;
        best = best.min(u32::from(seen) << 2 | way as u32);
    }
    let way = best as usize & 3;
    line[way] = check;
    line[WAYS + way * SLOTS..][..SLOTS].fill(0);
    way as u32
}

/// Where in its group the slot for bit number `bit` lies, `bits` being those before it behind a 1.
#[inline(always)]
pub(super) fn node(bits: u32, bit: u32) -> u32 {
    let in_group = bit % 3;
    bits & ((1 << in_group) - 1) | 1 << in_group
}

#[cfg(test)]
mod tests;
