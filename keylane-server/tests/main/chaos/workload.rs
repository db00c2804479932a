//! pgbench against the origin, started again whenever the origin was killed under it.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::harness::Road;

/// Every update of a counter adds exactly one to its version; notes come and go, and change their key.
const SCRIPT: &str = "\\set c random(1, 200)
\\set n random(1, 1000000000)
begin;
update counters set version = version + 1, note = 'n' || :n where id = :c;
insert into notes values (nextval('note_numbers'), :c, repeat('x', 20));
update notes set body = body || 'y' where id = (select min(id) from notes where counter = :c);
update notes set id = id + 1000000000 where id = (select max(id) from notes where counter = :c and id < 1000000000 and id % 7 = 0);
delete from notes where id = (select min(id) from notes where counter = :c) and :n % 3 = 0;
commit;
";

/// A running workload.
pub struct Workload {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Workload {
    pub fn start(road: &Road) -> Workload {
        let mut script = tempfile::NamedTempFile::new().expect("a script file");
        script
            .write_all(SCRIPT.as_bytes())
            .expect("the script is written");
        let port = road.origin.port().to_string();
        let program = road.origin.bin("pgbench");
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let script = script;
            while !told.load(Ordering::Relaxed) {
                let mut command = Command::new(&program);
                command.args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-U",
                    "postgres",
                    "-n",
                    "-c",
                    "4",
                    "-j",
                    "1",
                    "-T",
                    "3600",
                    "-R",
                    "150",
                ]);
                command
                    .args(["-b", "tpcb-like@1", "-f"])
                    .arg(format!("{}@2", script.path().display()));
                command
                    .arg("postgres")
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                let child = command.spawn().expect("pgbench starts");
                keylane_parts::end_with_this_process(&child).expect("it is watched");
                run_until_told(child, &told);
            }
        });
        Workload { stop, thread }
    }

    /// Ends the workload; afterwards nobody writes to the origin.
    pub fn stop(self, road: &mut Road) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the workload's thread ends");
        road.await_no_writers();
    }
}

fn run_until_told(mut child: Child, told: &AtomicBool) {
    loop {
        if told.load(Ordering::Relaxed) {
            child.kill().ok();
            child.wait().ok();
            return;
        }
        if let Ok(Some(_)) = child.try_wait() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
