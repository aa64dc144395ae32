//! Work on numbered items by several threads, whose results are taken in order.

use std::ops::ControlFlow;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

/// More threads than this wait for the one that takes the results.
const MOST_THREADS: usize = 4;

/// Results of each thread that may wait to be taken, besides the one that it works on.
const AHEAD: usize = 2;

/// Calls `make` for the items below `count`, on as many threads as there are cores, up to four, and `take` with the
/// results in ascending order, on this thread, until it breaks. No more than a dozen results are made and
/// not taken yet, which bounds their memory. What is left of a result goes back to the thread that has made it:
/// freeing memory of another thread costs several times as much.
pub(super) fn in_order<T: Send>(
    count: usize,
    make: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, &mut T) -> ControlFlow<()>,
) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(count);
    // One item, or one core: a thread would only cost.
    let threads = if threads < 2 { 0 } else { threads };
    let make = &make;
    thread::scope(|scope| {
        // Each thread has every `threads`-th item, so that results come from them in turns.
        let start = |first: usize| {
            let (send, results) = sync_channel(AHEAD);
            let (give_back, leftovers) = channel::<T>();
            // Sending fails when enough was taken.
            let work = move || {
                (first..count).step_by(threads).all(|item| {
                    leftovers.try_iter().for_each(drop);
                    send.send(make(item)).is_ok()
                })
            };
            let builder = thread::Builder::new().name("entries".into());
            builder.spawn_scoped(scope, work).ok().map(|_| (results, give_back))
        };
        let lanes: Vec<_> = (0..threads).map(start).collect();
        for item in 0..count {
            let taken = match lanes.get(item % threads.max(1)) {
                // A lane ends early where its thread has panicked, which the scope passes on.
                Some(Some((results, give_back))) => match results.recv() {
                    Ok(mut result) => {
                        let taken = take(item, &mut result);
                        // Fails when the lane has made its last.
                        drop(give_back.send(result));
                        taken
                    }
                    Err(_) => return,
                },
                // Its thread could not be started.
                Some(None) | None => take(item, &mut make(item)),
            };
            if taken.is_break() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn taken(count: usize, most: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        in_order(
            count,
            |item| item * 3,
            |item, result| {
                assert_eq!(*result, item * 3);
                taken.push(item);
                if taken.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        taken
    }

    #[test]
    fn results_come_in_order_until_enough_are_taken() {
        for count in [0, 1, 2, 3, 100] {
            assert_eq!(taken(count, usize::MAX), (0..count).collect::<Vec<_>>());
            assert_eq!(taken(count, 2), (0..count.min(2)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_is_passed_on() {
        let made = catch_unwind(AssertUnwindSafe(|| {
            in_order(50, |item| assert_ne!(item, 7), |_, _| ControlFlow::Continue(()));
        }));
        assert!(made.is_err());
    }
}
