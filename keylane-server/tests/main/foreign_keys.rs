//! A replica with the origin's own foreign keys, under transactions that pass through states which immediate constraints forbid: cascades, deferred
//! references, trees, swaps of deferred unique values, truncated parents. Nothing is parked, nothing is missed, both sides end equal.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use keylane_parts::{KafkaHandle, PostgresHandle, end_with_this_process, wait_until};

use crate::chaos::Random;

const PATIENCE: Duration = Duration::from_secs(120);
const TABLES: [&str; 6] = ["customers", "orders", "items", "notes", "tree", "ranks"];

/// The tables; `action` stands behind each reference, `deferred` behind those checked at commit.
fn tables(action: impl Fn(&str) -> String, deferred: &str) -> String {
    format!(
        "create table customers (id int primary key, email text unique, body text);
         create table orders (id int primary key, customer int not null references customers {0}, body text);
         create table items (id int, order_id int not null references orders {0}, body text, primary key (id));
         alter table items replica identity full;
         create table notes (id int primary key, customer int references customers {1}, body text);
         create table tree (id int primary key, above int references tree {0} {deferred});
         create table ranks (id int primary key, place int unique deferrable initially deferred);",
        action("cascade"),
        action("set null"),
    )
}

/// Transactions of a small shop whose customers come and go with all they have.
fn workload(seed: u64, transactions: usize, key_changes: bool) -> String {
    let mut random = Random::new(seed);
    let mut sql = String::from("insert into ranks select n, n from generate_series(1, 20) n;\n");
    let mut number = move |below: u64| *random.pick(&(0..below).collect::<Vec<u64>>());
    for _ in 0..transactions {
        sql.push_str("begin;\n");
        for _ in 0..=number(2) {
            let (customer, order, item) = (number(12), number(24), number(48));
            // Large enough, now and then, to be kept out of line, and then not sent where it did not change.
            let text = format!("repeat(md5('{item}'), {})", number(3) * 100);
            let statement = match number(14) {
                0..3 => format!(
                    "insert into customers values ({customer}, 'mail{customer}', {text}) on conflict do nothing;"
                ),
                3..5 => format!(
                    "insert into orders select {order}, id, {text} from customers where id = {customer} on conflict (id) do update set customer = excluded.customer;"
                ),
                5..7 => format!(
                    "insert into items select {item}, id, {text} from orders where id = {order} on conflict (id) do update set order_id = excluded.order_id;"
                ),
                7 => format!("insert into notes select {item}, id, 'n' from customers where id = {customer} on conflict do nothing;"),
                8 => format!("delete from customers where id = {customer};"),
                9 => format!("delete from orders where id in ({order}, {customer}); delete from items where id = {item};"),
                10 => format!(
                    // The child first.
                    "insert into tree select {item}, {order} where not exists (select from tree where id in ({item}, {order})) and {item} <> {order};
                     insert into tree select {order}, null where exists (select from tree where above = {order}) on conflict do nothing;"
                ),
                11 => format!("delete from tree where id = {order};"),
                12 => format!("update ranks set place = case id when {0} then (select place from ranks where id = {1}) else (select place from ranks where id = {0}) end where id in ({0}, {1});", 1 + customer, 8 + customer),
                _ if key_changes => format!(
                    "update customers set id = id + 100, email = email || 'x' where id = {customer} and not exists (select from customers where id = {customer} + 100);"
                ),
                _ => "truncate notes;".to_owned(),
            };
            let _ = writeln!(sql, "{statement}");
        }
        sql.push_str("commit;\n");
    }
    sql.push_str("begin; truncate notes, items, orders, customers; insert into customers values (1, 'last', 'l'); insert into orders values (1, 1, 'l'); commit;\n");
    sql
}

struct Road {
    origin: &'static PostgresHandle,
    replica: &'static PostgresHandle,
    database: &'static str,
    folder: tempfile::TempDir,
    running: Option<Child>,
}

impl Road {
    fn new(database: &'static str, replica_tables: &str, apply: &str) -> Option<Road> {
        if keylane_parts::quick() {
            eprintln!("left out: needs Kafka and PostgreSQL");
            return None;
        }
        let road = Road {
            origin: PostgresHandle::shared_origin().expect("an origin"),
            replica: PostgresHandle::shared_replica().expect("a replica"),
            database,
            folder: tempfile::tempdir().expect("a temporary folder"),
            running: None,
        };
        for side in [road.origin, road.replica] {
            side.fresh_database(database).expect("a database");
        }
        let origin_tables = tables(
            |action| format!("on delete {action} on update cascade"),
            "deferrable initially deferred",
        );
        road.origin
            .psql(database, &origin_tables)
            .expect("the origin's tables");
        road.replica
            .psql(database, replica_tables)
            .expect("the replica's tables");
        let kafka = KafkaHandle::shared().expect("Kafka");
        let text = format!(
            "version: 1
http: {{ listen: off }}
log: {{ kafka: {{ bootstrap: \"{}\" }} }}
pipelines:
  {database}:
    origin: {{ postgres: {{ url: \"{}\" }} }}
    replica: {{ postgres: {{ url: \"{}\" }} }}
    topics: {{ partitions: 8, order_keys: {{ public.items: [order_id] }} }}
    apply: {{ threads: 8, {apply} }}
",
            kafka.bootstrap(),
            road.origin.url(database),
            road.replica.url(database),
        );
        std::fs::write(road.folder.path().join("keylane.yaml"), text).expect("written");
        Some(road)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("run.log")).expect("a log file");
        let child = self
            .command(&["run"])
            .stderr(log)
            .stdout(Stdio::null())
            .spawn();
        let child = child.expect("keylane starts");
        end_with_this_process(&child).expect("it is watched");
        self.running = Some(child);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("run.log")).unwrap_or_default()
    }

    fn settle(&self) {
        let settled = || {
            let output = self.command(&["settle", "--timeout", "30s"]).output();
            Ok(output.is_ok_and(|output| output.status.success()))
        };
        let waited = wait_until("the replica to hold what the origin has", PATIENCE, settled);
        assert!(waited.is_ok(), "{waited:?}\n{}", self.log());
    }

    fn ends_equal(&self) {
        let parked = self
            .command(&["parked", "list", "--format", "json"])
            .output()
            .expect("keylane runs");
        let parked: serde_json::Value = serde_json::from_slice(&parked.stdout).expect("JSON");
        let none = parked
            .as_array()
            .or(parked["parked"].as_array())
            .is_some_and(Vec::is_empty);
        assert!(none, "{parked}\n{}", self.log());
        for table in TABLES {
            let sql = format!("select t::text from {table} t order by t::text collate \"C\"");
            let rows = |side: &PostgresHandle| side.psql(self.database, &sql).expect("rows");
            assert_eq!(
                rows(self.origin),
                rows(self.replica),
                "{table}\n{}",
                self.log()
            );
        }
        assert!(
            !self.log().contains("KL-APPLY-012"),
            "rows were missed\n{}",
            self.log()
        );
    }

    fn run(&mut self, sql: &str) {
        self.start();
        self.settle();
        self.origin.psql(self.database, sql).expect("the workload");
        self.settle();
        self.ends_equal();
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().ok();
            child.wait().ok();
        }
        let slot = format!(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'keylane_{}'",
            self.database
        );
        let dropped = || Ok(self.origin.psql("postgres", &slot).is_ok());
        wait_until("the slot to be dropped", PATIENCE, dropped).ok();
    }
}

#[test]
fn a_replica_that_checks_every_statement_takes_what_the_origin_checked_at_commit() {
    let immediate = tables(|_| String::new(), "");
    let Some(mut road) = Road::new("fk_immediate", &immediate, "fold: false") else {
        return;
    };
    road.run(&workload(1, 400, false));
}

#[test]
fn a_replica_that_cascades_itself_takes_no_row_that_the_origin_kept() {
    let same = tables(
        |action| format!("on delete {action} on update cascade"),
        "deferrable initially deferred",
    );
    let Some(mut road) = Road::new("fk_cascades", &same, "fold: true") else {
        return;
    };
    road.run(&workload(2, 400, true));
}

#[test]
fn a_replica_that_trusts_the_origin_takes_anything_the_origin_took() {
    let immediate = tables(|_| String::new(), "");
    let Some(mut road) = Road::new("fk_trusted", &immediate, "foreign_keys: trust") else {
        return;
    };
    road.run(&workload(3, 400, true));
}
