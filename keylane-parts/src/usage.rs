//! What a process costs: for benchmarks and for tests that bound memory.

use crate::proc_file::{children_of, stat_of, status_bytes};

/// Linux counts the processor time it reports to programs in hundredths of a second, whatever its own clock.
const MS_PER_TICK: u64 = 10;

/// What a process uses and has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory it holds now; shared pages count in full.
    pub resident_bytes: u64,
    /// The most memory it has held.
    pub resident_bytes_peak: u64,
    /// Processor time since it began, user and system, of all its threads.
    pub cpu_ms: u64,
}

/// What the process `pid` uses; nothing when it does not run.
#[must_use]
pub fn usage_of(pid: u32) -> Option<Usage> {
    Some(Usage {
        resident_bytes: status_bytes(pid, "VmRSS")?,
        resident_bytes_peak: status_bytes(pid, "VmHWM")?,
        cpu_ms: stat_of(pid)?.cpu_ticks * MS_PER_TICK,
    })
}

/// The sum over the process `pid` and its children. Children that have ended are not in it, and pages that they share (PostgreSQL's buffers) are counted
/// once for each.
#[must_use]
pub fn usage_with_children(pid: u32) -> Option<Usage> {
    let own = usage_of(pid)?;
    let children = children_of(pid).ok()?;
    let used = children
        .into_iter()
        .filter_map(|(child, _)| usage_of(child));
    Some(used.fold(own, |sum, one| Usage {
        resident_bytes: sum.resident_bytes + one.resident_bytes,
        resident_bytes_peak: sum.resident_bytes_peak + one.resident_bytes_peak,
        cpu_ms: sum.cpu_ms + one.cpu_ms,
    }))
}

/// Processor time in milliseconds of the process `pid`, its children, and those of them that have ended: what a server with a process for each connection has used.
#[must_use]
pub fn cpu_with_ended_children(pid: u32) -> Option<u64> {
    let ended_ms = stat_of(pid)?.ended_ticks * MS_PER_TICK;
    Some(usage_with_children(pid)?.cpu_ms + ended_ms)
}
