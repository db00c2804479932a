//! A service that has only events: from `check` to the topic, in one sitting.

use serde_json::json;

use super::bed::{configure, pipeline, read, table_sql};
use crate::bed::{Bed, left_out, postgres};

/// Thirty events of three keys, each key's in order, with their attributes.
fn thirty_events(kafka: &str) {
    let topic = read(kafka, "only_events.orders");
    assert_eq!(topic.told.len(), 30);
    assert_eq!(topic.with_value, 30);
    for key in ["order-0", "order-1", "order-2"] {
        let of_key: Vec<_> = topic
            .told
            .iter()
            .filter(|it| it.key.as_deref() == Some(key))
            .collect();
        let ids: Vec<u32> = of_key
            .iter()
            .map(|it| {
                it.headers["ce_id"]
                    .trim_start_matches('e')
                    .parse()
                    .expect("a number")
            })
            .collect();
        assert!(ids.is_sorted() && ids.len() == 10, "{key}: {ids:?}");
        let first = of_key[0];
        let attributes = [
            "ce_specversion",
            "ce_type",
            "ce_source",
            "ce_subject",
            "content-type",
            "traceparent",
            "ce_correlationid",
        ];
        let told: Vec<&str> = attributes.map(|name| &*first.headers[name]).to_vec();
        let expect = [
            "1.0",
            "order.placed.v1",
            "/pipelines/only_events",
            key,
            "application/json",
            "00-ab-cd-01",
            "saga-1",
        ];
        assert_eq!(told, expect);
        let time = &first.headers["ce_time"];
        assert!(time.contains('T') && time.ends_with('Z'), "{time}");
    }
}

const THIRTY: &str = "insert into keylane_outbox (id, topic, partition_key, type, subject, headers, payload)
    select 'e' || n, 'only_events.orders', 'order-' || n % 3, 'order.placed.v1', 'order-' || n % 3,
      jsonb_build_object('traceparent', '00-ab-cd-01', 'ce_correlationid', 'saga-1'), convert_to('{\"n\":' || n || '}', 'UTF8')
    from generate_series(1, 30) n";

/// Nothing applies here, and who asks for it is told; the rest goes as ever.
fn without_a_replica(bed: &Bed) {
    let apply = bed.run(&["run", "--only", "apply"]);
    assert_eq!(apply.status.code(), Some(2));
    let why = String::from_utf8_lossy(&apply.stderr);
    assert!(why.contains("no replica"), "{why}");
    for named in [&["reconcile"][..], &["reconcile", "only_events"]] {
        let compared = bed.run(named);
        assert_eq!(compared.status.code(), Some(2), "{named:?}");
        let why = String::from_utf8_lossy(&compared.stderr);
        assert!(why.contains("nothing to compare"), "{why}");
    }
    // Until everything is published.
    bed.origin_sql("insert into keylane_outbox (topic, type, payload) values ('only_events.orders', 'while.away', '\\x31')");
    let until = bed.run(&["run", "--until-caught-up"]);
    assert_eq!(
        until.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&until.stderr)
    );
    assert_eq!(read(&bed.kafka, "only_events.orders").told.len(), 32);
}

#[test]
fn a_service_that_has_only_events_is_checked_run_and_told_of_like_any_other() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("only_events");
    let topics = "only_events.orders, \"only_events.x.*\"";
    configure(
        &bed,
        &[pipeline(bed.name, &postgres(&bed.origin_url()), topics)],
    );
    let missing = bed.failed_check("origin.outbox.table");
    assert!(
        missing["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("outbox.md")),
        "{missing}"
    );
    bed.origin_sql(&table_sql());
    bed.json(&["check", "--format", "json"], 0);

    let road = bed.start(&[]);
    bed.wait(&road, "the capture to stream", || {
        bed.status()["state"] == "caught_up"
    });
    bed.origin_sql(THIRTY);
    bed.wait(&road, "the rows to leave the outbox", || {
        bed.origin_sql("select count(*) from keylane_outbox") == "0"
    });
    thirty_events(&bed.kafka);
    let told = [json!("caught_up"), json!(30), json!(0), json!(null)];
    bed.wait(&road, "the status to tell of them", || {
        let status = bed.status();
        let names = ["state", "published", "events_parked", "applied"];
        names.map(|name| status[name].clone()) == told
    });
    // What is committed before a settle is in its topic after it.
    bed.origin_sql("insert into keylane_outbox (topic, type, payload) values ('only_events.orders', 'last.v1', '\\x7b7d')");
    bed.settle(&road);
    let last = read(&bed.kafka, "only_events.orders")
        .told
        .into_iter()
        .filter(|it| it.headers["ce_type"] == "last.v1");
    assert_eq!(
        last.map(|it| (it.key, it.value)).collect::<Vec<_>>(),
        [(None, Some("{}".to_owned()))]
    );
    road.terminate();

    without_a_replica(&bed);
}
