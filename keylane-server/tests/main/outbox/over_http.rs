//! `POST /v1/events/TOPIC`: each event once in its topic, by its caller's key, however often its caller asks and whoever is killed meanwhile.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keylane_parts::free_port;
use rand::Rng as _;
use serde_json::Value;

use super::bed::{Topic, read};
use crate::bed::{Bed, left_out};

const ORDERS: &str = "/v1/events/events_by_key.orders";

/// A pipeline that takes events over HTTP, and nothing else.
fn accepting(bed: &mut Bed, port: u16, topics: &str, accept: &str) {
    bed.http = format!("listen: \"127.0.0.1:{port}\"");
    let text = format!(
        "version: 1\nhttp: {{ {} }}\nlog: {{ kafka: {{ bootstrap: \"{}\" }} }}\npipelines:\n  {}:\n    origin: {{ sqlite: {{ path: .keylane/events.db }} }}\n    \
         outbox: {{ topics: [{topics}], accept: {{ {accept} }} }}\n    topics: {{ partitions: 3 }}\n",
        bed.http, bed.kafka, bed.name
    );
    std::fs::write(bed.config(), text).expect("the configuration is written");
}

/// What is sent: `POST PATH` with these headers and this body. `None` where no whole answer came.
fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let headers: String = headers
        .iter()
        .map(|(name, text)| format!("{name}: {text}\r\n"))
        .collect();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: keylane\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// An order under this key.
fn order(port: u16, key: &str, body: &str) -> Option<(u16, String)> {
    let headers = [
        ("Idempotency-Key", key),
        ("ce-type", "order.placed.v1"),
        ("ce-partitionkey", "order-1"),
        ("Content-Type", "application/json"),
    ];
    post(port, ORDERS, &headers, body)
}

#[test]
fn an_event_is_taken_once_by_its_key_and_told_so_every_time() {
    if left_out() {
        return;
    }
    let mut bed = Bed::bare("events_by_key");
    let lease = free_port().expect("a port");
    let port = lease.port();
    accepting(&mut bed, port, "events_by_key.orders", "");
    bed.json(&["check", "--format", "json"], 0);
    let road = bed.start(&[]);
    bed.wait(&road, "the first event to be taken", || {
        order(port, "k1", "{\"n\":1}").is_some_and(|(code, _)| code == 202)
    });
    let first = order(port, "k1", "{\"n\":1}").expect("an answer");
    assert_eq!(order(port, "\"k1\"", "{\"n\":1}"), Some(first.clone()));
    let code_of = |key: Option<&str>, path: &str, body: &str| {
        let headers: Vec<_> = key.iter().map(|key| ("Idempotency-Key", *key)).collect();
        post(port, path, &headers, body).map(|(code, _)| code)
    };
    assert_eq!(code_of(None, ORDERS, "{}"), Some(400));
    assert_eq!(code_of(Some("k2"), "/v1/events/payments", "{}"), Some(404));
    assert_eq!(
        code_of(Some("k2"), "/v1/events/events_by_key.keylane", "{}"),
        Some(404)
    );
    let (code, why) = order(port, "k1", "{\"n\":2}").expect("an answer");
    assert_eq!(code, 422);
    let why: Value = serde_json::from_str(&why).expect("JSON");
    assert_eq!(why["code"], "KL-HTTP-003");
    bed.settle(&road);
    road.terminate();
    let road = bed.start(&[]);
    bed.wait(&road, "the same answer after a restart", || {
        order(port, "k1", "{\"n\":1}").as_ref() == Some(&first)
    });
    bed.settle(&road);
    road.terminate();
    let topic = read(&bed.kafka, "events_by_key.orders");
    assert_eq!(topic.with_value, 1);
    let told = &topic.told[0];
    assert_eq!(
        (told.key.as_deref(), told.value.as_deref()),
        (Some("order-1"), Some("{\"n\":1}"))
    );
    let id: Value = serde_json::from_str(&first.1).expect("JSON");
    assert_eq!(told.headers["ce_id"], id["id"].as_str().expect("an id"));
    assert_eq!(told.headers["ce_type"], "order.placed.v1");
}

/// Each caller's events are there, in order, and no other.
fn once_each_and_in_order(topic: Topic, counts: &[u64]) {
    let with_value = topic.with_value as u64;
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for told in topic.told {
        let value = told.value.and_then(|value| value.parse().ok());
        by_key
            .entry(told.key.expect("a key"))
            .or_default()
            .push(value.expect("a number"));
    }
    for (caller, count) in counts.iter().enumerate() {
        let told = by_key
            .remove(&format!("caller-{caller}"))
            .unwrap_or_default();
        assert_eq!(told, (0..*count).collect::<Vec<_>>(), "caller {caller}");
    }
    let events: u64 = counts.iter().sum();
    assert_eq!(with_value, events, "another reader would see some twice");
    assert!(by_key.is_empty() && events > 100, "{events}");
}

#[test]
fn callers_that_ask_until_they_are_told_put_each_event_into_the_topic_once_over_kills() {
    if left_out() {
        return;
    }
    const CALLERS: u64 = 6;
    const KILLS: usize = 8;
    let mut bed = Bed::bare("events_killed");
    let lease = free_port().expect("a port");
    let port = lease.port();
    accepting(&mut bed, port, "events_killed.counted", "");
    let path = "/v1/events/events_killed.counted";
    let mut road = bed.start(&[]);
    let (done, repeats) = (AtomicBool::new(false), AtomicU64::new(0));
    let (counts, road): (Vec<u64>, _) = std::thread::scope(|scope| {
        let call = |caller: u64| {
            let (done, repeats) = (&done, &repeats);
            move || {
                let mut number = 0;
                while !done.load(Ordering::Relaxed) {
                    let key = format!("{caller}-{number}");
                    let own = format!("caller-{caller}");
                    let headers = [("Idempotency-Key", &*key), ("ce-partitionkey", &*own)];
                    let (body, mut asked) = (number.to_string(), 0);
                    loop {
                        asked += 1;
                        match post(port, path, &headers, &body) {
                            Some((202, _)) => break,
                            Some((503, _)) | None => std::thread::sleep(Duration::from_millis(20)),
                            Some((code, why)) => return Err(format!("{key}: {code} {why}")),
                        }
                    }
                    repeats.fetch_add(asked - 1, Ordering::Relaxed);
                    number += 1;
                }
                Ok(number)
            }
        };
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| scope.spawn(call(caller)))
            .collect();
        for _ in 0..KILLS {
            std::thread::sleep(Duration::from_millis(rand::rng().random_range(300..2_000)));
            road.kill9();
            road = bed.start(&[]);
        }
        done.store(true, Ordering::Relaxed);
        let ends = callers
            .into_iter()
            .map(|caller| caller.join().expect("a caller ends"));
        let counts = ends.collect::<Result<_, _>>().expect("no other answer");
        (counts, road)
    });
    bed.settle(&road);
    road.terminate();
    let repeats = repeats.load(Ordering::Relaxed);
    eprintln!(
        "{KILLS} kills, {} events, {repeats} repeats",
        counts.iter().sum::<u64>()
    );
    once_each_and_in_order(read(&bed.kafka, "events_killed.counted"), &counts);
}
