//! The topics as any client sees them.

use crate::report::Result;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Who has written nothing for this long is done.
const QUIET: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// All partitions of the topics of one prefix.
pub(crate) struct Topics {
    consumer: BaseConsumer,
    partitions: Vec<(String, i32)>,
}

impl Topics {
    /// Those whose names begin with `prefix` and a dot; Keylane's own topic is not among them.
    pub(crate) fn of(bootstrap: &str, prefix: &str) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "keylane-bench")
            .set("enable.auto.commit", "false")
            .create()?;
        let metadata = consumer.fetch_metadata(None, ANSWER_WITHIN)?;
        let start = format!("{prefix}.public.");
        let partitions = metadata
            .topics()
            .iter()
            .filter(|topic| topic.name().starts_with(&start))
            .flat_map(|topic| {
                topic
                    .partitions()
                    .iter()
                    .map(|partition| (topic.name().to_owned(), partition.id()))
            })
            .collect();
        Ok(Topics {
            consumer,
            partitions,
        })
    }

    /// Records ever written, over all partitions.
    pub(crate) fn records(&self) -> Result<u64> {
        let mut sum = 0;
        for (topic, partition) in &self.partitions {
            sum += self.end(topic, *partition)?;
        }
        Ok(sum)
    }

    /// A topic that was just made may have no leader yet.
    fn end(&self, topic: &str, partition: i32) -> Result<u64> {
        let begun = Instant::now();
        loop {
            match self
                .consumer
                .fetch_watermarks(topic, partition, ANSWER_WITHIN)
            {
                Ok((_, high)) => return Ok(u64::try_from(high)?),
                Err(error) if begun.elapsed() > ANSWER_WITHIN => return Err(error.into()),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Watches until at least so many records are there. Says when that was seen, and how many they were.
    pub(crate) fn await_records(&self, least: u64, within: Duration) -> Result<(Instant, u64)> {
        let begun = Instant::now();
        loop {
            let records = self.records()?;
            if records >= least {
                return Ok((Instant::now(), records));
            }
            if begun.elapsed() > within {
                return Err(format!("{records} of {least} records after {within:?}").into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Watches until at least so many records are there and none has come for a while: a writer that tells some twice has told more than there are before it
    /// is done.
    pub(crate) fn await_all(&self, least: u64, within: Duration) -> Result<()> {
        let (mut since, mut records) = self.await_records(least, within)?;
        while since.elapsed() < QUIET {
            std::thread::sleep(LOOK_EVERY);
            let now = self.records()?;
            if now != records {
                (since, records) = (Instant::now(), now);
            }
        }
        Ok(())
    }

    /// Records that are no changes: a capturer's openings and the markers of a short while.
    pub(crate) fn trifle(&self) -> u64 {
        4 * self.partitions.len() as u64
    }

    /// Reads everything there is, in no order between partitions.
    pub(crate) fn read(&self, mut each: impl FnMut(&BorrowedMessage<'_>)) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &self.partitions {
            list.add_partition_offset(topic, *partition, Offset::Beginning)?;
        }
        self.consumer.assign(&list)?;
        let all = self.records()?;
        let mut seen = 0;
        while seen < all {
            match self.consumer.poll(ANSWER_WITHIN) {
                Some(message) => {
                    let message = message?;
                    each(&message);
                    seen += 1;
                }
                None => return Err(format!("{seen} of {all} records, then none").into()),
            }
        }
        self.consumer.unassign()?;
        Ok(())
    }
}

/// The value of a record as JSON: without the schema that may be around it.
pub(crate) fn envelope(message: &BorrowedMessage<'_>) -> Option<serde_json::Value> {
    let mut value: serde_json::Value = serde_json::from_slice(message.payload()?).ok()?;
    match value.get_mut("payload") {
        Some(payload) => Some(payload.take()),
        None => Some(value),
    }
}
