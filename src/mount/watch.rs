//! Reads that will not be waited for any longer: their reader was told to end, or their time is over.
//!
//! The kernel lets a killed process go only when its read is answered, and fuser passes no interrupts on.
//! So whoever waits is looked after: a signal that ends the reader, or one of those by which people end
//! programs, takes the read back (`EINTR`), which frees its lane. Signals that programs receive in passing are
//! none of these: a program that gets many of them would never see the end of a read.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::cache::ChunkCache;
use super::errno::Errno;
use super::reading::Pending;

/// How often those who wait are looked after.
const POLL: Duration = Duration::from_millis(25);

/// It is never longer than this.
const LONGEST_POLL: Duration = Duration::from_millis(100);

/// The watch over reads that wait. Dropped, it joins its thread.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    cache: Arc<ChunkCache>,
    /// How long a read may wait.
    patience: Duration,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    reads: Vec<Watched>,
    stop: bool,
}

struct Watched {
    /// The thread that reads; 0 where it is not known.
    reader: u32,
    since: Instant,
    read: Weak<Pending>,
}

impl Watch {
    /// Starts the thread.
    pub(super) fn start(cache: Arc<ChunkCache>, patience: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared { cache, patience, state: Mutex::default(), wake: Condvar::new() });
        let watching = Arc::clone(&shared);
        let thread = thread::Builder::new().name("watch".into()).spawn(move || watching.watch())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Looks after a read until it is answered.
    pub(super) fn over(&self, reader: u32, read: &Arc<Pending>) {
        let watched = Watched { reader, since: Instant::now(), read: Arc::downgrade(read) };
        self.shared.lock().reads.push(watched);
        self.shared.wake.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panic, if there was one, has been reported.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) {
        let mut state = self.lock();
        while !state.stop {
            if state.reads.is_empty() {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.reads.retain(|watched| watched.read.upgrade().is_some_and(|read| !read.is_done()));
            let waiting: Vec<_> = state.reads.iter().map(|w| (w.reader, w.since, Weak::clone(&w.read))).collect();
            drop(state);
            let started = Instant::now();
            for (reader, since, read) in waiting {
                self.look_after(reader, since, &read);
            }
            // Very many who wait are looked after less often, so that it never costs a whole processor.
            thread::sleep(started.elapsed().clamp(POLL, LONGEST_POLL));
            state = self.lock();
        }
    }

    fn look_after(&self, reader: u32, since: Instant, read: &Weak<Pending>) {
        let expired = since.elapsed() >= self.patience;
        if !expired && (since.elapsed() < POLL || !is_ending(reader)) {
            return;
        }
        let Some(read) = read.upgrade() else { return };
        let (errno, stats) = (if expired { Errno::EIO } else { Errno::EINTR }, self.cache.stats());
        if !read.give_up(errno, &self.cache) {
            return;
        }
        if expired {
            stats.expired();
            tracing::error!(reader, "a read has waited {} s: it gets an error", self.patience.as_secs());
        } else {
            stats.cancelled();
        }
    }
}

/// Whether a thread has been told to end: a signal is pending that ends it, or asks it to.
#[cfg(target_os = "linux")]
fn is_ending(thread: u32) -> bool {
    thread != 0 && std::fs::read(format!("/proc/{thread}/status")).is_ok_and(|status| ends(&status))
}

/// Elsewhere readers that end wait for their bytes.
#[cfg(not(target_os = "linux"))]
fn is_ending(_: u32) -> bool {
    false
}

/// Reads `/proc/PID/status` (proc(5)): masks of signals, number 1 in the lowest bit.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn ends(status: &[u8]) -> bool {
    let bit = |signal: i32| 1u64 << (signal - 1);
    let bits = |signals: &[i32]| signals.iter().map(|&signal| bit(signal)).sum::<u64>();
    let mask = |name: &str| {
        let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
        u64::from_str_radix(std::str::from_utf8(line).ok()?.trim(), 16).ok()
    };
    let all = || Some((mask("SigPnd:")? | mask("ShdPnd:")?, mask("SigBlk:")?, mask("SigIgn:")?, mask("SigCgt:")?));
    let Some((pending, blocked, ignored, caught)) = all() else { return false };
    // What is stopped goes on later; and these end nobody, unless they are caught, which is not an end either.
    let passing = bits(&[
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGCONT,
        libc::SIGCHLD,
        libc::SIGURG,
        libc::SIGWINCH,
    ]);
    let asking = bits(&[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM]);
    let open = pending & !blocked & !ignored;
    pending & bit(libc::SIGKILL) != 0 || open & asking != 0 || open & !passing & !caught != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: u64, shared: u64, blocked: u64, ignored: u64, caught: u64) -> Vec<u8> {
        format!(
            "Name:\tcat\nSigQ:\t0/1\nSigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n\
             SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
        .into_bytes()
    }

    #[test]
    fn signals_that_end_a_program_are_told_from_those_in_passing() {
        let bit = |signal: i32| 1u64 << (signal - 1);
        let (kill, int, chld, urg, usr1) =
            (bit(libc::SIGKILL), bit(libc::SIGINT), bit(libc::SIGCHLD), bit(libc::SIGURG), bit(libc::SIGUSR1));
        assert!(!ends(&status(0, 0, 0, 0, 0)));
        assert!(ends(&status(kill, 0, !0, !0, !0)), "nothing keeps this one off");
        assert!(ends(&status(0, int, 0, 0, 0)));
        assert!(ends(&status(0, int, 0, 0, int)), "the program wants to know of it");
        assert!(!ends(&status(0, int, int, 0, 0)), "it is blocked");
        assert!(!ends(&status(0, int, 0, int, 0)), "it is ignored");
        assert!(ends(&status(0, usr1, 0, 0, 0)));
        assert!(!ends(&status(0, usr1, 0, 0, usr1)));
        assert!(!ends(&status(urg | chld, bit(libc::SIGTSTP), 0, 0, urg)));
        assert!(!ends(b"") && !ends(b"SigPnd:\tzzz\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_thread_goes_on() {
        assert!(!is_ending(std::process::id()));
        assert!(!is_ending(0) && !is_ending(u32::MAX));
    }
}
