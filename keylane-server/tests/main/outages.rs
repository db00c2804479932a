//! What a road depends on is away, at the start and later: it is named, waited for, and nothing is lost; what does not need it goes on.

use std::path::Path;
use std::process::Output;

use keylane_parts::{Kafka, Postgres, PostgresOptions, PostgresVersion};
use serde_json::Value;

use crate::bed::{Bed, Wiring, left_out, postgres};
use crate::gate::Gate;
use crate::running::Running;

const TABLES: &str = "create table t(id int primary key, v text);";

/// A road of which one side is behind a gate, and another of the same process that is not.
struct Pair {
    bed: Bed,
    other: Bed,
    rows: u32,
}

impl Pair {
    fn new(name: &'static str, other: &'static str) -> Pair {
        Pair {
            bed: Bed::new(name, TABLES),
            other: Bed::new(other, TABLES),
            rows: 0,
        }
    }

    /// Writers of both origins are served at any time.
    fn write(&mut self) {
        self.rows += 1;
        let sql = format!("insert into t values ({}, 'x')", self.rows);
        self.bed.origin_sql(&sql);
        self.other.origin_sql(&sql);
    }

    /// The state says what is away, until it is back; meanwhile the other road carries what is written.
    fn is_away(&mut self, road: &Running, words: &[&str]) {
        let told = |status: &Value| {
            let why = status["why"].as_str().unwrap_or_default();
            status["state"] == "degraded" && words.iter().all(|word| why.contains(word))
        };
        let bed = &self.bed;
        bed.wait(road, &format!("the status to name {words:?}"), || {
            told(&bed.status())
        });
        self.write();
        self.other.settle(road);
        self.other.assert_equal(&["t"]);
        let status = self.bed.status();
        assert!(told(&status), "{status}");
    }

    fn is_back(&mut self, road: &Running) {
        self.bed.settle(road);
        self.bed.assert_equal(&["t"]);
        // The status is told every half second: what it said before must not be taken for what it says of the next outage.
        let bed = &self.bed;
        bed.wait(road, "the status to say that all is well", || {
            bed.status()["state"] == "caught_up"
        });
        assert_eq!(
            self.bed.replica_sql("select count(*) from t"),
            self.rows.to_string()
        );
    }
}

fn told(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word} is not in: {stderr}");
    }
}

#[test]
fn an_origin_that_is_away_at_the_start_and_later_is_waited_for_and_other_pipelines_go_on() {
    if left_out() {
        return;
    }
    let mut pair = Pair::new("away_origin", "away_origin_other");
    let mut gate = Gate::to(&pair.bed.origin_url());
    let mut wiring = pair.bed.wiring();
    wiring.origin = postgres(&gate.through(&pair.bed.origin_url()));
    pair.bed.configure(&[wiring, pair.other.wiring()]);
    let check = pair.bed.failed_check("origin.reachable");
    let subject = check["subject"].as_str().unwrap_or_default();
    assert!(subject.contains(&gate.place()), "{check}");
    let road = pair.bed.start(&[]);
    pair.write();
    pair.is_away(&road, &["capture", "KL-CAPTURE-101", &gate.place()]);
    let settle = pair.bed.run(&["settle", pair.bed.name, "--timeout", "5s"]);
    told(&settle, 4, &["the origin took no marker", &gate.place()]);
    gate.open();
    pair.is_back(&road);
    gate.shut();
    pair.write();
    pair.is_away(&road, &["capture", "KL-CAPTURE-101"]);
    gate.open();
    pair.is_back(&road);
    road.terminate();
}

#[test]
fn a_replica_that_is_away_at_the_start_and_later_is_waited_for_and_capture_goes_on() {
    if left_out() {
        return;
    }
    let mut pair = Pair::new("away_replica", "away_replica_other");
    let mut gate = Gate::to(&pair.bed.replica_url());
    let mut wiring = pair.bed.wiring();
    wiring.replica = postgres(&gate.through(&pair.bed.replica_url()));
    pair.bed.configure(&[wiring, pair.other.wiring()]);
    pair.bed.failed_check("replica.reachable");
    let road = pair.bed.start(&[]);
    pair.write();
    pair.is_away(&road, &["apply", "KL-APPLY-001", &gate.place()]);
    let settle = pair.bed.run(&["settle", pair.bed.name, "--timeout", "5s"]);
    told(&settle, 4, &["the replica cannot be asked", &gate.place()]);
    let parked = pair
        .bed
        .run(&["parked", "list", "--pipeline", pair.bed.name]);
    told(&parked, 4, &["the replica cannot be asked", &gate.place()]);
    gate.open();
    pair.is_back(&road);
    gate.shut();
    let before = pair.bed.status()["published"].as_u64();
    pair.write();
    pair.is_away(&road, &["apply", "KL-APPLY-001"]);
    let bed = &pair.bed;
    bed.wait(&road, "the log to take what the replica cannot", || {
        bed.status()["published"].as_u64() > before
    });
    gate.open();
    pair.is_back(&road);
    road.terminate();
}

#[test]
fn a_broker_that_is_away_at_the_start_and_later_is_waited_for_and_the_origin_s_writers_are_not_disturbed()
 {
    if left_out() {
        return;
    }
    let mut kafka = Kafka::start().expect("Kafka starts");
    kafka.kill9().expect("it is killed");
    let mut bed = Bed::new("away_broker", TABLES);
    bed.kafka = kafka.bootstrap();
    bed.configure(&[bed.wiring()]);
    let check = bed.failed_check("log.reachable");
    let subject = check["subject"].as_str().unwrap_or_default();
    assert!(subject.contains(&bed.kafka), "{check}");
    let road = bed.start(&[]);
    let is_away = |row: u32, words: [&str; 2]| {
        bed.origin_sql(&format!("insert into t values ({row}, 'x')"));
        bed.wait(&road, &format!("the status to name {words:?}"), || {
            let status = bed.status();
            let why = status["why"].as_str().unwrap_or_default();
            status["state"] == "degraded" && words.iter().all(|word| why.contains(word))
        });
        let settle = bed.run(&["settle", "--timeout", "1s"]);
        told(&settle, 4, &["the log did not answer in time", &bed.kafka]);
    };
    is_away(
        1,
        [
            "capture: the log is not reachable: KL-PUBLISH-001",
            &bed.kafka,
        ],
    );
    kafka.restart().expect("it comes back");
    bed.settle(&road);
    bed.assert_equal(&["t"]);
    kafka.kill9().expect("it is killed");
    is_away(
        2,
        [
            "apply: KL-CONSUME-002: the log is not reachable",
            &bed.kafka,
        ],
    );
    kafka.restart().expect("it comes back");
    bed.settle(&road);
    bed.assert_equal(&["t"]);
    road.terminate();
}

const PASSWORD: &str = "right-7f3a";
const WRONG: &str = "wrong-91bc";

/// No password is in anything that a person may see.
fn keeps_secrets(folder: &Path) {
    let files = std::fs::read_dir(folder)
        .into_iter()
        .chain(std::fs::read_dir(folder.join(".keylane")))
        .flatten();
    for file in files.flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let is_config = file.file_name() == "keylane.yaml";
        let told = text.contains(WRONG) || text.contains(PASSWORD);
        assert!(
            is_config || !told,
            "{} holds a password",
            file.path().display()
        );
    }
}

/// A pipeline between databases that ask for a password, beside one that is not asked.
struct Locked {
    server: Postgres,
    bed: Bed,
}

impl Locked {
    fn new() -> Locked {
        let options = PostgresOptions::new(PostgresVersion::V15).password(PASSWORD);
        let server = Postgres::start(options).expect("PostgreSQL starts");
        for database in ["shop", "reports"] {
            server.create_database(database).expect("a database");
            server.psql(database, TABLES).expect("a table");
        }
        let bed = Bed::new("password_other", TABLES);
        Locked { server, bed }
    }

    fn configure(&self, origin: &str, replica: &str) {
        let with = |password: &str, database: &str| {
            postgres(&self.server.url(database).replace(PASSWORD, password))
        };
        let locked = Wiring {
            name: "locked".to_owned(),
            origin: with(origin, "shop"),
            replica: with(replica, "reports"),
            ..self.bed.wiring()
        };
        self.bed.configure(&[locked, self.bed.wiring()]);
    }

    fn insert(&self, row: u32) {
        let sql = format!("insert into t values ({row}, 'x')");
        self.server.psql("shop", &sql).expect("a row");
        self.bed.origin_sql(&sql);
    }

    /// The pipeline ends by itself and says why; beside it, the other one goes on.
    fn is_refused(&self, role: &str, code: &str, check: &str, row: u32) {
        let bed = &self.bed;
        let mut alone = bed.start(&["--pipeline", "locked"]);
        let end = alone.await_end();
        let log = alone.log();
        assert_eq!(end, Some(1), "{log}");
        let place = format!("127.0.0.1:{}", self.server.port());
        for word in [code, "password", &place] {
            assert!(log.contains(word), "{word} is not in: {log}");
        }
        let check = bed.failed_check(check);
        let found = check["found"].as_str().unwrap_or_default();
        assert!(found.contains("password"), "{check}");
        let road = bed.start(&[]);
        bed.wait(&road, "the status to say why it stopped", || {
            let all = bed.json(&["status", "--format", "json", "locked"], 0);
            let status = &all["pipelines"][0];
            let why = status["why"].as_str().unwrap_or_default();
            status["state"] == "stopped" && why.contains(role) && why.contains(code)
        });
        self.insert(row);
        bed.settle(&road);
        bed.assert_equal(&["t"]);
        road.kill9();
        keeps_secrets(bed.folder.path());
    }
}

#[test]
fn a_wrong_password_ends_its_pipeline_with_a_clear_word_and_the_right_one_goes_on() {
    if left_out() {
        return;
    }
    let locked = Locked::new();
    locked.insert(1);
    locked.configure(WRONG, PASSWORD);
    locked.is_refused("capture", "KL-CAPTURE-106", "origin.reachable", 2);
    locked.configure(PASSWORD, WRONG);
    locked.is_refused("apply", "KL-APPLY-006", "replica.reachable", 3);
    locked.configure(PASSWORD, PASSWORD);
    let bed = &locked.bed;
    let road = bed.start(&[]);
    bed.wait(&road, "the pipeline to go on", || {
        let settled = bed.run(&["settle", "locked", "--timeout", "10s"]);
        settled.status.success()
    });
    let rows = locked.server.psql("reports", "select count(*) from t");
    assert_eq!(rows.expect("it answers"), "3");
    road.terminate();
    keeps_secrets(bed.folder.path());
}
