//! What a capturer stored is read up to where it ends, also from a log that does not tell all of it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::envelope::SchemaCache;
use keylane::workers::control::{ControlReader, ControlRecord, control_spec, control_topic};
use keylane_core::model::{Epoch, Offset, TopicPartition};
use keylane_core::publish::{
    AppendTicket, Bounds, GroupMember, GroupSettings, Log, LogConsumer, LogError, LogErrorKind,
    NewRecord, RawRecord, TopicInfo, TopicSpec,
};

/// A log whose leader has just changed: what it tells ends before what is there.
struct Lagging {
    log: EmbeddedLog,
    told: AtomicU64,
}

#[async_trait]
impl Log for Lagging {
    async fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<RawRecord>, LogError> {
        let mut records = self.log.read(partition, from, bytes_max).await?;
        records.retain(|record| record.offset.0 < self.told.load(Ordering::Relaxed));
        Ok(records)
    }

    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<Vec<TopicInfo>, LogError> {
        self.log.ensure_topics(specs).await
    }

    async fn describe_topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        self.log.describe_topic(name).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<AppendTicket, LogError> {
        self.log.append(records).await
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        self.log.bounds(partition).await
    }

    async fn consumer(
        &self,
        group: &str,
        buffer_bytes: usize,
    ) -> Result<Box<dyn LogConsumer>, LogError> {
        self.log.consumer(group, buffer_bytes).await
    }

    async fn join(
        &self,
        group: &GroupSettings,
        topics: &[Arc<str>],
    ) -> Result<Box<dyn GroupMember>, LogError> {
        self.log.join(group, topics).await
    }

    async fn trim(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError> {
        self.log.trim(partition, before).await
    }
}

#[tokio::test]
async fn what_is_stored_and_not_told_yet_is_waited_for_and_not_taken_for_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = EmbeddedOptions::at(folder.path().join("log.db"));
    let log = EmbeddedLog::open(options).await.expect("it opens");
    let log = Lagging {
        log,
        told: AtomicU64::new(1),
    };
    log.ensure_topics(&[control_spec("p", 1)])
        .await
        .expect("created");
    let records = [ControlRecord::Open, ControlRecord::Identity("here")];
    let records = records.map(|record| record.record("p", Epoch(1), 0));
    let ticket = log.append(records.to_vec()).await.expect("taken");
    ticket.await.expect("durable");
    let control = TopicPartition::new(control_topic("p"), 0);
    let end = log.bounds(&control).await.expect("known").end;
    let mut reader = ControlReader::new("p", Arc::new(SchemaCache::default()));
    let short = reader.poll(&log, Some(end)).await;
    let kind = short.expect_err("it is not all told").kind;
    assert_eq!(kind, LogErrorKind::Unreachable);
    log.told.store(u64::MAX, Ordering::Relaxed);
    assert!(reader.poll(&log, Some(end)).await.expect("all is told"));
    assert_eq!(reader.state().identity.as_deref(), Some("here"));
}
