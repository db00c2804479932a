//! Under live traffic, at any lag: no false alarm, and all that was planted is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::Value;

use crate::bed::{Bed, left_out};

const TABLES: &str =
    "create table if not exists accounts (id int primary key, balance int not null, filler text);";
const ROWS: u32 = 20_000;
/// Rows that traffic does not touch, so that what is planted in them stays.
const QUIET: u32 = 1000;

/// Traffic until it is dropped.
struct Traffic {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
    written: Arc<AtomicU64>,
}

impl Traffic {
    fn start(bed: &Bed) -> Traffic {
        let (stop, written) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopping, counting, asked) = (stop.clone(), written.clone(), bed.origin_asked());
        let thread = thread::spawn(move || {
            for round in 0_u64.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                // Updates of many rows, rows that go and come, a hot row.
                asked(&format!(
                    "update accounts set balance = balance + 1 where id > {QUIET} and id % 101 = {};
                     delete from accounts where id = {}; insert into accounts values ({}, {round}, repeat('x', 80)) on conflict (id) do update set balance = excluded.balance;
                     update accounts set balance = balance + 1 where id = {}",
                    round % 101,
                    QUIET + 1 + (round * 7) as u32 % 500,
                    QUIET + 1 + (round * 7 + 350) as u32 % 500,
                    QUIET + 600,
                ));
                counting.fetch_add(1, Ordering::Relaxed);
            }
        });
        Traffic {
            stop,
            thread: Some(thread),
            written,
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn compare(bed: &Bed) -> Value {
    let run = bed.run(&["reconcile", "--format", "json"]);
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    let run: Value = serde_json::from_slice(&run.stdout).expect(&told);
    run["tables"][0].clone()
}

#[test]
fn under_traffic_there_is_no_false_alarm_and_what_is_planted_is_found() {
    if left_out() {
        return;
    }
    let bed = Bed::new("reconcile_lag", TABLES);
    bed.configure(&[bed.wiring()]);
    bed.origin_sql(&format!(
        "insert into accounts select n, 0, repeat('x', 80) from generate_series(1, {ROWS}) n"
    ));
    let road = bed.start(&[]);
    bed.settle(&road);
    let traffic = Traffic::start(&bed);
    let mut settling = 0;
    for round in 0..3 {
        let table = compare(&bed);
        let found = ["missing", "extra", "different", "unproved"].map(|it| table[it].as_u64());
        assert_eq!(found, [Some(0); 4], "round {round}: {table}");
        settling += table["settling"].as_u64().unwrap_or(0) + table["hot"].as_u64().unwrap_or(0);
    }
    assert!(
        settling > 0,
        "traffic was never in flight: nothing was shown"
    );
    bed.replica_sql("update accounts set balance = -1 where id in (1, 500); delete from accounts where id = 1000; insert into accounts values (0, 0, '')");
    let table = compare(&bed);
    let found = ["missing", "extra", "different", "unproved"].map(|it| table[it].as_u64());
    assert_eq!(found, [Some(1), Some(1), Some(2), Some(0)], "{table}");
    assert!(traffic.written.load(Ordering::Relaxed) > 50);
    drop(traffic);
    road.terminate();
}
