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

/// Steps in order.
#[derive(Default)]
pub struct Plan {
    steps: Vec<Box<dyn Step>>,
}

impl Plan {
    /// Adds a step to the end.
    pub fn push(&mut self, step: impl Step + 'static) {
        self.steps.push(Box::new(step));
    }

    /// Number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Has the team go through all steps; each begins when all threads have ended the one before.
    ///
    /// # Errors
    /// The first refusal. All steps are run all the same.
    ///
    /// # Safety
    /// As [`Step::run`], for every step.
    pub unsafe fn run(&self, set: KernelSet, pool: &mut Pool) -> Result<(), Refusal> {
        let refused = Mutex::new(None);
        pool.run(&|member| {
            for step in &self.steps {
                // SAFETY: the caller's.
                if let Err(refusal) = unsafe { step.run(set, member) } {
                    refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
                }
                member.meet();
            }
        });
        refused.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
