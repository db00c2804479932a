//! One child process with a log file: started, awaited, killed, stopped.

use crate::error::{IoContext, PartsError, Result};
use crate::guard;
use crate::proc_file::{children_of, stat_of};
use crate::signal::{Signal, send_signal};
use crate::wait::wait_until;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

const LOG_TAIL_BYTES: u64 = 4_000;
const GONE_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    // It ends with this process, rather than going on without it.
    ours: bool,
}

impl Process {
    /// Starts `command` in its own process group, its output appended to `log`.
    pub(crate) fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .doing("opening a log", log)?;
        let err = out.try_clone().doing("opening a log", log)?;
        command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let child = command
            .spawn()
            .doing("starting a part", command.get_program())?;
        let process = Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            ours: true,
        };
        guard::register_process(process.pid())?;
        Ok(process)
    }

    /// Lets it go on without us, until someone ends it by its id.
    pub(crate) fn detach(&mut self) -> Result<()> {
        self.ours = false;
        guard::forget_process(self.pid())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for `ready`; fails at once when the process ends, and shows the log's tail on every failure.
    pub(crate) fn wait_ready(
        &mut self,
        awaited: &str,
        within: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let (name, log) = (self.name.clone(), self.log.clone());
        let child = &mut self.child;
        let outcome = wait_until(awaited, within, || {
            if let Some(status) = child.try_wait().doing("asking after a part", &log)? {
                return Err(PartsError::Ended {
                    part: name.clone(),
                    status: status.to_string(),
                    awaited: awaited.to_owned(),
                    log_tail: tail_of(&log),
                });
            }
            Ok(ready())
        });
        match outcome {
            Err(PartsError::TimedOut { awaited, after, .. }) => Err(PartsError::TimedOut {
                awaited,
                after,
                log_tail: tail_of(&self.log),
            }),
            other => other,
        }
    }

    /// SIGKILL to the process and its children; returns when all are gone.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        if self.has_ended()? {
            return Ok(());
        }
        let pid = self.pid();
        let children = halt_and_list(pid)?;
        kill_all(pid, &children)?;
        self.reap()?;
        await_gone(&children)
    }

    /// Asks the process to end and waits; after `within` it is killed and that is an error.
    pub(crate) fn stop(&mut self, signal: Signal, within: Duration) -> Result<()> {
        if self.has_ended()? {
            return Ok(());
        }
        send_signal(self.pid(), signal).doing("stopping a part", &self.log)?;
        let name = self.name.clone();
        let child = &mut self.child;
        let log = &self.log;
        let ended = wait_until(&format!("{name} to stop"), within, || {
            Ok(child
                .try_wait()
                .doing("asking after a part", log)?
                .is_some())
        });
        if ended.is_err() {
            self.kill9()?;
        } else if self.ours {
            guard::forget_process(self.pid())?;
        }
        ended
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        tail_of(&self.log)
    }

    /// Whether it runs no more.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        let status: Option<ExitStatus> = self
            .child
            .try_wait()
            .doing("asking after a part", &self.log)?;
        Ok(status.is_some())
    }

    fn reap(&mut self) -> Result<()> {
        // Before the reaping: until then the id cannot be given to another process.
        if self.ours {
            guard::forget_process(self.pid())?;
        }
        self.child
            .wait()
            .doing("awaiting a part's end", &self.log)?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ours {
            let _ = self.kill9();
        }
    }
}

/// Whether a process with this id runs (a zombie does not).
#[must_use]
pub fn is_running(pid: u32) -> bool {
    stat_of(pid).is_some_and(|stat| stat.state != 'Z' && stat.state != 'X')
}

/// When the process `pid` began, in clock ticks since the machine did: with the id it names a process for good, as ids alone are given out again.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat_of(pid).map(|stat| stat.started)
}

/// SIGKILL to the process `pid` and its children; returns when they are gone. For parts that were left running on purpose.
///
/// # Errors
/// When a signal is refused or one of them is still there after 20 s.
pub fn kill_tree(pid: u32) -> Result<()> {
    let children = halt_and_list(pid)?;
    kill_all(pid, &children)?;
    let itself = Identity { pid, started: None };
    await_gone(&children)?;
    await_gone(&[itself])
}

fn kill_all(pid: u32, children: &[Identity]) -> Result<()> {
    for victim in std::iter::once(pid).chain(children.iter().map(|child| child.pid)) {
        send_signal(victim, Signal::Kill).doing("killing a part", format!("/proc/{victim}"))?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Identity {
    pid: u32,
    started: Option<u64>,
}

/// The children, after the parent was halted so that it forks no more.
fn halt_and_list(parent: u32) -> Result<Vec<Identity>> {
    send_signal(parent, Signal::Stop).doing("halting a part", format!("/proc/{parent}"))?;
    let children = children_of(parent).doing("listing processes", "/proc")?;
    let identities = children.into_iter().map(|(pid, stat)| Identity {
        pid,
        started: Some(stat.started),
    });
    Ok(identities.collect())
}

fn await_gone(processes: &[Identity]) -> Result<()> {
    for process in processes {
        wait_until(
            &format!("process {} to be gone", process.pid),
            GONE_WITHIN,
            || Ok(!still_there(*process)),
        )?;
    }
    Ok(())
}

fn still_there(process: Identity) -> bool {
    stat_of(process.pid).is_some_and(|stat| {
        // The id may have been given to another process since.
        stat.state != 'Z'
            && process
                .started
                .is_none_or(|started| started == stat.started)
    })
}

fn tail_of(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    read().unwrap_or_default()
}
