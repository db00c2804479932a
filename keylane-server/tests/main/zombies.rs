//! Processes that hang while others take their work over, and then wake: they write nothing any more.

use std::thread::JoinHandle;

use crate::bed::{Bed, left_out};
use crate::chaos::{audit, check};
use crate::running::Running;

const TABLES: &str = "create table counters(id int primary key, version int not null);
    create table notes(id bigint primary key, counter int not null references counters(id), body text);";

const AUDITED: [(&str, &str); 2] = [("counters", "id"), ("notes", "id")];

/// A writer in the origin itself, until it is told to stop: rows that grow, come, change their key and go.
const LOAD: &str = "do $$ declare n int := 0; begin
      while not (select stop from work.load) loop
        n := n + 1;
        update counters set version = version + 1 where id = 1 + n % 50;
        insert into notes values (n, 1 + n % 50, repeat('x', 20));
        update notes set body = body || 'y' where id = n - 3;
        update notes set id = id + 1000000000 where id = n - 5 and n % 7 = 0;
        delete from notes where id = n - 9;
        commit;
        perform pg_sleep(0.002);
      end loop;
    end $$";

/// A road whose two halves run as processes of their own, under load and audit from the moment when both sides were the same.
struct Haunted {
    bed: Bed,
    load: Option<JoinHandle<()>>,
}

impl Haunted {
    fn new(name: &'static str) -> (Haunted, Running, Running) {
        let bed = Bed::new(name, TABLES);
        bed.origin_sql(
            "insert into counters select id, 0 from generate_series(1, 50) id;
             create schema work; create table work.load(stop bool); insert into work.load values (false)",
        );
        let capture = bed.start(&["--only", "capture"]);
        let apply = bed.start(&["--only", "apply"]);
        bed.settle(&apply);
        audit::begin(&bed.origin_asked(), &bed.replica_asked(), &AUDITED);
        let origin = bed.origin_asked();
        let load = std::thread::spawn(move || {
            origin(LOAD);
        });
        let haunted = Haunted {
            bed,
            load: Some(load),
        };
        haunted.await_progress(&apply, "under load");
        (haunted, capture, apply)
    }

    /// The same pipeline on what could be another machine.
    fn elsewhere(&self, half: &str) -> (tempfile::TempDir, Running) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("keylane.yaml");
        std::fs::copy(self.bed.config(), config).expect("the configuration is copied");
        let mut command = self.bed.keylane(&["run", "--only", half]);
        command.current_dir(folder.path());
        let running = Running::start(command, folder.path());
        (folder, running)
    }

    /// Waits until the replica has taken changes that were made after this moment.
    fn await_progress(&self, road: &Running, awaited: &str) {
        let before = audit::effects(&self.bed.origin_asked());
        let found = || audit::effects(&self.bed.replica_asked());
        self.bed
            .wait(road, &format!("progress {awaited}"), || found() > before);
    }

    /// Ends the load; afterwards the replica gets equal, and each row has the same story on both sides.
    fn end(&mut self, road: &Running) {
        self.bed.origin_sql("update work.load set stop = true");
        if let Some(load) = self.load.take() {
            load.join().expect("the load ends");
        }
        self.bed.settle(road);
        self.bed.assert_equal(&["counters", "notes"]);
        audit::same_stories(&self.bed.origin_asked(), &self.bed.replica_asked(), &|| {
            road.log()
        });
        let topics = format!("{}.public.", self.bed.name);
        check::no_position_twice(&self.bed.kafka, &topics);
        let sql =
            "select count(*) from proof.audit where op = 'UPDATE' and version <> old_version + 1";
        assert_eq!(self.bed.replica_sql(sql), "0", "a counter went back");
    }

    /// Halts an applier at a moment when it has a transaction open at the replica, or none. Halted, it sends nothing, so that what is seen then stays.
    fn halt(&self, apply: &Running, in_transaction: bool) {
        let (state, expected) = match in_transaction {
            true => ("state = 'idle in transaction'", true),
            false => ("xact_start is not null", false),
        };
        let sql = format!(
            "select exists (select from pg_stat_activity where datname = current_database() and application_name like 'keylane%' and {state})"
        );
        self.bed.wait(apply, "a moment to halt at", || {
            apply.halt();
            let found = (self.bed.replica_sql(&sql) == "t") == expected;
            if !found {
                apply.go_on();
            }
            found
        });
    }
}

/// Ends the load when a test fails.
impl Drop for Haunted {
    fn drop(&mut self) {
        if self.load.is_some() {
            self.bed.origin_sql("update work.load set stop = true");
        }
    }
}

fn an_applier_that_was_taken_over_writes_nothing(name: &'static str, in_transaction: bool) {
    if left_out() {
        return;
    }
    let (mut haunted, capture, mut zombie) = Haunted::new(name);
    haunted.halt(&zombie, in_transaction);
    let (_folder, successor) = haunted.elsewhere("apply");
    haunted.await_progress(&successor, "of the successor");
    zombie.go_on();
    let code = zombie.await_end();
    assert_eq!(code, Some(1), "{}", zombie.log());
    assert!(zombie.log().contains("KL-APPLY-007"), "{}", zombie.log());
    let status = haunted.bed.status();
    let why = status["why"].as_str().unwrap_or_default();
    assert!(
        status["state"] == "stopped" && why.contains("KL-APPLY-007"),
        "{status}"
    );
    haunted.await_progress(&successor, "after the zombie woke");
    haunted.end(&successor);
    successor.terminate();
    capture.terminate();
}

#[test]
fn an_applier_that_hung_idle_and_was_taken_over_writes_nothing_and_ends_with_a_clear_word() {
    an_applier_that_was_taken_over_writes_nothing("zombie_idle", false);
}

#[test]
fn an_applier_that_hung_in_a_transaction_is_taken_over_and_its_transaction_leaves_no_trace() {
    an_applier_that_was_taken_over_writes_nothing("zombie_midway", true);
}

#[test]
fn a_capturer_that_hung_and_was_taken_over_publishes_nothing_and_stands_by_for_the_next_turn() {
    if left_out() {
        return;
    }
    let (mut haunted, zombie, apply) = Haunted::new("zombie_capture");
    zombie.halt();
    haunted.bed.origin_sql(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'keylane_zombie_capture'",
    );
    let (_folder, successor) = haunted.elsewhere("capture");
    haunted.await_progress(&apply, "by the successor");
    zombie.go_on();
    let stands_by = || {
        let status = haunted.bed.status();
        let why = status["why"].as_str().unwrap_or_default();
        why.contains("waiting for another capturer to let go") && why.contains("KL-CAPTURE-102")
    };
    haunted
        .bed
        .wait(&zombie, "the zombie to say that it stands by", stands_by);
    haunted.await_progress(&apply, "beside the zombie");
    // It is no zombie any more, but the one who takes over next.
    successor.kill9();
    haunted.await_progress(&apply, "by the one who stood by");
    haunted.end(&zombie);
    apply.terminate();
    zombie.terminate();
}
