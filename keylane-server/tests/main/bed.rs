//! A road of one test on parts that tests share: its own databases, topics, folder and processes. What it leaves at the parts goes with it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use keylane_parts::{KafkaHandle, PostgresHandle, wait_until};
use serde_json::Value;

use crate::running::Running;

/// How long any awaited thing may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Says that a test is left out where there are no parts.
pub fn left_out() -> bool {
    let quick = keylane_parts::quick();
    if quick {
        eprintln!("left out: needs Kafka and PostgreSQL");
    }
    quick
}

/// How a pipeline is wired; each text is what stands in its block of the configuration.
#[derive(Clone, Debug)]
pub struct Wiring {
    pub name: String,
    pub origin: String,
    pub replica: String,
    pub topics: String,
    pub capture: String,
    pub apply: String,
}

impl Wiring {
    fn text(&self) -> String {
        let Wiring {
            name,
            origin,
            replica,
            topics,
            capture,
            apply,
        } = self;
        format!(
            "  {name}:\n    origin: {{ {origin} }}\n    replica: {{ {replica} }}\n    tables: [\"public.*\"]\n    topics: {{ {topics} }}\n    \
             capture: {{ {capture} }}\n    apply: {{ {apply} }}\n"
        )
    }
}

/// A PostgreSQL database in the configuration.
pub fn postgres(url: &str) -> String {
    format!("postgres: {{ url: \"{url}\" }}")
}

/// Two databases called as the test, and a folder with a configuration.
pub struct Bed {
    pub name: &'static str,
    pub kafka: String,
    /// What stands in the configuration's `log` block, if not this Kafka.
    pub log: Option<String>,
    pub http: String,
    pub folder: tempfile::TempDir,
    origin: &'static PostgresHandle,
    replica: &'static PostgresHandle,
    replica_database: String,
    /// Words that have the name in front in every statement, so that the same statements mean other tables.
    own: &'static [&'static str],
}

impl Bed {
    /// Databases of this name with `tables` on both sides, and a configuration that copies one to the other. The name is the pipeline's too.
    pub fn new(name: &'static str, tables: &str) -> Bed {
        let bed = Bed::bare(name);
        bed.make(tables);
        bed
    }

    /// As [`Bed::new`], over a Kafka of the test's own.
    pub fn over(kafka: &str, name: &'static str, tables: &str) -> Bed {
        let bed = Bed::empty(name, kafka);
        bed.make(tables);
        bed
    }

    /// As [`Bed::new`], with a database of its own as the origin and another road's replica: there, what `own` says is called after this road.
    pub fn beside(
        other: &Bed,
        name: &'static str,
        tables: &str,
        own: &'static [&'static str],
    ) -> Bed {
        let mut bed = Bed::nowhere(name, &other.kafka);
        bed.replica_database.clone_from(&other.replica_database);
        bed.own = own;
        bed.fresh_origin();
        bed.make(tables);
        bed
    }

    /// Empty databases of this name, no configuration yet.
    pub fn bare(name: &'static str) -> Bed {
        Bed::empty(name, KafkaHandle::shared().expect("Kafka").bootstrap())
    }

    /// As [`Bed::bare`], on parts of the test's own, which may be killed.
    pub fn on(kafka: &str, server: &'static PostgresHandle, name: &'static str) -> Bed {
        let mut bed = Bed::nowhere(name, kafka);
        (bed.origin, bed.replica) = (server, server);
        Bed::made(bed)
    }

    fn empty(name: &'static str, kafka: &str) -> Bed {
        Bed::made(Bed::nowhere(name, kafka))
    }

    fn made(bed: Bed) -> Bed {
        bed.fresh_origin();
        let made = bed.replica.fresh_database(&bed.replica_database);
        made.expect("a database");
        bed
    }

    fn nowhere(name: &'static str, kafka: &str) -> Bed {
        Bed {
            name,
            kafka: kafka.to_owned(),
            log: None,
            http: "listen: off".to_owned(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            origin: PostgresHandle::shared_origin().expect("the origin"),
            replica: PostgresHandle::shared_replica().expect("the replica"),
            replica_database: format!("{name}_replica"),
            own: &[],
        }
    }

    fn fresh_origin(&self) {
        // A slot that an earlier run left would keep the database.
        self.drop_slot();
        let made = self.origin.fresh_database(&self.origin_name());
        made.expect("a database");
    }

    fn make(&self, tables: &str) {
        self.origin_sql(tables);
        self.replica_sql(tables);
        self.configure(&[self.wiring()]);
    }

    // Both sides may be one server.
    fn origin_name(&self) -> String {
        format!("{}_origin", self.name)
    }

    pub fn origin_url(&self) -> String {
        self.origin.url(&self.origin_name())
    }

    pub fn replica_url(&self) -> String {
        self.replica.url(&self.replica_database)
    }

    /// From one database to the other; a table's changes in one partition.
    pub fn wiring(&self) -> Wiring {
        Wiring {
            name: self.name.to_owned(),
            origin: postgres(&self.origin_url()),
            replica: postgres(&self.replica_url()),
            topics: "partitions: 1".to_owned(),
            capture: String::new(),
            apply: "fold: false, on_error: { retry: 2 }".to_owned(),
        }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("keylane.yaml")
    }

    /// Writes the configuration: these pipelines over Kafka.
    pub fn configure(&self, pipelines: &[Wiring]) {
        let kafka = format!("kafka: {{ bootstrap: \"{}\" }}", self.kafka);
        let log = self.log.as_ref().unwrap_or(&kafka);
        let http = &self.http;
        let mut text = format!("version: 1\nhttp: {{ {http} }}\nlog: {{ {log} }}\npipelines:\n");
        for wiring in pipelines {
            write!(text, "{}", wiring.text()).expect("text takes text");
        }
        std::fs::write(self.config(), text).expect("the configuration is written");
    }

    pub fn origin_sql(&self, sql: &str) -> String {
        self.origin_asked()(sql).trim().to_owned()
    }

    pub fn replica_sql(&self, sql: &str) -> String {
        self.replica_asked()(sql).trim().to_owned()
    }

    /// Whoever is connected to the replica loses the connection; meanwhile `change` is done to it from outside.
    fn replica_alone(&self, change: &[String]) {
        let name = &self.replica_database;
        let mut statements = vec![
            format!("alter database \"{name}\" allow_connections false"),
            format!(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{name}'"
            ),
        ];
        statements.extend_from_slice(change);
        statements.push(format!("alter database \"{name}\" allow_connections true"));
        for sql in statements {
            self.replica.psql("postgres", &sql).expect(&sql);
        }
    }

    /// Makes a backup of the replica.
    pub fn back_up_replica(&self) {
        let name = &self.replica_database;
        self.replica_alone(&[
            format!("drop database if exists \"{name}_backup\""),
            format!("create database \"{name}_backup\" template \"{name}\""),
        ]);
    }

    /// Puts the backup in the replica's place.
    pub fn restore_replica(&self) {
        let name = &self.replica_database;
        // In between there is no such database.
        self.replica_alone(&[
            format!("drop database \"{name}\""),
            format!("alter database \"{name}_backup\" rename to \"{name}\""),
        ]);
    }

    /// Asks the origin, also from another thread.
    pub fn origin_asked(&self) -> impl Fn(&str) -> String + Send + use<> {
        asked(self.origin, self.origin_name(), self.name, self.own)
    }

    /// Asks the replica.
    pub fn replica_asked(&self) -> impl Fn(&str) -> String + Send + use<> {
        asked(
            self.replica,
            self.replica_database.clone(),
            self.name,
            self.own,
        )
    }

    /// A Keylane command on this configuration.
    pub fn keylane(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.keylane(arguments).output().expect("keylane runs")
    }

    /// Runs a command that prints JSON and ends with `code`.
    pub fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        let read = serde_json::from_slice(&output.stdout);
        read.expect("one JSON object on stdout")
    }

    /// This test's pipeline as `keylane status` tells it.
    pub fn status(&self) -> Value {
        let all = self.json(&["status", "--format", "json", self.name], 0);
        all["pipelines"][0].clone()
    }

    /// What is parked, as scripts see it.
    pub fn parked(&self) -> Vec<Value> {
        let parked = self.json(
            &[
                "parked",
                "list",
                "--format",
                "json",
                "--pipeline",
                self.name,
            ],
            0,
        );
        parked.as_array().expect("a list").clone()
    }

    /// The failed check of this name; `keylane check` ends with 3.
    pub fn failed_check(&self, id: &str) -> Value {
        let checks = self.json(&["check", "--format", "json"], 3);
        let all = checks["checks"].as_array().expect("a list");
        let found = all
            .iter()
            .find(|check| check["id"] == id && check["ok"] == false);
        assert!(found.is_some(), "{id} is no failed check: {checks}");
        found.cloned().unwrap_or_default()
    }

    /// Starts `keylane run` with these arguments.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.keylane(&["run"]);
        command.args(arguments);
        Running::start(command, self.folder.path())
    }

    /// Waits for a condition; a failure shows the road's log.
    pub fn wait(&self, road: &Running, awaited: &str, mut holds: impl FnMut() -> bool) {
        let waited = wait_until(awaited, PATIENCE, || Ok(holds()));
        let failed = waited.err().map(|error| error.to_string());
        assert!(
            failed.is_none(),
            "{}\n{}",
            failed.unwrap_or_default(),
            road.log()
        );
    }

    /// Waits until the replica holds what the origin had when this was called.
    pub fn settle(&self, road: &Running) {
        self.wait(road, "the replica to hold what the origin has", || {
            let settled = self.run(&["settle", self.name, "--timeout", "20s"]);
            settled.status.success()
        });
    }

    /// Both sides hold the same rows.
    pub fn assert_equal(&self, tables: &[&str]) {
        for table in tables {
            let sql = format!(
                "select count(*), md5(coalesce(string_agg(t::text, E'\\n' order by t::text collate \"C\"), '')) from {table} t"
            );
            assert_eq!(
                self.origin_sql(&sql),
                self.replica_sql(&sql),
                "{table} differs (count, md5)"
            );
        }
    }

    fn drop_slot(&self) {
        let slot = format!("slot_name = 'keylane_{}'", self.name);
        let gone = wait_until("the slot to be let go", Duration::from_secs(20), || {
            let end = format!(
                "select pg_terminate_backend(active_pid) from pg_replication_slots where active and {slot}"
            );
            let drop = format!(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active and {slot}"
            );
            self.origin.psql("postgres", &end)?;
            self.origin.psql("postgres", &drop).ok();
            let left = format!("select count(*) from pg_replication_slots where {slot}");
            Ok(self.origin.psql("postgres", &left)?.trim() == "0")
        });
        if let Err(error) = gone {
            eprintln!("{}: {error}", self.name);
        }
    }
}

fn asked(
    server: &'static PostgresHandle,
    database: String,
    name: &'static str,
    own: &'static [&'static str],
) -> impl Fn(&str) -> String + Send {
    move |sql| {
        let called = |sql: String, word: &&str| sql.replace(word, &format!("{name}_{word}"));
        let sql = own.iter().fold(sql.to_owned(), called);
        server.psql(&database, &sql).expect(&sql)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Its processes ended before, as they were started later. A slot would keep the origin's log.
        self.drop_slot();
    }
}
