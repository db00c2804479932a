//! The initial copy: who waits for the replica waits for it too, and a stop in its midst loses nothing and begins nothing anew.

use crate::bed::{Bed, left_out};

const TABLES: &str =
    "create table t(id int primary key, v text); create table u(id int primary key, v text);";

/// Enough for several seconds of copying in small chunks.
fn full(name: &'static str) -> Bed {
    let bed = Bed::new(name, TABLES);
    bed.origin_sql(
        "insert into t select id, repeat('x', 50) from generate_series(1, 30000) id; insert into u select * from t",
    );
    let mut wiring = bed.wiring();
    wiring.capture = "chunk_rows: 200".to_owned();
    bed.configure(&[wiring]);
    bed
}

#[test]
fn settle_waits_for_the_initial_copy_and_says_that_it_does() {
    if left_out() {
        return;
    }
    let bed = full("copy_settle");
    let road = bed.start(&[]);
    bed.wait(&road, "a settle to be held by the copy", || {
        let early = bed.run(&["settle", "--timeout", "100ms"]);
        let stderr = String::from_utf8_lossy(&early.stderr);
        // Before the road has begun it is held by other things.
        early.status.code() == Some(1)
            && stderr.contains("capture is snapshotting: copying public.")
    });
    let settled = bed.run(&["settle", "--timeout", "100s"]);
    assert!(settled.status.success(), "{settled:?}\n{}", road.log());
    bed.assert_equal(&["t", "u"]);
    road.terminate();
}

#[test]
fn until_caught_up_ends_when_the_initial_copy_is_applied_too() {
    if left_out() {
        return;
    }
    let bed = full("copy_caught_up");
    let run = bed.run(&["run", "--until-caught-up"]);
    assert!(run.status.success(), "{run:?}");
    bed.assert_equal(&["t", "u"]);
}

#[test]
fn a_stop_during_the_initial_copy_drains_and_the_next_start_goes_on_where_it_was() {
    if left_out() {
        return;
    }
    let bed = full("copy_stop");
    let copied = || bed.status()["snapshot_rows"].as_u64().unwrap_or(0);
    let road = bed.start(&[]);
    bed.wait(&road, "the copy to be in the second table", || {
        copied() > 31_000
    });
    bed.origin_sql("update t set v = 'y' where id % 100 = 0; delete from u where id % 100 = 1");
    road.terminate();
    let first = copied();
    assert!(first < 60_000, "the copy was complete before the stop");
    let status = bed.status();
    let why = "capture: was asked to stop; apply: was asked to stop";
    assert!(
        status["state"] == "stopped" && status["why"] == why,
        "{status}"
    );
    bed.origin_sql("update u set v = 'z' where id % 100 = 2; delete from t where id % 100 = 3");
    let road = bed.start(&[]);
    bed.settle(&road);
    bed.assert_equal(&["t", "u"]);
    // What was stored as copied is not copied again; the chunk that was on its way may be.
    let second = copied();
    assert!(first + second <= 62_000, "{first} rows, then {second}");
    road.terminate();
}
