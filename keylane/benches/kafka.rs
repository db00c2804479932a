//! What the road to Kafka costs: envelopes written and read, records produced with idempotence on and off, records consumed; rates and CPU per record.
//!
//! `cargo bench -p keylane --bench kafka [-- RECORDS]`. Starts its own broker on this machine, which shares the processors: lower bounds. Runs of the two
//! settings alternate and all are printed, because the difference is smaller than a busy machine's noise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keylane::envelope::{Connector, SchemaCache, SourceInfo, decode, encode_change};
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::{
    Change, Column, Epoch, Offset, Op, Position, SchemaId, TableName, TableSchema, TopicPartition,
    Value,
};
use keylane_core::publish::{Header, Log, NewRecord, RecordKind, TopicSpec};

const PARTITIONS: u32 = 8;
const BATCH: u64 = 500;
const ROUNDS: u32 = 3;
/// The kernel's unit in `/proc/self/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let asked = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let records: u64 = asked.unwrap_or(500_000);
    envelopes();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let kafka = keylane_parts::Kafka::start().expect("Kafka starts");
    runtime.block_on(roads(&kafka.bootstrap(), records));
}

fn schema() -> Arc<TableSchema> {
    let names = ["id", "customer_id", "total", "status", "note", "created_at"];
    let columns = names.iter().map(|name| Column {
        name: Arc::from(*name),
        type_name: Arc::from("text"),
        nullable: true,
        generated: false,
    });
    let schema = TableSchema {
        id: SchemaId::default(),
        table: TableName::new("public", "orders"),
        columns: columns.collect(),
        key: vec![0],
        order_key: vec![0],
        uniques: vec![],
        references: vec![],
        referenced: vec![],
    };
    Arc::new(schema.sealed())
}

fn change() -> Change {
    Change {
        schema: schema(),
        op: Op::Update,
        before: None,
        after: Some(vec![
            Value::number("123456"),
            Value::number("987654"),
            Value::text("1234.50"),
            Value::text("paid"),
            Value::text("left at the neighbour's door"),
            Value::text("2026-11-23 10:11:12.123456+00"),
        ]),
        moved_from: None,
        position: Position::new(0x16b_3748, 3),
        tx: 771,
        committed_at_us: 1_700_000_000_123_456,
    }
}

fn envelopes() {
    let (change, source) = (
        change(),
        SourceInfo::new(Connector::Postgres, "shop", "app"),
    );
    let value = encode_change(&change, &source);
    let schemas = SchemaCache::default();
    schemas.insert(change.schema.clone());
    let header = Header {
        schema: Some(change.schema.id),
        ..Header::plain(RecordKind::Change, Epoch(1), change.position)
    };
    println!("envelope of a 6-column row: {} bytes", value.len());
    timed("  encode", || drop(encode_change(&change, &source)));
    timed("  decode", || {
        drop(decode(&value, Some(&header), &schemas).expect("its own envelope"));
    });
    timed("  header, encode", || drop(header.encode()));
}

fn timed(what: &str, mut once: impl FnMut()) {
    const TIMES: u32 = 200_000;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        (0..TIMES).for_each(|_| once());
        best = best.min(began.elapsed());
    }
    println!("{what}: {} ns", best.as_nanos() / u128::from(TIMES));
}

async fn roads(bootstrap: &str, records: u64) {
    println!(
        "{records} records of about 273 bytes (key 13, value 233, header 27; text that compresses well), {PARTITIONS} partitions, appends of {BATCH}, acks=all, lz4:"
    );
    let mut topic = String::new();
    for round in 0..=ROUNDS {
        for idempotence in [true, false] {
            topic = format!("rates-{round}-{idempotence}");
            // The first round warms the broker up and does not count.
            let few = if round == 0 { records / 5 } else { records };
            let line = produced(bootstrap, &topic, few, idempotence).await;
            if round > 0 {
                println!("  produce, idempotence {idempotence}: {line}");
            }
        }
    }
    for _ in 0..ROUNDS {
        println!("  consume: {}", consumed(bootstrap, &topic, records).await);
    }
}

async fn produced(bootstrap: &str, topic: &str, records: u64, idempotence: bool) -> String {
    let log = KafkaLog::open(KafkaSettings {
        idempotence,
        ..KafkaSettings::new(bootstrap)
    });
    let log = log.expect("opened");
    let spec = TopicSpec {
        name: Arc::from(topic),
        partitions: PARTITIONS,
        replication_factor: 1,
        settings: vec![],
    };
    log.ensure_topics(&[spec]).await.expect("created");
    let partitions = partitions(topic);
    let first = vec![record(&partitions, 0)];
    let ticket = log.append(first).await.expect("taken");
    ticket.await.expect("durable");
    let meter = Meter::start();
    let mut tickets = Vec::new();
    for batch in 0..records / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let batch = numbers.map(|number| record(&partitions, number)).collect();
        tickets.push(log.append(batch).await.expect("taken"));
    }
    for ticket in tickets {
        ticket.await.expect("durable");
    }
    meter.line(records)
}

async fn consumed(bootstrap: &str, topic: &str, records: u64) -> String {
    let log = KafkaLog::open(KafkaSettings::new(bootstrap)).expect("opened");
    let mut consumer = log.consumer("rates", 16 << 20).await.expect("opened");
    let meter = Meter::start();
    for partition in partitions(topic) {
        consumer
            .assign(&partition, Offset(0))
            .await
            .expect("assigned");
    }
    let room: Vec<_> = partitions(topic)
        .into_iter()
        .map(|partition| (partition, 256 << 10))
        .collect();
    let mut seen = 0;
    while seen < records {
        let fetched = consumer
            .fetch(&room, Duration::from_secs(5))
            .await
            .expect("fetched");
        assert!(!fetched.is_empty(), "5 s without a record");
        seen += fetched
            .iter()
            .map(|(_, records)| records.len() as u64)
            .sum::<u64>();
    }
    meter.line(records)
}

fn partitions(topic: &str) -> Vec<TopicPartition> {
    (0..PARTITIONS)
        .map(|part| TopicPartition::new(topic, part))
        .collect()
}

fn record(partitions: &[TopicPartition], number: u64) -> NewRecord {
    let position = Position::new(number, 0);
    let filler = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    NewRecord {
        partition: partitions[(number % u64::from(PARTITIONS)) as usize].clone(),
        key: Some(Bytes::from(format!("{{\"id\":{number}}}"))),
        value: Some(Bytes::from(format!(
            "{{\"after\":{{\"id\":{number},\"text\":\"{filler:0>200x}\"}}}}"
        ))),
        headers: Vec::new(),
        keylane: Header::plain(RecordKind::Change, Epoch(1), position).encode(),
        timestamp_ms: 1_700_000_000_000,
    }
}

/// Wall time, and this process's CPU over all its threads.
struct Meter {
    began: Instant,
    cpu_s: f64,
}

impl Meter {
    fn start() -> Self {
        Meter {
            began: Instant::now(),
            cpu_s: cpu_s(),
        }
    }

    fn line(&self, records: u64) -> String {
        let (wall_s, cpu_s) = (self.began.elapsed().as_secs_f64(), cpu_s() - self.cpu_s);
        let per_record_us = cpu_s * 1e6 / records as f64;
        format!(
            "{:.0} records/s, {per_record_us:.2} µs of CPU a record",
            records as f64 / wall_s
        )
    }
}

fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(12).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}
