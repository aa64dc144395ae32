//! What every command is given: how to speak, whether to stop, and where damage is noted.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::args::Chatter;
use super::output::Stdout;
use super::progress::Reporter;
use crate::error::ExitCode;
use crate::progress::Interrupt;
use crate::{Error, Result};

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

    /// Lets the first Ctrl-C (or SIGTERM, SIGHUP) raise the interrupt, and the second end the process.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn watch_signals(&self) -> Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        use signal_hook::flag::{register, register_conditional_shutdown};
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let flag = self.interrupt.flag();
            // In this order: the shutdown looks at the flag before the first signal raises it.
            register_conditional_shutdown(signal, ExitCode::Interrupted as i32, flag.clone())
                .and_then(|_| register(signal, flag))
                .map_err(Error::io("handling", "signals"))?;
        }
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
