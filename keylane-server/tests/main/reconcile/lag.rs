//! Under live traffic, at any lag: no false alarm, all that was planted is found, and mending leaves no row wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use keylane_parts::{Signal, send_signal};
use serde_json::Value;

use crate::bed::{Bed, left_out};
use crate::running::Running;

const TABLES: &str =
    "create table if not exists accounts (id int primary key, balance int not null, filler text);";
/// Rows that traffic does not touch, so that what is planted in them stays.
const QUIET: u64 = 1000;

/// Something that goes on until it is dropped.
struct Beside {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Beside {
    fn start(mut round: impl FnMut(u64) + Send + 'static) -> Beside {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = thread::spawn(move || {
            for number in 0.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                round(number);
            }
        });
        Beside {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Updates of many rows, rows that go and come back, a hot row.
fn traffic(bed: &Bed, written: &Arc<AtomicU64>) -> Beside {
    let (counting, asked) = (written.clone(), bed.origin_asked());
    Beside::start(move |round| {
        let (gone, come) = (
            QUIET + 1 + round * 7 % 500,
            QUIET + 1 + (round * 7 + 350) % 500,
        );
        asked(&format!(
            "update accounts set balance = balance + 1 where id > {QUIET} and id % 1009 = {};
             delete from accounts where id = {gone};
             insert into accounts values ({come}, {round}, repeat('x', 80)) on conflict (id) do update set balance = excluded.balance;
             update accounts set balance = balance + 1 where id = {}",
            round % 1009,
            QUIET + 600,
        ));
        counting.fetch_add(1, Ordering::Relaxed);
    })
}

/// The applier stands still for so long, again and again, so that the replica is up to that far behind.
fn lag(applier: &Running, behind: Duration) -> Beside {
    let pid = applier.pid();
    Beside::start(move |_| {
        for (signal, pause) in [(Signal::Stop, behind), (Signal::Continue, behind / 3)] {
            let _ = send_signal(pid, signal);
            thread::sleep(pause);
        }
    })
}

struct Road {
    bed: Bed,
    capture: Running,
    apply: Running,
}

impl Road {
    fn start(name: &'static str, rows: u64) -> Road {
        let bed = Bed::new(name, TABLES);
        bed.configure(&[bed.wiring()]);
        bed.origin_sql(&format!(
            "insert into accounts select n, 0, repeat('x', 80) from generate_series(1, {rows}) n"
        ));
        let capture = bed.start(&["--only", "capture"]);
        let apply = bed.start(&["--only", "apply"]);
        bed.settle(&apply);
        Road {
            bed,
            capture,
            apply,
        }
    }

    fn compare(&self, more: &[&str]) -> Value {
        let all = ["reconcile", "--format", "json", "--mark-within", "120s"];
        let run = self.bed.run(&[&all, more].concat());
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        let run: Value = serde_json::from_slice(&run.stdout).expect(&told);
        run["tables"][0].clone()
    }

    fn end(self) {
        self.bed.settle(&self.apply);
        self.capture.terminate();
        self.apply.terminate();
    }
}

fn counts(table: &Value) -> [Option<u64>; 4] {
    ["missing", "extra", "different", "unproved"].map(|name| table[name].as_u64())
}

fn no_false_alarm_and_all_found(name: &'static str, rows: u64, behind: &[Duration], clean: u32) {
    let road = Road::start(name, rows);
    let written = Arc::new(AtomicU64::new(0));
    let writing = traffic(&road.bed, &written);
    let mut in_flight = 0;
    for behind in behind {
        let lagging = lag(&road.apply, *behind);
        for round in 0..clean {
            let table = road.compare(&[]);
            assert_eq!(
                counts(&table),
                [Some(0); 4],
                "{behind:?}, round {round}: {table}"
            );
            in_flight +=
                table["settling"].as_u64().unwrap_or(0) + table["hot"].as_u64().unwrap_or(0);
        }
        // Of every kind, at both ends and in the middle.
        road.bed.replica_sql(
            "update accounts set balance = -1 where id in (1, 500); update accounts set filler = null where id = 501; update accounts set filler = '' where id = 502;
             delete from accounts where id in (2, 1000); insert into accounts values (0, 0, ''), (-7, 1, 'x'), (2000000000, 0, null)",
        );
        let table = road.compare(&[]);
        assert_eq!(
            counts(&table),
            [Some(2), Some(3), Some(4), Some(0)],
            "{behind:?}: {table}"
        );
        let table = road.compare(&["--repair"]);
        assert_eq!(table["repaired"], 9, "{behind:?}: {table}");
        drop(lagging);
        let _ = send_signal(road.apply.pid(), Signal::Continue);
    }
    assert!(
        in_flight > 0,
        "nothing was ever in flight: nothing was shown"
    );
    assert!(written.load(Ordering::Relaxed) > 50);
    drop(writing);
    road.bed.settle(&road.apply);
    road.bed.assert_equal(&["accounts"]);
    road.end();
}

#[test]
fn under_traffic_there_is_no_false_alarm_and_what_is_planted_is_found() {
    if left_out() {
        return;
    }
    let behind = [Duration::from_millis(50), Duration::from_secs(1)];
    no_false_alarm_and_all_found("reconcile_lag", 20_000, &behind, 2);
}

#[test]
fn a_million_rows_at_lags_of_up_to_ten_seconds_are_told_right() {
    if !keylane_parts::slow() || left_out() {
        return;
    }
    let behind = [50, 1000, 10_000].map(Duration::from_millis);
    no_false_alarm_and_all_found("reconcile_million", 1_000_000, &behind, 7);
}

#[test]
fn rows_that_are_mended_over_and_over_under_a_live_feed_end_right() {
    if left_out() {
        return;
    }
    let road = Road::start("reconcile_feed", 3000);
    let written = Arc::new(AtomicU64::new(0));
    let writing = traffic(&road.bed, &written);
    let lagging = lag(&road.apply, Duration::from_millis(100));
    // What is wrong is written over by the feed, comes back, and is mended meanwhile.
    let asked = road.bed.replica_asked();
    let rogue = Beside::start(move |round| {
        let id = QUIET + 1 + round * 11 % 700;
        asked(&format!(
            "update accounts set balance = -5 where id = {id}; delete from accounts where id = {}",
            id + 700
        ));
        thread::sleep(Duration::from_millis(50));
    });
    let mut repaired = 0;
    let asked = std::env::var("KEYLANE_REPAIR_BURSTS").ok();
    let bursts: u64 = asked.and_then(|asked| asked.parse().ok()).unwrap_or(8);
    for _ in 0..bursts {
        let table = road.compare(&["--repair", "--max-share", "1"]);
        assert_eq!(table["failed"], Value::Null, "{table}");
        repaired += table["repaired"].as_u64().unwrap_or(0);
    }
    assert!(repaired > bursts, "{repaired} rows were mended");
    drop((rogue, lagging));
    let _ = send_signal(road.apply.pid(), Signal::Continue);
    drop(writing);
    road.bed.settle(&road.apply);
    // What was made wrong last is mended; then nothing is wrong.
    road.compare(&["--repair", "--max-share", "1"]);
    road.bed.assert_equal(&["accounts"]);
    road.end();
}
