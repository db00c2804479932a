//! `apply.consistency: transaction` into a SQLite file, killed while a reader looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::bed::{Bed, PATIENCE, left_out};
use crate::running::Running;

const TABLES: &str = "create table accounts(id int primary key, balance bigint not null);
    create table history(id bigint generated always as identity primary key, moved bigint not null);
    insert into accounts select id, 0 from generate_series(0, 19) id;
    insert into history(moved) values (0), (0);
    create schema work; create table work.load(stop bool); insert into work.load values (false)";

/// Moves money between accounts, a transaction each, until told to stop.
const LOAD: &str = "do $$ declare n int := 0; begin
      while not (select stop from work.load) loop
        n := n + 1;
        update accounts set balance = balance - n where id = n % 20;
        insert into history(moved) values (n), (-n);
        update accounts set balance = balance + n where id = (n * 7 + 3) % 20;
        commit;
        perform pg_sleep(0.002);
      end loop;
    end $$";

/// No transfer makes or takes money, and each leaves two lines in the history.
const SUMS: &str = "SELECT (SELECT sum(balance) FROM accounts), (SELECT sum(moved) FROM history), (SELECT count(*) FROM history)";

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    states: AtomicU64,
    torn: AtomicU64,
}

/// Looks at the replica, each look one state, until told to stop.
fn reader(bed: &Bed, seen: &Arc<Seen>) -> JoinHandle<()> {
    let file = bed.folder.path().join("replica.db");
    let replica = rusqlite::Connection::open(file).expect("the replica opens");
    replica.busy_timeout(PATIENCE).expect("a busy timeout");
    let seen = seen.clone();
    std::thread::spawn(move || {
        let mut last = 0_i64;
        while !seen.stop.load(Ordering::Relaxed) {
            let sums =
                replica.query_row(SUMS, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            let (balance, moved, lines): (i64, i64, i64) = sums.expect("the sums");
            let is_whole = balance == 0 && moved == 0 && lines % 2 == 0;
            seen.torn.fetch_add(u64::from(!is_whole), Ordering::Relaxed);
            seen.states
                .fetch_add(u64::from(lines != last), Ordering::Relaxed);
            last = lines;
        }
    })
}

/// Until the reader has seen so many other states.
fn await_states(bed: &Bed, road: &Running, seen: &Seen, more: u64) {
    let from = seen.states.load(Ordering::Relaxed);
    bed.wait(road, "other states to be seen", || {
        seen.states.load(Ordering::Relaxed) >= from + more
    });
}

/// How many states the reader saw, and how many the origin never had.
fn run(name: &'static str, consistency: &str) -> (u64, u64) {
    let bed = Bed::bare(name);
    bed.origin_sql(TABLES);
    let mut wiring = bed.wiring();
    wiring.replica = "sqlite: { path: replica.db }".to_owned();
    wiring.topics = "partitions: 2".to_owned();
    wiring.apply = format!("consistency: {consistency}, batch_rows: 7");
    bed.configure(&[wiring]);
    let mut road = bed.start(&[]);
    bed.settle(&road);
    let seen = Arc::new(Seen::default());
    let origin = bed.origin_asked();
    let writer = std::thread::spawn(move || {
        origin(LOAD);
    });
    let reader = reader(&bed, &seen);
    await_states(&bed, &road, &seen, 30);
    for _ in 0..2 {
        road.kill9();
        road = bed.start(&[]);
        await_states(&bed, &road, &seen, 30);
    }
    bed.origin_sql("update work.load set stop = true");
    writer.join().expect("the load ends");
    bed.settle(&road);
    seen.stop.store(true, Ordering::Relaxed);
    reader.join().expect("the reader ends well");
    road.terminate();
    let replica = rusqlite::Connection::open(bed.folder.path().join("replica.db")).expect("opened");
    let lines: i64 = replica
        .query_row("SELECT count(*) FROM history", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(
        bed.origin_sql("select count(*) from history"),
        lines.to_string()
    );
    let (states, torn) = (&seen.states, &seen.torn);
    (states.load(Ordering::Relaxed), torn.load(Ordering::Relaxed))
}

#[test]
fn readers_of_a_file_only_see_states_that_the_origin_had_over_kills() {
    if left_out() {
        return;
    }
    let (states, torn) = run("whole_file", "transaction");
    assert_eq!(torn, 0, "of {states} states");
}

#[test]
fn key_by_key_the_same_reader_of_a_file_sees_others_too() {
    if left_out() {
        return;
    }
    let (states, torn) = run("torn_file", "key");
    assert!(
        torn > 0,
        "none of {states} states was torn: the reader would not tell"
    );
}
