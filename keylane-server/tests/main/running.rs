//! A `keylane run` of a test: its log, its signals, its end. It is killed when the test ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keylane_parts::{Signal, end_with_this_process, send_signal, wait_until};

/// How long a process may take to end after it was asked to, or found that it cannot go on.
const END_WITHIN: Duration = Duration::from_secs(60);

/// A running road, or half of one.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a command with its log in `folder`.
    pub fn start(mut command: Command, folder: &Path) -> Running {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("run-{number}.log"));
        let file = std::fs::File::create(&log).expect("a log file");
        command.stderr(file).stdout(Stdio::null());
        let child = command.spawn().expect("keylane starts");
        end_with_this_process(&child).expect("it is watched");
        Running { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        format!("--- {}\n{log}", self.log.display())
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal).expect("the signal reaches it");
    }

    /// Halts it in the middle of whatever it does.
    pub fn halt(&self) {
        self.signal(Signal::Stop);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::Continue);
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|end| end.is_some())
    }

    /// Its exit code, once it has ended by itself.
    pub fn await_end(&mut self) -> Option<i32> {
        let ended = wait_until("keylane to end", END_WITHIN, || Ok(self.has_ended()));
        assert!(ended.is_ok(), "it goes on\n{}", self.log());
        self.child.wait().expect("its exit status").code()
    }

    /// SIGTERM; it drains and ends with 0.
    pub fn terminate(mut self) {
        self.signal(Signal::Terminate);
        let code = self.await_end();
        assert_eq!(code, Some(0), "{}", self.log());
    }

    /// SIGKILL.
    pub fn kill9(mut self) {
        self.child.kill().expect("SIGKILL reaches it");
        self.child.wait().expect("it is gone");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
