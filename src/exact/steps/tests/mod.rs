//! Every operator: all kernel sets and numbers of threads against each other, and against the mathematics in
//! binary64.

mod array;
mod attention;
mod elements;
mod golden;
mod norm;
mod plan;
mod products;
mod rope;
mod rows;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use super::*;
use crate::exact::view::{Element, View};
use array::{Array, Fill, Random};

/// Teams of 1, 2, 3 and 8 threads, shared by all tests.
static POOLS: LazyLock<[Mutex<Pool>; 4]> =
    LazyLock::new(|| [1, 2, 3, 8].map(|threads| Mutex::new(Pool::new(threads).unwrap())));

/// Runs the plan made for an array on copies of `out`, and returns what each run leaves there: every kernel set with
/// one thread, and with several, a different number each time.
fn runs(out: &Array, plan: impl Fn(View) -> Plan) -> Vec<Result<Array, Refusal>> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let mut results = Vec::new();
    for set in KernelSet::all_available() {
        for pool in [0, 1 + TURN.fetch_add(1, Ordering::Relaxed) % 3] {
            let mut out = out.clone();
            let plan = plan(out.view());
            let mut pool = POOLS[pool].lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: an available set; the arrays are the test's.
            let outcome = unsafe { plan.run(set, &mut pool) };
            results.push(outcome.map(|()| out));
        }
    }
    results
}

/// What all runs leave in `out`: the same, and nothing beside its elements.
fn everywhere(out: &Array, plan: impl Fn(View) -> Plan) -> Array {
    let mut results = runs(out, plan).into_iter().map(|result| result.unwrap());
    let first = results.next().unwrap();
    assert!(first.beside() == out.beside(), "something beside the elements was written");
    for (i, other) in results.enumerate() {
        assert!(first.bits() == other.bits(), "run {} differs", i + 1);
        assert!(first.beside() == other.beside(), "something beside the elements was written");
    }
    first
}

/// That all runs refuse, and say the same.
fn refused(out: &Array, plan: impl Fn(View) -> Plan) -> Refusal {
    let refusals: Vec<Refusal> = runs(out, plan).into_iter().map(|result| result.err().expect("a refusal")).collect();
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    refusals[0]
}

/// A plan of one step.
fn one(step: impl Step + 'static) -> Plan {
    let mut plan = Plan::default();
    plan.push(step);
    plan
}

/// Every place of an array.
fn places([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..a * b * c * d).map(move |i| [i % a, i / a % b, i / (a * b) % c, i / (a * b * c)])
}

/// The bits of `x`, one value for all NaNs: their signs and payloads are not specified.
fn bits(x: f32) -> u32 {
    if x.is_nan() { u32::MAX } else { x.to_bits() }
}

/// Fails where `x` is further than `allowed` from `y`.
fn assert_near(x: f32, y: f64, allowed: f64) {
    assert!((f64::from(x) - y).abs() <= allowed, "{x} is not within {allowed:e} of {y}");
}
