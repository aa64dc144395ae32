//! Adaptive probability maps: a logit and a context, mapped to the probability that was true of
//! them before (spec/mix-codec.md §9).

use super::adaptive::Adaptive;
use super::kernel::Kernel;
use super::maths::{Maths, NAT};

/// Points of a context, one for each nat, from -7.5 to 7.5: a line of the cache.
const POINTS: usize = 16;

/// The largest position between the first point and the last.
const LAST: i32 = (POINTS as i32 - 1) * NAT - 1;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Points(pub(super) [Adaptive; POINTS]);

#[derive(Clone)]
pub(super) struct Apm {
    contexts: Vec<Points>,
    pub(super) limit: u32,
    context: usize,
    at: usize,
    /// How near the logit was to the upper point, of `NAT`.
    near: i32,
}

impl Apm {
    /// The identity, for `contexts` contexts.
    pub(super) fn new(contexts: usize, limit: u32) -> Self {
        let maths = Maths::get();
        let point = |i: usize| Adaptive::new(maths.squash(i as i32 * NAT - (LAST + 1) / 2) as u32);
        let points = Points(std::array::from_fn(point));
        Self { contexts: vec![points; contexts], limit, context: 0, at: 0, near: 0 }
    }

    /// A logit in this context will be refined.
    #[inline(always)]
    pub(super) fn enter(&mut self, kernel: impl Kernel, context: usize) {
        self.context = context;
        kernel.prefetch(&self.contexts, context);
    }

    /// The probability learnt for a logit in the context entered.
    #[inline(always)]
    pub(super) fn refine(&mut self, logit: i32) -> i32 {
        let position = (logit + (LAST + 1) / 2).clamp(0, LAST);
        self.near = position % NAT;
        self.at = (position / NAT) as usize;
        let points = &self.contexts[self.context].0;
        let (low, high) = (points[self.at & 15].p(), points[(self.at + 1) & 15].p());
        ((low * (NAT - self.near) + high * self.near) / NAT).clamp(1, 65535)
    }

    /// The two points that the last refined logit lay between, and the shares that they learn by.
    #[inline(always)]
    pub(super) fn pair(&self) -> ([u32; 2], [i32; 2]) {
        let points = &self.contexts[self.context].0;
        ([points[self.at & 15].0, points[(self.at + 1) & 15].0], [NAT - self.near, self.near])
    }

    /// Puts back what [`Apm::pair`] gave.
    #[inline(always)]
    pub(super) fn put(&mut self, low: u32, high: u32) {
        let points = &mut self.contexts[self.context].0;
        points[self.at & 15] = Adaptive(low);
        points[(self.at + 1) & 15] = Adaptive(high);
    }

    /// All points, context by context.
    pub(super) fn points(&self) -> &[Points] {
        &self.contexts
    }

    /// The same, to be set.
    pub(super) fn points_mut(&mut self) -> &mut [Points] {
        &mut self.contexts
    }
}

#[cfg(test)]
mod tests;
