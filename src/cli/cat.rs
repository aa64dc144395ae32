//! `lma cat`.

use super::context::Context;
use super::engine::Engine;
use super::plan::Cat;
use super::{disk, input};
use crate::Result;
use crate::archive::{self, ExtractOptions};

/// Writes the content of members to standard output.
///
/// # Errors
/// Those of [`archive::cat`].
pub(super) fn run(plan: Cat, context: &Context) -> Result<()> {
    let models = Engine::new(&plan.machine, &context.interrupt)?.models();
    let reader = input::reader(&plan.archive, context)?;
    let workers = plan.machine.workers(!reader.models().is_empty());
    let disk = plan.disk_budget.and_then(|budget| disk::open(budget, &reader));
    let options = ExtractOptions { members: plan.members, workers, disk, ..ExtractOptions::default() };
    archive::cat(&reader, &models, &options, context.stdout.clone(), &context.reporter, &context.interrupt)?;
    Ok(())
}
