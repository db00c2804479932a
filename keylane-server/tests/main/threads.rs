//! The number of threads is set while the pipeline runs: it takes effect, it stays, and nothing is reordered by it.

use serde_json::Value;

use crate::bed::left_out;
use crate::loaded::Loaded;
use crate::running::Running;

fn ask(loaded: &Loaded, threads: &str) -> Value {
    let name = loaded.bed.name;
    loaded
        .bed
        .json(&["threads", name, threads, "--format", "json"], 0)
}

/// Waits until the applier says that it works with so many.
fn await_threads(loaded: &Loaded, apply: &Running, threads: u64) {
    let awaited = format!("{threads} threads to be told");
    let told = || loaded.bed.status()["threads"] == threads;
    loaded.bed.wait(apply, &awaited, told);
}

#[test]
fn any_number_of_threads_on_one_partition_at_any_moment_reorders_and_doubles_nothing() {
    if left_out() {
        return;
    }
    let (mut loaded, capture, apply) = Loaded::new("threads");
    for threads in ["1", "16", "2", "64", "auto", "3", "32"] {
        let told = ask(&loaded, threads);
        assert_eq!(told["asked"], threads, "{told}");
        assert_eq!(told["configured"], "4", "{told}");
        assert_eq!(told["applier_runs"], true, "{told}");
        match threads.parse::<u64>() {
            Ok(number) => assert_eq!(told["threads"], number, "{told}"),
            Err(_) => assert!(!told["why"].is_null(), "{told}"),
        }
        loaded.await_progress(&apply, &format!("with {threads} threads"));
    }
    // What was asked for holds over a restart, until the configuration says something new.
    apply.terminate();
    let apply = loaded.bed.start(&["--only", "apply"]);
    await_threads(&loaded, &apply, 32);
    apply.terminate();
    let mut wiring = loaded.bed.wiring();
    wiring.apply.push_str(", threads: 5");
    loaded.bed.configure(&[wiring]);
    let apply = loaded.bed.start(&["--only", "apply"]);
    await_threads(&loaded, &apply, 5);
    loaded.await_progress(&apply, "as newly configured");
    loaded.end(&apply);
    apply.terminate();
    capture.terminate();
}

#[test]
fn one_thread_that_waits_holds_up_all_and_a_second_goes_on() {
    if left_out() {
        return;
    }
    let (mut loaded, capture, apply) = Loaded::new("threads_more");
    let bed = &loaded.bed;
    assert_eq!(ask(&loaded, "1")["threads"], 1);
    bed.replica_sql("create schema work; create table work.hold(stop bool); insert into work.hold values (false)");
    let replica = bed.replica_asked();
    let holder = std::thread::spawn(move || {
        replica(
            "do $$ begin
               perform from counters where id = 1 for update;
               while not (select stop from work.hold) loop perform pg_sleep(0.01); end loop;
             end $$",
        )
    });
    let held = "select count(*) from pg_stat_activity
                where datname = current_database() and application_name like 'keylane%' and wait_event_type = 'Lock'";
    bed.wait(&apply, "the thread to wait for the row", || {
        bed.replica_sql(held) == "1"
    });
    let effects = crate::chaos::audit::effects(&bed.replica_asked());
    assert_eq!(
        ask(&loaded, "8")["threads"],
        8,
        "the knob turns while the only thread waits"
    );
    bed.wait(&apply, "others to go on", || {
        crate::chaos::audit::effects(&bed.replica_asked()) > effects
    });
    assert_ne!(bed.replica_sql(held), "0", "the row is still held");
    bed.replica_sql("update work.hold set stop = true");
    holder.join().expect("it lets go");
    loaded.end(&apply);
    apply.terminate();
    capture.terminate();
}

#[test]
fn a_number_that_cannot_be_is_refused_and_without_an_applier_it_holds_from_the_next_start() {
    if left_out() {
        return;
    }
    let bed = crate::bed::Bed::new("threads_stored", "create table t(id int primary key);");
    for wrong in ["0", "1025", "many"] {
        let refused = bed.run(&["threads", bed.name, wrong]);
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("1 to 1024"), "{stderr}");
    }
    assert_eq!(bed.run(&["threads", "nobody", "4"]).status.code(), Some(2));
    let told = bed.json(&["threads", bed.name, "--format", "json"], 0);
    assert_eq!(
        (&told["asked"], &told["threads"]),
        (&"4".into(), &Value::Null),
        "{told}"
    );
    let asked = bed.run(&["threads", bed.name, "7"]);
    let stderr = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("from its next start"), "{stderr}");
    let road = bed.start(&[]);
    bed.wait(&road, "7 threads to be told", || {
        bed.status()["threads"] == 7
    });
    road.terminate();
}
