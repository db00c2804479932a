//! Kafka as the log, on a real broker: what every log promises, and what only a broker can break.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Log, LogErrorKind, NewRecord};
use keylane_parts::{Kafka, KafkaHandle, Signal, quick, send_signal};

use crate::log_conformance::{
    append, appends_wait_while_the_log_is_held_up, check_log, number_of, numbered, read_all, spec,
};

fn open(settings: KafkaSettings) -> Arc<dyn Log> {
    Arc::new(KafkaLog::open(settings).expect("librdkafka takes the settings"))
}

/// A log on the tests' common broker.
fn shared() -> Arc<dyn Log> {
    open(KafkaSettings::new(
        KafkaHandle::shared().expect("Kafka starts").bootstrap(),
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_keeps_what_every_log_promises() {
    if quick() {
        return;
    }
    check_log(shared(), &unique("conformance")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_stay_in_order_without_loss_or_duplicate_while_the_broker_is_killed_and_comes_back()
{
    if quick() {
        return;
    }
    let mut kafka = Kafka::start().expect("Kafka starts");
    let log = open(KafkaSettings::new(kafka.bootstrap()));
    log.ensure_topics(&[spec("killed", 2)])
        .await
        .expect("created");
    let partitions = [0, 1].map(|part| TopicPartition::new("killed", part));
    let writer = {
        let (log, partitions) = (log.clone(), partitions.clone());
        tokio::spawn(async move {
            let mut tickets = Vec::new();
            for batch in 0..600u64 {
                let records = (batch * 20..batch * 20 + 20)
                    .map(|number| numbered(&partitions[(number % 2) as usize], number))
                    .collect();
                tickets.push(log.append(records).await.expect("taken"));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for ticket in tickets {
                ticket
                    .await
                    .expect("every append survives the broker's death");
            }
        })
    };
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        kafka.kill9().expect("killed");
        kafka.restart().expect("back again");
    }
    writer.await.expect("the writer ends");
    for (part, partition) in (0..2).zip(&partitions) {
        let found: Vec<u64> = read_all(&*log, partition)
            .await
            .iter()
            .map(number_of)
            .collect();
        let wanted: Vec<u64> = (0..12_000).filter(|number| number % 2 == part).collect();
        assert_eq!(found, wanted, "{partition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_ends_at_the_end_of_its_own_partition_only() {
    if quick() {
        return;
    }
    let log = shared();
    let topics = [unique("ends-a"), unique("ends-b"), unique("ends-c")];
    let specs: Vec<_> = topics.iter().map(|topic| spec(topic, 2)).collect();
    log.ensure_topics(&specs).await.expect("created");
    let places: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|topic| [0, 1].map(|part| TopicPartition::new(&**topic, part)))
        .collect();
    for (place, count) in places.iter().zip([1, 3000, 0, 500, 10, 8000]) {
        for from in (0..count).step_by(500) {
            append(&*log, place, from..(from + 500).min(count)).await;
        }
    }
    // Clients are used again for other partitions: what they still tell of the former ones is not theirs.
    for round in 0..10 {
        for (place, count) in places.iter().zip([1, 3000, 0, 500, 10, 8000]) {
            let found = read_all(&*log, place).await.len() as u64;
            assert_eq!(found, count, "{place} in round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_a_lost_record_sends_nothing_more() {
    if quick() {
        return;
    }
    let mut kafka = Kafka::start().expect("Kafka starts");
    let log = open(KafkaSettings {
        delivery_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(3),
        ..KafkaSettings::new(kafka.bootstrap())
    });
    log.ensure_topics(&[spec("lost", 1)])
        .await
        .expect("created");
    let partition = TopicPartition::new("lost", 0);
    append(&*log, &partition, 0..10).await;
    kafka.kill9().expect("killed");
    let lost = log
        .append(vec![numbered(&partition, 10)])
        .await
        .expect("taken");
    let error = lost.await.expect_err("the broker is gone");
    assert_eq!(error.kind, LogErrorKind::SessionOver, "{error}");
    kafka.restart().expect("back again");
    let error = match log.append(vec![numbered(&partition, 11)]).await {
        Err(error) => error,
        Ok(ticket) => ticket.await.expect_err("the session is over"),
    };
    assert_eq!(error.kind, LogErrorKind::SessionOver, "{error}");
    // A new session goes on; what the old one lost did not come late in between.
    let log = open(KafkaSettings::new(kafka.bootstrap()));
    append(&*log, &partition, 12..13).await;
    let found: Vec<u64> = read_all(&*log, &partition)
        .await
        .iter()
        .map(number_of)
        .collect();
    assert_eq!(found, (0..10).chain([12]).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_wait_for_a_broker_that_hangs_with_as_many_bytes_in_flight_as_may_be() {
    if quick() {
        return;
    }
    let kafka = Kafka::start().expect("Kafka starts");
    let log = open(KafkaSettings {
        in_flight_bytes_max: 50_000,
        ..KafkaSettings::new(kafka.bootstrap())
    });
    log.ensure_topics(&[spec("held", 1)])
        .await
        .expect("created");
    let partition = TopicPartition::new("held", 0);
    let tell = |signal| {
        for pid in kafka.pids() {
            send_signal(pid, signal).expect("it is ours");
        }
    };
    tell(Signal::Stop);
    appends_wait_while_the_log_is_held_up(&*log, &partition, 50_000, || tell(Signal::Continue))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_created_again_has_another_identity_and_its_old_offsets_are_refused() {
    if quick() {
        return;
    }
    let log = shared();
    let topic = unique("recreated");
    let first = log
        .ensure_topics(&[spec(&topic, 1)])
        .await
        .expect("created");
    let partition = TopicPartition::new(&*topic, 0);
    append(&*log, &partition, 0..50).await;
    delete_topic(&topic).await;
    let second = log
        .ensure_topics(&[spec(&topic, 1)])
        .await
        .expect("created again");
    assert!(second[0].created);
    assert_ne!(second[0].id, first[0].id);
    let log = shared();
    let error = log.read(&partition, Offset(50), 1000).await.unwrap_err();
    assert_eq!(error.kind, LogErrorKind::OutOfRange, "{error}");
    let mut consumer = log.consumer(&topic, 1 << 20).await.expect("opened");
    consumer
        .assign(&partition, Offset(50))
        .await
        .expect("assigned");
    let room = [(partition.clone(), 1000)];
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match consumer.fetch(&room, Duration::from_secs(1)).await {
            Ok(fetched) => assert!(fetched.is_empty()),
            Err(error) => break error,
        }
        assert!(
            Instant::now() < deadline,
            "waited 20 s for the consumer to refuse"
        );
    };
    assert_eq!(error.kind, LogErrorKind::OutOfRange, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_is_refused_and_the_session_goes_on() {
    if quick() {
        return;
    }
    let log = shared();
    let topic = unique("large");
    log.ensure_topics(&[spec(&topic, 1)])
        .await
        .expect("created");
    let partition = TopicPartition::new(&*topic, 0);
    let large = NewRecord {
        value: Some(vec![b'x'; 2_000_000].into()),
        ..numbered(&partition, 1)
    };
    let Err(error) = log.append(vec![numbered(&partition, 0), large]).await else {
        panic!("a record of 2 MB was taken");
    };
    assert_eq!(error.kind, LogErrorKind::TooLarge, "{error}");
    append(&*log, &partition, 2..3).await;
    let found: Vec<u64> = read_all(&*log, &partition)
        .await
        .iter()
        .map(number_of)
        .collect();
    assert_eq!(found, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_topic_that_is_compacted_is_refused_with_the_mend() {
    if quick() {
        return;
    }
    let log = shared();
    let topic = unique("compacted");
    let mut compacted = spec(&topic, 1);
    compacted.settings = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    log.ensure_topics(&[compacted]).await.expect("created");
    let error = log.ensure_topics(&[spec(&topic, 1)]).await.unwrap_err();
    assert_eq!(error.kind, LogErrorKind::TopicMismatch, "{error}");
    assert!(error.message.contains("kafka-configs --alter"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_broker_is_a_clear_error_within_the_answer_time_out() {
    let port = keylane_parts::free_port().expect("a free port");
    let log = open(KafkaSettings {
        answer_timeout: Duration::from_secs(1),
        delivery_timeout: Duration::from_secs(1),
        ..KafkaSettings::new(format!("127.0.0.1:{}", port.port()))
    });
    let began = Instant::now();
    let partition = TopicPartition::new("nowhere", 0);
    for (what, error) in [
        ("describe", log.describe_topic("nowhere").await.unwrap_err()),
        (
            "ensure",
            log.ensure_topics(&[spec("nowhere", 1)]).await.unwrap_err(),
        ),
        ("bounds", log.bounds(&partition).await.unwrap_err()),
        (
            "read",
            log.read(&partition, Offset(0), 1000).await.unwrap_err(),
        ),
    ] {
        assert_eq!(error.kind, LogErrorKind::Unreachable, "{what}: {error}");
    }
    let error = log.describe_topic("nowhere").await.unwrap_err();
    assert!(error.message.contains("127.0.0.1"), "{error}");
    let ticket = log
        .append(vec![numbered(&partition, 1)])
        .await
        .expect("taken");
    let error = ticket.await.unwrap_err();
    assert_eq!(error.kind, LogErrorKind::SessionOver, "{error}");
    let mut consumer = log.consumer("nobody", 1 << 20).await.expect("opened");
    consumer
        .assign(&partition, Offset(0))
        .await
        .expect("assigned");
    let room = [(partition, 1000)];
    let error = loop {
        match consumer.fetch(&room, Duration::from_millis(200)).await {
            Ok(fetched) => assert!(fetched.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, LogErrorKind::Unreachable, "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

/// A topic name that no other run uses, for brokers that outlive the tests.
fn unique(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{name}-{}", now.expect("after 1970").as_micros())
}

async fn delete_topic(topic: &str) {
    use rdkafka::admin::{AdminClient, AdminOptions};
    use rdkafka::client::DefaultClientContext;
    let bootstrap = KafkaHandle::shared().expect("started").bootstrap();
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .expect("a client");
    let deleted = admin.delete_topics(&[topic], &AdminOptions::new()).await;
    for result in deleted.expect("an answer") {
        result.expect("deleted");
    }
    let log = shared();
    let deadline = Instant::now() + Duration::from_secs(20);
    while log
        .describe_topic(topic)
        .await
        .expect("an answer")
        .is_some()
    {
        assert!(Instant::now() < deadline, "waited 20 s for the topic to go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
