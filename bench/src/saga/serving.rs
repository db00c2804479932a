//! The processes that are measured: `keylane saga serve` as a user runs it, and the participants.

use super::cell::{Cell, PARTICIPANTS, Way};
use super::participant::{EFFECT, READY, topic_of};
use super::verify::{Effects, effect_of};
use crate::report::{Result, float};
use keylane_parts::{Signal, Usage, end_with_this_process, send_signal, usage_of, wait_until};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Where answers come in, of participants that read topics.
pub(crate) const REPLIES: &str = "sagas.replies";
const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// A process that carries commands out. Killed when dropped.
pub(crate) struct Participants {
    child: Child,
    told: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Participants {
    pub(crate) fn start(cell: Cell, bootstrap: &str, database: Option<&str>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["saga-participant", "--refuses"]);
        command.arg(cell.refuses().to_string());
        if cell.way == Way::Kafka {
            command.args(["--bootstrap", bootstrap]);
        }
        if let Some(database) = database {
            command.args(["--database", database]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        end_with_this_process(&child)?;
        let told = child
            .stdout
            .take()
            .ok_or("participants without an output")?;
        let mut participants = Participants {
            child,
            told: BufReader::new(told),
            address: String::new(),
        };
        let mut line = String::new();
        participants.told.read_line(&mut line)?;
        let address = line.trim_end().strip_prefix(READY);
        address
            .ok_or("the participants did not start")?
            .clone_into(&mut participants.address);
        Ok(participants)
    }

    pub(crate) fn usage(&self) -> Usage {
        usage_of(self.child.id()).unwrap_or_default()
    }

    /// Ends it; its effects, if it had them in memory.
    pub(crate) fn end(mut self) -> Result<Effects> {
        drop(self.child.stdin.take());
        let mut effects = Effects::new();
        for line in (&mut self.told).lines() {
            let line = line?;
            let line = line.strip_prefix(EFFECT).ok_or("an effect is no effect")?;
            effects.extend([effect_of(line)?]);
        }
        match self.child.wait()?.success() {
            true => Ok(effects),
            false => Err("the participants failed".into()),
        }
    }
}

impl Drop for Participants {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A process that drives sagas. Killed when dropped.
pub(crate) struct Orchestrator {
    child: Child,
    dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

impl Orchestrator {
    /// Everything by default, but for where things are.
    pub(crate) fn start(
        program: &Path,
        cell: Cell,
        store: &str,
        bootstrap: &str,
        participants: &Participants,
    ) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for (name, definition) in cell.definitions() {
            std::fs::write(dir.path().join(format!("{name}.yaml")), definition)?;
        }
        let mut config = "version: 1\nhttp: { listen: '127.0.0.1:0' }\n".to_owned();
        if cell.way == Way::Kafka {
            writeln!(config, "log: {{ kafka: {{ bootstrap: '{bootstrap}' }} }}")?;
        }
        writeln!(
            config,
            "saga:\n  store: {{ postgres: {{ url: '{store}' }} }}\n  definitions: [trip.yaml, wait.yaml]\n  participants:"
        )?;
        for name in PARTICIPANTS {
            let place = match cell.way {
                Way::Http => format!("http: 'http://{}/{name}'", participants.address),
                Way::Kafka => format!("kafka: {}", topic_of(name)),
            };
            writeln!(config, "    {name}: {{ {place} }}")?;
        }
        if cell.way == Way::Kafka {
            writeln!(config, "  reply_topic: {REPLIES}")?;
        }
        std::fs::write(dir.path().join("keylane.yaml"), config)?;
        let log = std::fs::File::create(dir.path().join("keylane.log"))?;
        let child = Command::new(program)
            .args(["saga", "serve"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        end_with_this_process(&child)?;
        let mut orchestrator = Orchestrator {
            child,
            dir,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        orchestrator.address = orchestrator.listens()?;
        Ok(orchestrator)
    }

    /// The address that it leaves a note of.
    fn listens(&self) -> Result<SocketAddr> {
        let note = self.dir.path().join(".keylane/http.json");
        let mut address = None;
        let waited = wait_until("keylane to serve sagas", READY_WITHIN, || {
            let note = std::fs::read(&note).ok();
            let note: Option<Value> = note.and_then(|it| serde_json::from_slice(&it).ok());
            let listen = note.and_then(|it| it["listen"].as_str()?.parse().ok());
            address = listen;
            Ok(address.is_some())
        });
        match (waited, address) {
            (Ok(()), Some(address)) => Ok(address),
            _ => Err(format!("keylane does not serve sagas\n{}", self.log_tail()).into()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it holds.
    pub(crate) fn resident_mb(&self) -> f64 {
        let usage = usage_of(self.pid()).unwrap_or_default();
        float(usage.resident_bytes) / 1e6
    }

    /// The last lines of what it said.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("keylane.log"));
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// SIGTERM; returns when it has drained.
    pub(crate) fn stop(mut self) -> Result<()> {
        send_signal(self.child.id(), Signal::Terminate)?;
        wait_until("keylane to drain", STOPPED_WITHIN, || {
            Ok(self.child.try_wait().is_ok_and(|end| end.is_some()))
        })?;
        Ok(())
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
