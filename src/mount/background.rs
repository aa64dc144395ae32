//! The background process of a mount.
//!
//! Threads do not survive a fork, and a model must not be loaded twice, so nothing is forked:
//! the program is started again with the same arguments, and with [`CHILD`] in its environment.
//! The child keeps the standard error output until the mount is live, so that it reports its own
//! failures, and its standard output is a pipe to the parent: one byte says that the mount is
//! live, and is the code that the parent exits with; its end without a byte says that the child has
//! given up. Then the child leaves the session of the terminal and puts `/dev/null` in place of all
//! three. It keeps the working directory, since a model is found on first need, perhaps by a relative path.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Set in the environment of the child.
const CHILD: &str = "LMA_MOUNT_BACKGROUND";

/// What [`daemonize`] tells the process that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// This is the child: open the archive and call [`serve`](super::serve).
    Serve,
    /// This is the parent, and the mount is live in a child, or the child has given up. It has reported
    /// its warnings, or why, on the standard error output: exit with this code.
    Parent(u8),
}

/// Starts this program again, with the same arguments, as a background process, and waits until its
/// mount is live or it has given up. Call it first thing, before threads are started, files opened
/// or models loaded; in the child the same call returns [`Background::Serve`].
///
/// # Errors
/// [`Error::Io`] where the program cannot be started again, [`Error::Refused`] where the child is
/// killed before its mount is live.
pub fn daemonize() -> Result<Background> {
    if is_child() {
        return Ok(Background::Serve);
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("lma"));
    // By its path rather than /proc/self/exe, which `ps` would show as "exe".
    let program =
        std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let mut child = Command::new(&program)
        .arg0(name)
        .args(arguments)
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Error::io("starting", program))?;
    let mut code = [0];
    if child.stdout.take().is_some_and(|mut pipe| pipe.read_exact(&mut code).is_ok()) {
        return Ok(Background::Parent(code[0]));
    }
    let status = child.wait().map_err(Error::io("waiting for", "the background process"))?;
    match (status.code().map(u8::try_from), status.signal()) {
        (Some(Ok(0)), _) => Err(Error::Refused("the background process ended before its mount was live".into())),
        (Some(Ok(code)), _) => Ok(Background::Parent(code)),
        (_, signal) => Err(Error::Refused(format!(
            "the background process was killed by signal {} before its mount was live",
            signal.unwrap_or_default()
        ))),
    }
}

/// Whether this process was started by [`daemonize`].
pub(super) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// In the child: tells the parent that the mount is live and which code to exit with, and lets go of the terminal.
pub(super) fn detach(code: u8) -> io::Result<()> {
    let mut pipe = io::stdout();
    pipe.write_all(&[code])?;
    pipe.flush()?;
    // Fails where this process leads a session already, which is what is wanted.
    let _ = rustix::process::setsid();
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
