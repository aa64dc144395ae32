//! `lma mount` and `lma unmount`.

use super::args::Unmount;
use super::context::Context;
use super::disk;
use super::engine::Engine;
use super::input;
use super::plan::{Input, Mount};
use crate::Result;
use crate::mount::{Background, DiskOptions, MountOptions, daemonize, serve};
use crate::progress::Progress;

/// Who goes on after [`start`].
pub(super) enum Started {
    /// This process serves the mount.
    Serve(Mount),
    /// Another one does, perhaps with warnings, or has failed to; exit with this code.
    Parent(u8),
}

/// Goes into the background unless asked not to. No thread may run yet.
///
/// # Errors
/// Those of [`daemonize`].
pub(super) fn start(plan: &Mount) -> Result<Started> {
    if plan.foreground {
        return Ok(Started::Serve(plan.clone()));
    }
    Ok(match daemonize()? {
        Background::Serve => Started::Serve(plan.clone()),
        Background::Parent(code) => Started::Parent(code),
    })
}

/// Serves the mount until it is unmounted.
///
/// # Errors
/// Those of [`serve`], and of an archive that cannot be opened.
pub(super) fn run(plan: Mount, context: &Context) -> Result<()> {
    let engine = Engine::new(&plan.machine, &context.interrupt)?;
    let reader = input::reader(&Input::File(plan.archive), context)?;
    // Names and other codecs' files can be read all the same. A reader will get no more than an I/O error, and the
    // reason is said while someone listens.
    for error in reader.models().iter().filter_map(|record| engine.search(record).err()) {
        context.reporter.warn(&format!("files that need it cannot be read: {error}"));
    }
    let models = engine.models();
    let disk = plan.disk_budget.zip(disk::directory()).map(|(budget, dir)| DiskOptions { dir, budget });
    let defaults = MountOptions::default();
    let options = MountOptions {
        mountpoint: plan.mountpoint,
        source_name: plan.source_name,
        cache_bytes: plan.cache_bytes.unwrap_or(defaults.cache_bytes),
        disk,
        lanes: plan.machine.streams,
        threads: plan.machine.threads,
        patience: plan.patience,
        offline: plan.offline,
        strict: plan.strict,
        status: plan.status,
        allow_other: plan.allow_other,
    };
    serve(reader, models, &options, &context.reporter, || context.exit_code() as u8)
}

/// Unmounts.
///
/// # Errors
/// Those of [`crate::mount::unmount`].
pub(super) fn unmount(args: &Unmount) -> Result<()> {
    crate::mount::unmount(&args.mountpoint)
}
