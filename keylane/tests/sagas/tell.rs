//! What the services of a choreographed saga are told stands in its topic once, wherever who tells it died.

use std::sync::Arc;

use bytes::Bytes;
use keylane::saga::tracker::{Tracker, TrackerSettings};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Log, NewRecord};
use keylane_core::saga::{Choreographies, Signal, SignalKind, TrackStore};
use tokio_util::sync::CancellationToken;

use super::bed::Kept;
use crate::consumer_bed::Topic;

fn abort(topic: &str, saga: &str) -> Signal {
    Signal {
        saga: saga.into(),
        kind: SignalKind::Abort,
        topic: topic.into(),
        actor: "ann".into(),
        reason: "why".into(),
        at_us: 1,
    }
}

async fn end(log: &dyn Log, topic: &str) -> Offset {
    let partition = TopicPartition::new(topic, 0);
    log.bounds(&partition).await.expect("it answers").end
}

/// Puts an abort of a saga into the topic, as who died afterwards did.
async fn put(log: &dyn Log, topic: &str, saga: &str) {
    let id = Bytes::from(abort(topic, saga).id());
    let record = NewRecord {
        partition: TopicPartition::new(topic, 0),
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
async fn told(log: &dyn Log, topic: &str) -> Vec<String> {
    let partition = TopicPartition::new(topic, 0);
    let mut ids = Vec::new();
    let mut next = Offset(0);
    while next < end(log, topic).await {
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
    for topic in Topic::of_each_log("told-once", 1).await {
        told_once(&topic).await;
    }
}

async fn told_once(topic: &Topic) {
    let settings = topic.settings.clone().with_headers();
    let (log, topic) = (settings.open().await.expect("a log"), topic.name);
    let kept = Kept::sqlite().await;
    let sagas = [
        "before-it-was-tried",
        "before-it-was-sent",
        "after-it-was-sent",
    ];
    for saga in sagas {
        kept.store
            .signal(saga, &[], &[abort(topic, saga)])
            .await
            .expect("noted");
    }
    let shards: Vec<u16> = (0..16).collect();
    let all = kept.store.unsent_signals(&shards, 10).await.expect("read");
    for noted in &all[1..] {
        let at = end(&*log, topic).await;
        kept.store
            .try_signal(noted.number, 0, at)
            .await
            .expect("noted");
        if noted.signal.saga == "after-it-was-sent" {
            put(&*log, topic, "after-it-was-sent").await;
        }
    }
    let settings = TrackerSettings {
        log: settings,
        group: "told-once".into(),
        topics: vec![topic.into()],
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
    let mut expect = sagas.map(|saga| abort(topic, saga).id()).to_vec();
    expect.sort();
    assert_eq!(told(&*log, topic).await, expect);
}
