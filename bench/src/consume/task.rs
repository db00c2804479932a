//! What a consumer is to do, and what it did. Each runs in a process of its own, so that processor time and memory are its alone: Keylane's and the raw loop's in this program again, Parallel
//! Consumer's in Java. All get the same words, and answer alike.

use crate::report::{Result, float};
use keylane_parts::end_with_this_process;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Seek as _};
use std::process::{Child, Command, Stdio};

/// Said once, by a consumer of a live feed that has handled its topic's primers.
pub(crate) const READY: &str = "ready";
/// Before a record's time and wait.
pub(crate) const WAITED: &str = "waited";

/// What a consumer is to do: its process's arguments, in this order.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Task {
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    /// How long a handler takes
    pub(crate) work_ms: u64,
    /// It is done after so many
    pub(crate) records: u64,
    /// Handlers in progress at most
    pub(crate) concurrency: u64,
    /// How many keys there may be
    pub(crate) keys: u64,
    /// Whether each record's wait is to be told
    #[arg(value_enum)]
    pub(crate) feed: Source,
    /// It is done after this long, too
    pub(crate) seconds_max: u64,
    /// What a fetch may bring of a partition; 0: as shipped. Of Parallel Consumer only
    pub(crate) fetch_bytes: u64,
    #[arg(value_enum)]
    pub(crate) handler: Handler,
}

/// Where records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// They are there
    Backlog,
    /// They come at a rate
    Live,
}

impl Source {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Source::Backlog => "backlog",
            Source::Live => "live",
        }
    }
}

/// What works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Handler {
    /// Keylane's consumer, with a handler that sleeps as a task
    Task,
    /// Keylane's consumer, with a handler that sleeps on a thread of its own
    Thread,
    /// A client's loop that polls, does nothing and commits
    Raw,
}

/// What it did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) records: u64,
    /// From the first handler's begin to the last one's end.
    pub(crate) seconds: f64,
    pub(crate) cpu_us: f64,
    pub(crate) resident_peak_mb: f64,
    pub(crate) at_once_max: f64,
    /// When a record was due, and how long it then waited for its handler to begin; microseconds. Only of a live feed.
    pub(crate) waits: Vec<(u64, u64)>,
}

impl Done {
    pub(crate) fn records_per_s(&self) -> f64 {
        crate::report::per(float(self.records), self.seconds)
    }
}

impl Task {
    fn words(&self) -> Vec<String> {
        let numbers = [self.work_ms, self.records, self.concurrency, self.keys];
        let mut words = vec![
            self.bootstrap.clone(),
            self.topic.clone(),
            self.group.clone(),
        ];
        words.extend(numbers.map(|it| it.to_string()));
        words.push(self.feed.name().to_owned());
        words.extend([self.seconds_max, self.fetch_bytes].map(|it| it.to_string()));
        words
    }

    /// In this program.
    pub(crate) fn run(&self, when_ready: impl FnOnce() -> Result<()>) -> Result<Done> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("consume-member").args(self.words());
        command.arg(match self.handler {
            Handler::Task => "task",
            Handler::Thread => "thread",
            Handler::Raw => "raw",
        });
        follow(command, when_ready)
    }

    /// By Parallel Consumer.
    pub(crate) fn run_peer(&self, when_ready: impl FnOnce() -> Result<()>) -> Result<Done> {
        let mut command = crate::parallel_consumer::command()?;
        command.args(self.words());
        follow(command, when_ready)
    }
}

/// Runs a consumer to its end.
fn follow(mut command: Command, when_ready: impl FnOnce() -> Result<()>) -> Result<Done> {
    let said = tempfile::tempfile()?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said.try_clone()?);
    let mut child = Ends(command.spawn()?);
    end_with_this_process(&child.0)?;
    let told = child
        .0
        .stdout
        .take()
        .ok_or("a consumer without an output")?;
    let mut when_ready = Some(when_ready);
    let (mut last, mut waits) = (String::new(), Vec::new());
    for line in BufReader::new(told).lines() {
        let line = line?;
        if line == READY {
            if let Some(when_ready) = when_ready.take() {
                when_ready()?;
            }
        } else if let Some(wait) = line.strip_prefix(WAITED) {
            waits.extend(pair(wait));
        } else {
            last = line;
        }
    }
    let status = child.0.wait()?;
    let told: Value = serde_json::from_str(&last).map_err(|_| {
        format!(
            "the consumer ended ({status}) and told nothing:\n{}",
            tail(said)
        )
    })?;
    let number = |name: &str| told[name].as_f64().unwrap_or_default();
    if number("broken") > 0.0 {
        return Err(format!("{} records out of order", number("broken")).into());
    }
    Ok(Done {
        records: told["records"].as_u64().unwrap_or_default(),
        seconds: number("seconds"),
        cpu_us: number("cpu_us_per_record"),
        resident_peak_mb: number("resident_peak_kb") / 1e3,
        at_once_max: number("at_once_max"),
        waits,
    })
}

fn pair(line: &str) -> Option<(u64, u64)> {
    let (due, wait) = line.trim().split_once(' ')?;
    Some((due.parse().ok()?, wait.parse().ok()?))
}

fn tail(mut said: std::fs::File) -> String {
    said.rewind().ok();
    let text = std::io::read_to_string(said).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Killed when dropped.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The waits of those records that were due after the first part of a feed, when everything was warm.
pub(crate) struct Waits {
    /// Ascending, microseconds.
    sorted: Vec<u64>,
    /// By how much of each second handling fell behind.
    pub(crate) falls_behind: f64,
}

impl Waits {
    /// The first part, which is left out.
    const WARM_UP: f64 = 0.15;

    pub(crate) fn of(mut waits: Vec<(u64, u64)>) -> Self {
        waits.sort_unstable();
        let warm = (float(waits.len() as u64) * Self::WARM_UP) as usize;
        let waits = waits.split_off(warm.min(waits.len()));
        // The means of the first and the last third, and how far these are apart.
        let third = waits.len() / 3;
        let mean = |part: &[(u64, u64)]| {
            let count = float(part.len().max(1) as u64);
            let due: f64 = part.iter().map(|(due, _)| float(*due)).sum();
            let wait: f64 = part.iter().map(|(_, wait)| float(*wait)).sum();
            (due / count, wait / count)
        };
        let first = mean(waits.get(..third).unwrap_or_default());
        let last = mean(waits.get(waits.len() - third..).unwrap_or_default());
        let mut sorted: Vec<u64> = waits.into_iter().map(|(_, wait)| wait).collect();
        sorted.sort_unstable();
        Waits {
            sorted,
            falls_behind: crate::report::per(last.1 - first.1, last.0 - first.0),
        }
    }

    /// In milliseconds.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        let place = (float(self.sorted.len() as u64) * percent / 100.0) as usize;
        let place = place.min(self.sorted.len().saturating_sub(1));
        self.sorted
            .get(place)
            .map_or(f64::NAN, |us| float(*us) / 1e3)
    }
}
