//! A pipeline of events without a replica, and a reader of its topics that knows nothing of the road but the rule that the reference page states.

use std::collections::BTreeMap;

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{
    Acceptance, Header, Log as _, RawRecord, SourceId, TopicSpec, Verdict,
};

use crate::bed::Bed;

/// The usual table.
pub fn table_sql() -> String {
    keylane::Outbox::default().postgres_sql()
}

/// What a pipeline's block holds: this origin, these topics, three partitions each.
pub fn pipeline(name: &str, origin: &str, topics: &str) -> String {
    format!(
        "  {name}:\n    origin: {{ {origin} }}\n    outbox: {{ topics: [{topics}] }}\n    topics: {{ partitions: 3 }}\n"
    )
}

/// Writes a configuration of these pipelines over Kafka.
pub fn configure(bed: &Bed, pipelines: &[String]) {
    let text = format!(
        "version: 1\nhttp: {{ {} }}\nlog: {{ kafka: {{ bootstrap: \"{}\" }} }}\npipelines:\n{}",
        bed.http,
        bed.kafka,
        pipelines.concat()
    );
    std::fs::write(bed.config(), text).expect("the configuration is written");
}

/// Makes a topic of three partitions.
pub async fn make_topic(kafka: &str, name: &str) {
    let log = KafkaLog::open(KafkaSettings::new(kafka)).expect("a client");
    let spec = TopicSpec {
        name: name.into(),
        partitions: 3,
        replication_factor: 1,
        settings: Vec::new(),
    };
    log.ensure_topics(&[spec]).await.expect("it is made");
}

/// A record that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub partition: u32,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: BTreeMap<String, String>,
}

/// What a topic holds.
#[derive(Debug, Default)]
pub struct Topic {
    /// What a reader that keeps to the `keylane` header is shown, each partition in its order.
    pub told: Vec<Told>,
    /// Records with a value, whoever reads them.
    pub with_value: usize,
    /// The headers of all records.
    pub with_headers: Vec<BTreeMap<String, String>>,
}

/// Reads a topic from its start to its end.
pub fn read(kafka: &str, topic: &str) -> Topic {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let mut settings = KafkaSettings::new(kafka);
        settings.with_headers = true;
        let log = KafkaLog::open(settings).expect("a client");
        let info = log.describe_topic(topic).await.expect("Kafka answers");
        let partitions = info.map_or(0, |info| info.partitions);
        let mut all = Topic::default();
        for number in 0..partitions {
            let partition = TopicPartition::new(topic, number);
            let end = log.bounds(&partition).await.expect("Kafka answers").end;
            let mut next = Offset(0);
            let mut sources = BTreeMap::new();
            while next < end {
                let records = log
                    .read(&partition, next, 1 << 20)
                    .await
                    .expect("it is read");
                for record in records {
                    next = record.offset.next();
                    all.with_headers.push(headers_of(&record));
                    all.with_value += usize::from(record.value.is_some());
                    all.told.extend(told(&mut sources, number, &record));
                }
            }
        }
        all
    })
}

/// The record if it counts: its epoch is its source's current one, and its position is new.
fn told(
    sources: &mut BTreeMap<Option<SourceId>, Acceptance>,
    partition: u32,
    record: &RawRecord,
) -> Option<Told> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let header = Header::decode(record.keylane.as_ref()?).expect("Keylane's own header");
    let acceptance = sources.entry(header.source).or_default();
    if acceptance.judge(&header) != Verdict::Take {
        return None;
    }
    Some(Told {
        partition,
        key: record.key.as_deref().map(text),
        value: record.value.as_deref().map(text),
        headers: headers_of(record),
    })
}

fn headers_of(record: &RawRecord) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = record.headers.iter();
    headers
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}
