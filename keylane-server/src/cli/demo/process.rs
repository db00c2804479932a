//! A worker as a real process of its own: started so that it cannot outlive the demo, killed, started again, asked to drain.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running worker process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts this program with these arguments; what it logs goes to the end of a file.
    ///
    /// # Errors
    /// If the process cannot be started or its log not be opened.
    pub fn start<'a>(
        arguments: impl IntoIterator<Item = &'a OsStr>,
        log: &Path,
    ) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--color", "never"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for the demo alone; it then asks its workers to drain.
            .process_group(0);
        die_with_parent(&mut command);
        Ok(Process {
            child: command.spawn()?,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL: nothing of it runs after this returns.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// SIGTERM: it drains and ends by itself.
    pub fn ask_to_stop(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            #[expect(
                unsafe_code,
                reason = "std has no way to send SIGTERM; the child is not waited for yet, so the number is its own"
            )]
            // SAFETY: kill(2) takes two integers and touches no memory of this process.
            unsafe {
                libc::kill(pid, libc::SIGTERM);
            }
        }
    }

    /// Waits for its end after [`Process::ask_to_stop`]; kills it if that takes longer than `patience`. Its number stays known.
    ///
    /// # Errors
    /// In words: it did not end in time, or not with 0.
    pub fn drained(&mut self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!(
                        "ended with {} after SIGTERM instead of 0",
                        in_words(status)
                    ));
                }
                None if Instant::now() >= deadline => {
                    let _ = self.child.kill();
                    return Err(format!(
                        "had not drained {} s after SIGTERM and was killed",
                        patience.as_secs()
                    ));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long since; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An exit status as a person says it.
pub fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".into(),
    }
}

/// The kernel kills the child when the thread that started it ends, however it ends. So only the demo's main thread starts processes.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the only way to have the kernel tie a child to its parent's life"
)]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe functions may be called; prctl and getppid are, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call.
            if std::os::unix::process::parent_id() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
