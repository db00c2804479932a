//! Kafka as the log on three brokers of which one is gone, or hangs for good: the others are asked.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::TopicPartition;
use keylane_core::publish::{Log, LogConsumer, LogError, LogErrorKind, TopicSpec};
use keylane_parts::{Kafka, KafkaOptions, quick, slow};

use crate::log_conformance::{number_of, numbered, spec};

const TOPIC: &str = "brokers";
/// What is asked is answered in this time at the latest, though a broker is silent: other clients would wait for it for a minute.
const PATIENCE: Duration = Duration::from_secs(45);

fn partitions() -> [TopicPartition; 3] {
    [0, 1, 2].map(|number| TopicPartition::new(TOPIC, number))
}

/// Asks again until there is an answer; only that nobody can be reached may be said meanwhile.
async fn answered<T, F: Future<Output = Result<T, LogError>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => {
                eprintln!("brokers: {what} after {:?}", began.elapsed());
                return answer;
            }
            Err(error) => {
                assert_eq!(error.kind, LogErrorKind::Unreachable, "{what}: {error}");
                assert!(began.elapsed() < PATIENCE, "{what}: {error}");
            }
        }
    }
}

/// Fetches until each partition has told this number.
async fn await_number(consumer: &mut dyn LogConsumer, number: u64) {
    let room = partitions().map(|partition| (partition, 1 << 16));
    let mut last: BTreeMap<TopicPartition, u64> = BTreeMap::new();
    let began = Instant::now();
    while last.values().filter(|last| **last == number).count() < room.len() {
        assert!(began.elapsed() < PATIENCE, "{number} is awaited: {last:?}");
        let fetched = consumer.fetch(&room, Duration::from_millis(200)).await;
        for (partition, records) in fetched.expect("other brokers answer") {
            let numbers = records.iter().map(number_of);
            last.extend(numbers.map(|number| (partition.clone(), number)));
        }
    }
    eprintln!("brokers: fetched after {:?}", began.elapsed());
}

/// Every kind of question is answered while a broker is away, whichever it is, and whatever it was to the others.
async fn goes_on(log: &dyn Log, consumer: &mut dyn LogConsumer, number: u64) {
    answered("describing", || log.describe_topic(TOPIC)).await;
    let records = partitions().map(|partition| numbered(&partition, number));
    let ticket = log.append(records.to_vec()).await.expect("taken");
    let began = Instant::now();
    ticket.await.expect("other brokers take them");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    eprintln!("brokers: appended after {:?}", began.elapsed());
    await_number(consumer, number).await;
    for partition in &partitions() {
        let bounds = answered("bounds", || log.bounds(partition)).await;
        let read = || log.read(partition, bounds.start, 1 << 20);
        let last = answered("reading", read).await.last().map(number_of);
        assert_eq!(last, Some(number), "{partition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_gone_or_hangs_for_good_is_done_without_whichever_it_is() {
    if quick() {
        return;
    }
    let small = KafkaOptions::default().nodes(3).heap_mb_max(256);
    let mut kafka = Kafka::start_with(small).expect("Kafka starts");
    let log = KafkaLog::open(KafkaSettings::new(kafka.bootstrap())).expect("it opens");
    let topic = TopicSpec {
        replication_factor: 3,
        ..spec(TOPIC, 3)
    };
    log.ensure_topics(&[topic]).await.expect("created");
    let mut consumer = log.consumer("nobody", 1 << 20).await.expect("opened");
    for partition in &partitions() {
        let from = keylane_core::model::Offset(0);
        consumer.assign(partition, from).await.expect("assigned");
    }
    let log: Arc<dyn Log> = Arc::new(log);
    goes_on(&*log, &mut *consumer, 1).await;
    for (number, id) in [(2, 1), (3, 2), (4, 3)] {
        kafka.halt_node(id).expect("it hangs");
        kafka.await_led_by_others(id, TOPIC).expect("others lead");
        eprintln!("brokers: {id} hangs");
        goes_on(&*log, &mut *consumer, number).await;
        kafka.go_on_node(id).expect("it goes on");
        kafka.await_in_sync(TOPIC).expect("all are back");
    }
    for (number, id) in [(5, 1), (6, 2), (7, 3)] {
        // One that is gone is noticed sooner than one that hangs.
        if !slow() {
            break;
        }
        kafka.kill9_node(id).expect("it is gone");
        kafka.await_led_by_others(id, TOPIC).expect("others lead");
        eprintln!("brokers: {id} is gone");
        goes_on(&*log, &mut *consumer, number).await;
        kafka.restart().expect("it comes back");
        kafka.await_in_sync(TOPIC).expect("all are back");
    }
}
