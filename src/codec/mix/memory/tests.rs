//! Against a map that never forgets, and has no runs.

use std::collections::HashMap;

use super::super::kernel::Portable;
use super::*;

/// Slots by lane's hash and the bits of the byte so far behind a 1.
#[derive(Default)]
struct Naive(HashMap<(u32, u32), u16>);

impl Naive {
    fn slot(&self, hash: u32, bits: u32) -> u16 {
        self.0.get(&(hash, bits)).copied().unwrap_or(0)
    }

    fn learn(&mut self, hash: u32, bits: u32, bit: bool) {
        let slot = self.slot(hash, bits);
        self.0.insert((hash, bits), learn(slot, bit, &state::ALL));
    }
}

fn memory(known: Option<Arc<Known>>) -> Memory {
    Memory::new(17, 15, known)
}

/// Bytes in contexts of different orders: lane `i` knows up to `i % 4` bytes before, and a salt.
fn contexts(before: &[u8]) -> [u32; LANES] {
    std::array::from_fn(|i| {
        let order = before.len().min(i % 4);
        let known = before[before.len() - order..].iter().fold(1, |all, &byte| all << 8 | u32::from(byte));
        known.wrapping_mul(0x9e37_79b1) ^ (i as u32) << 20
    })
}

/// Takes a text in. `see` is shown each decision's row before it is learnt.
fn take(memory: &mut Memory, text: &[u8], mut see: impl FnMut(usize, &[u32; LANES], u32, &Row)) {
    let mut last = None;
    for (at, &byte) in text.iter().enumerate() {
        let hashes = contexts(&text[..at]);
        memory.begin(Portable, &hashes, last);
        let whole = u32::from(byte) | 256;
        for bit in 0..8 {
            let (bits, one) = (whole >> (8 - bit), whole >> (7 - bit) & 1 == 1);
            let node = node(bits, bit) as usize;
            see(at, &hashes, bits, &memory.rows[node]);
            for slot in &mut memory.rows[node].0[..CONTEXTS] {
                *slot = learn(*slot, one, &state::ALL);
            }
            match bit {
                2 | 5 => memory.group(Portable, whole >> (7 - bit), bit + 1),
                7 => memory.leave(whole, 2),
                _ => {}
            }
        }
        last = Some(byte);
    }
}

fn random(len: usize, seed: u32, byte: impl Fn(u32) -> u8) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        byte(state >> 16)
    };
    (0..len).map(|_| next()).collect()
}

/// Few bytes that differ in all groups of bits or in one only; runs, short and long, and what ends them.
fn texts() -> Vec<Vec<u8>> {
    let runs = [&[b'a'; 100][..], b"b", &[b'a'; 50], b"c", &[0; 41], b"\x01", &[0; 3], b"\x80\0\0\xff"].concat();
    vec![
        runs,
        b"the model is the model, the lma is the lma, the end is the end. ".repeat(6),
        random(700, 1, |n| b"abcd"[n as usize % 4]),
        random(700, 2, |n| [0x00, 0x20, 0x24, 0x25, 0xff][n as usize % 5]),
        random(500, 3, |n| n as u8),
        random(700, 4, |n| if n % 40 == 0 { n as u8 } else { b'x' }),
    ]
}

#[test]
fn predicts_like_a_map_whether_by_runs_or_by_buckets() {
    for (number, text) in texts().into_iter().enumerate() {
        let (mut memory, mut naive) = (memory(None), Naive::default());
        let mut seen = 0;
        take(&mut memory, &text, |at, hashes, bits, row| {
            let one = (u32::from(text[at]) | 256) >> (7 - bits.ilog2()) & 1 == 1;
            for i in 0..CONTEXTS {
                let slot = naive.slot(hashes[i], bits);
                assert_eq!(row.0[i], slot, "text {number}, byte {at}, bits {bits:#b}, context {i}");
                seen += usize::from(slot != 0);
                naive.learn(hashes[i], bits, one);
            }
        });
        assert!(seen > 1000 || number == 4, "text {number}: {seen} slots had seen something");
    }
}

#[test]
fn what_others_have_learnt_is_known_as_if_it_were_ones_own() {
    for (number, text) in texts().into_iter().enumerate() {
        for cut in [1, text.len() / 2, text.len() - 20] {
            let (first, second) = text.split_at(cut);
            let mut own = memory(None);
            take(&mut own, first, |_, _, _, _| {});
            let known = Arc::new(own.clone().into_known());
            let mut other = memory(Some(Arc::clone(&known)));
            let mut rows = Vec::new();
            take(&mut own, second, |_, _, _, row| rows.push(row.0));
            let mut rows = rows.into_iter();
            take(&mut other, second, |at, _, bits, row| {
                let expected = rows.next().unwrap();
                assert_eq!(row.0[..CONTEXTS], expected[..CONTEXTS], "text {number} from {cut}, byte {at}, {bits:#b}");
            });
        }
    }
}

#[test]
fn what_is_known_stays_as_it_is() {
    let text = &texts()[1];
    let mut first = memory(None);
    take(&mut first, text, |_, _, _, _| {});
    let known = Arc::new(first.into_known());
    let run = |text: &[u8]| {
        let mut rows = Vec::new();
        take(&mut memory(Some(Arc::clone(&known))), text, |_, _, _, row| rows.push(row.0));
        rows
    };
    let once = run(&text[..100]);
    run(b"other text, and the model is no more the model");
    assert!(run(&text[..100]) == once);
}

/// Tables far too small: anything may be forgotten, nothing may go wrong.
#[test]
fn full_tables_forget() {
    let text = [random(3000, 9, |n| n as u8), texts().concat()].concat();
    let mut small = Memory::new(8, 8, None);
    let mut known = 0;
    take(&mut small, &text, |_, _, _, row| {
        for slot in &row.0[..CONTEXTS] {
            assert!(usize::from(slot & 0xff) < state::STATES);
            known += usize::from(*slot != 0);
        }
    });
    assert!(known > 0);
    let checks = |line: &Line| line.0[..WAYS].iter().filter(|&&check| check != 0).count();
    assert!(small.lines[..1 << 8].iter().all(|line| checks(line) == WAYS), "all lines are full");
    assert!(small.lines[1 << 8].0[1..].iter().all(|&slot| slot == 0), "the empty line stays empty");
}

#[test]
fn the_bucket_that_has_seen_least_gives_way() {
    let mut line = [0; LINE];
    for (way, check) in [11u32, 13, 15, 17].into_iter().enumerate() {
        let (offset, new) = bucket(&mut line, check);
        assert_eq!((offset, new), (WAYS - 1 + way * SLOTS, true));
        line[offset + 1] = [9, 4, 30, 4][way];
        line[offset + 7] = 99;
    }
    for (way, check) in [11, 13, 15, 17].into_iter().enumerate() {
        assert_eq!(bucket(&mut line, check), (WAYS - 1 + way * SLOTS, false));
    }
    // The first of those with the least.
    let (offset, new) = bucket(&mut line, 19);
    assert_eq!((offset, new), (WAYS - 1 + SLOTS, true));
    assert_eq!(line[offset + 1..][..SLOTS], [0; SLOTS]);
    assert_eq!(line[..WAYS], [11, 19, 15, 17]);
    assert_eq!(line[WAYS..][..SLOTS], [9, 0, 0, 0, 0, 0, 99]);
}

#[test]
fn checks_are_found_in_all_lanes() {
    for check in [1u32, 3, 0x7fff, 0x8001, 0xffff] {
        for way in 0..WAYS {
            for other in
                [0u16, 1, 0x8000, 0xffff, check as u16 ^ 1, check as u16 ^ 0x8000, (check as u16).wrapping_add(1)]
            {
                let mut line = [7; LINE];
                line[..WAYS].fill(other);
                line[way] = check as u16;
                let first = if u32::from(other) == check { 0 } else { way };
                assert_eq!(bucket(&mut line, check), (WAYS - 1 + first * SLOTS, false), "{check:#x} among {other:#x}");
            }
        }
    }
}

#[test]
fn single_decisions_are_kept() {
    let mut memory = memory(None);
    let slots: Vec<u16> = (1..200u16).map(|n| n << 8 | n).collect();
    for (hash, &slot) in (0..).zip(&slots) {
        let (place, found) = memory.single(Portable, hash * 77);
        assert_eq!(found, 0);
        memory.set_single(place, hash * 77, slot);
    }
    for (hash, &slot) in (0..).zip(&slots) {
        assert_eq!(memory.single(Portable, hash * 77).1, slot);
    }
}

#[test]
fn slots_learn_like_fractions() {
    let mut slot = 0;
    let mut p = 127.5;
    for n in 0..30u8 {
        let bit = n % 3 != 0;
        slot = learn(slot, bit, &state::ALL);
        p += (if bit { 255.0 } else { 0.0 } - p) / (f64::from(n.min(5)) + 1.5);
        let fast = f64::from(slot >> 8 ^ 0x80);
        // From 8 bits on, histories may have forgotten how many they have seen.
        assert!(n > 7 || (fast - p).abs() < 3.0, "{n} bits: {fast}, not {p}");
    }
}

#[test]
fn nodes_number_the_ways_through_three_bits() {
    for byte in 256..512u32 {
        for bit in 0..8 {
            let bits = byte >> (8 - bit);
            let behind: Vec<u32> = (0..bit % 3).map(|n| bits >> n & 1).collect();
            let expected = behind.iter().rev().fold(1, |node, bit| node << 1 | bit);
            assert_eq!(node(bits, bit), expected);
        }
    }
}
