//! Commands over Kafka: each is answered on the topic that it names, and repeats, also over a consumer that is cut off, take no second effect.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use keylane::consumer::Consumer;
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane::participant::serve;
use keylane_core::model::{Offset, OrderHash, TopicPartition};
use keylane_core::publish::{Log as _, NewRecord, TopicSpec};
use keylane_core::saga::wire::{AnswerMessage, Attributes};
use keylane_core::saga::{Op, Outcome};
use keylane_parts::KafkaHandle;
use tokio_util::sync::CancellationToken;

use super::commands::{Asked as _, asking};
use super::postgres::{InPostgres, steps};

const COMMANDS: &str = "participant.commands";
const ANSWERS: &str = "participant.answers";
const PARTITIONS: u32 = 3;

fn topic(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions: PARTITIONS,
        replication_factor: 1,
        settings: Vec::new(),
    }
}

fn record(saga: &str, op: Op) -> NewRecord {
    let mut command = asking(saga, op);
    command.reply_to = Some(ANSWERS.to_owned());
    let attributes = command.attributes();
    let headers = attributes.to_kafka();
    let headers =
        headers.map(|(name, text)| (name.into(), Bytes::copy_from_slice(text.as_bytes())));
    let number = OrderHash::of(saga.as_bytes()).partition(PARTITIONS);
    NewRecord {
        partition: TopicPartition::new(COMMANDS, number),
        key: Some(Bytes::from(saga.to_owned())),
        value: Some(Bytes::from(command.body().to_string())),
        headers: headers.collect(),
        keylane: String::new(),
        timestamp_ms: 0,
    }
}

/// The answers so far, by saga and operation.
async fn answers(log: &KafkaLog) -> BTreeMap<(String, Op), Vec<Outcome>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for number in 0..PARTITIONS {
        let partition = TopicPartition::new(ANSWERS, number);
        let end = log.bounds(&partition).await.expect("Kafka answers").end;
        let mut next = Offset(0);
        while next < end {
            for record in log
                .read(&partition, next, 1 << 20)
                .await
                .expect("it is read")
            {
                next = record.offset.next();
                let headers = record.headers.iter();
                let headers = headers.map(|(name, value)| (&**name, value.as_ref()));
                let attributes = Attributes::from_kafka(headers).expect("attributes");
                let body = record.value.unwrap_or_default();
                let answer = AnswerMessage::read(&attributes, &body).expect("an answer");
                let key = (answer.saga, answer.reply.op);
                all.entry(key).or_default().push(answer.reply.outcome);
            }
        }
    }
    all
}

const SAGAS: usize = 60;

fn saga(number: usize) -> String {
    format!("kafka-{number}")
}

/// Three times the action of every saga, and of a third its undo; of some a fence.
fn all_commands() -> Vec<NewRecord> {
    let mut records = Vec::new();
    for round in 0..3 {
        for number in 0..SAGAS {
            records.push(record(&saga(number), Op::Action));
            if number % 3 == 0 {
                records.push(record(&saga(number), Op::Compensate));
            }
            if number % 5 == 1 && round == 0 {
                records.push(record(&saga(number), Op::Fence));
            }
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_over_kafka_are_answered_and_take_effect_once_over_consumers_that_are_cut_off() {
    if keylane_parts::quick() {
        return;
    }
    let kafka = KafkaHandle::shared().expect("Kafka").bootstrap();
    let mut settings = KafkaSettings::new(kafka);
    settings.with_headers = true;
    let log = KafkaLog::open(settings.clone()).expect("a client");
    log.ensure_topics(&[topic(COMMANDS), topic(ANSWERS)])
        .await
        .expect("topics");
    let in_postgres = InPostgres::new("participant_kafka", steps()).await;
    let records = all_commands();
    log.append(records)
        .await
        .expect("they are taken")
        .await
        .expect("they are written");
    // Each is dropped in the middle of its work, as a crash would; the next begins where the group is.
    for life in 0..4 {
        let consumer = Consumer::kafka(kafka, "participants")
            .topic(COMMANDS)
            .concurrency(16);
        let participant = in_postgres.participant.clone();
        let serving = tokio::spawn(serve(
            participant,
            consumer,
            settings.clone(),
            CancellationToken::new(),
        ));
        let expected = SAGAS + SAGAS.div_ceil(3) + SAGAS / 5;
        let last = life == 3;
        let waited = tokio::time::timeout(Duration::from_secs(if last { 90 } else { 20 }), async {
            loop {
                let told = answers(&log).await;
                let enough = if last { expected } else { (life + 1) * 15 };
                if told.len() >= enough {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "life {life}: the answers did not come"
        );
        serving.abort();
        let _ = serving.await;
    }
    let told = answers(&log).await;
    for number in 0..SAGAS {
        let name = saga(number);
        let is_undone = number % 3 == 0;
        assert_eq!(
            in_postgres.effects(&name).await,
            (1, u64::from(is_undone)),
            "{name}"
        );
        for op in Op::ALL {
            let of_op = told.get(&(name.clone(), op)).cloned().unwrap_or_default();
            assert!(
                of_op.windows(2).all(|two| two[0] == two[1]),
                "{name}: {of_op:?}"
            );
        }
    }
}
