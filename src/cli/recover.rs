//! `lma recover`.

use serde_json::json;

use super::context::Context;
use super::json;
use super::output::Stdout;
use super::plan::Recover;
use super::{escape, input, output, units};
use crate::Result;
use crate::container::{RecoverReport, recover};
use crate::limits::Limits;
use crate::progress::Progress;

/// Writes a new archive of all that is intact. What is lost is said by warnings, and so in the exit code.
///
/// # Errors
/// I/O, limits, an interruption, an archive without a single intact record.
pub(super) fn run(plan: &Recover, context: &Context) -> Result<()> {
    output::spare_other_files(&plan.good)?;
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
    let text =
        format!("saved {} entries, {} chunks, {}", written.entries, written.chunks, units::bytes(written.archive_len));
    context.reporter.summary(&text, written.archive_len);
    Ok(())
}

fn losses(report: &RecoverReport) -> Vec<String> {
    let mut lines: Vec<_> =
        report.skipped.iter().map(|(from, to)| format!("bytes {from} to {to} were skipped as damaged")).collect();
    lines.extend(report.chunks_lost.iter().map(|number| format!("chunk {number} is lost")));
    lines.extend(report.files_lost.iter().map(|path| format!("{} is lost", escape::name(path))));
    if report.entries_lost > 0 {
        lines.push(format!("{} entries are lost, and their names with them", report.entries_lost));
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
