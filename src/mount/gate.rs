//! How many decodes have a processor at the same time. The others wait, those first that somebody waits for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::predict::{Audience, Urgency};

/// How often those who wait look whether they have become more urgent, or unwanted.
const POLL: Duration = Duration::from_millis(20);

/// The gate.
pub(super) struct Gate {
    state: Mutex<State>,
    left: Condvar,
}

struct State {
    free: usize,
    /// How many stand before the gate, and somebody waits for them.
    waited: usize,
}

impl Gate {
    /// A gate for `most` at a time, at least one.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free: most.max(1), waited: 0 }), left: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place. Whose audience has gone is let through: it ends by itself, at once.
    pub(super) fn enter(self: &Arc<Self>, audience: &dyn Audience) -> Place {
        let mut state = self.lock();
        loop {
            let urgency = audience.urgency();
            let first = urgency == Urgency::Waited || state.waited == 0;
            if urgency == Urgency::Dropped {
                return Place { gate: Arc::clone(self), taken: false };
            }
            if state.free > 0 && first {
                state.free -= 1;
                return Place { gate: Arc::clone(self), taken: true };
            }
            let waited = usize::from(urgency == Urgency::Waited);
            state.waited += waited;
            state = self.left.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
            state.waited -= waited;
        }
    }
}

/// A place behind the gate, given back when dropped.
pub(super) struct Place {
    gate: Arc<Gate>,
    taken: bool,
}

impl Place {
    /// Lets others pass who are waited for, if this one is not.
    pub(super) fn make_way(&mut self, audience: &dyn Audience) {
        if matches!(audience.urgency(), Urgency::Idle | Urgency::Ahead) && self.gate.lock().waited > 0 {
            self.leave();
            self.taken = std::mem::take(&mut self.gate.enter(audience).taken);
        }
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.gate.lock().free += 1;
            self.gate.left.notify_all();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::predict::whole;

    struct Idle;

    impl Audience for Idle {
        fn urgency(&self) -> Urgency {
            Urgency::Idle
        }
        fn wants(&self) -> usize {
            usize::MAX
        }
        fn hear(&self, _: &[u8]) {}
    }

    #[test]
    fn no_more_than_agreed_are_inside() {
        let gate = Gate::new(3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let _place = gate.enter(&*whole());
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 3);
        assert_eq!(gate.lock().free, 3);
    }

    #[test]
    fn an_idle_one_makes_way_for_one_that_is_waited_for() {
        let gate = Gate::new(1);
        let mut place = gate.enter(&Idle);
        place.make_way(&Idle);
        assert!(place.taken, "nobody is there to make way for");
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _place = gate.enter(&*whole());
                passed.store(1, Ordering::SeqCst);
            });
            while passed.load(Ordering::SeqCst) == 0 {
                place.make_way(&Idle);
                std::thread::yield_now();
            }
        });
        assert!(place.taken);
    }
}
