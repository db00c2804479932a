//! What `status` says of a road that never ran, was stopped, was killed or hangs, and what `settle` says holds it.

use keylane_parts::wait_until;
use serde_json::Value;

use crate::bed::{Bed, PATIENCE, left_out};
use crate::running::Running;

const TABLES: &str = "create table t(id int primary key, v text);";

/// The state and the reason.
fn told(bed: &Bed) -> (String, String) {
    let status = bed.status();
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    (text("state"), text("why"))
}

/// A look may take longer than the parts are given to answer, and then says that too: so it is awaited.
fn is_told(bed: &Bed, state: &str, why: &str) {
    let expected = (state.to_owned(), why.to_owned());
    let awaited = format!("{}: {state}: {why}", bed.name);
    wait_until(&awaited, PATIENCE, || Ok(told(bed) == expected)).expect("it is told");
}

/// Whether each process is there, those that are not first.
fn alive(bed: &Bed) -> Vec<bool> {
    let status = bed.status();
    let processes = status["processes"].as_array().expect("a list");
    let alive = |process: &Value| process["alive"].as_bool();
    let mut alive: Vec<bool> = processes.iter().filter_map(alive).collect();
    alive.sort_unstable();
    alive
}

#[test]
fn status_tells_a_road_that_never_ran_from_one_that_was_stopped_killed_or_hangs() {
    if left_out() {
        return;
    }
    let bed = Bed::new("states", TABLES);
    is_told(&bed, "stopped", "not running on this machine");
    assert_eq!(bed.status()["lag_ms"], Value::Null, "unknown is not zero");
    let capture = bed.start(&["--only", "capture"]);
    is_told(&bed, "stopped", "apply is not running on this machine");
    let apply = bed.start(&["--only", "apply"]);
    bed.settle(&apply);
    is_told(&bed, "caught_up", "");

    apply.kill9();
    is_told(
        &bed,
        "stopped",
        "apply: its process is gone or does not answer",
    );
    bed.origin_sql("insert into t values (1, 'a')");
    bed.wait(&capture, "the lag to be told from what is stored", || {
        let status = bed.status();
        status["lag_changes"].as_u64() > Some(0) && status["lag_ms"].as_u64() > Some(0)
    });
    assert_eq!(alive(&bed), [false, true]);

    let apply = bed.start(&["--only", "apply"]);
    bed.settle(&apply);
    is_told(&bed, "caught_up", "");
    apply.halt();
    is_told(
        &bed,
        "stopped",
        "apply: its process is gone or does not answer",
    );
    apply.go_on();
    is_told(&bed, "caught_up", "");

    apply.terminate();
    // Its marker goes into the log and is applied by nobody: no change is missing.
    let nobody = "no applier runs on this machine; start `keylane run`";
    is_held(&bed, &capture, nobody, Some("states.public.t/0"));
    capture.terminate();
    let why = "capture: was asked to stop; apply: was asked to stop";
    is_told(&bed, "stopped", why);
    let nothing_left = || Ok(bed.status()["lag_changes"] == 0);
    wait_until("no lag of what was applied", PATIENCE, nothing_left).expect("there is none");
    let text = bed.run(&["status"]);
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(
        text.contains("states") && text.contains("stopped") && text.contains(why),
        "{text}"
    );
}

/// What held a settle of some seconds, and the partition that it names.
#[derive(Debug, PartialEq)]
struct Held {
    why: String,
    partition: Option<String>,
}

/// `None` if a busy machine's log did not answer within these seconds.
fn held(bed: &Bed) -> Option<Held> {
    let output = bed.run(&["settle", "--timeout", "3s", "--format", "json"]);
    if output.status.code() == Some(4) {
        return None;
    }
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told["settled"], false, "{told}");
    let by = &told["pipelines"][0]["held_by"];
    Some(Held {
        why: by["why"].as_str().unwrap_or_default().to_owned(),
        partition: by["partition"].as_str().map(str::to_owned),
    })
}

fn is_held(bed: &Bed, road: &Running, why: &str, partition: Option<&str>) {
    bed.wait(road, &format!("settle to be held: {why}"), || {
        held(bed)
            .is_some_and(|held| held.why.contains(why) && held.partition.as_deref() == partition)
    });
}

#[test]
fn settle_says_in_time_what_holds_it() {
    if left_out() {
        return;
    }
    let bed = Bed::new("held", TABLES);
    let first = "held.public.t/0";
    let capture = bed.start(&["--only", "capture"]);
    is_held(
        &bed,
        &capture,
        "no applier runs on this machine; start `keylane run`",
        Some(first),
    );
    let apply = bed.start(&["--only", "apply"]);
    bed.settle(&apply);
    capture.terminate();
    bed.origin_sql("insert into t values (1, 'a')");
    is_held(
        &bed,
        &apply,
        "no capturer runs on this machine; start `keylane run`",
        Some(first),
    );
    let capture = bed.start(&["--only", "capture"]);
    bed.settle(&apply);

    // Somebody locks the table at the replica, until the row says otherwise.
    bed.replica_sql(
        "create schema work; create table work.hold(held bool); insert into work.hold values (true);
         create function work.wait() returns void language plpgsql as $$ begin
           while (select held from work.hold) loop perform pg_sleep(0.1); end loop; end $$",
    );
    let replica = bed.replica_asked();
    let lock = std::thread::spawn(move || {
        replica("begin; lock table t in access exclusive mode; select work.wait(); commit")
    });
    bed.wait(&apply, "the table to be locked", || {
        let locks = "select count(*) from pg_locks where relation = 't'::regclass and mode = 'AccessExclusiveLock' and granted";
        bed.replica_sql(locks) == "1"
    });
    bed.origin_sql("insert into t values (2, 'b')");
    is_held(&bed, &apply, "apply is streaming", Some(first));
    let line = format!("held: not settled in time; held at {first}: ");
    bed.wait(&apply, "settle to say the same in a line", || {
        let settle = bed.run(&["settle", "--timeout", "3s"]);
        settle.status.code() == Some(1) && String::from_utf8_lossy(&settle.stderr).contains(&line)
    });
    bed.replica_sql("update work.hold set held = false");
    lock.join().expect("the lock is let go");
    bed.settle(&apply);
    bed.assert_equal(&["t"]);
    apply.terminate();
    capture.terminate();
    neither_half_runs(&bed);
}

/// Both halves are gone.
fn neither_half_runs(bed: &Bed) {
    bed.origin_sql("insert into t values (3, 'c')");
    let held = wait_until("settle to be held", PATIENCE, || {
        let neither = "neither half of it runs on this machine; start `keylane run`";
        Ok(held(bed).is_some_and(|held| held.why.ends_with(neither)))
    });
    held.expect("it says so");
}
