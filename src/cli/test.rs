//! `lma test`.

use serde_json::json;

use super::context::Context;
use super::engine::Engine;
use super::json;
use super::plan::Test;
use super::{input, no_archive, units};
use crate::container::{ContainerError, VerifyReport, verify};
use crate::limits::Limits;
use crate::{Result, escape};

/// Decodes everything and reports what is damaged, by chunk and by file.
///
/// # Errors
/// What prevents a verdict: a missing model, I/O, an interruption. Damage is not an error here but in
/// the exit code.
pub(super) fn run(plan: &Test, context: &Context) -> Result<()> {
    let models = Engine::new(&plan.machine, &context.interrupt)?.models();
    let source = input::source(&plan.archive, context)?;
    let workers = plan.machine.workers(true);
    let mut report = verify(source, &Limits::default(), &*models, workers, &context.reporter, &context.interrupt)?;
    context.reporter.finish();
    if !plan.json
        && report.chunks_good + report.files_good == 0
        && report.chunks_bad.is_empty()
        && let Some(at) = report.structure.iter().position(|error| no_archive(error).is_some())
    {
        return Err(report.structure.swap_remove(at).into());
    }
    if !report.is_good() {
        context.found_damage();
    }
    let lines = if plan.json { vec![as_json(&report)] } else { as_text(&report) };
    context.stdout.print(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn as_text(report: &VerifyReport) -> Vec<String> {
    let mut lines = Vec::new();
    for error in &report.structure {
        lines.push(format!("damaged: {}", escape::message(&error.to_string())));
    }
    for (number, error) in &report.chunks_bad {
        lines.push(format!("damaged: {}", escape::message(&chunk_text(*number, error))));
    }
    for path in &report.files_bad {
        lines.push(format!("not whole: {}", escape::name(path)));
    }
    let VerifyReport { chunks_good, files_good, .. } = report;
    lines.push(if report.is_good() {
        format!("good: {}, {}", units::count(*chunks_good, "chunk"), units::count(*files_good, "file"))
    } else {
        let (chunks, files, others) = (report.chunks_bad.len(), report.files_bad.len(), report.structure.len());
        format!(
            "DAMAGED: {chunks} of {}, {files} of {}, {}; `lma recover BAD GOOD` saves what is intact",
            units::count(chunks_good + chunks as u64, "chunk"),
            units::count(files_good + files as u64, "file"),
            units::count(others as u64, "other place"),
        )
    });
    lines
}

/// What is wrong with a chunk; names its number once.
fn chunk_text(number: u64, error: &ContainerError) -> String {
    match error {
        ContainerError::Chunk { .. } | ContainerError::MissingChunk(_) => error.to_string(),
        _ => format!("chunk {number}: {error}"),
    }
}

fn as_json(report: &VerifyReport) -> String {
    let chunks = report.chunks_bad.iter();
    json!({
        "good": report.is_good(),
        "chunks_good": report.chunks_good,
        "chunks_bad": chunks.map(|(number, why)| json!({ "chunk": number, "why": why.to_string() })).collect::<Vec<_>>(),
        "files_good": report.files_good,
        "files_bad": json::texts("path", &report.files_bad),
        "structure": report.structure.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_files_are_named_once() {
        let report = VerifyReport {
            chunks_good: 2,
            chunks_bad: vec![(5, ContainerError::MissingChunk(5)), (6, ContainerError::Truncated(99))],
            files_bad: vec![b"a\nb".to_vec()],
            ..VerifyReport::default()
        };
        let text = as_text(&report);
        assert_eq!(text[0], "damaged: chunk 5 is missing from the archive");
        assert!(text[1].starts_with("damaged: chunk 6: the archive is truncated"));
        assert_eq!(text[2], "not whole: a\\nb");
        assert!(text[3].starts_with("DAMAGED: 2 of 4 chunks, 1 of 1 file, 0 other places"));
        let json: serde_json::Value = serde_json::from_str(&as_json(&report)).unwrap();
        assert_eq!((&json["good"], &json["chunks_bad"][0]["chunk"]), (&false.into(), &5.into()));
        assert_eq!(json["files_bad"][0]["path"], "a\nb");
    }

    #[test]
    fn a_good_archive_is_one_line() {
        let report = VerifyReport { chunks_good: 3, files_good: 9, ..VerifyReport::default() };
        assert_eq!(as_text(&report), ["good: 3 chunks, 9 files"]);
    }
}
