//! A folder with a configuration, and the command run in it: what the tests of security share.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use keylane_parts::{end_with_this_process, wait_until};
use serde_json::Value;

/// How long a command that does its work may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder to run Keylane in.
pub struct Site {
    folder: tempfile::TempDir,
}

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Site {
    pub fn new() -> Site {
        Site {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration: the log and the pipeline `shop` as given, nothing over HTTP.
    pub fn configure(&self, log: &str, pipeline: &str) {
        let text = format!(
            "version: 1\nhttp: {{ listen: off }}\n{log}\npipelines:\n  shop:\n{pipeline}\n"
        );
        std::fs::write(self.path("keylane.yaml"), text).expect("the configuration is written");
    }

    /// A shop of two customers in SQLite, to be carried to another file.
    pub fn sqlite_pipeline(&self) -> &'static str {
        let origin = rusqlite::Connection::open(self.path("origin.db")).expect("a database");
        origin
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS customers(id INTEGER PRIMARY KEY, name TEXT);
                 INSERT OR IGNORE INTO customers VALUES (1, 'a'), (2, 'b');",
            )
            .expect("a table");
        "    origin: { sqlite: { path: origin.db } }\n    replica: { sqlite: { path: replica.db } }"
    }

    /// Rows of the SQLite replica.
    pub fn replicated(&self) -> i64 {
        let replica = rusqlite::Connection::open(self.path("replica.db")).expect("a database");
        let count = replica.query_row("SELECT count(*) FROM customers", [], |row| row.get(0));
        count.unwrap_or(-1)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.run_prepared(self.command(arguments))
    }

    pub fn run_prepared(&self, mut command: Command) -> Ended {
        let began = Instant::now();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("keylane starts");
        end_with_this_process(&child).expect("it is watched");
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().expect("keylane ends");
        Ended {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took: began.elapsed(),
        }
    }

    /// Runs the road until it has caught up; it must end well.
    pub fn catch_up(&self) {
        let ended = self.run(&["run", "--until-caught-up"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    /// What `check` finds: every failed check by its id, with what was found.
    pub fn failed_checks(&self) -> Vec<(String, String)> {
        let ended = self.run(&["check", "--format", "json"]);
        let found: Value = serde_json::from_str(&ended.stdout)
            .map_err(|error| format!("{error}: {}", ended.stderr))
            .expect("one JSON object");
        let text =
            |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
        let checks = found["checks"].as_array().expect("a list");
        let failed: Vec<_> = checks
            .iter()
            .filter(|check| check["ok"] == false && check["severity"] == "error")
            .map(|check| (text(check, "id"), text(check, "found")))
            .collect();
        assert_eq!(ended.code, Some(if failed.is_empty() { 0 } else { 3 }));
        failed
    }

    /// Starts `run` in the background, its output in `LOG`.
    pub fn start(&self, arguments: &[&str], log: &str) -> Child {
        let file = std::fs::File::create(self.path(log)).expect("a log file");
        let mut command = self.command(arguments);
        command.stdout(file.try_clone().expect("a log file"));
        let child = command.stderr(file).spawn().expect("keylane starts");
        end_with_this_process(&child).expect("it is watched");
        child
    }
}

/// SIGTERM; it drains and ends with 0.
pub fn terminate(mut child: Child, log: &Path) {
    let pid = child.id().to_string();
    let told = Command::new("kill").arg(&pid).status();
    assert!(told.is_ok_and(|status| status.success()));
    let ended = wait_until("the road to drain", PATIENCE, || {
        Ok(child.try_wait().is_ok_and(|end| end.is_some()))
    });
    ended.expect("it drains");
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert!(child.wait().is_ok_and(|status| status.success()), "{log}");
}
