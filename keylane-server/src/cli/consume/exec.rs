//! A shell command for each record.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use keylane::consumer::Record;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, Command};

/// The last of what a failed command has written that goes into its error, in bytes.
const WORDS_BYTES_MAX: usize = 300;
/// What a command whose end was seen is given to close its output: it may have left children.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// A shell command.
pub(super) struct Exec {
    command: String,
}

impl Exec {
    pub(super) fn new(command: &str) -> Self {
        Exec {
            command: command.to_owned(),
        }
    }

    /// Runs it to its end. Dropped before, it is killed.
    pub(super) async fn handle(&self, record: Record) -> Result<(), String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "");
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.command])
            .env("KEYLANE_ID", record.id())
            .env("KEYLANE_TOPIC", &*record.topic)
            .env("KEYLANE_PARTITION", record.partition.to_string())
            .env("KEYLANE_OFFSET", record.offset.0.to_string())
            .env("KEYLANE_TIMESTAMP_MS", record.timestamp_ms.to_string())
            .env(
                "KEYLANE_ATTEMPT",
                record.attempts.saturating_add(1).to_string(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        match &record.key {
            Some(key) => command.env("KEYLANE_KEY", text(key)),
            None => command.env_remove("KEYLANE_KEY"),
        };
        match &record.value {
            Some(_) => command.env_remove("KEYLANE_TOMBSTONE"),
            None => command.env("KEYLANE_TOMBSTONE", "1"),
        };
        let mut child = command
            .spawn()
            .map_err(|error| format!("the command cannot be started: {error}"))?;
        let stdin = child.stdin.take();
        let value = record.value.clone().unwrap_or_default();
        let giving = async move {
            if let Some(mut stdin) = stdin {
                // A command that does not read its input has not failed by that.
                stdin.write_all(&value).await.ok();
            }
        };
        let hearing = tokio::spawn(last_words(child.stderr.take()));
        let ((), status) = tokio::join!(giving, child.wait());
        let status = status.map_err(|error| format!("the command was lost: {error}"))?;
        if status.success() {
            return Ok(());
        }
        let abort = hearing.abort_handle();
        let said = tokio::time::timeout(CLOSE_MAX, hearing).await;
        abort.abort();
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        Err(format!(
            "the command ended with {status}: {}",
            text(&said).trim()
        ))
    }
}

/// The end of what it writes; all of it goes to our own stderr too.
async fn last_words(stderr: Option<ChildStderr>) -> Vec<u8> {
    let (mut last, mut buffer) = (Vec::new(), [0; 4096]);
    let Some(mut stderr) = stderr else {
        return last;
    };
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let said = buffer.get(..count).unwrap_or_default();
        std::io::stderr().write_all(said).ok();
        last.extend_from_slice(said);
        let too_much = last.len().saturating_sub(WORDS_BYTES_MAX);
        last.drain(..too_much);
    }
    last
}
