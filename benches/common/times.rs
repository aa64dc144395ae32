//! Processor time, which other load on the machine changes little, of this process and of those it started.

use std::time::Duration;

/// Ticks per second in `/proc`: the same on every architecture of Linux that matters.
const TICKS: u64 = 100;

/// Time that all threads of this process have spent.
pub(crate) fn own() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time that all processes spent which this one started and waited for, to a hundredth of a second; `None` on
/// systems that do not tell.
pub(crate) fn children() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets, which may hold anything; `cutime` and `cstime` are
    // the 16th and 17th.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(13);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}
