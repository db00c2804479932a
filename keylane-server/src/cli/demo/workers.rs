//! The demo's two worker processes over all their lives: killed at random moments, started again, their counters summed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::process::{Process, in_words};
use crate::status::{ApplyStatus, CaptureStatus, read_all};

/// A worker may take this long to drain after SIGTERM.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Which half of the road a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Origin → log.
    Capture,
    /// Log → replica.
    Apply,
}

impl Role {
    /// As `run --only` takes it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Capture => "capture",
            Role::Apply => "apply",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What the workers told, summed over their lives. What a killed life did after its last word is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Changes told by the origin.
    pub captured: u64,
    /// Changes durable in the log.
    pub published: u64,
    /// Changes applied.
    pub applied: u64,
    /// Told again after a restart and found in the log.
    pub captured_again: u64,
    /// Fetched again after a restart and found applied.
    pub applied_again: u64,
    /// Rows that the initial copy read.
    pub copied: u64,
    /// Updates and deletes that hit no row.
    pub missing_rows: u64,
}

impl Totals {
    fn add_capture(&mut self, status: &CaptureStatus) {
        self.captured += status.captured;
        self.published += status.published;
        self.captured_again += status.replays_skipped;
        self.copied += status.snapshot_rows;
    }

    fn add_apply(&mut self, status: &ApplyStatus) {
        self.applied += status.applied;
        self.applied_again += status.replays_skipped;
        self.missing_rows += status.missing_rows;
    }
}

/// A worker was killed, and is back.
#[derive(Clone, Copy, Debug)]
pub struct Back {
    /// Which.
    pub role: Role,
    /// From the kill to the first progress of its next life.
    pub after: Duration,
    /// How many kills this outlived: more than one if it was killed again before it got anywhere.
    pub kills: u32,
}

/// One worker's present life.
#[derive(Debug)]
struct Life {
    role: Role,
    process: Option<Process>,
    /// When it last told something, microseconds since 1970.
    told_us: i64,
    /// The first kill after which it has not got anywhere yet, and how many there were since.
    pending: Option<(Instant, u32)>,
}

impl Life {
    fn start(role: Role, config: &Path) -> io::Result<Self> {
        Ok(Life {
            role,
            process: Some(started(role, config)?),
            told_us: 0,
            pending: None,
        })
    }

    fn is(&self, pid: u32) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.id() == pid)
    }

    fn told(&mut self, at_us: i64, progressed: bool) -> Option<Back> {
        self.told_us = at_us;
        let (since, kills) = self.pending.take_if(|_| progressed)?;
        Some(Back {
            role: self.role,
            after: since.elapsed(),
            kills,
        })
    }

    fn kill(&mut self, config: &Path) -> io::Result<u32> {
        let mut killed = 0;
        if let Some(process) = self.process.take() {
            killed = process.id();
            process.kill()?;
        }
        let (since, kills) = self.pending.unwrap_or((Instant::now(), 0));
        self.pending = Some((since, kills + 1));
        self.process = Some(started(self.role, config)?);
        Ok(killed)
    }
}

/// Both workers.
#[derive(Debug)]
pub struct Workers {
    config: PathBuf,
    state_dir: PathBuf,
    past: Totals,
    capture: Life,
    apply: Life,
    /// What the living capturer last told.
    pub capture_status: CaptureStatus,
    /// What the living applier last told.
    pub apply_status: ApplyStatus,
}

impl Workers {
    /// Starts both.
    ///
    /// # Errors
    /// If a process cannot be started.
    pub fn start(config: PathBuf, state_dir: PathBuf) -> io::Result<Self> {
        let (capture, apply) = (
            Life::start(Role::Capture, &config)?,
            Life::start(Role::Apply, &config)?,
        );
        Ok(Workers {
            config,
            state_dir,
            past: Totals::default(),
            capture,
            apply,
            capture_status: CaptureStatus::default(),
            apply_status: ApplyStatus::default(),
        })
    }

    /// Reads what they tell. Returns who is back after a kill.
    pub fn look(&mut self) -> Vec<Back> {
        let mut back = Vec::new();
        for status in read_all(&self.state_dir) {
            if let Some(told) = status.capture.filter(|_| self.capture.is(status.pid)) {
                back.extend(self.capture.told(status.updated_us, told.captured > 0));
                self.capture_status = told;
            } else if let Some(told) = status.apply.filter(|_| self.apply.is(status.pid)) {
                back.extend(self.apply.told(status.updated_us, told.applied > 0));
                self.apply_status = told;
            }
        }
        back
    }

    fn life(&self, role: Role) -> &Life {
        match role {
            Role::Capture => &self.capture,
            Role::Apply => &self.apply,
        }
    }

    fn life_mut(&mut self, role: Role) -> &mut Life {
        match role {
            Role::Capture => &mut self.capture,
            Role::Apply => &mut self.apply,
        }
    }

    /// When a worker last told something, microseconds since 1970.
    pub fn told_us(&self, role: Role) -> i64 {
        self.life(role).told_us
    }

    /// Whether a killed worker is not back yet.
    pub fn is_away(&self, role: Role) -> bool {
        self.life(role).pending.is_some()
    }

    /// Whether one of them is not back yet.
    pub fn is_any_away(&self) -> bool {
        self.capture.pending.is_some() || self.apply.pending.is_some()
    }

    /// Everything they did, former lives included.
    pub fn totals(&self) -> Totals {
        let mut totals = self.past;
        totals.add_capture(&self.capture_status);
        totals.add_apply(&self.apply_status);
        totals
    }

    /// kill -9, and a new life at once. Returns the process id of the killed one.
    ///
    /// # Errors
    /// If it cannot be killed or started again.
    pub fn kill(&mut self, role: Role) -> io::Result<u32> {
        let config = self.config.clone();
        let killed = self.life_mut(role).kill(&config)?;
        match role {
            Role::Capture => self
                .past
                .add_capture(&std::mem::take(&mut self.capture_status)),
            Role::Apply => self.past.add_apply(&std::mem::take(&mut self.apply_status)),
        }
        Ok(killed)
    }

    /// A worker that ended although nobody asked it to, in words.
    pub fn deserter(&mut self) -> Option<String> {
        let config = &self.config;
        [&mut self.capture, &mut self.apply]
            .into_iter()
            .find_map(|life| {
                let status = life.process.as_mut()?.ended()?;
                Some(format!(
                    "the {} process ended by itself with {}: {}",
                    life.role,
                    in_words(status),
                    evidence(life.role, config)
                ))
            })
    }

    /// SIGTERM to both, and waits. Returns what went wrong, in words.
    pub fn drain(&mut self) -> Vec<String> {
        for life in [&self.capture, &self.apply] {
            life.process.iter().for_each(Process::ask_to_stop);
        }
        let config = &self.config;
        let drained = |life: &mut Life| {
            let end = life.process.as_mut()?.drained(DRAIN_MAX);
            end.err().map(|error| {
                format!(
                    "the {} process {error}: {}",
                    life.role,
                    evidence(life.role, config)
                )
            })
        };
        let wrong = [&mut self.capture, &mut self.apply]
            .into_iter()
            .filter_map(drained)
            .collect();
        // Their last words were written at their very end.
        self.look();
        wrong
    }
}

/// `keylane run --only ROLE` on a configuration; what it logs goes to `ROLE.log` beside it.
fn started(role: Role, config: &Path) -> io::Result<Process> {
    let words = ["run", "--only", role.word(), "--config"].map(OsStr::new);
    let arguments = words.into_iter().chain([config.as_os_str()]);
    Process::start(arguments, &log_of(role, config))
}

/// Where a worker's log is.
fn log_of(role: Role, config: &Path) -> PathBuf {
    config.with_file_name(format!("{role}.log"))
}

fn evidence(role: Role, config: &Path) -> String {
    evidence_in(&log_of(role, config))
}

/// Where a process's log is, and the last error in it.
pub fn evidence_in(log: &Path) -> String {
    const LENGTH_MAX: usize = 400;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text
        .lines()
        .rev()
        .find(|line| line.contains("ERROR") || line.starts_with("error"));
    let line =
        line.map(|line| format!("\n  {}", line.chars().take(LENGTH_MAX).collect::<String>()));
    format!("see {}{}", log.display(), line.unwrap_or_default())
}
