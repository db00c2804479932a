//! Steps of a task, each with a line before and a line with the elapsed time after it. A failed step does not hide the next: all are run, then named.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) struct Steps {
    began: Instant,
    failed: Vec<String>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            failed: Vec::new(),
        }
    }

    /// Runs one step; `work` says whether it holds.
    pub(crate) fn step<E: std::fmt::Display>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<bool, E>,
    ) -> bool {
        eprintln!("==> {name}");
        let began = Instant::now();
        let holds = work().unwrap_or_else(|error| {
            eprintln!("error: {error}");
            false
        });
        let word = if holds { "ok" } else { "FAILED" };
        eprintln!(
            "==> {name}: {word} in {} ({} in all)",
            shown(began.elapsed()),
            shown(self.began.elapsed())
        );
        if !holds {
            self.failed.push(name.to_owned());
        }
        holds
    }

    /// The steps that failed, in order.
    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }
}

/// Cargo of the toolchain that runs this task, in the repository's root.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(program);
    cargo.current_dir(root).args(arguments);
    // What cargo told this program of itself is not for the next: some crates are built anew when it differs, and again when it is gone.
    let ours = std::env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| is_told_by_cargo(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    cargo
}

/// Where cargo builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into)
}

fn is_told_by_cargo(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Whether `command` ends well; its output goes where ours goes.
pub(crate) fn succeeds(command: &mut Command) -> std::io::Result<bool> {
    Ok(command.status()?.success())
}

fn shown(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{} min {:02} s",
            elapsed.as_secs() / 60,
            elapsed.as_secs() % 60
        )
    }
}
