//! What the kernel says of a process under `/proc`.

use std::io;

/// From `/proc/PID/stat`.
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: u32,
    /// User and system time, in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// The same of its children that have ended and were waited for.
    pub(crate) ended_ticks: u64,
    /// In clock ticks since the machine started.
    pub(crate) started: u64,
}

/// Nothing when there is no such process.
pub(crate) fn stat_of(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let mut number = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
    let (user, system) = (number(9)?, number(0)?);
    let (ended_user, ended_system) = (number(0)?, number(0)?);
    Some(Stat {
        state,
        parent,
        cpu_ticks: user + system,
        ended_ticks: ended_user + ended_system,
        started: number(4)?,
    })
}

/// The processes whose parent is `parent`.
pub(crate) fn children_of(parent: u32) -> io::Result<Vec<(u32, Stat)>> {
    let entries = std::fs::read_dir("/proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let known = pids.filter_map(|pid| Some((pid, stat_of(pid)?)));
    Ok(known.filter(|(_, stat)| stat.parent == parent).collect())
}

/// A line of `/proc/PID/status` that is a size, in bytes.
pub(crate) fn status_bytes(pid: u32, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line
        .trim_start_matches(':')
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kib * 1_024)
}
