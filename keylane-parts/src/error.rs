//! The one error of this crate: what was attempted, where, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, PartsError>;

/// Why a part could not be had, started, asked or stopped.
#[derive(thiserror::Error)]
pub enum PartsError {
    /// A tool is missing and may not be installed from here.
    #[error("{what} is missing. To get it: {remedy}")]
    Missing {
        /// The tool that was looked for.
        what: String,
        /// The exact command that brings it.
        remedy: String,
    },
    /// A command ran and failed, or could not run.
    #[error("{doing} failed: `{command}`: {outcome}")]
    Command {
        /// What the command was for.
        doing: String,
        /// The program and its arguments.
        command: String,
        /// Exit status and the tail of what it printed.
        outcome: String,
    },
    /// A condition did not come true in time.
    #[error("waited {} s in vain for: {awaited}{}", .after.as_secs_f32(), shown_tail(.log_tail))]
    TimedOut {
        /// The condition.
        awaited: String,
        /// How long was waited.
        after: Duration,
        /// The last lines of the part's log; empty when there is none.
        log_tail: String,
    },
    /// A part ended while it was awaited.
    #[error("{part} ended ({status}) before: {awaited}{}", shown_tail(.log_tail))]
    Ended {
        /// Which part.
        part: String,
        /// How it ended.
        status: String,
        /// What it was to do.
        awaited: String,
        /// The last lines of its log.
        log_tail: String,
    },
    /// A file or a socket failed.
    #[error("{doing} ({}): {source}", .path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An answer or a setting makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// As it reads: tests that return it are shown this form.
impl std::fmt::Debug for PartsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Attaches what was attempted and where to an I/O error.
pub(crate) trait IoContext<T> {
    /// Names the attempt.
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn doing(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| PartsError::Io {
            doing,
            path: path.into(),
            source,
        })
    }
}

fn shown_tail(log_tail: &str) -> String {
    if log_tail.is_empty() {
        String::new()
    } else {
        format!("\n--- end of its log ---\n{log_tail}\n---")
    }
}
