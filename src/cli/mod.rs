//! The command line: parse into `args`, validate into a `plan`, run one command, report.

mod args;
mod cache;
mod cat;
mod context;
mod create;
mod disk;
mod engine;
mod extract;
mod info;
mod input;
mod json;
mod level;
mod list;
mod models;
mod mount;
mod output;
mod plan;
mod progress;
mod recover;
mod shell;
mod test;
mod units;

use std::io::Write;
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Args, Chatter, Command};
use context::Context;

use crate::container::ContainerError;
use crate::error::ExitCode;
use crate::format::{FormatError, HEADER_LEN};
use crate::{Error, Result, escape};

/// Runs the program.
#[must_use]
pub fn main() -> std::process::ExitCode {
    log_where_asked_for();
    let code = match Args::try_parse() {
        Ok(args) => dispatch(args.command),
        Err(error) => {
            // What cannot be printed is not worth another failure.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Ok as u8,
                _ => ExitCode::Usage as u8,
            }
        }
    };
    std::process::ExitCode::from(code)
}

/// Diagnostics on standard error for those who set `LMA_LOG`, for example to `debug`.
fn log_where_asked_for() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("LMA_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}

fn dispatch(command: Command) -> u8 {
    match command {
        Command::Create(args) => run(args.chatter, true, |context| create::run(plan::Create::new(args)?, context)),
        Command::Extract(args) => run(args.chatter, true, |context| extract::run(&plan::Extract::new(args)?, context)),
        Command::List(args) => run(quiet(), true, |context| list::run(args, context)),
        Command::Cat(args) => run(quiet(), true, |context| cat::run(plan::Cat::new(args)?, context)),
        Command::Test(args) => run(args.chatter, true, |context| test::run(&plan::Test::new(args)?, context)),
        Command::Recover(args) => run(args.chatter, true, |context| recover::run(&plan::Recover::new(args)?, context)),
        Command::Info(args) => run(quiet(), true, |context| info::run(args, context)),
        Command::Models(args) => run(quiet(), true, |context| models::run(&args, context)),
        Command::Cache(args) => run(quiet(), true, |context| cache::run(&args, context)),
        Command::Completions(args) => run(quiet(), false, |context| shell::completions(&args, context)),
        Command::Man(args) => run(quiet(), false, |_| shell::man(&args)),
        // A mount handles signals itself, and its background process must start before any thread.
        Command::Mount(args) => match plan::Mount::new(args).and_then(|plan| mount::start(&plan)) {
            Ok(mount::Started::Parent(code)) => code,
            Ok(mount::Started::Serve(plan)) => run(quiet(), false, |context| mount::run(plan, context)),
            Err(error) => run(quiet(), false, |_| Err(error)),
        },
        Command::Unmount(args) => run(quiet(), false, |_| mount::unmount(&args)),
    }
}

fn quiet() -> Chatter {
    Chatter { verbose: false, quiet: true }
}

/// Runs a command in fresh surroundings, reports its error, and tells the exit code.
fn run(chatter: Chatter, signals: bool, command: impl FnOnce(&Context) -> Result<()>) -> u8 {
    let context = Context::new(chatter);
    let done = if signals { context.watch_signals() } else { Ok(()) }.and_then(|()| command(&context));
    context.reporter.finish();
    let code = match done {
        Ok(()) => context.exit_code(),
        Err(error) if context.stdout.closed() && output::is_broken_pipe(&error) => context.exit_code(),
        // Whatever broke off because of it, in whichever layer.
        Err(_) if context.interrupt.raised() => report(&Error::Interrupted, None),
        Err(error) => report(&error, context.archive()),
    };
    code as u8
}

fn report(error: &Error, archive: Option<&Path>) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let text = match (error, archive) {
        // These know the place in the archive, and not which archive it is.
        (Error::Container(error), Some(archive)) => match no_archive(error) {
            Some(why) => format!("{} is not an lma archive: {why}", archive.display()),
            None => format!("{}: {error}", archive.display()),
        },
        _ => error.to_string(),
    };
    // There is nowhere else to say it.
    let _ = writeln!(stderr, "lma: {}", escape::message(&text));
    if let Some(hint) = hint(error) {
        let _ = writeln!(stderr, "lma: hint: {hint}");
    }
    error.exit_code()
}

/// Why a file is most likely no archive at all, rather than a damaged one; the exit code is the same.
fn no_archive(error: &ContainerError) -> Option<&'static str> {
    match error {
        ContainerError::Truncated(0) => Some("it is empty"),
        ContainerError::Truncated(len) if *len < HEADER_LEN as u64 => Some("it is too short"),
        ContainerError::Format { position: 0, error: FormatError::Corrupt { .. } } => {
            Some("it does not begin like one (if its first bytes are damaged, `lma recover` saves what is intact)")
        }
        _ => None,
    }
}

/// What a person could do next, where the error itself does not say it.
fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Usage(_) => Some("try `lma help`"),
        Error::Container(error) if no_archive(error).is_some() => None,
        _ if error.exit_code() == ExitCode::Corrupt => {
            Some("`lma test` lists all damage, and `lma recover BAD GOOD` saves what is intact")
        }
        _ => None,
    }
}
