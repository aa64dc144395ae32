//! A real mount by the real program: how fast names and bytes come, and what that costs.
//!
//! ```text
//! cargo bench --bench mount -- [--parts names,first,random,whole,crowd,kill] [--quick] [--runs N]
//!     [--corpus DIR] [--cache DIR] [--md OUT.md]
//! ```
//!
//! Archives are made with `lma create` at the first run and kept below `target/mount-cache` (`--cache`). Each figure is
//! the median of its runs, with the least and the most in brackets. Needs /dev/fuse; squashfuse and
//! ratarmount are measured beside it where they are installed.

#[path = "mount/archives.rs"]
mod archives;
mod common;
#[path = "mount/crowd.rs"]
mod crowd;
#[path = "mount/figures.rs"]
mod figures;
#[path = "mount/live.rs"]
mod live;
#[path = "mount/names.rs"]
mod names;
#[path = "mount/phases.rs"]
mod phases;
#[path = "mount/reading.rs"]
mod reading;
#[path = "mount/trivial.rs"]
mod trivial;

use std::process::ExitCode;

use archives::Archives;
use common::{Arguments, Failure};

/// All parts, in the order of the report.
const PARTS: &str = "names,first,random,whole,crowd,kill";

/// How much is measured.
pub(crate) struct Effort {
    /// Turns of what takes milliseconds.
    pub(crate) runs: usize,
    /// Turns of other file systems, which take seconds for `find -size`.
    pub(crate) peer_runs: usize,
    /// Turns of what decodes for seconds.
    pub(crate) slow_runs: usize,
    /// Random reads that each need a chunk decoded.
    pub(crate) cold_reads: usize,
    /// Whether the small set of files is taken.
    pub(crate) quick: bool,
}

fn main() -> ExitCode {
    common::exit("mount", run())
}

fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse(&["parts", "runs", "corpus", "cache", "md"], &["quick"])?;
    let quick = arguments.has("quick");
    let runs = arguments.size("runs", if quick { "3" } else { "9" })?.max(1);
    let (peer_runs, slow_runs, cold_reads) = if quick { (1, 2, 6) } else { (3, 3, 12) };
    let effort = Effort { runs, peer_runs, slow_runs, cold_reads, quick };
    let parts: Vec<&str> = arguments.get("parts").unwrap_or(PARTS).split(',').collect();
    let archives = Archives::open(&arguments, &effort, &parts)?;
    let mut report = format!("# The mount\n\n`{}`\n\n{}.\n", common::command("mount"), common::machine());
    report += "Medians; in brackets the least and the most.\n";
    for part in parts {
        let written = match part {
            "names" => names::report(&archives, &effort)? + &phases::report(&archives, &effort)?,
            "first" => reading::first_byte(&archives, &effort)?,
            "random" => reading::random(&archives, &effort)?,
            "whole" => reading::whole(&archives, &effort)?,
            "crowd" => crowd::readers(&archives, &effort)? + &crowd::names_meanwhile(&archives)?,
            "kill" => crowd::killed(&archives, &effort)?,
            other => return Err(format!("{other} is none of {PARTS}").into()),
        };
        eprint!("{written}");
        report += &written;
    }
    common::publish(&report, &arguments)
}
