//! `lma recover`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;

use super::context::Context;
use super::json;
use super::output::Stdout;
use super::plan::{Input, Output, Recover};
use super::{input, output, units};
use crate::container::{RecoverReport, recover};
use crate::limits::Limits;
use crate::progress::Progress;
use crate::{Error, Result, escape};

/// Writes a new archive of all that is intact. What is lost is said by warnings, and so in the exit code.
///
/// # Errors
/// I/O, limits, an interruption, an archive without a single intact record.
pub(super) fn run(plan: &Recover, context: &Context) -> Result<()> {
    output::spare_other_files(&plan.good, "the damaged archive comes first, then the name of a new one")?;
    if let (Input::File(bad), Output::File(good)) = (&plan.bad, &plan.good)
        && is_same_file(bad, good)
    {
        let why = "the new archive would replace the damaged one, and with it what a later attempt may save; \
            give it another name";
        return Err(Error::Usage(why.into()));
    }
    let source = input::source(&plan.bad, context)?;
    // Not the context's standard output: an archive that nobody reads to its end is a failure.
    let report = output::write_binary(&plan.good, &Stdout::default(), |out| {
        recover(source, &Limits::default(), out, &context.reporter, &context.interrupt)
    })?;
    context.reporter.finish();
    for warning in losses(&report) {
        context.reporter.warn(&warning);
    }
    if plan.json {
        return context.stdout.print(|out| writeln!(out, "{}", as_json(&report)));
    }
    let written = report.written;
    let (entries, chunks) = (units::count(written.entries, "entry"), units::count(written.chunks, "chunk"));
    let text = format!("saved {}, {}, {}", entries, chunks, units::bytes(written.archive_len));
    context.reporter.summary(&text, written.archive_len);
    Ok(())
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    id(a).is_some_and(|a| Some(a) == id(b))
}

fn losses(report: &RecoverReport) -> Vec<String> {
    let mut lines: Vec<_> =
        report.skipped.iter().map(|(from, to)| format!("bytes {from} to {to} were skipped as damaged")).collect();
    lines.extend(report.chunks_lost.iter().map(|number| format!("chunk {number} is lost")));
    lines.extend(report.files_lost.iter().map(|path| format!("{} is lost", escape::name(path))));
    if report.entries_lost > 0 {
        let entries = units::count(report.entries_lost, "entry");
        lines.push(format!("lost, and nothing known of it: {entries}"));
    }
    lines
}

fn as_json(report: &RecoverReport) -> serde_json::Value {
    json!({
        "entries": report.written.entries,
        "chunks": report.written.chunks,
        "archive_len": report.written.archive_len,
        "chunks_lost": report.chunks_lost,
        "files_lost": json::texts("path", &report.files_lost),
        "entries_lost": report.entries_lost,
        "skipped": report.skipped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_named() {
        assert!(losses(&RecoverReport::default()).is_empty());
        let report = RecoverReport {
            chunks_lost: vec![3],
            files_lost: vec![b"a\x1b".to_vec()],
            skipped: vec![(10, 20)],
            entries_lost: 2,
            ..RecoverReport::default()
        };
        assert_eq!(losses(&report).len(), 4);
        assert!(losses(&report)[2].starts_with("a\\x1b is lost"));
        assert_eq!(as_json(&report)["skipped"][0], json!([10, 20]));
    }
}
