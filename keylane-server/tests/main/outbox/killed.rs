//! The capturer is killed again and again while services write, into one topic from two of them: each event stands there once, and each key's in the order of its commits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::Rng as _;

use super::bed::{Topic, configure, pipeline, read, table_sql};
use crate::bed::{Bed, left_out, postgres};
use crate::running::Running;

/// How often the capturer is killed.
const KILLS: usize = 8;
const TOPIC: &str = "outbox_killed.events";

/// A transaction: two events of two keys, one that is deleted again at once, and now and then one that is rolled back.
fn transaction(service: &str, number: u64) -> String {
    let row = |key: u64, n: u64| {
        format!(
            "('{service}-{key}-{n}', '{TOPIC}', '{service}-{key}', 'counted.v1', convert_to('{n}', 'UTF8'))"
        )
    };
    let insert = "insert into keylane_outbox (id, topic, partition_key, type, payload) values";
    let (one, other) = (number % 7, 7 + number % 5);
    format!(
        "begin; {insert} {}, {}; commit; begin; {insert} {}; delete from keylane_outbox where id = '{service}-20-{number}'; commit; begin; {insert} {}; rollback;",
        row(one, number),
        row(other, number),
        row(20, number),
        row(21, number),
    )
}

/// Two services with an outbox each, captured by one process.
fn started(bed: &Bed, other: &Bed) -> Running {
    configure(
        bed,
        &[
            pipeline(bed.name, &postgres(&bed.origin_url()), TOPIC),
            pipeline(other.name, &postgres(&other.origin_url()), TOPIC),
        ],
    );
    let (one_sql, other_sql) = (bed.origin_asked(), other.origin_asked());
    for sql in [&one_sql as &dyn Fn(&str) -> String, &other_sql] {
        sql(&table_sql());
    }
    let road = bed.start(&["--only", "capture"]);
    for name in [bed.name, other.name] {
        bed.wait(&road, "both captures to stream", || {
            let all = bed.json(&["status", "--format", "json", name], 0);
            all["pipelines"][0]["state"] == "caught_up"
        });
    }
    road
}

#[test]
fn each_event_of_two_services_stands_in_their_topic_once_however_often_their_capturers_are_killed()
{
    if left_out() {
        return;
    }
    let (bed, other) = (Bed::bare("outbox_killed"), Bed::bare("outbox_killed2"));
    let mut road = started(&bed, &other);
    let (one_sql, other_sql) = (bed.origin_asked(), other.origin_asked());
    let done = AtomicBool::new(false);
    let (counts, road) = std::thread::scope(|scope| {
        let write = |service: &'static str, sql: Box<dyn Fn(&str) -> String + Send>| {
            let done = &done;
            scope.spawn(move || {
                let mut number = 0;
                while !done.load(Ordering::Relaxed) {
                    let some: Vec<String> = (number..number + 20)
                        .map(|n| transaction(service, n))
                        .collect();
                    sql(&some.concat());
                    number += 20;
                }
                number
            })
        };
        let writers = [
            write("a", Box::new(bed.origin_asked())),
            write("b", Box::new(other.origin_asked())),
        ];
        for _ in 0..KILLS {
            let pause = rand::rng().random_range(300..2_500);
            std::thread::sleep(Duration::from_millis(pause));
            road.kill9();
            road = bed.start(&["--only", "capture"]);
        }
        done.store(true, Ordering::Relaxed);
        let counts = writers.map(|writer| writer.join().expect("a writer ends"));
        (counts, road)
    });
    for sql in [&one_sql as &dyn Fn(&str) -> String, &other_sql] {
        bed.wait(&road, "both outboxes to be empty", || {
            sql("select count(*) from keylane_outbox") == "0"
        });
    }
    road.terminate();
    let topic = read(&bed.kafka, TOPIC);
    once_each_and_in_order(&topic, &counts);
    eprintln!(
        "{KILLS} kills, {} events, {} records with a value",
        topic.told.len(),
        topic.with_value
    );
    assert_eq!(
        topic.with_value,
        topic.told.len(),
        "another reader would see some twice"
    );
}

fn once_each_and_in_order(topic: &Topic, counts: &[u64; 2]) {
    let mut by_key: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for told in &topic.told {
        let (key, value) = (
            told.key.as_deref().expect("a key"),
            told.value.as_deref().expect("a value"),
        );
        by_key
            .entry(key)
            .or_default()
            .push(value.parse().expect("a number"));
    }
    for (service, count) in ["a", "b"].iter().zip(counts) {
        assert!(*count > 100, "{service} wrote {count} only");
        for key in 0..22 {
            let expect: Vec<u64> = (0..*count)
                .filter(|n| match key {
                    0..7 => n % 7 == key,
                    7..12 => n % 5 == key - 7,
                    20 => true,
                    _ => false,
                })
                .collect();
            let told = by_key
                .remove(format!("{service}-{key}").as_str())
                .unwrap_or_default();
            assert_eq!(told, expect, "{service}-{key}");
        }
    }
    assert!(by_key.is_empty(), "{:?}", by_key.keys());
}
