//! `lma create`.

use super::context::Context;
use super::engine::Engine;
use super::output::Stdout;
use super::plan::{Content, Create};
use super::{input, output, units};
use crate::Result;
use crate::archive::{self, CreateOptions, Outcome};

/// Makes an archive.
///
/// # Errors
/// Those of [`archive::create`] and [`archive::create_from_tar`].
pub(super) fn run(plan: Create, context: &Context) -> Result<()> {
    context.works_on(plan.output.path());
    let order = "the archive's name comes first, before the files to put into it";
    output::spare_other_files(&plan.output, order)?;
    let model = Engine::new(&plan.machine, &context.interrupt)?.encoder(plan.choice, plan.level)?;
    let options = CreateOptions {
        chunk_size: plan.chunk_size,
        choice: plan.choice,
        level: plan.level,
        workers: plan.machine.workers(model.is_some()),
        model,
        excludes: plan.excludes,
        exclude_vcs: plan.exclude_vcs,
        one_file_system: plan.one_file_system,
    };
    let (reporter, interrupt) = (&context.reporter, &context.interrupt);
    // Not the context's: an archive that nobody reads to its end is a failure, unlike a listing.
    let stdout = Stdout::default();
    let outcome = match plan.content {
        Content::Tar(tar) => {
            let tar = input::binary_stream(&tar)?;
            output::write_binary(&plan.output, &stdout, |out| {
                archive::create_from_tar(tar, out, &options, reporter, interrupt)
            })
        }
        Content::Files { base, paths, lists, null } => {
            let listed = input::names(&lists, null)?;
            let all = paths.into_iter().chain(listed);
            let inputs: Vec<_> = all.map(|path| archive::Input::within(&base, path)).collect();
            output::write_binary(&plan.output, &stdout, |out| {
                archive::create(out, &inputs, &options, reporter, interrupt)
            })
        }
    }?;
    reporter.summary(&summary(&outcome), outcome.raw_bytes);
    Ok(())
}

fn summary(outcome: &Outcome) -> String {
    let Outcome { entries, raw_bytes, archive_bytes, .. } = *outcome;
    let (raw, stored) = (units::bytes(raw_bytes), units::bytes(archive_bytes));
    let (percent, bits) = (units::percent(archive_bytes, raw_bytes), units::bits_per_byte(archive_bytes, raw_bytes));
    let entries = units::count(entries, "entry");
    format!("{entries}, {raw} -> {stored} ({percent}, {bits:.3} bits per byte)")
}
