//! Nothing outlives the process that started it, however that process ends.
//!
//! One small `sh` per process holds the reading end of a pipe whose writing end is ours. When we end, by whatever death, the kernel closes our end; the
//! shell sees end of file, kills what was registered and removes the registered folders. `PR_SET_PDEATHSIG` would be shorter and is wrong here: it fires
//! when the *thread* that spawned ends, and test runners spawn from short-lived threads; it is also cleared when the child changes its user.

use crate::error::{IoContext, Result};
use crate::proc_file::stat_of;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

/// Lines: `+ PID START`, `- PID`, `d FOLDER`, `x FOLDER`. A process is killed only if it began at START (in the kernel's clock ticks): ids are given out
/// again, and what was registered may be long gone. A folder is removed after the processes, and again while something still writes into it.
const SCRIPT: &str = r#"
set -f; IFS='
'
pids=; dirs=
without() { for kept in $1; do [ "${kept%% *}" = "$2" ] || printf '%s\n' "$kept"; done; }
began() { IFS=' '; set -- $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null); echo "${20}"; }
while read -r line; do
  what=${line#? }
  case $line in
    '+ '*) pids="$pids
$what";;
    '- '*) pids=$(without "$pids" "$what");;
    'd '*) dirs="$dirs
$what";;
    'x '*) dirs=$(for kept in $dirs; do [ "$kept" = "$what" ] || printf '%s\n' "$kept"; done);;
  esac
done
for one in $pids; do
  pid=${one%% *}
  [ "$(began "$pid")" = "${one#* }" ] && kill -KILL "$pid" 2>/dev/null
done
for dir in $dirs; do
  for attempt in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$dir" 2>/dev/null && break; sleep 0.3; done
done
"#;

struct Guard {
    pipe: ChildStdin,
    // Kept so that it is not reaped by accident; it ends by itself.
    _shell: Child,
}

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

/// Makes `child` end when this process ends, whether by return, panic, signal or SIGKILL. For the parts of this crate that is already so; it is offered
/// for what tests start themselves. Tell [`kill_tree`](crate::kill_tree) or the child itself to end it sooner; its id may stay registered until then.
///
/// # Errors
/// When the watching shell cannot be started.
pub fn end_with_this_process(child: &Child) -> Result<()> {
    register_process(child.id())
}

pub(crate) fn register_process(pid: u32) -> Result<()> {
    // Ours and not reaped, so it is there. If it were not, nobody could be killed by mistake: no process began at 0.
    let started = stat_of(pid).map_or(0, |stat| stat.started);
    tell(&format!("+ {pid} {started}\n"))
}

/// To be called after the kill and before the reaping, while the id cannot be anyone else's.
pub(crate) fn forget_process(pid: u32) -> Result<()> {
    tell(&format!("- {pid}\n"))
}

pub(crate) fn register_folder(folder: &Path) -> Result<()> {
    tell(&format!("d {}\n", folder.display()))
}

pub(crate) fn forget_folder(folder: &Path) -> Result<()> {
    tell(&format!("x {}\n", folder.display()))
}

fn tell(line: &str) -> Result<()> {
    let mut slot = GUARD
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if slot.is_none() {
        *slot = Some(start()?);
    }
    let guard = slot.as_mut().expect("just filled");
    guard
        .pipe
        .write_all(line.as_bytes())
        .doing("telling the guard of child processes", "sh")
}

fn start() -> Result<Guard> {
    // Its own group: Ctrl-C at a terminal must end us, not the one that cleans up after us. No inherited output: a reader of our output would wait for it.
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .doing("starting the guard of child processes", "sh")?;
    let pipe = shell.stdin.take().expect("asked for a pipe");
    Ok(Guard {
        pipe,
        _shell: shell,
    })
}
