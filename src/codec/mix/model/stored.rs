//! What was learnt, as bytes (spec/mix-codec.md §12).
//!
//! Values that are those of [`Learnt::new`] are not stored: runs of them are skipped. Probabilities keep
//! 16 bits, weights their upper half in steps of 64.

use super::super::adaptive::Adaptive;
use super::super::apm::Points;
use super::super::kernel::{INPUTS, Set};
use super::super::maths::Maths;
use super::Learnt;
use crate::wire::{Cursor, put_varint};

/// Bits seen that a stored probability counts as.
const COUNT: u32 = 30;

/// Weights are stored in steps of 2^6.
const STEP_BITS: u32 = 6;

/// A set is stored if a weight is this far from its first value: that of few decisions is not.
const MOVED: i32 = 768;

/// Points of a refinement are stored in steps of this many logits.
const LOGITS: i32 = 22;

/// A refinement's context is stored if its points have seen this many bits together.
const SEEN: u32 = 96;

/// Writes those values of `now` that are worth it.
fn put<T>(out: &mut Vec<u8>, now: &[T], worth: impl Fn(usize, &T) -> bool, mut value: impl FnMut(&mut Vec<u8>, &T)) {
    let worth = |at: usize| worth(at, &now[at]);
    let mut at = 0;
    while at < now.len() {
        let same = (at..now.len()).take_while(|&at| !worth(at)).count();
        let other = (at + same..now.len()).take_while(|&at| worth(at)).count();
        put_varint(out, same as u64);
        put_varint(out, other as u64);
        for item in &now[at + same..at + same + other] {
            value(out, item);
        }
        at += same + other;
    }
}

/// Reads what [`put`] wrote over `now`.
fn get<T>(
    cursor: &mut Cursor<'_>,
    now: &mut [T],
    mut value: impl FnMut(&mut Cursor<'_>, &mut T) -> Option<()>,
) -> Option<()> {
    let mut at = 0;
    while at < now.len() {
        at = at.checked_add(usize::try_from(cursor.varint()?).ok()?)?;
        let other = usize::try_from(cursor.varint()?).ok()?;
        for item in now.get_mut(at..at.checked_add(other)?)? {
            value(cursor, item)?;
        }
        at += other;
    }
    (at == now.len()).then_some(())
}

fn put_adaptive(out: &mut Vec<u8>, value: &Adaptive) {
    out.extend((value.p() as u16).to_le_bytes());
}

fn get_adaptive(cursor: &mut Cursor<'_>, value: &mut Adaptive) -> Option<()> {
    *value = Adaptive(u32::from(cursor.u16()?) << 16 | COUNT);
    Some(())
}

/// The step that a weight is nearest to.
fn step(weight: i16) -> u8 {
    ((i32::from(weight) + (1 << (STEP_BITS - 1))) >> STEP_BITS).clamp(-128, 127) as u8
}

fn weight(step: u8) -> i16 {
    i16::from(step as i8) << STEP_BITS
}

impl Learnt {
    /// The bytes that [`Learnt::load`] reads.
    pub(in super::super) fn store(&self, lm: bool) -> Vec<u8> {
        let new = Self::new(lm);
        let maths = Maths::get();
        let mut out = Vec::new();
        for (now, new) in self.maps.iter().zip(&new.maps) {
            let new = new.as_flattened();
            put(&mut out, now.as_flattened(), |at, p| *p != new[at], put_adaptive);
        }
        put(&mut out, &self.matches, |at, p| *p != new.matches[at], put_adaptive);
        for (now, new) in self.sets.iter().zip(&new.sets) {
            let moved = |at: usize, set: &Set| {
                set.upper.iter().zip(&new[at].upper).any(|(&a, &b)| (i32::from(a) - i32::from(b)).abs() >= MOVED)
            };
            put(&mut out, now, moved, |out, set| out.extend(set.upper.map(step)));
        }
        put(
            &mut out,
            &self.last,
            |at, set| *set != new.last[at],
            |out, set| {
                for weight in set.upper {
                    out.extend(weight.to_le_bytes());
                }
            },
        );
        for now in &self.refine {
            let seen = |_, points: &Points| points.0.iter().map(|p| p.count()).sum::<u32>() >= SEEN;
            put(&mut out, now.points(), seen, |out, points| {
                out.extend(points.0.iter().map(|p| (maths.stretch(p.p()) / LOGITS) as u8));
            });
        }
        out
    }

    /// What was stored; `None` if the bytes are not that.
    pub(in super::super) fn load(lm: bool, cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut learnt = Self::new(lm);
        let maths = Maths::get();
        for map in &mut learnt.maps {
            get(cursor, map.as_flattened_mut(), get_adaptive)?;
        }
        get(cursor, &mut learnt.matches, get_adaptive)?;
        for sets in &mut learnt.sets {
            get(cursor, sets, |cursor, set| {
                set.upper = cursor.array::<INPUTS>()?.map(weight);
                Some(())
            })?;
        }
        get(cursor, &mut learnt.last, |cursor, set| {
            for weight in &mut set.upper {
                *weight = cursor.u16()? as i16;
            }
            Some(())
        })?;
        for apm in &mut learnt.refine {
            get(cursor, apm.points_mut(), |cursor, points| {
                for point in &mut points.0 {
                    let logit = i32::from(cursor.u8()? as i8) * LOGITS;
                    *point = Adaptive((maths.squash(logit) as u32) << 16 | COUNT);
                }
                Some(())
            })?;
        }
        Some(learnt)
    }
}
