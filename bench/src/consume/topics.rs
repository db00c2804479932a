//! Topics to consume: filled beforehand, or fed while somebody reads.

use super::keys::{Keys, Sequence};
use super::task::Task;
use crate::bed::PATIENCE;
use crate::report::{Result, float};
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::TopicPartition;
use keylane_core::publish::{Log, NewRecord, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

pub(crate) const PARTITIONS: u32 = 8;
pub(crate) const VALUE_BYTES: usize = 50;
const BATCH: u64 = 10_000;
/// A producer that is ahead of its time sleeps at least so long: what becomes due meanwhile is sent together.
const NAP: Duration = Duration::from_millis(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The topics of one cluster.
pub(crate) struct Topics<'a> {
    bootstrap: &'a str,
    runtime: &'a Runtime,
    /// Their most frequent key's share, by name.
    filled: BTreeMap<String, f64>,
}

impl<'a> Topics<'a> {
    pub(crate) fn new(bootstrap: &'a str, runtime: &'a Runtime) -> Self {
        Topics {
            bootstrap,
            runtime,
            filled: BTreeMap::new(),
        }
    }

    /// A topic with exactly so many records; those asked for before are there already. The second is the most frequent key's share.
    pub(crate) fn backlog(&mut self, keys: Keys, records: u64) -> Result<(String, f64)> {
        let name = format!("backlog-{}-{records}", keys.name());
        if let Some(share) = self.filled.get(&name) {
            return Ok((name, *share));
        }
        let sequence = self.runtime.block_on(self.fill(&name, keys, records))?;
        let share = sequence.top_share();
        self.filled.insert(name.clone(), share);
        Ok((name, share))
    }

    /// A topic to be fed: each partition has one record without a key and a value, so that whoever has handled these has come to work.
    pub(crate) fn primed(&self, name: &str) -> Result<()> {
        let timestamp_ms = i64::try_from(now_us() / 1000)?;
        let primer = |partition| NewRecord {
            partition: TopicPartition::new(name, partition),
            key: None,
            value: None,
            headers: Vec::new(),
            keylane: String::new(),
            timestamp_ms,
        };
        self.runtime.block_on(async {
            let log = self.create(name).await?;
            let primers = (0..PARTITIONS).map(primer).collect();
            log.append(primers).await?.await?;
            Ok(())
        })
    }

    async fn create(&self, name: &str) -> Result<KafkaLog> {
        let log = KafkaLog::open(KafkaSettings::new(self.bootstrap))?;
        let spec = TopicSpec {
            name: name.into(),
            partitions: PARTITIONS,
            replication_factor: 1,
            settings: Vec::new(),
        };
        log.ensure_topics(&[spec]).await?;
        Ok(log)
    }

    async fn fill(&self, name: &str, keys: Keys, records: u64) -> Result<Sequence> {
        let log = self.create(name).await?;
        let timestamp_ms = i64::try_from(now_us() / 1000)?;
        let mut sequence = Sequence::new(keys);
        let mut left = records;
        while left > 0 {
            let batch = left.min(BATCH);
            left -= batch;
            let record = |_| {
                let (key, number) = sequence.next();
                NewRecord {
                    partition: TopicPartition::new(name, partition_of(key)),
                    key: Some(key.to_string().into()),
                    value: Some(value_of(key, number, 0).to_vec().into()),
                    headers: Vec::new(),
                    keylane: String::new(),
                    timestamp_ms,
                }
            };
            log.append((0..batch).map(record).collect()).await?.await?;
        }
        Ok(sequence)
    }
}

/// A load that waits for nothing: record after record is sent when it is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feed {
    pub(crate) keys: Keys,
    pub(crate) rate: f64,
    pub(crate) records: u64,
}

impl Feed {
    /// Sends all of it; says by how many milliseconds the latest was late.
    pub(crate) fn send(&self, bootstrap: &str, topic: &str) -> Result<f64> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("acks", "all")
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        // It knows the topic's leaders before the first record is due.
        producer
            .client()
            .fetch_metadata(Some(topic), ANSWER_WITHIN)?;
        let mut sequence = Sequence::new(self.keys);
        let (begun, begun_us) = (Instant::now(), now_us());
        let mut late = Duration::ZERO;
        for record in 0..self.records {
            let due = Duration::from_secs_f64(float(record) / self.rate);
            let ahead = due.saturating_sub(begun.elapsed());
            if !ahead.is_zero() {
                producer.poll(Duration::ZERO);
                std::thread::sleep(ahead.max(NAP));
            }
            late = late.max(begun.elapsed().saturating_sub(due));
            let (key, number) = sequence.next();
            let due_us = begun_us + u64::try_from(due.as_micros())?;
            let value = value_of(key, number, due_us);
            send(&producer, topic, key, &value, due_us)?;
        }
        producer.flush(PATIENCE)?;
        Ok(late.as_secs_f64() * 1e3)
    }
}

/// How many records the group of `task` has committed, over all partitions.
pub(crate) fn committed(bootstrap: &str, task: &Task) -> Result<u64> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", &task.group)
        .set("enable.auto.commit", "false")
        .create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&task.topic, 0, i32::try_from(PARTITIONS)? - 1);
    let told = client.committed_offsets(list, ANSWER_WITHIN)?;
    let offsets = told.elements().into_iter().map(|it| match it.offset() {
        Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
        _ => 0,
    });
    Ok(offsets.sum())
}

fn send(producer: &BaseProducer, topic: &str, key: u64, value: &[u8], due_us: u64) -> Result<()> {
    let text = key.to_string();
    let mut record = BaseRecord::to(topic)
        .partition(i32::try_from(partition_of(key))?)
        .timestamp(i64::try_from(due_us / 1000)?)
        .key(text.as_bytes())
        .payload(value);
    while let Err((error, back)) = producer.send(record) {
        if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        producer.poll(NAP);
        record = back;
    }
    Ok(())
}

fn partition_of(key: u64) -> u32 {
    (key % u64::from(PARTITIONS)) as u32
}

/// The record's number among those of its key, and when it was due (0 of a backlog), microseconds since 1970; then letters that a codec cannot make much smaller.
fn value_of(key: u64, number: u64, due_us: u64) -> [u8; VALUE_BYTES] {
    let mut state = (key << 32 | number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + (state % 26) as u8
    });
    let head = number.to_be_bytes().into_iter().chain(due_us.to_be_bytes());
    for (place, byte) in value.iter_mut().zip(head) {
        *place = byte;
    }
    value
}

/// What [`Feed`] and a backlog's filling wrote into a value.
pub(crate) fn read_value(value: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = value.split_first_chunk()?;
    let due_us = rest.first_chunk()?;
    Some((u64::from_be_bytes(*number), u64::from_be_bytes(*due_us)))
}

/// The wall clock, microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}
