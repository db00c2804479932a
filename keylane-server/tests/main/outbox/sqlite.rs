//! An outbox in a SQLite file: what was written before the first capture is published too, and each event once over kills.

use std::time::Duration;

use keylane::{Outbox, OutboxEvent};
use rand::Rng as _;
use rusqlite::{Connection, TransactionBehavior};

use super::bed::{configure, pipeline, read};
use crate::bed::{Bed, left_out};

const TOPIC: &str = "sqlite_events.counted";

fn put(connection: &mut Connection, from: u32, to: u32) {
    let outbox = Outbox::default();
    for number in from..to {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .expect("a transaction");
        let event = OutboxEvent::new(TOPIC, "counted.v1")
            .id(format!("e{number}"))
            .key(format!("k{}", number % 5))
            .payload("text/plain", number.to_string());
        outbox
            .put_sqlite(&transaction, &event)
            .expect("it is taken");
        transaction.commit().expect("it is committed");
    }
}

#[test]
fn events_of_a_sqlite_file_come_once_over_kills_those_before_the_first_capture_too() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("sqlite_events");
    let path = bed.folder.path().join("service.db");
    let mut connection = Connection::open(&path).expect("a file");
    connection
        .pragma_update(None, "journal_mode", "wal")
        .expect("WAL");
    connection
        .busy_timeout(Duration::from_secs(30))
        .expect("a time");
    Outbox::default()
        .create_sqlite(&connection)
        .expect("the table");
    let origin = format!("sqlite: {{ path: \"{}\" }}", path.display());
    configure(&bed, &[pipeline(bed.name, &origin, TOPIC)]);
    put(&mut connection, 0, 50);
    let mut road = bed.start(&["--only", "capture"]);
    for round in 1..5 {
        put(&mut connection, round * 50, round * 50 + 50);
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(50..1_200)));
        road.kill9();
        road = bed.start(&["--only", "capture"]);
    }
    bed.wait(&road, "the rows to leave the outbox", || {
        let left =
            connection.query_row("SELECT count(*) FROM keylane_outbox", [], |row| row.get(0));
        left == Ok(0)
    });
    let unfit = OutboxEvent::new("elsewhere", "x.v1").key("k");
    Outbox::default()
        .put_sqlite(&connection, &unfit)
        .expect("it is taken");
    bed.wait(&road, "the unfit row to be parked", || {
        let parked = connection.query_row("SELECT parked FROM keylane_outbox", [], |row| {
            row.get::<_, Option<String>>(0)
        });
        parked.is_ok_and(|parked| parked.is_some_and(|why| why.starts_with("KL-OUTBOX-001")))
    });
    road.terminate();
    let topic = read(&bed.kafka, TOPIC);
    for key in 0..5 {
        let of_key = topic
            .told
            .iter()
            .filter(|it| it.key == Some(format!("k{key}")));
        let told: Vec<u32> = of_key
            .filter_map(|it| it.value.as_deref()?.parse().ok())
            .collect();
        let expect: Vec<u32> = (0..250).filter(|number| number % 5 == key).collect();
        assert_eq!(told, expect, "k{key}");
    }
    assert_eq!(topic.with_value, 250);
}
