//! `keylane consume redrive`, killed midway.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use bytes::Bytes;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{NewRecord, RawRecord};
use keylane_parts::{Kafka, KafkaOptions, wait_until};
use serde_json::json;

use crate::bed::{PATIENCE, left_out};
use crate::consume::{Topic, redrive};
use crate::running::Running;

/// Letters of each of three partitions, four kilobytes each: more than are put back at once.
const LETTERS: u64 = 1_500;
/// Records that go at once: a megabyte of them, and what a fetch brings beyond it.
const AT_ONCE_MAX: u64 = 600;
const KILLS: u64 = 3;

fn now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.expect("a clock that is set").as_millis() as i64
}

fn letter(topic: &Topic, partition: u32, number: u64) -> NewRecord {
    let header = |name: &str, value: String| (name.into(), Bytes::from(value));
    NewRecord {
        partition: TopicPartition::new(format!("{}.dead", topic.name), partition),
        key: Some(Bytes::from(format!("{partition}-{}", number % 7))),
        value: Some(Bytes::from(format!("{number:04096}"))),
        headers: vec![
            header("keylane.dead.id", format!("{partition}-{number}")),
            header("keylane.dead.topic", topic.name.clone()),
            header("keylane.dead.partition", partition.to_string()),
        ],
        keylane: String::new(),
        timestamp_ms: now_ms(),
    }
}

fn put_back(topic: &Topic) -> u64 {
    let bounds = |number| {
        let partition = TopicPartition::new(&*topic.name, number);
        topic.runtime.block_on(topic.log.bounds(&partition))
    };
    (0..3)
        .filter_map(|number| bounds(number).ok())
        .map(|bounds| bounds.end.0)
        .sum()
}

fn read(topic: &Topic, number: u32) -> Vec<RawRecord> {
    let settings = topic.settings.clone().with_headers();
    let partition = TopicPartition::new(&*topic.name, number);
    topic.runtime.block_on(async {
        let log = settings.open().await.expect("a log");
        let end = log.bounds(&partition).await.expect("bounds").end;
        let (mut all, mut next) = (Vec::new(), Offset(0));
        while next < end {
            let some = log.read(&partition, next, 8 << 20).await.expect("records");
            next = some.last().map_or(end, |last| last.offset.next());
            all.extend(some);
        }
        all
    })
}

#[test]
fn a_redrive_that_is_killed_again_and_again_loses_none_and_tells_each_repeat() {
    if left_out() {
        return;
    }
    let topic = Topic::new("redrive-kills");
    for partition in 0..3 {
        let letters = (0..LETTERS).map(|number| letter(&topic, partition, number));
        let letters = letters.collect();
        let appended = async { topic.log.append(letters).await?.await };
        topic.runtime.block_on(appended).expect("durable");
    }
    for _ in 0..KILLS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command.args(["consume", "redrive"]).args(topic.place());
        command.args(["--dead-letter", &format!("{}.dead", topic.name)]);
        command.stdin(Stdio::null());
        let before = put_back(&topic);
        let running = Running::start(command, topic.folder.path());
        let moved = wait_until("letters to be put back", PATIENCE, || {
            Ok(put_back(&topic) > before)
        });
        assert!(moved.is_ok(), "{moved:?}\n{}", running.log());
        running.kill9();
    }
    let ended = redrive(&topic, &[]);
    assert_eq!(ended["left"], 0);
    assert_eq!(redrive(&topic, &[])["put_back"], 0, "all are remembered");
    for partition in 0..3 {
        let mut times: BTreeMap<Bytes, u64> = BTreeMap::new();
        let mut first: Vec<u64> = Vec::new();
        for record in read(&topic, partition) {
            let id = record
                .headers
                .iter()
                .find(|(name, _)| &**name == "Idempotency-Key");
            let (_, id) = id.expect("what tells a repeat");
            let text =
                String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            let number: u64 = text.parse().expect("a number");
            assert_eq!(*id, format!("{partition}-{number}"));
            let times = times.entry(id.clone()).or_default();
            *times += 1;
            if *times == 1 {
                first.push(number);
            }
        }
        let wrong = first
            .iter()
            .zip(0..)
            .find(|(found, number)| *found != number);
        let all = (first.len() as u64, wrong);
        assert_eq!(
            all,
            (LETTERS, None),
            "of {partition}, each in its order; {ended}"
        );
        let again: u64 = times.values().map(|times| times - 1).sum();
        assert!(again <= KILLS * AT_ONCE_MAX, "{again} were put back again");
    }
}

#[test]
fn letters_that_their_topics_retention_removed_are_told() {
    if left_out() {
        return;
    }
    let looks_often = KafkaOptions::default()
        .set("log.initial.task.delay.ms", 500)
        .set("log.retention.check.interval.ms", 500);
    let kafka = Kafka::start_with(looks_often).expect("Kafka starts");
    let topic = Topic::over(&kafka.bootstrap(), "redrive-gone");
    let dead = TopicPartition::new(format!("{}.dead", topic.name), 0);
    let append = |letters| {
        let appended = async { topic.log.append(letters).await?.await };
        topic.runtime.block_on(appended).expect("durable");
    };
    // Of 1970, so that they are too old at once.
    let old = |number| NewRecord {
        timestamp_ms: 1,
        ..letter(&topic, 0, number)
    };
    append((0..10).map(old).collect());
    let removed = wait_until("the retention to remove them", PATIENCE, || {
        let bounds = topic.runtime.block_on(topic.log.bounds(&dead));
        Ok(bounds.is_ok_and(|bounds| bounds.start == Offset(10)))
    });
    assert!(removed.is_ok(), "{removed:?}");
    append((10..13).map(|number| letter(&topic, 0, number)).collect());
    assert_eq!(
        redrive(&topic, &[]),
        json!({"put_back": 3, "left": 0, "gone": 10})
    );
    assert_eq!(
        redrive(&topic, &[]),
        json!({"put_back": 0, "left": 0, "gone": 0})
    );
}
