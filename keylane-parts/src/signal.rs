//! Signals to other processes: the only unsafe code of this crate.

use std::io;

/// What can be sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// As Ctrl-C; to PostgreSQL: a fast shutdown.
    Interrupt,
    /// A request to end in order.
    Terminate,
    /// The end, without a word.
    Kill,
    /// Halt: a process that hangs, until [`Signal::Continue`].
    Stop,
    /// Go on.
    Continue,
}

/// Sends `signal` to the process `pid`. A process that is gone already is not an error.
///
/// # Errors
/// When the process is another user's, or `pid` addresses no single process.
pub fn send_signal(pid: u32, signal: Signal) -> io::Result<()> {
    let number = match signal {
        Signal::Interrupt => libc::SIGINT,
        Signal::Terminate => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    // 0 and negative numbers would address whole groups.
    let pid = libc::pid_t::try_from(pid)
        .ok()
        .filter(|pid| *pid > 1)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a process id"))?;
    #[expect(
        unsafe_code,
        reason = "the standard library has no signals but SIGKILL"
    )]
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    let outcome = unsafe { libc::kill(pid, number) };
    if outcome == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        gone if gone.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => Err(other),
    }
}
