//! Everything that a saga goes through is killed at random while hundreds are under way: who drives them, their database, the broker, and a participant in Python beside those in Rust, over topics and over HTTP.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::publish::{Log as _, TopicSpec};
use keylane_core::saga::{State, StepStatus};
use keylane_parts::{
    Kafka, PortLease, Postgres, PostgresVersion, Tool, end_with_this_process, ensure_installed,
    free_port,
};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rusqlite::Connection;

use super::bed::{Bed, wait};
use super::participants::Manners;
use super::topics::read_by_topic;
use crate::bed::left_out;

/// By a topic in Rust, over HTTP in Rust, over HTTP in Python; then the pivot, and what succeeds in the end.
const JOURNEY: &str = "
saga: journey
version: 1
patience: 1h
steps:
  - { id: reserve, kind: compensatable, participant: stock, action: reserve.v1, undo: release.v1, timeout: 60s, retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: hold, kind: compensatable, participant: seats, action: hold.v1, undo: drop.v1, timeout: 60s, after: [], retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: count, kind: compensatable, participant: python, action: count.add.v1, undo: count.take.v1, timeout: 60s, after: [], retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: charge, kind: pivot, participant: money, action: charge.v1, timeout: 60s, after: [reserve, hold, count], retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: ship, kind: retriable, participant: post, action: ship.v1, after: [charge], retry: { first: 50ms, cap: 500ms, answer: 2s } }
";
/// Sagas that begin before each kill.
const SAGAS_A_KILL: usize = 12;

/// Each part once; four times where there is time for it.
fn kills() -> usize {
    match keylane_parts::slow() {
        true => 16,
        false => 4,
    }
}

/// The example in Python, on a port that stays its own.
struct Python {
    child: Child,
    lease: PortLease,
    file: PathBuf,
}

impl Python {
    fn start(folder: &Path) -> Python {
        let (lease, file) = (free_port().expect("a port"), folder.join("python.db"));
        let child = Python::started(&file, lease.port());
        Python { child, lease, file }
    }

    fn started(file: &Path, port: u16) -> Child {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../examples/participants/participant.py"
        );
        let log = File::create(file.with_extension("log")).expect("a log");
        let mut command = Command::new("python3");
        command.arg(script).arg(file).arg(port.to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().expect("it starts");
        end_with_this_process(&child).expect("it is watched");
        child
    }

    fn killed(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
        self.child = Python::started(&self.file, self.lease.port());
    }

    /// How often a saga was counted, and that was taken back.
    fn effects(&self, saga: &str) -> (i64, i64) {
        let file = Connection::open(&self.file).expect("its file");
        let sql = "SELECT count(*) FILTER (WHERE what = 'did'), count(*) FILTER (WHERE what = 'undid') FROM effects WHERE saga = ?1";
        let counts = file.query_row(sql, [saga], |row| Ok((row.get(0)?, row.get(1)?)));
        counts.expect("a row")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn topics(bed: &Bed, bootstrap: &str, names: &[&str]) {
    let log = Arc::new(KafkaLog::open(KafkaSettings::new(bootstrap)).expect("Kafka"));
    let spec = |name: &&str| TopicSpec {
        name: (*name).into(),
        partitions: 4,
        replication_factor: 1,
        settings: Vec::new(),
    };
    let specs: Vec<TopicSpec> = names.iter().map(spec).collect();
    let made = bed.runtime.block_on(log.ensure_topics(&specs));
    made.expect("topics");
}

/// The configuration names it, too.
fn name(bed: &Bed, python: &Python) {
    let port = python.lease.port();
    let path = bed.folder.path().join("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let named = format!("participants: {{ python: {{ http: 'http://127.0.0.1:{port}/' }}, ");
    std::fs::write(&path, text.replace("participants: { ", &named)).expect("written");
}

#[test]
fn effects_are_exact_while_everything_is_killed() {
    if left_out() {
        return;
    }
    ensure_installed(&[Tool::Python]).expect("Python");
    let seed = u64::from(std::process::id());
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut server = Postgres::start(PostgresVersion::V15).expect("PostgreSQL starts");
    server.create_database("sagas").expect("a database");
    let mut kafka = Kafka::start().expect("Kafka starts");
    let bed = Bed::of(JOURNEY, seed, server.url("sagas"));
    let (commands, answers) = ("everything.cmd.stock", "everything.answers");
    topics(&bed, &kafka.bootstrap(), &[commands, answers]);
    read_by_topic(&bed, &kafka.bootstrap(), commands, answers);
    let mut python = Python::start(bed.folder.path());
    name(&bed, &python);
    let shaky = Manners {
        refuses: 5,
        loses_answers: 10,
        says_no: 8,
        ..Manners::default()
    };
    for service in ["stock", "seats", "money"] {
        bed.participants.behaves(service, shaky);
    }
    let stop = bed
        .participants
        .reads(&kafka.bootstrap(), commands, "stock");
    let mut serving = bed.serve();
    for kill in 0..kills() {
        let from = kill * SAGAS_A_KILL;
        bed.begin((from..from + SAGAS_A_KILL).map(|number| format!("journey-{number}")));
        std::thread::sleep(Duration::from_millis(chance.random_range(100..1_200)));
        match kill % 4 {
            0 => {
                serving.kill9();
                serving = bed.serve();
            }
            1 => python.killed(),
            2 => {
                kafka.kill9().expect("killed");
                kafka.restart().expect("it recovers");
            }
            _ => {
                server.kill9().expect("killed");
                server.restart().expect("it recovers");
            }
        }
    }
    wait("all sagas to end", || bed.list(&[]).is_empty());
    serving.terminate();
    stop.cancel();
    assert_exact(&bed, &python, seed);
}

/// A completed saga had each of its effects once, a compensated one none that was not undone; in Rust and in Python.
fn assert_exact(bed: &Bed, python: &Python, seed: u64) {
    let (mut completed, mut compensated) = (0, 0);
    let effects = bed.participants.effects();
    for saga in bed.list(&[State::Completed, State::Compensated]) {
        let shown = bed.runtime.block_on(bed.desk.show(&saga.id)).expect("read");
        let steps = shown.expect("it is kept").saga.steps;
        match saga.state {
            State::Completed => completed += 1,
            _ => compensated += 1,
        }
        for (step, row) in ["reserve", "hold", "count", "charge", "ship"]
            .iter()
            .zip(steps)
        {
            let of_rust = effects.get(&(saga.id.clone(), (*step).to_owned())).copied();
            let had = match *step {
                "count" => python.effects(&saga.id),
                _ => of_rust.unwrap_or_default(),
            };
            let is_right = match (saga.state, row.status) {
                (State::Completed, StepStatus::Ok) => had == (1, 0),
                (State::Completed, _) => false,
                _ => had.0 == had.1 && had.0 <= 1,
            };
            assert!(
                is_right,
                "{} {step} {:?} {had:?}, seed {seed}",
                saga.id, row.status
            );
        }
    }
    assert_eq!(
        completed + compensated,
        kills() * SAGAS_A_KILL,
        "seed {seed}"
    );
    assert!(completed > 0 && compensated > 0, "both ends occur");
    eprintln!("everything killed: {completed} completed, {compensated} compensated, seed {seed}");
}
