//! Sagas on one machine with nothing installed: SQLite files and the embedded log, with the processes killed midway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::participant::{Reaction, SqliteChoreography, SqliteHandler, follow};
use keylane::{Outbox, OutboxEvent};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::Log as _;
use keylane_core::saga::State;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, wait};
use crate::running::Running;

const LOG: &str = "log: { embedded: { path: log.db } }\n";
const ABORTS: &str = "order.aborts";
const ORDER: &str = "
choreography: order
topics: [shop.events, stock.events]
signal: order.aborts
begins: [order.placed]
steps:
  - { id: stock, consumes: [order.placed] }
";
const STARTS: &str = "shop.starts";

fn append(path: &Path, text: &str) {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::write(path, before + text).expect("written");
}

/// A pipeline that captures the outbox of a service's file.
fn pipeline(service: &str, topic: &str) -> String {
    format!(
        "  {service}:\n    origin: {{ sqlite: {{ path: {service}.db }} }}\n    outbox: {{ topics: [{topic}] }}\n    topics: {{ partitions: 2 }}\n"
    )
}

/// A service's file, with an outbox and a table.
fn service(bed: &Bed, name: &str, table: &str) -> Connection {
    let file = Connection::open(bed.folder.path().join(format!("{name}.db"))).expect("a file");
    file.busy_timeout(std::time::Duration::from_secs(30))
        .expect("a time");
    let made = file.execute_batch(&format!("PRAGMA journal_mode = WAL; {table}"));
    made.expect("a table");
    Outbox::default().create_sqlite(&file).expect("the outbox");
    file
}

/// An order and its event, in one transaction.
fn order(shop: &mut Connection, key: &str, event: &OutboxEvent) {
    let transaction = shop.transaction().expect("a transaction");
    let sql = "INSERT INTO orders (key) VALUES (?1) ON CONFLICT DO NOTHING";
    transaction.execute(sql, [key]).expect("an order");
    let put = Outbox::default().put_sqlite(&transaction, event);
    put.expect("it is taken");
    transaction.commit().expect("it is committed");
}

fn keylane(bed: &Bed, arguments: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command.args(arguments).current_dir(bed.folder.path());
    Running::start(command, bed.folder.path())
}

async fn log(folder: &Path) -> EmbeddedLog {
    let mut options = EmbeddedOptions::at(folder.join("log.db"));
    options.with_headers = true;
    EmbeddedLog::open(options).await.expect("a log")
}

/// A service that reserves for each order that is placed, and gives it back.
async fn stock(folder: PathBuf, stop: CancellationToken) {
    let noted = |sql: &'static str| -> SqliteHandler {
        Arc::new(move |call, tx| {
            tx.execute(sql, [&call.saga])?;
            Ok(Value::Null)
        })
    };
    let step = Reaction::of("stock", "stock.events")
        .on("order.placed")
        .action(noted("INSERT INTO effects VALUES (?1, 1)"))
        .undo(noted("INSERT INTO effects VALUES (?1, -1)"));
    let service = SqliteChoreography::open(folder.join("stock.db"), "/stock", vec![step]).await;
    let topics = ["shop.events", ABORTS].map(Arc::from);
    let (service, log) = (service.expect("a service"), log(&folder).await);
    let followed = follow(&service, &log, &topics, stop).await;
    followed.expect("it follows");
}

/// What the service did and undid for a saga, in order.
fn effects(bed: &Bed, saga: &str) -> Vec<i64> {
    let file = Connection::open(bed.folder.path().join("stock.db")).expect("a file");
    let mut statement = file
        .prepare("SELECT amount FROM effects WHERE saga = ?1 ORDER BY rowid")
        .expect("a table");
    let rows = statement.query_map([saga], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("numbers")
}

/// How many records of a saga stand in a topic of one partition.
fn records_of(bed: &Bed, topic: &str, saga: &str) -> usize {
    let read = async {
        let log = log(bed.folder.path()).await;
        let partition = TopicPartition::new(topic, 0);
        log.read(&partition, Offset(0), 1 << 20).await
    };
    let records = bed.runtime.block_on(read).expect("read");
    let of_saga = |key: &Option<bytes::Bytes>| key.as_deref() == Some(saga.as_bytes());
    records.iter().filter(|it| of_saga(&it.key)).count()
}

/// How often a process took over the hearing of events.
fn takeovers(bed: &Bed) -> i64 {
    let file = Connection::open(bed.folder.path().join("log.db")).expect("a file");
    let sql = "SELECT epoch FROM consumer_groups WHERE name = 'keylane-tracker'";
    file.query_row(sql, [], |row| row.get(0)).expect("a row")
}

/// A bed with a choreography, and a configuration for the process that captures the services' outboxes.
fn choreographed() -> Bed {
    let bed = Bed::sqlite(31);
    let folder = bed.folder.path();
    std::fs::write(folder.join("order.yaml"), ORDER).expect("written");
    bed.configure("choreographies: [order.yaml]");
    append(&folder.join("keylane.yaml"), LOG);
    let pipelines = [("shop", "shop.events"), ("stock", "stock.events")];
    let pipelines = pipelines.map(|(name, topic)| pipeline(name, topic));
    let road = format!(
        "version: 1\nstate_dir: .road\nhttp: {{ listen: off }}\n{LOG}pipelines:\n{}",
        pipelines.concat()
    );
    std::fs::write(folder.join("road.yaml"), road).expect("written");
    bed
}

#[test]
fn sagas_that_nobody_drives_are_followed_and_rolled_back_over_the_embedded_log() {
    let bed = choreographed();
    let folder = bed.folder.path();
    let mut shop = service(&bed, "shop", "CREATE TABLE orders (key TEXT PRIMARY KEY)");
    service(
        &bed,
        "stock",
        "CREATE TABLE effects (saga TEXT, amount INTEGER)",
    );
    // Who follows them is there before anybody has made a topic of events.
    let serving = bed.serve();
    let road = keylane(&bed, &["run", "--config", "road.yaml"]);
    let stop = CancellationToken::new();
    let hearing = bed.runtime.spawn(stock(folder.to_owned(), stop.clone()));

    let mut place = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let saga = format!("s{number}");
            let event = OutboxEvent::new("shop.events", "order.placed")
                .key(saga.as_str())
                .header("ce_correlationid", saga.as_str());
            order(&mut shop, &saga, &event);
        }
    };
    let completed = || {
        let list = ["saga", "list", "--state", "completed", "--limit", "1000"];
        let listed = bed.json(&list).0;
        listed["sagas"].as_array().map_or(0, Vec::len)
    };
    place(0..20);
    wait("the first to complete", || completed() == 20);
    // Another hears from now on; when it dies, who stood by goes on.
    let before = takeovers(&bed);
    let other = bed.serve();
    wait("the other to hear", || takeovers(&bed) > before);
    other.kill9();
    place(20..40);
    wait("the first to hear again", || takeovers(&bed) > before + 1);
    wait("all to complete", || completed() == 40);

    let show = || bed.json(&["saga", "show", "s7"]).0;
    let shown = show();
    assert_eq!(
        json!([
            shown["style"],
            shown["definition"],
            shown["steps"][0]["services"]
        ]),
        json!(["choreography", "order", ["/stock"]]),
        "{shown}"
    );
    let ask = ["saga", "compensate", "s7", "--reason", "the customer left"];
    assert_eq!(bed.json(&ask).1, Some(0));
    serving.kill9();
    let serving = bed.serve();
    wait("nothing to be left of it", || {
        show()["state"] == "compensated"
    });
    assert_eq!(completed(), 39);
    assert_eq!(effects(&bed, "s7"), [1, -1]);
    assert_eq!(effects(&bed, "s8"), [1]);
    assert_eq!(records_of(&bed, ABORTS, "s7"), 1, "one abort");

    serving.terminate();
    road.terminate();
    stop.cancel();
    bed.runtime.block_on(hearing).expect("the service ends");
}

fn start(key: &str, definition: &str, data: Value) -> OutboxEvent {
    OutboxEvent::saga_start(STARTS, definition, key, &data)
}

#[test]
fn sagas_that_an_outbox_begins_over_the_embedded_log_are_begun_once() {
    let bed = Bed::sqlite(32);
    bed.configure(&format!("starts: {{ topic: {STARTS} }}"));
    let config = bed.folder.path().join("keylane.yaml");
    append(
        &config,
        &format!("{LOG}pipelines:\n{}", pipeline("shop", STARTS)),
    );
    let mut shop = service(&bed, "shop", "CREATE TABLE orders (key TEXT PRIMARY KEY)");
    let mut road = keylane(&bed, &["run"]);
    let all = || bed.list(&State::ALL);
    for kill in 0..2 {
        let before = all().len();
        for number in kill * 20..(kill + 1) * 20 {
            let key = format!("order-{number}");
            order(&mut shop, &key, &start(&key, "trip", json!({"mail": true})));
        }
        wait("another saga", || all().len() > before);
        road.kill9();
        road = keylane(&bed, &["run"]);
    }
    // A repeat begins none; what names no definition goes where nobody made a topic.
    let repeat = start("order-1", "trip", json!({"mail": true}));
    order(&mut shop, "order-1", &repeat);
    order(&mut shop, "order-x", &start("order-x", "voyage", json!({})));
    wait("the dead letter", || {
        bed.runtime.block_on(async {
            let log = log(bed.folder.path()).await;
            let dead = format!("{STARTS}.dead");
            let there = log.describe_topic(&dead).await.expect("it answers");
            if there.is_none() {
                return false;
            }
            let bounds = log.bounds(&TopicPartition::new(dead.as_str(), 0)).await;
            bounds.expect("bounds").end == Offset(1)
        })
    });
    wait("every saga to end", || {
        all().len() == 40 && bed.list(&[]).is_empty()
    });
    road.terminate();
    let mut begun: BTreeMap<String, usize> = BTreeMap::new();
    for saga in all() {
        *begun.entry(saga.key.expect("a key")).or_default() += 1;
    }
    let once = (0..40).map(|number| (format!("order-{number}"), 1));
    assert_eq!(begun, once.collect());
    let effects = bed.participants.effects();
    for saga in bed.list(&[State::Completed]) {
        let had = effects.get(&(saga.id.clone(), "charge".to_owned()));
        assert_eq!(had, Some(&(1, 0)), "{}", saga.id);
    }
}
