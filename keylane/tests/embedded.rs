//! The embedded log against its contract, in temporary folders: also over kill -9, with two processes at once, and on full devices.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::envelope::SchemaCache;
use keylane::workers::control::{ControlReader, ControlRecord, control_spec, control_topic};
use keylane_core::model::{Epoch, Offset, TopicPartition};
use keylane_core::publish::{Log, LogErrorKind};

use crate::log_conformance::{
    append, appends_wait_while_the_log_is_held_up, check_log, number_of, numbered, read_all, spec,
};

const JOB: &str = "KEYLANE_TEST_APPEND";

async fn open(path: &Path) -> EmbeddedLog {
    EmbeddedLog::open(EmbeddedOptions::at(path))
        .await
        .expect("opened")
}

fn place() -> TopicPartition {
    TopicPartition::new("t", 0)
}

async fn numbers(log: &EmbeddedLog) -> Vec<u64> {
    read_all(log, &place())
        .await
        .iter()
        .map(number_of)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_keeps_every_promise_of_a_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(&folder.path().join("log.db")).await;
    check_log(Arc::new(log), "any").await;
}

/// Not a test of its own: what a child process does, if it was started as one.
#[tokio::test]
async fn child_that_appends() {
    let Ok(job) = std::env::var(JOB) else { return };
    let mut words = job.split(' ');
    let path = words.next().expect("a path");
    let first: u64 = words
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number");
    let count: u64 = words
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number");
    let log = open(Path::new(path)).await;
    for from in (first..first + count).step_by(10) {
        append(&log, &place(), from..from + 10).await;
        println!("durable {}", from + 10);
        std::io::stdout().flush().expect("the parent reads");
    }
}

fn child(path: &Path, first: u64, count: u64) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "embedded::child_that_appends", "--nocapture"])
        .env(JOB, format!("{} {first} {count}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Waits until the child says that so many are durable; returns the last it said before it ended or got there.
fn durable(child: &mut Child, wanted: u64) -> u64 {
    let output = child.stdout.take().expect("piped");
    let mut last = 0;
    for line in BufReader::new(output).lines() {
        let line = line.expect("text");
        if let Some((_, number)) = line.split_once("durable ") {
            last = number.parse().expect("a number");
        }
        if last >= wanted {
            break;
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_durable_is_there_after_kill_9_and_nothing_is_torn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.db");
    let log = open(&path).await;
    log.ensure_topics(&[spec("t", 1)]).await.expect("created");
    for _ in 0..3 {
        let first = numbers(&log).await.len() as u64;
        let mut child = child(&path, first, 1_000_000);
        let durable = durable(&mut child, first + 300);
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let found = numbers(&log).await;
        assert!(
            found.len() as u64 >= durable,
            "{} of {durable}",
            found.len()
        );
        assert_eq!(found.len() % 10, 0, "an append is whole or not there");
        assert!(found.iter().copied().eq(0..found.len() as u64));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_append_without_gap_or_loss_and_each_in_its_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.db");
    let log = open(&path).await;
    log.ensure_topics(&[spec("t", 1)]).await.expect("created");
    let mut child = child(&path, 1000, 500);
    for from in (0..500).step_by(10) {
        append(&log, &place(), from..from + 10).await;
    }
    assert!(child.wait().expect("ended").success());
    let records = read_all(&log, &place()).await;
    let offsets = records.iter().map(|record| record.offset.0);
    assert!(offsets.eq(0..1000));
    let (own, other): (Vec<u64>, Vec<u64>) = records
        .iter()
        .map(number_of)
        .partition(|number| *number < 1000);
    assert!(own.into_iter().eq(0..500));
    assert!(other.into_iter().eq(1000..1500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_is_out_of_range_and_the_file_shrinks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.db");
    let log = open(&path).await;
    log.ensure_topics(&[spec("t", 1)]).await.expect("created");
    for from in (0..30_000).step_by(5000) {
        append(&log, &place(), from..from + 5000).await;
    }
    let mut consumer = log.consumer("g", 1 << 20).await.expect("opened");
    consumer
        .assign(&place(), Offset(0))
        .await
        .expect("assigned");
    let full = pages(&path);
    log.trim(&place(), Offset(29_000)).await.expect("trimmed");
    let bounds = log.bounds(&place()).await.expect("known");
    assert_eq!((bounds.start, bounds.end), (Offset(29_000), Offset(30_000)));
    let error = log.read(&place(), Offset(28_999), 1000).await.unwrap_err();
    assert_eq!(error.kind, LogErrorKind::OutOfRange, "{error}");
    let room = [(place(), 1000)];
    let error = consumer.fetch(&room, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind, LogErrorKind::OutOfRange, "{error}");
    let rest = log
        .read(&place(), Offset(29_000), 1 << 30)
        .await
        .expect("held");
    assert_eq!(rest.len(), 1000);
    assert!(pages(&path) < full / 2, "{} of {full} pages", pages(&path));
    // Beyond the end, and again: nothing more than all is dropped.
    log.trim(&place(), Offset(99_999)).await.expect("trimmed");
    log.trim(&place(), Offset(5)).await.expect("trimmed");
    let bounds = log.bounds(&place()).await.expect("known");
    assert_eq!((bounds.start, bounds.end), (Offset(30_000), Offset(30_000)));
    append(&log, &place(), 7..8).await;
    let next = log
        .read(&place(), Offset(30_000), 1000)
        .await
        .expect("held");
    assert_eq!(next.iter().map(number_of).collect::<Vec<_>>(), [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_topic_keeps_what_was_written_last_and_what_replaced_another_lately() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = open(&folder.path().join("log.db")).await;
    log.ensure_topics(&[control_spec("p", 1), spec("t", 1)])
        .await
        .expect("created");
    append(&log, &place(), 0..3).await;
    let now_ms = std::time::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_millis() as i64;
    let hour = 3_600_000;
    let none = BTreeMap::new();
    let checkpoint = |epoch, confirmed, ago_ms| {
        let partitions = &none;
        let record = ControlRecord::Checkpoint {
            confirmed,
            partitions,
        };
        record.record("p", Epoch(epoch), now_ms - ago_ms)
    };
    let opened = |epoch, ago_ms| ControlRecord::Open.record("p", Epoch(epoch), now_ms - ago_ms);
    let mut records = vec![opened(1, hour)];
    records.extend((0..5000).map(|confirmed| checkpoint(1, confirmed, hour)));
    records.push(opened(2, hour));
    records.extend((5000..10_000).map(|confirmed| checkpoint(2, confirmed, hour)));
    // As if just written: whoever is opening may have read up to one of the former.
    records.extend((10_000..10_100).map(|confirmed| checkpoint(2, confirmed, 0)));
    log.append(records)
        .await
        .expect("taken")
        .await
        .expect("durable");
    let confirmed = async || {
        let mut reader = ControlReader::new("p", Arc::new(SchemaCache::default()));
        reader.poll(&log, None).await.expect("readable");
        reader.state().confirmed
    };
    assert_eq!(confirmed().await, 10_099);
    log.trim(&place(), Offset(0)).await.expect("trimmed");
    let control = TopicPartition::new(control_topic("p"), 0);
    let left = read_all(&log, &control).await;
    // Two openings, the last checkpoint of each epoch that is old enough, and the late ones.
    assert_eq!(left.len(), 2 + 1 + 1 + 100);
    assert_eq!(confirmed().await, 10_099);
    assert_eq!(numbers(&log).await, [0, 1, 2], "data are not state");
    let bounds = log.bounds(&control).await.expect("known");
    assert_eq!((bounds.start, bounds.end), (Offset(0), Offset(10_102)));
}

fn pages(path: &Path) -> u64 {
    let database = rusqlite::Connection::open(path).expect("opened");
    database
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .expect("counted")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_log_makes_appends_wait_then_fail_in_order_and_takes_them_again_when_there_is_room()
{
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = EmbeddedLog::open(EmbeddedOptions {
        bytes_max: 1 << 20,
        full_wait_max: Duration::from_millis(300),
        ..EmbeddedOptions::at(folder.path().join("log.db"))
    })
    .await
    .expect("opened");
    fills_fails_and_goes_on(&log, "at most 1048576 bytes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_device_loses_nothing_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "none"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("not proven here: a small device of our own needs the right to mount");
        return;
    }
    let _unmount = Unmount(folder.path());
    let log = EmbeddedLog::open(EmbeddedOptions {
        full_wait_max: Duration::from_millis(300),
        ..EmbeddedOptions::at(folder.path().join("log.db"))
    })
    .await
    .expect("opened");
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).expect("written");
    fills_fails(&log, "no room left").await;
    std::fs::remove_file(&ballast).expect("removed");
    goes_on(&log).await;
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        // Lazy: the log's threads may end a moment later.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

async fn fills_fails_and_goes_on(log: &EmbeddedLog, words: &str) {
    fills_fails(log, words).await;
    log.trim(&place(), Offset(u64::MAX >> 1))
        .await
        .expect("trimmed");
    goes_on(log).await;
}

/// Appends until the log refuses, always two on their way; nothing lands behind a record that did not.
async fn fills_fails(log: &EmbeddedLog, words: &str) {
    log.ensure_topics(&[spec("t", 1)]).await.expect("created");
    let record = |number| numbered(&place(), number);
    let mut earlier = log.append(vec![record(0)]).await.expect("taken");
    let mut next = 1;
    let error = loop {
        let records = (next..next + 100).map(record).collect();
        let later = log.append(records).await.expect("taken");
        match earlier.await {
            Ok(_) => {
                earlier = later;
                next += 100;
            }
            Err(error) => {
                let refused = log.append(vec![record(0)]).await.err();
                assert!(
                    refused.is_some(),
                    "the other failed append is not known yet"
                );
                assert!(later.await.is_err(), "it stands behind one that failed");
                break error;
            }
        }
    };
    assert_eq!(error.kind, LogErrorKind::DiskFull, "{error}");
    assert!(error.message.contains(words), "{error}");
    // The earlier of the two that failed began 100 before `next`, or is the first of all.
    let found = numbers(log).await;
    assert!(!found.is_empty());
    assert!(found.iter().copied().eq(0..found.len() as u64));
    assert_eq!(found.len() as u64, next - 100);
}

async fn goes_on(log: &EmbeddedLog) {
    let before = log.bounds(&place()).await.expect("known").end;
    let ticket = log.append((0..100).map(|number| numbered(&place(), number)).collect());
    let offsets = ticket.await.expect("taken").await.expect("durable");
    assert_eq!(offsets.first(), Some(&before), "no gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_waits_for_room_goes_on_when_there_is_some() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = EmbeddedLog::open(EmbeddedOptions {
        bytes_max: 1 << 20,
        ..EmbeddedOptions::at(folder.path().join("log.db"))
    })
    .await
    .expect("opened");
    log.ensure_topics(&[spec("t", 1)]).await.expect("created");
    append(&log, &place(), 0..1500).await;
    append(&log, &place(), 1500..3000).await;
    let records = (3000..4500)
        .map(|number| numbered(&place(), number))
        .collect();
    let mut waiting = log.append(records).await.expect("taken");
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "there is no room yet");
    log.trim(&place(), Offset(3000)).await.expect("trimmed");
    let offsets = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    let offsets = offsets.expect("waited 10 s for room").expect("durable");
    assert_eq!(offsets.first(), Some(&Offset(3000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_wait_for_a_file_that_somebody_holds_with_as_many_bytes_in_flight_as_may_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.db");
    let log = open(&path).await;
    log.ensure_topics(&[spec("t", 1), spec("u", 1)])
        .await
        .expect("created");
    let holder = rusqlite::Connection::open(&path).expect("opened");
    holder.execute_batch("BEGIN IMMEDIATE").expect("held");
    // Another writer's bytes are not this one's.
    let other = TopicPartition::new("u", 0);
    let beside = log.writer(50_000);
    let many = (0..200).map(|number| numbered(&other, number)).collect();
    let held = beside.append(many).await.expect("taken");
    let release = || holder.execute_batch("ROLLBACK").expect("released");
    let writer = log.writer(50_000);
    appends_wait_while_the_log_is_held_up(&writer, &place(), 50_000, release).await;
    held.await.expect("durable");
}

#[tokio::test]
async fn what_is_not_a_log_is_refused_and_stays_as_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but somebody's notes ".repeat(100)).expect("written");
    refuses(&path, "is not a log").await;
    let path = folder.path().join("other.db");
    let other = rusqlite::Connection::open(&path).expect("opened");
    other.execute_batch("CREATE TABLE a (b)").expect("made");
    refuses(&path, "another program's database").await;
    refuses(&folder.path().join("no/folder/log.db"), "cannot be opened").await;
}

async fn refuses(path: &Path, words: &str) {
    let before = std::fs::read(path)
        .ok()
        .map(|bytes| bytes.get(100..).map(<[u8]>::to_vec));
    let error = EmbeddedLog::open(EmbeddedOptions::at(path)).await.err();
    let error = error.expect("refused");
    assert!(error.message.contains(words), "{error}");
    let after = std::fs::read(path)
        .ok()
        .map(|bytes| bytes.get(100..).map(<[u8]>::to_vec));
    assert_eq!(before, after);
}
