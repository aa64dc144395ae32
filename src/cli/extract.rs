//! `lma extract`.

use std::sync::Arc;

use super::context::Context;
use super::engine::Engine;
use super::plan::{self, Extract, Input, Selection, Target};
use super::{disk, input, output, units};
use crate::Result;
use crate::archive::{self, ExtractOptions, Outcome};
use crate::cache::ArchiveCache;
use crate::container::Reader;
use crate::limits::Limits;
use crate::predict::Models;
use crate::progress::Progress;

/// Extracts an archive into a directory, to standard output, or into a tar file.
///
/// # Errors
/// Those of [`archive::extract`].
pub(super) fn run(plan: &Extract, context: &Context) -> Result<()> {
    let models = Engine::new(&plan.machine, &context.interrupt)?.models();
    let Some(members) = members(&plan.selection)? else {
        context.reporter.warn("the list of members is empty: nothing is extracted");
        return Ok(());
    };
    let mut options = options(plan, members);
    let outcome = match (&plan.archive, &plan.target) {
        (Input::Stdin, Target::Directory(_)) => {
            context.works_on(plan.archive.path());
            let limits = Limits::default();
            let stream = input::binary_stream(&plan.archive)?;
            options.workers = plan.machine.workers(true);
            archive::extract_stream(stream, &limits, &models, &options, &context.reporter, &context.interrupt)?
        }
        (_, target) => {
            let reader = input::reader(&plan.archive, context)?;
            options.workers = plan.machine.workers(!reader.models().is_empty());
            let disk = plan.disk_budget.and_then(|budget| disk::open(budget, &reader));
            options.disk = disk.map(ArchiveCache::load_only);
            at_random(&reader, &models, &options, target, context)?
        }
    };
    let Outcome { entries, raw_bytes, .. } = outcome;
    context.reporter.summary(&format!("{}, {}", units::count(entries, "entry"), units::bytes(raw_bytes)), raw_bytes);
    Ok(())
}

fn at_random(
    reader: &Arc<Reader>,
    models: &Arc<dyn Models>,
    options: &ExtractOptions,
    target: &Target,
    context: &Context,
) -> Result<Outcome> {
    let (reporter, interrupt) = (&context.reporter, &context.interrupt);
    match target {
        Target::Directory(_) => archive::extract(reader, models, options, reporter, interrupt),
        Target::Content => archive::cat(reader, models, options, context.stdout.clone(), reporter, interrupt),
        Target::Tar(tar) => output::write_binary(tar, &context.stdout, |out| {
            archive::extract_to_tar(reader, models, options, out, reporter, interrupt)
        }),
    }
}

fn options(plan: &Extract, members: Vec<Vec<u8>>) -> ExtractOptions {
    ExtractOptions {
        dest: match &plan.target {
            Target::Directory(dir) => dir.clone(),
            Target::Content | Target::Tar(_) => ".".into(),
        },
        strip_components: plan.strip_components,
        keep_old: plan.keep_old,
        preserve: plan.preserve,
        numeric_owner: plan.numeric_owner,
        members,
        excludes: plan.selection.excludes.clone(),
        workers: 1,
        disk: None,
    }
}

/// The members that are named and listed; none of them: everything. `None`: the lists are empty, so that
/// nothing is asked for.
fn members(selection: &Selection) -> Result<Option<Vec<Vec<u8>>>> {
    let Selection { members, lists, null, .. } = selection;
    if lists.is_empty() {
        return Ok(Some(members.clone()));
    }
    let listed = input::names(lists, *null)?;
    if members.is_empty() && listed.is_empty() {
        return Ok(None);
    }
    let listed: Option<Vec<_>> = listed.into_iter().map(|name| plan::member(name.into())).collect();
    Ok(Some(listed.map(|listed| [members.as_slice(), &listed].concat()).unwrap_or_default()))
}
