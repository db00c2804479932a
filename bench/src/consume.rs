//! The consumer for any handler, on a backlog: records handled per second at several lengths of work, against a raw client's loop and against what cannot be beaten,
//! min(concurrency, keys) / work.

use crate::Sizes;
use crate::bed::PATIENCE;
use crate::parallel_consumer;
use crate::report::{Report, Result, float, median, per};
use keylane::consumer::{Consumer, Record};
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::TopicPartition;
use keylane_core::publish::{Log, NewRecord, TopicSpec};
use keylane_parts::{Kafka, PARALLEL_CONSUMER_VERSION, usage_of};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "consume";
const PARTITIONS: u32 = 8;
const KEYS: u64 = 1_000;
const VALUE_BYTES: usize = 50;
const CONCURRENCY: u64 = 1_000;
const BATCH: u64 = 10_000;
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Work in milliseconds, and how many records of the topic are enough for it.
const CASES: [(u64, u64); 4] = [(0, 1_000_000), (1, 1_000_000), (10, 200_000), (100, 50_000)];

pub(crate) fn run(sizes: &Sizes, report: &mut Report) -> Result<()> {
    let records = sizes.changes.unwrap_or(1_000_000) / BATCH * BATCH;
    let rounds = sizes.rounds.unwrap_or(3);
    report.condition("records", records);
    report.condition("rounds", rounds);
    report.condition("partitions", PARTITIONS);
    report.condition("keys", KEYS);
    report.condition("value_bytes", VALUE_BYTES);
    report.condition("concurrency", CONCURRENCY);
    report.condition(
        "order",
        "key; every handler checks that its key's records come in order",
    );
    report.condition("commit", "every second, in every case");
    let kafka = Kafka::start()?;
    report.condition("kafka", "4.3.0, one KRaft node, -Xmx512m");
    if sizes.peer.is_some() {
        let told = format!("{PARALLEL_CONSUMER_VERSION}, KEY, kafka-clients 4.3.1, -Xmx2g");
        report.condition("parallel_consumer", told);
    }
    let bootstrap = kafka.bootstrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(fill(&bootstrap, records))?;
    let mut unworked = 0.0;
    for (work_ms, enough) in CASES {
        let records = records.min(enough);
        let once = |round| runtime.block_on(handled(&bootstrap, work_ms, records, round));
        let rounds: Vec<(f64, f64)> = (0..rounds).map(once).collect::<Result<_>>()?;
        let rate = worked(work_ms, &rounds, report);
        if work_ms == 0 {
            unworked = rate;
        }
        if let Some(enough) = peer_records(sizes, work_ms) {
            let (records, rounds) = (records.min(enough), rounds.len() as u64);
            peer(&bootstrap, work_ms, records, rounds, rate, report)?;
        }
    }
    // Before the raw loop, whose client keeps what it fetches without bound.
    let usage = usage_of(std::process::id()).unwrap_or_default();
    report.figure("resident_peak_mb", float(usage.resident_bytes_peak) / 1e6);
    let raw: Result<Vec<f64>> = (0..rounds)
        .map(|round| raw_loop(&bootstrap, records, round))
        .collect();
    let raw = median(raw?);
    report.figure("raw_loop_records_per_s", raw);
    report.figure("work_0_ms_of_raw_loop_ratio", per(unworked, raw));
    Ok(())
}

/// What the rounds of one length of work came to; returns the rate in the middle.
fn worked(work_ms: u64, rounds: &[(f64, f64)], report: &mut Report) -> f64 {
    let rate = median(rounds.iter().map(|(rate, _)| *rate).collect());
    let cpu_us = median(rounds.iter().map(|(_, cpu_us)| *cpu_us).collect());
    report.figure(&format!("work_{work_ms}_ms_records_per_s"), rate);
    report.figure(&format!("work_{work_ms}_ms_cpu_us_per_record"), cpu_us);
    if work_ms > 0 {
        let ideal = float(CONCURRENCY.min(KEYS)) * 1000.0 / float(work_ms);
        let of_ideal = per(rate, ideal);
        report.figure(&format!("work_{work_ms}_ms_of_ideal_ratio"), of_ideal);
    }
    rate
}

/// How many records are enough for the peer, if there is one.
fn peer_records(sizes: &Sizes, work_ms: u64) -> Option<u64> {
    sizes.peer?;
    Some(match work_ms {
        0 => 300_000,
        1 => 150_000,
        10 => 60_000,
        _ => 30_000,
    })
}

fn peer(
    bootstrap: &str,
    work_ms: u64,
    records: u64,
    rounds: u64,
    ours: f64,
    report: &mut Report,
) -> Result<()> {
    let mut done = Vec::new();
    for round in 0..rounds {
        let one = parallel_consumer::run(&parallel_consumer::Task {
            bootstrap,
            topic: TOPIC,
            group: format!("parallel-consumer-{work_ms}-{round}"),
            work_ms,
            records,
            concurrency: CONCURRENCY,
            keys: KEYS,
        })?;
        eprintln!("  {work_ms} ms of work, Parallel Consumer: {one:?}");
        done.push(one);
    }
    let middle = |of: fn(&parallel_consumer::Done) -> f64| median(done.iter().map(of).collect());
    let rate = middle(|it| it.records_per_s);
    let figure = |report: &mut Report, name: &str, value: f64| {
        report.figure(
            &format!("work_{work_ms}_ms_parallel_consumer_{name}"),
            value,
        );
    };
    figure(report, "records_per_s", rate);
    figure(report, "cpu_us_per_record", middle(|it| it.cpu_us));
    figure(report, "resident_peak_mb", middle(|it| it.resident_peak_mb));
    figure(report, "ratio", per(ours, rate));
    Ok(())
}

/// Keys in turn, each in its partition; a value begins with its key's own number.
async fn fill(bootstrap: &str, records: u64) -> Result<()> {
    let log = KafkaLog::open(KafkaSettings::new(bootstrap))?;
    let spec = TopicSpec {
        name: TOPIC.into(),
        partitions: PARTITIONS,
        replication_factor: 1,
        settings: Vec::new(),
    };
    log.ensure_topics(&[spec]).await?;
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    for batch in 0..records / BATCH {
        let record = |number: u64| {
            let key = number % KEYS;
            let mut value = (number / KEYS).to_be_bytes().to_vec();
            value.resize(VALUE_BYTES, b'x');
            NewRecord {
                partition: TopicPartition::new(TOPIC, (key % u64::from(PARTITIONS)) as u32),
                key: Some(key.to_string().into()),
                value: Some(value.into()),
                headers: Vec::new(),
                keylane: String::new(),
                timestamp_ms: now_ms,
            }
        };
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        log.append(numbers.map(record).collect()).await?.await?;
    }
    Ok(())
}

/// A member of a group that polls, does nothing, and commits: no order beyond the partition's, no concurrency.
fn raw_loop(bootstrap: &str, records: u64, round: u64) -> Result<f64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", format!("raw-{round}"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[TOPIC])?;
    let (mut seen, mut begun, mut committed) = (0, None, Instant::now());
    let until = Instant::now() + PATIENCE;
    while seen < records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if Instant::now() > until {
                return Err("the raw loop saw nothing more".into());
            }
            continue;
        };
        message?;
        begun.get_or_insert_with(Instant::now);
        seen += 1;
        if committed.elapsed() >= COMMIT_EVERY {
            consumer.commit_consumer_state(CommitMode::Async)?;
            committed = Instant::now();
        }
    }
    let took = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
    let rate = per(float(records), took.as_secs_f64());
    eprintln!("  raw loop: {rate:.0}/s");
    Ok(rate)
}

struct Seen {
    count: AtomicU64,
    /// Each key's next number; a breach of its order would show.
    next: Vec<AtomicU64>,
    broken: AtomicU64,
}

/// Records handled per second between the first and the last, and the process's own processor time for each.
async fn handled(bootstrap: &str, work_ms: u64, records: u64, round: u64) -> Result<(f64, f64)> {
    let seen = Arc::new(Seen {
        count: AtomicU64::new(0),
        next: (0..KEYS).map(|_| AtomicU64::new(0)).collect(),
        broken: AtomicU64::new(0),
    });
    let stop = CancellationToken::new();
    let consumer = Consumer::kafka(bootstrap, format!("keylane-{work_ms}-{round}"))
        .topic(TOPIC)
        .concurrency(usize::try_from(CONCURRENCY)?)
        .commit_interval(COMMIT_EVERY);
    let (noting, stopping) = (seen.clone(), stop.clone());
    let running = tokio::spawn(consumer.run(stopping, move |record: Record| {
        let seen = noting.clone();
        async move {
            if work_ms > 0 {
                tokio::time::sleep(Duration::from_millis(work_ms)).await;
            }
            note(&seen, &record);
            Ok::<(), &str>(())
        }
    }));
    let count = || seen.count.load(Ordering::Relaxed);
    let until = Instant::now() + PATIENCE;
    while count() == 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (begun, cpu_before) = (Instant::now(), cpu_ms());
    while count() < records && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (took, cpu) = (begun.elapsed(), cpu_ms() - cpu_before);
    let handled = count();
    stop.cancel();
    running.await??;
    if handled < records || seen.broken.load(Ordering::Relaxed) > 0 {
        return Err(format!(
            "{handled} of {records} handled, {} out of order",
            seen.broken.load(Ordering::Relaxed)
        )
        .into());
    }
    let cpu_us = per(float(cpu) * 1000.0, float(handled));
    Ok((per(float(handled), took.as_secs_f64()), cpu_us))
}

fn note(seen: &Seen, record: &Record) {
    let key = record
        .key
        .as_deref()
        .and_then(|key| std::str::from_utf8(key).ok());
    let key: usize = key.and_then(|key| key.parse().ok()).unwrap_or(usize::MAX);
    let value = record.value.as_deref().unwrap_or_default();
    let number = value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let in_order = seen
        .next
        .get(key)
        .is_some_and(|next| Some(next.fetch_add(1, Ordering::Relaxed)) == number);
    if !in_order {
        seen.broken.fetch_add(1, Ordering::Relaxed);
    }
    seen.count.fetch_add(1, Ordering::Relaxed);
}

fn cpu_ms() -> u64 {
    usage_of(std::process::id()).unwrap_or_default().cpu_ms
}
