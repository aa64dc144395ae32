//! `lma completions` and `lma man`.

use clap::CommandFactory;

use super::args::{Args, Completions, Man};
use super::context::Context;
use crate::{Error, Result};

/// Writes a completion script.
///
/// # Errors
/// Writing.
pub(super) fn completions(args: &Completions, context: &Context) -> Result<()> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "lma", &mut script);
    context.stdout.print(|out| out.write_all(&script))
}

/// Writes `lma.1` and one page for each command.
///
/// # Errors
/// I/O.
pub(super) fn man(args: &Man) -> Result<()> {
    let dir = &args.directory;
    std::fs::create_dir_all(dir).map_err(Error::io("creating", dir))?;
    clap_mangen::generate_to(Args::command(), dir).map_err(Error::io("writing manual pages into", dir))
}
