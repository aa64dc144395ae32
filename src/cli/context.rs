//! What every command is given: how to speak, whether to stop, and where damage is noted.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::args::Chatter;
use super::output::Stdout;
use super::progress::Reporter;
use crate::archive;
use crate::error::ExitCode;
use crate::progress::Interrupt;
use crate::{Error, Result};

/// Signals that come so close together are one: a terminal signals a whole group of processes, and what waits for
/// this one (`timeout`, `make`) passes the signal on.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// The surroundings of one command.
pub(super) struct Context {
    pub(super) reporter: Reporter,
    pub(super) interrupt: Interrupt,
    pub(super) stdout: Stdout,
    damage: AtomicBool,
    archive: OnceLock<PathBuf>,
}

impl Context {
    /// Surroundings whose interrupt nothing raises yet.
    pub(super) fn new(chatter: Chatter) -> Self {
        Self {
            reporter: Reporter::new(chatter.verbose, chatter.quiet),
            interrupt: Interrupt::default(),
            stdout: Stdout::default(),
            damage: AtomicBool::new(false),
            archive: OnceLock::new(),
        }
    }

    /// Lets the first Ctrl-C (or SIGTERM, SIGHUP) raise the interrupt, so that the command ends in order, and one
    /// that follows after [`SAME_SIGNAL`] end the process at once. Even then no unfinished archive stays behind.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn watch_signals(&self) -> Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Error::io("handling", "signals"))?;
        let interrupt = self.interrupt.clone();
        let watch = move || {
            let mut first = None;
            for _ in signals.forever() {
                interrupt.raise();
                if first.get_or_insert_with(Instant::now).elapsed() > SAME_SIGNAL {
                    archive::remove_unfinished();
                    std::process::exit(ExitCode::Interrupted as i32);
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(watch).map_err(Error::io("handling", "signals"))?;
        Ok(())
    }

    /// Notes which archive is being worked on, for messages that say what is wrong with it. The first one
    /// counts.
    pub(super) fn works_on(&self, archive: &Path) {
        let _ = self.archive.set(archive.to_path_buf());
    }

    /// The archive that is being worked on.
    pub(super) fn archive(&self) -> Option<&Path> {
        self.archive.get().map(PathBuf::as_path)
    }

    /// Notes that the archive is damaged though the command goes on.
    pub(super) fn found_damage(&self) {
        self.damage.store(true, Ordering::Relaxed);
    }

    /// The exit code of a command that did not fail.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.damage.load(Ordering::Relaxed) {
            ExitCode::Corrupt
        } else if self.reporter.warnings() > 0 {
            ExitCode::Warnings
        } else {
            ExitCode::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    #[test]
    fn damage_outranks_warnings() {
        let context = Context::new(Chatter { verbose: false, quiet: true });
        assert_eq!(context.exit_code(), ExitCode::Ok);
        context.reporter.warn("test");
        assert_eq!(context.exit_code(), ExitCode::Warnings);
        context.found_damage();
        assert_eq!(context.exit_code(), ExitCode::Corrupt);
    }
}
