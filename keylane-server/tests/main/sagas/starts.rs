//! Sagas that a service begins in its own transaction: the order and the event in one commit, over a road and an orchestrator that are killed midway.

use std::process::Command;
use std::sync::Arc;

use keylane::Outbox;
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::model::TopicPartition;
use keylane_core::publish::{Log as _, TopicSpec};
use keylane_core::saga::State;
use keylane_parts::KafkaHandle;

use super::bed::Bed;
use crate::bed::{Bed as Shop, left_out, postgres};
use crate::running::Running;

const STARTS: &str = "sagas.starts";
const ORDERS: usize = 60;

fn run(bed: &Bed) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
    command.arg("run").current_dir(bed.folder.path());
    Running::start(command, bed.folder.path())
}

/// An order and what begins its saga, in one transaction.
fn ordered(key: &str, definition: &str, data: &str, end: &str) -> String {
    format!(
        "begin; insert into orders values ('{key}') on conflict do nothing;
         insert into keylane_outbox (topic, type, partition_key, subject, headers, payload)
         values ('{STARTS}', 'saga.start', '{key}', '{key}', '{{\"ce_sagadef\": \"{definition}\"}}', convert_to('{data}', 'UTF8'));
         {end};"
    )
}

#[test]
fn an_order_and_its_saga_are_both_there_or_neither() {
    if left_out() {
        return;
    }
    let bed = Bed::postgres(13, "sagas_starts").expect("the parts are there");
    let shop = Shop::bare("sagas_starts_shop");
    shop.origin_sql("create table orders (id text primary key)");
    shop.origin_sql(&Outbox::default().postgres_sql());
    let log = topics(&bed);
    configured(&bed, &shop);
    let mut road = run(&bed);
    // What is committed before the slot is there is not told by the log.
    shop.wait(&road, "the capture to stream", || {
        let (all, _) = bed.json(&["status", "starts_shop"]);
        all["pipelines"][0]["state"] == "caught_up"
    });
    for kill in 0..2 {
        let numbers = kill * ORDERS / 2..(kill + 1) * ORDERS / 2;
        let mut sql = String::new();
        for number in numbers {
            // Those that are rolled back begin nothing.
            sql += &ordered(&format!("never-{number}"), "trip", "{}", "rollback");
            sql += &ordered(
                &format!("order-{number}"),
                "trip",
                "{\"mail\": true}",
                "commit",
            );
        }
        let before = bed.list(&ALL).len();
        shop.origin_sql(&sql);
        shop.wait(&road, "another saga", || bed.list(&ALL).len() > before);
        road.kill9();
        road = run(&bed);
    }
    // What begins no saga holds up none: another content under a key, an unknown definition, what is no JSON.
    shop.origin_sql(
        &[
            ordered("order-1", "trip", "{\"mail\": true}", "commit"),
            ordered("order-1", "trip", "{\"mail\": false}", "commit"),
            ordered("order-x", "voyage", "{}", "commit"),
            ordered("order-y", "trip", "{", "commit"),
            ordered("order-last", "trip", "{}", "commit"),
        ]
        .concat(),
    );
    shop.wait(&road, "every saga to end", || {
        bed.list(&ENDS).len() == ORDERS + 1 && bed.list(&[]).is_empty()
    });
    shop.wait(&road, "the dead letters", || dead(&bed, &log) == 3);
    road.terminate();
    let mut keys: Vec<String> = bed.list(&ALL).into_iter().filter_map(|it| it.key).collect();
    keys.sort();
    let mut orders: Vec<String> = (0..ORDERS)
        .map(|number| format!("order-{number}"))
        .collect();
    orders.push("order-last".to_owned());
    orders.sort();
    assert_eq!(keys, orders);
    for saga in bed.list(&[State::Completed]) {
        let effects = bed.participants.effects();
        let had = effects.get(&(saga.id.clone(), "charge".to_owned()));
        assert_eq!(had, Some(&(1, 0)), "{}", saga.id);
    }
}

const ALL: [State; 5] = [
    State::Running,
    State::Compensating,
    State::Stuck,
    State::Completed,
    State::Compensated,
];
const ENDS: [State; 2] = [State::Completed, State::Compensated];

fn topics(bed: &Bed) -> Arc<KafkaLog> {
    let bootstrap = KafkaHandle::shared().expect("Kafka").bootstrap();
    let log = Arc::new(KafkaLog::open(KafkaSettings::new(bootstrap)).expect("Kafka"));
    let spec = |name: String, partitions| TopicSpec {
        name: name.into(),
        partitions,
        replication_factor: 1,
        settings: Vec::new(),
    };
    let specs = [
        spec(STARTS.to_owned(), 3),
        spec(format!("{STARTS}.dead"), 1),
    ];
    let made = bed.runtime.block_on(log.ensure_topics(&specs));
    made.expect("topics");
    log
}

fn configured(bed: &Bed, shop: &Shop) {
    bed.configure(&format!("starts: {{ topic: {STARTS} }}"));
    let path = bed.folder.path().join("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let bootstrap = KafkaHandle::shared().expect("Kafka").bootstrap();
    let text = format!(
        "{text}log: {{ kafka: {{ bootstrap: '{bootstrap}' }} }}\npipelines:\n  starts_shop:\n    origin: {{ {} }}\n    outbox: {{ topics: [{STARTS}] }}\n    topics: {{ partitions: 3 }}\n",
        postgres(&shop.origin_url())
    );
    std::fs::write(path, text).expect("written");
}

fn dead(bed: &Bed, log: &KafkaLog) -> u64 {
    let partition = TopicPartition::new(format!("{STARTS}.dead").as_str(), 0);
    let bounds = bed.runtime.block_on(log.bounds(&partition));
    bounds.expect("bounds").end.0
}
