//! What the idempotent producer costs: librdkafka alone, and through Keylane's log, on and off in turn.

use crate::Sizes;
use crate::bed::PATIENCE;
use crate::report::{Report, Result, float, median, per};
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::TopicPartition;
use keylane_core::publish::{AppendTicket, Log, NewRecord, TopicSpec};
use keylane_parts::Kafka;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 8;
const VALUE_BYTES: usize = 200;
const BATCH: u64 = 1_000;
const BATCHES_IN_FLIGHT: usize = 64;

pub(crate) fn run(sizes: &Sizes, report: &mut Report) -> Result<()> {
    let records = sizes.changes.unwrap_or(1_000_000) / BATCH * BATCH;
    let rounds = sizes.rounds.unwrap_or(5);
    report.condition("records", records);
    report.condition("value_bytes", VALUE_BYTES);
    report.condition("partitions", PARTITIONS);
    report.condition("rounds", rounds);
    report.condition("producer", "acks=all, linger 5 ms, lz4");
    let kafka = Kafka::start()?;
    report.condition("kafka", "4.3.0, one KRaft node, -Xmx512m");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let bootstrap = kafka.bootstrap();
    let settings = KafkaSettings::new(bootstrap.as_str());
    let topic = TopicSpec {
        name: "idempotence".into(),
        partitions: PARTITIONS,
        replication_factor: 1,
        settings: vec![("retention.bytes".to_owned(), "100000000".to_owned())],
    };
    runtime.block_on(async {
        KafkaLog::open(settings.clone())?
            .ensure_topics(&[topic])
            .await
    })?;
    let mut raw = [Vec::new(), Vec::new()];
    let mut log = [Vec::new(), Vec::new()];
    // One more than asked for: the first warms the broker up and is left out.
    for round in 0..=rounds {
        for (index, idempotence) in [false, true].into_iter().enumerate() {
            let by_client = through_client(&bootstrap, idempotence, records)?;
            let mut settings = settings.clone();
            settings.idempotence = idempotence;
            let by_log = runtime.block_on(through_log(settings, records))?;
            eprintln!("  idempotence {idempotence}: client {by_client:.0}/s, log {by_log:.0}/s");
            if let (true, Some(raw), Some(log)) =
                (round > 0, raw.get_mut(index), log.get_mut(index))
            {
                raw.push(by_client);
                log.push(by_log);
            }
        }
    }
    let ([raw_off, raw_on], [log_off, log_on]) = (raw.map(median), log.map(median));
    report.figure("librdkafka_off_records_per_s", raw_off);
    report.figure("librdkafka_on_records_per_s", raw_on);
    report.figure("librdkafka_on_of_off_ratio", per(raw_on, raw_off));
    report.figure("log_off_records_per_s", log_off);
    report.figure("log_on_records_per_s", log_on);
    report.figure("log_on_of_off_ratio", per(log_on, log_off));
    Ok(())
}

fn through_client(bootstrap: &str, idempotence: bool, records: u64) -> Result<f64> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", idempotence.to_string())
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "100000")
        .create()?;
    let begun = Instant::now();
    for number in 0..records {
        let (key, value) = (number.to_string(), value_of(number));
        let mut record = BaseRecord::to("idempotence")
            .partition(i32::try_from(number % u64::from(PARTITIONS))?)
            .key(key.as_bytes())
            .payload(&value[..]);
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(2));
            record = back;
        }
        if number % 256 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE)?;
    Ok(float(records) / begun.elapsed().as_secs_f64())
}

async fn through_log(settings: KafkaSettings, records: u64) -> Result<f64> {
    let log = KafkaLog::open(settings)?;
    let partitions: Vec<TopicPartition> = (0..PARTITIONS)
        .map(|partition| TopicPartition {
            topic: "idempotence".into(),
            partition,
        })
        .collect();
    let mut tickets: VecDeque<AppendTicket> = VecDeque::new();
    let begun = Instant::now();
    for batch in 0..records / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let batch = numbers
            .zip(partitions.iter().cycle())
            .map(|(number, partition)| NewRecord {
                partition: partition.clone(),
                key: Some(number.to_string().into()),
                value: Some(value_of(number).to_vec().into()),
                headers: Vec::new(),
                keylane: String::new(),
                timestamp_ms: 1_700_000_000_000,
            })
            .collect();
        tickets.push_back(log.append(batch).await?);
        if tickets.len() > BATCHES_IN_FLIGHT
            && let Some(ticket) = tickets.pop_front()
        {
            ticket.await?;
        }
    }
    for ticket in tickets {
        ticket.await?;
    }
    Ok(float(records) / begun.elapsed().as_secs_f64())
}

/// Bytes that lz4 cannot make much smaller.
fn value_of(number: u64) -> [u8; VALUE_BYTES] {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + (state % 26) as u8
    })
}
