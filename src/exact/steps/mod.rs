//! Operators on arrays, as the steps of a plan that a team of threads goes through.
//!
//! A step says which part of the result each thread computes, from the thread's number alone; no
//! operator looks across rows of different tokens, so a result depends neither on the number of threads nor
//! on what else is in the batch (spec/numerics.md §4).
#![allow(unsafe_code)]

mod attention;
mod binary;
mod cells;
mod norm;
mod product;
mod rope;
mod rows;
mod unary;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

pub use attention::Attention;
pub use binary::{Binary, BinaryOp};
pub use cells::{Keys, Lanes, See, Seen, Slide};
pub use norm::{Norm, NormKind};
pub use product::{DenseProduct, Inputs, QuantizeInputs, QuantizedProduct};
pub use rope::{Pairing, Rope, RopeTable, RopeTerms};
pub use rows::{Copy, GetRows, GetWeights, Ring, SetRows};
pub use unary::{Glu, Scale, Unary, UnaryOp};

use super::KernelSet;
use super::pool::{Member, Pool};

/// Why a step could not be done: its input is not what the specification allows.
pub type Refusal = &'static str;

/// One operator, or a part of one, on given memory.
pub trait Step: Send + Sync {
    /// Among how many threads the work can be divided at most. If it cannot be divided, the last thread does it.
    fn items(&self) -> usize {
        usize::MAX
    }

    /// Of a product of quantised columns: the columns, and the addresses of the result. It reads and writes nothing else
    /// but weights.
    fn product(&self) -> Option<(&Inputs, Range<usize>)> {
        None
    }

    /// Does this thread's share.
    ///
    /// # Errors
    /// Where the values, not the shapes, are not allowed: an index beyond an array, a mask with holes. The
    /// result is unspecified then.
    ///
    /// # Safety
    /// The processor runs `set`; the memory behind the step's views is valid, and nobody but the team that
    /// runs this step touches it.
    unsafe fn run(&self, set: KernelSet, member: &Member<'_>) -> Result<(), Refusal>;
}

/// A step, and whether the threads meet behind it.
struct Place {
    step: Box<dyn Step>,
    meets: bool,
}

/// Steps in order.
#[derive(Default)]
pub struct Plan {
    places: Vec<Place>,
}

impl Plan {
    /// Adds a step to the end.
    pub fn push(&mut self, step: impl Step + 'static) {
        let goes_on = self.goes_on(&step);
        if let Some(last) = self.places.last_mut() {
            last.meets = !goes_on;
        }
        self.places.push(Place { step: Box::new(step), meets: true });
    }

    /// Whether `next` may begin before all threads have ended the steps since the last meeting.
    ///
    /// If neither the last step nor this one can be divided, one thread does both, in order; the others have met it
    /// before the first such step. And products of the same columns do not touch what the others touch, if their
    /// results are different memory.
    fn goes_on(&self, next: &dyn Step) -> bool {
        let Some(last) = self.places.last() else { return false };
        if last.step.items() <= 1 && next.items() <= 1 {
            return true;
        }
        let Some((columns, out)) = next.product() else { return false };
        let since = self.places.iter().rev().enumerate().take_while(|(i, place)| *i == 0 || !place.meets);
        since.map(|(_, place)| place.step.product()).all(|product| {
            product.is_some_and(|(others, theirs)| {
                std::ptr::eq(others, columns) && (theirs.end <= out.start || out.end <= theirs.start)
            })
        })
    }

    /// Number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Has the team go through all steps; each begins when all threads have ended those before that it depends on.
    ///
    /// # Errors
    /// The first refusal. All steps are run all the same.
    ///
    /// # Safety
    /// As [`Step::run`], for every step.
    pub unsafe fn run(&self, set: KernelSet, pool: &mut Pool) -> Result<(), Refusal> {
        let refused = Mutex::new(None);
        pool.run(&|member| {
            for Place { step, meets } in &self.places {
                // SAFETY: the caller's.
                if let Err(refusal) = unsafe { step.run(set, member) } {
                    refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
                }
                if *meets {
                    member.meet();
                }
            }
        });
        refused.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
