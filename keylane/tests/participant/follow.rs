//! Events of an embedded log: heard from where one was, over restarts; what cannot be read holds up nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::participant::{
    Hear, Places, Reaction, SagaEvent, SqliteChoreography, SqliteHandler, follow,
};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Log, NewRecord, TopicSpec};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "trips";

/// A service that counts what it hears, and fails at first.
struct Counted {
    inner: SqliteChoreography,
    heard: AtomicUsize,
    failures: AtomicUsize,
}

#[async_trait]
impl Hear for Counted {
    async fn hear(&self, event: &SagaEvent) -> Result<(), String> {
        let left = |left: usize| left.checked_sub(1);
        if self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok()
        {
            return Err("not now".to_owned());
        }
        self.inner.hear(event).await?;
        self.heard.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Places for Counted {
    async fn places(&self) -> Result<BTreeMap<TopicPartition, Offset>, String> {
        self.inner.places().await
    }

    async fn keep(&self, partition: &TopicPartition, next: Offset) -> Result<(), String> {
        self.inner.keep(partition, next).await
    }
}

async fn service(folder: &Path, failures: usize) -> Arc<Counted> {
    let action: SqliteHandler = Arc::new(|call, tx| {
        tx.execute("CREATE TABLE IF NOT EXISTS effects (saga text)", [])?;
        tx.execute("INSERT INTO effects VALUES (?1)", [&call.saga])?;
        Ok(Value::Null)
    });
    let reaction = Reaction::of("flight", TOPIC).on("begun").action(action);
    let inner = SqliteChoreography::open(folder.join("flight.db"), "/flight", vec![reaction]);
    Arc::new(Counted {
        inner: inner.await.expect("a service"),
        heard: AtomicUsize::new(0),
        failures: AtomicUsize::new(failures),
    })
}

fn record(saga: &str, body: &'static [u8]) -> NewRecord {
    let header = |name: &str, text: &str| (name.into(), Bytes::from(text.to_owned()));
    NewRecord {
        partition: TopicPartition::new(TOPIC, u32::from(saga.len().is_multiple_of(2))),
        key: Some(Bytes::from(saga.to_owned())),
        value: Some(Bytes::from_static(body)),
        headers: vec![
            header("ce_id", saga),
            header("ce_type", "begun"),
            header("ce_source", "/tests"),
            header("ce_correlationid", saga),
        ],
        keylane: String::new(),
        // Far in the future: nothing here expires.
        timestamp_ms: 4_000_000_000_000,
    }
}

async fn append(log: &EmbeddedLog, records: Vec<NewRecord>) {
    let ticket = log.append(records).await.expect("taken");
    ticket.await.expect("durable");
}

/// Follows until as many are heard; how many effects there are then.
async fn heard(log: &EmbeddedLog, folder: &Path, failures: usize, events: usize) -> i64 {
    let service = service(folder, failures).await;
    let stop = CancellationToken::new();
    // One that is not there holds up none.
    let topics = [Arc::from("nothing"), Arc::from(TOPIC)];
    let following = follow(&*service, log, &topics, stop.clone());
    let watching = async {
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        let is_kept = async || {
            let places = service.places().await.expect("places");
            let mut ends = 0;
            for number in 0..2 {
                let partition = TopicPartition::new(TOPIC, number);
                let end = log.bounds(&partition).await.expect("bounds").end;
                ends += u32::from(places.get(&partition) == Some(&end));
            }
            ends == 2
        };
        while !is_kept().await {
            assert!(tokio::time::Instant::now() < patience, "it does not get on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(following, watching);
    ended.expect("it followed");
    assert_eq!(service.heard.load(Ordering::Relaxed), events);
    let file = rusqlite::Connection::open(folder.join("flight.db")).expect("a file");
    let count = file.query_row("SELECT count(*) FROM effects", [], |row| row.get(0));
    count.expect("a row")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_an_embedded_log_are_heard_from_where_one_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = EmbeddedOptions::at(folder.path().join("log.db"));
    options.with_headers = true;
    let log = EmbeddedLog::open(options).await.expect("a log");
    let spec = TopicSpec {
        name: TOPIC.into(),
        partitions: 2,
        replication_factor: 1,
        settings: Vec::new(),
    };
    log.ensure_topics(&[spec]).await.expect("a topic");
    let mut records: Vec<NewRecord> = (0..12).map(|n| record(&format!("s{n}"), b"{}")).collect();
    records.push(record("broken", b"{"));
    records.push(record("s12", b"{}"));
    append(&log, records).await;
    assert_eq!(heard(&log, folder.path(), 2, 13).await, 13);
    append(&log, vec![record("s13", b"{}"), record("t", b"{}")]).await;
    assert_eq!(heard(&log, folder.path(), 0, 2).await, 15);
}
