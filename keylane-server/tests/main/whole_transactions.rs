//! `apply.consistency: transaction`: readers of the replica only see states that the origin had, whoever applies and whatever happens to it.

use std::thread::JoinHandle;

use keylane_parts::Signal;

use crate::bed::{Bed, Wiring, left_out};
use crate::running::Running;

/// As pgbench has them: a transaction adds one delta to an account, a teller, a branch and the history.
const TABLES: &str = "create table branches(id int primary key, balance bigint not null);
    create table tellers(id int primary key, branch int not null references branches(id), balance bigint not null);
    create table accounts(id int primary key, branch int not null references branches(id), balance bigint not null);
    create table history(account int not null, teller int not null, branch int not null, delta bigint not null);
    alter table history replica identity full;";

const ROWS: &str = "insert into branches select id, 0 from generate_series(1, 20) id;
    insert into tellers select id, 1 + id % 20, 0 from generate_series(1, 100) id;
    insert into accounts select id, 1 + id % 20, 0 from generate_series(1, 2000) id;
    create schema work; create table work.load(stop bool); insert into work.load values (false)";

/// A writer in the origin itself, until it is told to stop.
const LOAD: &str = "do $$ declare b int; t int; a int; d int; begin
      while not (select stop from work.load) loop
        b := 1 + floor(20 * random()); t := 1 + floor(100 * random()); a := 1 + floor(2000 * random()); d := floor(2000 * random()) - 1000;
        update accounts set balance = balance + d where id = a;
        update tellers set balance = balance + d where id = t;
        update branches set balance = balance + d where id = b;
        insert into history values (a, t, b, d);
        commit;
        perform pg_sleep(0.002);
      end loop;
    end $$";

/// A reader in the replica itself: each statement sees one state.
const READER: &str = "do $$ declare a numeric; t numeric; b numeric; h numeric; n int := 0; torn int := 0; states int := 0; last numeric := 0; begin
      while not (select stop from proof.reader) loop
        select (select sum(balance) from accounts), (select sum(balance) from tellers), (select sum(balance) from branches),
               (select coalesce(sum(delta), 0) from history) into a, t, b, h;
        n := n + 1;
        if a <> t or t <> b or b <> h then torn := torn + 1; end if;
        if h <> last then states := states + 1; last := h; end if;
        if n % 20 = 0 then
          update proof.reads set reads = n, torn_states = torn, other_states = states;
          commit;
        end if;
      end loop;
    end $$";

const TABLE_NAMES: [&str; 4] = ["branches", "tellers", "accounts", "history"];

/// Writers at the origin and a reader at the replica.
struct Bank {
    bed: Bed,
    capture: Running,
    writers: Vec<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
}

/// What the reader saw.
#[derive(Debug)]
struct Reads {
    reads: u64,
    torn: u64,
    states: u64,
}

fn wired(bed: &Bed, apply: &str) -> Wiring {
    let mut wiring = bed.wiring();
    wiring.topics = "partitions: 4".to_owned();
    wiring.apply = apply.to_owned();
    wiring
}

impl Bank {
    fn open(name: &'static str, apply: &str) -> (Bank, Running) {
        let bed = Bed::new(name, TABLES);
        bed.configure(&[wired(&bed, apply)]);
        bed.origin_sql(ROWS);
        let capture = bed.start(&["--only", "capture"]);
        let applier = bed.start(&["--only", "apply"]);
        bed.settle(&applier);
        bed.replica_sql(
            "create schema proof; create table proof.reader(stop bool); insert into proof.reader values (false);
             create table proof.reads(reads int, torn_states int, other_states int); insert into proof.reads values (0, 0, 0)",
        );
        let writer = || {
            let origin = bed.origin_asked();
            std::thread::spawn(move || {
                origin(LOAD);
            })
        };
        let writers = (0..3).map(|_| writer()).collect();
        let replica = bed.replica_asked();
        let reader = std::thread::spawn(move || {
            replica(READER);
        });
        let bank = Bank {
            bed,
            capture,
            writers,
            reader: Some(reader),
        };
        (bank, applier)
    }

    fn reads(&self) -> Reads {
        let row = self
            .bed
            .replica_sql("select reads, torn_states, other_states from proof.reads");
        let mut numbers = row.split('|').map(|it| it.parse().expect("a number"));
        let mut next = || numbers.next().expect("three");
        Reads {
            reads: next(),
            torn: next(),
            states: next(),
        }
    }

    /// Until the reader has seen so many other states.
    fn await_states(&self, road: &Running, more: u64, awaited: &str) {
        let from = self.reads().states;
        self.bed.wait(road, &format!("other states {awaited}"), || {
            self.reads().states >= from + more
        });
    }

    /// A process that applies on what could be another machine.
    fn another(&self) -> (tempfile::TempDir, Running) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("keylane.yaml");
        std::fs::copy(self.bed.config(), config).expect("the configuration is copied");
        let mut command = self.bed.keylane(&["run", "--only", "apply"]);
        command.current_dir(folder.path());
        let running = Running::start(command, folder.path());
        (folder, running)
    }

    /// Both sides get equal; then the reader tells.
    fn close(mut self, road: &Running) -> Reads {
        self.end_load();
        self.bed.settle(road);
        self.bed.assert_equal(&TABLE_NAMES);
        self.bed.replica_sql("update proof.reader set stop = true");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        let reads = self.reads();
        eprintln!("{}: {reads:?}", self.bed.name);
        self.capture.signal(Signal::Terminate);
        let ended = self.capture.await_end();
        assert_eq!(ended, Some(0), "{}", self.capture.log());
        reads
    }

    fn end_load(&mut self) {
        self.bed.origin_sql("update work.load set stop = true");
        for writer in self.writers.drain(..) {
            writer.join().expect("the load ends");
        }
    }
}

/// Ends load and reader when a test fails.
impl Drop for Bank {
    fn drop(&mut self) {
        if !self.writers.is_empty() {
            self.bed.origin_sql("update work.load set stop = true");
        }
        if self.reader.is_some() {
            self.bed.replica_sql("update proof.reader set stop = true");
        }
    }
}

#[test]
fn readers_only_see_states_that_the_origin_had_over_kills_hangs_and_handovers() {
    if left_out() {
        return;
    }
    let (bank, first) = Bank::open(
        "whole",
        "consistency: transaction, threads: 4, batch_rows: 100, group: { session_timeout: 2s }",
    );
    bank.await_states(&first, 20, "by the first");
    let (_second_folder, second) = bank.another();
    bank.bed.wait(&second, "the second to stand by", || {
        second.log().contains("applying")
    });
    bank.await_states(&first, 5, "by the first, the second standing by");
    first.kill9();
    bank.await_states(&second, 20, "by the second, the first being dead");
    let (_third_folder, third) = bank.another();
    second.halt();
    bank.await_states(&third, 20, "by the third, the second hanging");
    second.go_on();
    bank.await_states(&third, 5, "by whoever it is, the second awake again");
    third.terminate();
    bank.await_states(&second, 20, "by the second, the third having left");
    let reads = bank.close(&second);
    assert!(reads.reads > 100 && reads.states > 90, "{reads:?}");
    assert_eq!(reads.torn, 0, "{reads:?}");
    second.terminate();
}

#[test]
fn key_by_key_the_same_reader_sees_states_that_the_origin_never_had() {
    if left_out() {
        return;
    }
    let (bank, applier) = Bank::open("torn", "threads: 4, batch_rows: 10");
    bank.bed
        .wait(&applier, "a torn state", || bank.reads().torn > 0);
    bank.close(&applier);
}

#[test]
fn a_transaction_that_cannot_be_applied_stops_the_pipeline_and_no_part_of_it_is_seen() {
    if left_out() {
        return;
    }
    let bed = Bed::new("whole_stops", TABLES);
    bed.configure(&[wired(
        &bed,
        "consistency: transaction, on_error: { retry: 1 }",
    )]);
    bed.origin_sql(ROWS);
    let capture = bed.start(&["--only", "capture"]);
    let mut applier = bed.start(&["--only", "apply"]);
    bed.settle(&applier);
    bed.replica_sql("alter table tellers add check (balance < 100)");
    bed.origin_sql(
        "begin; update accounts set balance = 100 where id = 1; update tellers set balance = 100 where id = 1; commit;
         update accounts set balance = 7 where id = 2",
    );
    assert_eq!(applier.await_end(), Some(1), "{}", applier.log());
    assert!(applier.log().contains("KL-APPLY-004"), "{}", applier.log());
    let balances = "select string_agg(balance::text, ' ' order by id) from accounts where id < 3";
    assert_eq!(bed.replica_sql(balances), "0 0", "{}", applier.log());
    assert!(bed.parked().is_empty());
    bed.replica_sql("alter table tellers drop constraint tellers_balance_check");
    let applier = bed.start(&["--only", "apply"]);
    bed.settle(&applier);
    bed.assert_equal(&TABLE_NAMES);
    applier.terminate();
    capture.terminate();
}

#[test]
fn a_transaction_that_does_not_fit_the_buffer_is_told_and_goes_when_it_fits() {
    if left_out() {
        return;
    }
    let bed = Bed::new("whole_large", TABLES);
    let small = "consistency: transaction, batch_bytes: 256KiB, buffer_bytes: 1MiB";
    bed.configure(&[wired(&bed, small)]);
    bed.origin_sql("insert into branches values (1, 0)");
    let capture = bed.start(&["--only", "capture"]);
    let mut applier = bed.start(&["--only", "apply"]);
    bed.settle(&applier);
    bed.origin_sql("insert into accounts select id, 1, 0 from generate_series(1, 30000) id");
    assert_eq!(applier.await_end(), Some(1), "{}", applier.log());
    assert!(applier.log().contains("KL-APPLY-016"), "{}", applier.log());
    assert_eq!(bed.replica_sql("select count(*) from accounts"), "0");
    bed.configure(&[wired(&bed, "consistency: transaction, buffer_bytes: 64MiB")]);
    let applier = bed.start(&["--only", "apply"]);
    bed.settle(&applier);
    bed.assert_equal(&TABLE_NAMES);
    applier.terminate();
    capture.terminate();
}

#[test]
fn what_is_parked_must_be_redriven_before_transactions_can_be_whole() {
    if left_out() {
        return;
    }
    let bed = Bed::new("whole_parked", TABLES);
    bed.configure(&[wired(&bed, "on_error: { retry: 0 }")]);
    bed.origin_sql(ROWS);
    bed.replica_sql("alter table branches add check (balance < 100)");
    let capture = bed.start(&["--only", "capture"]);
    let applier = bed.start(&["--only", "apply"]);
    bed.settle(&applier);
    bed.origin_sql("update branches set balance = 100 where id = 1");
    bed.wait(&applier, "the change to be parked", || {
        !bed.parked().is_empty()
    });
    applier.terminate();
    bed.configure(&[wired(&bed, "consistency: transaction")]);
    let mut refused = bed.start(&["--only", "apply"]);
    assert_eq!(refused.await_end(), Some(1), "{}", refused.log());
    assert!(refused.log().contains("KL-APPLY-015"), "{}", refused.log());
    capture.terminate();
}
