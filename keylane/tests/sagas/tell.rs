//! What the services of a choreographed saga are told stands in its topic once, wherever who tells it died.

use std::sync::Arc;

use bytes::Bytes;
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane::saga::tracker::{Tracker, TrackerSettings};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Log as _, NewRecord, TopicSpec};
use keylane_core::saga::{Choreographies, Signal, SignalKind, TrackStore};
use keylane_parts::KafkaHandle;
use tokio_util::sync::CancellationToken;

use super::bed::Kept;

const TOPIC: &str = "told.once";

fn abort(saga: &str) -> Signal {
    Signal {
        saga: saga.into(),
        kind: SignalKind::Abort,
        topic: TOPIC.into(),
        actor: "ann".into(),
        reason: "why".into(),
        at_us: 1,
    }
}

async fn end(log: &KafkaLog) -> Offset {
    let partition = TopicPartition::new(TOPIC, 0);
    log.bounds(&partition).await.expect("it answers").end
}

/// Puts an abort of a saga into the topic, as who died afterwards did.
async fn put(log: &KafkaLog, saga: &str) {
    let id = Bytes::from(abort(saga).id());
    let record = NewRecord {
        partition: TopicPartition::new(TOPIC, 0),
        key: Some(Bytes::copy_from_slice(saga.as_bytes())),
        value: Some(Bytes::from_static(b"{}")),
        headers: vec![("ce_id".into(), id)],
        keylane: String::new(),
        timestamp_ms: 1,
    };
    let ticket = log.append(vec![record]).await.expect("it is taken");
    ticket.await.expect("it is durable");
}

/// The ids of all that stands in the topic.
async fn told(log: &KafkaLog) -> Vec<String> {
    let partition = TopicPartition::new(TOPIC, 0);
    let mut ids = Vec::new();
    let mut next = Offset(0);
    while next < end(log).await {
        for record in log.read(&partition, next, 1 << 20).await.expect("read") {
            next = record.offset.next();
            let id = record.headers.iter().find(|(name, _)| &**name == "ce_id");
            ids.extend(id.map(|(_, id)| String::from_utf8_lossy(id).into_owned()));
        }
    }
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_stands_in_its_topic_once_wherever_who_told_it_died() {
    if keylane_parts::quick() {
        return;
    }
    let kafka = KafkaHandle::shared().expect("Kafka").bootstrap().to_owned();
    let mut settings = KafkaSettings::new(&kafka);
    settings.with_headers = true;
    let log = KafkaLog::open(settings.clone()).expect("a client");
    let spec = TopicSpec {
        name: TOPIC.into(),
        partitions: 1,
        replication_factor: 1,
        settings: Vec::new(),
    };
    log.ensure_topics(&[spec]).await.expect("it is made");
    let kept = Kept::sqlite().await;
    let sagas = [
        "before-it-was-tried",
        "before-it-was-sent",
        "after-it-was-sent",
    ];
    for saga in sagas {
        kept.store
            .signal(saga, &[], &[abort(saga)])
            .await
            .expect("noted");
    }
    let shards: Vec<u16> = (0..16).collect();
    let all = kept.store.unsent_signals(&shards, 10).await.expect("read");
    for noted in &all[1..] {
        let at = end(&log).await;
        kept.store
            .try_signal(noted.number, 0, at)
            .await
            .expect("noted");
        if noted.signal.saga == "after-it-was-sent" {
            put(&log, "after-it-was-sent").await;
        }
    }
    let settings = TrackerSettings {
        log: settings.into(),
        group: "told-once".into(),
        topics: vec![TOPIC.into()],
        own_topics: Vec::new(),
        known: Arc::new(Choreographies::default()),
        source: "/tests".into(),
    };
    let store: Arc<dyn TrackStore> = kept.store.clone();
    let tracker = Tracker::new(store, settings);
    let stop = CancellationToken::new();
    let until_told = async {
        while !kept
            .store
            .unsent_signals(&shards, 10)
            .await
            .expect("read")
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let patience = std::time::Duration::from_secs(60);
    let running = async { tokio::join!(tracker.run(&stop, || shards.clone()), until_told) };
    let ended = tokio::time::timeout(patience, running).await;
    ended.expect("all are told in time");
    let mut expect = sagas.map(|saga| abort(saga).id()).to_vec();
    expect.sort();
    assert_eq!(told(&log).await, expect);
}
