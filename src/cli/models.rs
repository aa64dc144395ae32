//! `lma models`.

use serde_json::json;

use super::args::ModelList;
use super::context::Context;
use super::engine::registry;
use super::units;
use crate::model::{Found, Location};
use crate::{Result, escape};

/// Lists the models of this machine with their digests.
///
/// # Errors
/// Those of a `--model` that is none; writing.
pub(super) fn run(args: &ModelList, context: &Context) -> Result<()> {
    let registry = registry(args.model.as_deref());
    registry.preferred()?;
    let found = registry.list();
    context.stdout.print(|out| {
        for model in &found {
            let line = if args.json { as_json(model) } else { as_text(model) };
            writeln!(out, "{line}")?;
        }
        Ok(())
    })
}

fn place(model: &Found) -> String {
    match &model.location {
        Location::Builtin(_) => "built in".into(),
        Location::File(path) => path.display().to_string(),
    }
}

fn as_text(model: &Found) -> String {
    let (name, place) = (model.name(), place(model));
    let (name, place) = (escape::name(name.as_bytes()), escape::message(&place));
    format!("{}  {:>8}  {name}  {place}", model.sha256, units::bytes(model.size))
}

fn as_json(model: &Found) -> String {
    json!({
        "sha256": model.sha256.to_string(),
        "size": model.size,
        "name": model.name(),
        "builtin": matches!(model.location, Location::Builtin(_)),
        "path": match &model.location {
            Location::Builtin(_) => None,
            Location::File(path) => Some(path.display().to_string()),
        },
    })
    .to_string()
}
