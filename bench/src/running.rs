//! `keylane run` as a user runs it: a process of its own, with a configuration file, seen by its status file.

use crate::bed::{Bed, DATABASE, PATIENCE, PIPELINE};
use crate::report::Result;
use crate::{Consistency, Sizes};
use keylane_parts::{Signal, Usage, end_with_this_process, send_signal, usage_of, wait_until};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// As by default.
const LANES: u64 = 64;
const STOPPED_WITHIN: Duration = Duration::from_secs(40);

/// Which half of the road a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Capture,
    Apply,
    Both,
}

impl Half {
    fn role(self) -> &'static str {
        match self {
            Half::Capture => "capture",
            Half::Apply => "apply",
            Half::Both => "run",
        }
    }
}

/// A configured road; processes are started from it.
#[derive(Debug)]
pub(crate) struct Road {
    program: PathBuf,
    dir: tempfile::TempDir,
}

/// What differs from the defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoadOptions {
    pub(crate) threads: u64,
    pub(crate) fold: bool,
    pub(crate) consistency: Consistency,
    pub(crate) lanes: u64,
}

impl RoadOptions {
    pub(crate) fn of(sizes: &Sizes) -> Self {
        RoadOptions {
            threads: sizes.threads,
            fold: true,
            consistency: sizes.consistency,
            lanes: LANES,
        }
    }
}

impl Road {
    /// Writes a configuration with 8 partitions, everything else by default.
    pub(crate) fn new(program: &Path, bed: &Bed, options: RoadOptions) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let RoadOptions {
            threads,
            fold,
            consistency,
            lanes,
        } = options;
        let mut text = String::new();
        writeln!(
            text,
            "version: 1
http: {{ listen: off }}
log: {{ kafka: {{ bootstrap: \"{}\" }} }}
pipelines:
  {PIPELINE}:
    origin: {{ postgres: {{ url: \"{}\", slot: keylane_{PIPELINE}, publication: keylane_{PIPELINE} }} }}
    replica: {{ postgres: {{ url: \"{}\" }} }}
    tables: [\"public.*\"]
    topics: {{ partitions: 8 }}
    apply: {{ threads: {threads}, fold: {fold}, consistency: {consistency}, lanes: {lanes}, group: {{ instance_id: one }} }}",
            bed.kafka.bootstrap(),
            bed.origin.url(DATABASE),
            bed.replica.url(DATABASE)
        )?;
        std::fs::write(dir.path().join("keylane.yaml"), text)?;
        Ok(Road {
            program: program.to_owned(),
            dir,
        })
    }

    /// Starts a process.
    pub(crate) fn start(&self, half: Half) -> Result<Running> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("keylane.log"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(self.dir.path().join("keylane.yaml"))
            .arg("run");
        if half != Half::Both {
            command.args(["--only", half.role()]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        end_with_this_process(&child)?;
        let status = format!("{PIPELINE}.{}.status.json", half.role());
        Ok(Running {
            child,
            half,
            status: self.dir.path().join(".keylane").join(status),
            log: self.dir.path().join("keylane.log"),
        })
    }
}

/// A process of the road. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    half: Half,
    status: PathBuf,
    log: PathBuf,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A counter of `capture` or `apply`, or 0 before the process has told any.
    pub(crate) fn counter(&self, half: &str, name: &str) -> u64 {
        let read = || -> Option<u64> {
            let status: Value = serde_json::from_slice(&std::fs::read(&self.status).ok()?).ok()?;
            let own = status.get("pid")?.as_u64()? == u64::from(self.pid());
            own.then(|| status.get(half)?.get(name)?.as_u64()).flatten()
        };
        read().unwrap_or(0)
    }

    fn state(&self) -> Option<String> {
        let status: Value = serde_json::from_slice(&std::fs::read(&self.status).ok()?).ok()?;
        let half = match self.half {
            Half::Apply => "apply",
            Half::Capture | Half::Both => "capture",
        };
        let own = status.get("pid")?.as_u64()? == u64::from(self.pid());
        own.then(|| Some(status.get(half)?.get("state")?.as_str()?.to_owned()))
            .flatten()
    }

    /// Waits until it streams.
    pub(crate) fn await_streaming(&mut self) -> Result<()> {
        self.wait("keylane to stream", |running| {
            matches!(running.state().as_deref(), Some("streaming" | "caught_up"))
        })
    }

    /// Waits until `holds`; an end of the process fails at once, with its log.
    pub(crate) fn wait(
        &mut self,
        awaited: &str,
        mut holds: impl FnMut(&Running) -> bool,
    ) -> Result<()> {
        let mut ended = None;
        let waited = wait_until(awaited, PATIENCE, || {
            ended = self.child.try_wait().ok().flatten();
            Ok(ended.is_some() || holds(self))
        });
        match (ended, waited) {
            (Some(status), _) => {
                Err(format!("keylane ended with {status}\n{}", self.log_tail()).into())
            }
            (None, Err(error)) => Err(format!("{error}\n{}", self.log_tail()).into()),
            (None, Ok(())) => Ok(()),
        }
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Usage {
        usage_of(self.pid()).unwrap_or_default()
    }

    /// SIGTERM; returns when it has drained.
    pub(crate) fn stop(mut self) -> Result<()> {
        send_signal(self.pid(), Signal::Terminate)?;
        wait_until("keylane to drain", STOPPED_WITHIN, || {
            Ok(self.child.try_wait().is_ok_and(|end| end.is_some()))
        })?;
        Ok(())
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill9(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
