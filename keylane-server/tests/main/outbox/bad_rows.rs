//! Rows that cannot be published: told, parked where they stand, and no hindrance to others.

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::publish::{Log as _, TopicSpec};

use super::bed::{configure, pipeline, read, table_sql};
use crate::bed::{Bed, left_out, postgres};

const INSERT: &str = "insert into keylane_outbox (id, topic, type, headers, payload) values";

/// A topic that takes small records only.
fn make_small_topic(bed: &Bed) {
    let small = TopicSpec {
        name: "bad_events.x.small".into(),
        partitions: 1,
        replication_factor: 1,
        settings: vec![("max.message.bytes".to_owned(), "2000".to_owned())],
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let log = KafkaLog::open(KafkaSettings::new(&*bed.kafka)).expect("a client");
        log.ensure_topics(&[small]).await.expect("it is made");
    });
}

/// Rows that can be published, and rows of every kind that cannot.
fn insert_good_and_bad(bed: &Bed) {
    let good = |n: u32| format!("('good{n}', 'bad_events.orders', 'ok.v1', '{{}}', '\\x7b7d')");
    bed.origin_sql(&format!(
        "{INSERT} {}, ('not allowed', 'payments', 'x.v1', '{{}}', '\\x01'), {}, ('missing', 'bad_events.x.none', 'x.v1', '{{}}', '\\x02'),
         ('large', 'bad_events.x.small', 'x.v1', '{{}}', decode(repeat('ab', 3000), 'hex')), ('fits', 'bad_events.x.small', 'x.v1', '{{}}', '\\x33'),
         ('broken', 'bad_events.orders', 'x.v1', '[1]', '\\x04'), ('own', 'bad_events.orders', 'x.v1', '{{\"keylane\": \"1 k=o\"}}', '\\x05'),
         ('edge', 'bad_events.orders', 'x.v1', '{{}}', decode(repeat('ab', 989700), 'hex')),
         ('huge', 'bad_events.orders', 'x.v1', '{{}}', decode(repeat('ab', 2000000), 'hex')), {}",
        good(1), good(2), good(3)
    ));
    // One whose writer deletes it at once, as with other outboxes.
    bed.origin_sql(&format!(
        "begin; {INSERT} ('deleted', 'payments', 'x.v1', '{{}}', '\\x06'); delete from keylane_outbox where id = 'deleted'; commit; {INSERT} {}",
        good(4)
    ));
}

fn ids(bed: &Bed, topic: &str) -> Vec<String> {
    let told = read(&bed.kafka, topic).told.into_iter();
    let mut ids: Vec<String> = told.map(|it| it.headers["ce_id"].clone()).collect();
    ids.sort();
    ids
}

#[test]
fn a_row_that_cannot_be_published_is_parked_with_its_reason_and_holds_up_nothing() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("bad_events");
    let topics = "bad_events.orders, \"bad_events.x.*\"";
    configure(
        &bed,
        &[pipeline(bed.name, &postgres(&bed.origin_url()), topics)],
    );
    bed.origin_sql(&table_sql());
    make_small_topic(&bed);
    let road = bed.start(&["--only", "capture"]);
    bed.wait(&road, "the capture to stream", || {
        bed.status()["state"] == "caught_up"
    });
    insert_good_and_bad(&bed);
    bed.wait(&road, "all that is good to be published, and the rest to be parked", || {
        bed.origin_sql("select count(*) filter (where parked is null), count(*) filter (where parked is not null) from keylane_outbox") == "0|7"
    });
    assert_eq!(
        ids(&bed, "bad_events.orders"),
        ["edge", "good1", "good2", "good3", "good4"]
    );
    assert_eq!(ids(&bed, "bad_events.x.small"), ["fits"]);
    let parked = bed.origin_sql("select string_agg(id || ' ' || left(parked, 13), E'\\n' order by id collate \"C\") from keylane_outbox");
    let expect = [
        "broken KL-OUTBOX-004",
        "deleted KL-OUTBOX-001",
        "huge KL-OUTBOX-003",
        "large KL-OUTBOX-003",
        "missing KL-OUTBOX-002",
        "not allowed KL-OUTBOX-001",
        "own KL-OUTBOX-004",
    ];
    assert_eq!(parked.lines().collect::<Vec<_>>(), expect);
    let payload = bed.origin_sql("select length(payload) from keylane_outbox where id = 'huge'");
    assert_eq!(payload, "2000000", "a parked row keeps what it carries");
    assert!(road.log().contains("KL-OUTBOX-001"), "{}", road.log());
    bed.wait(&road, "the status to tell of them", || {
        bed.status()["events_parked"] == 7
    });
    let check = bed.run(&["check"]);
    assert_eq!(check.status.code(), Some(0), "parked rows are a warning");

    // Mended and put in again it is an event like any other.
    bed.origin_sql(
        "with mended as (delete from keylane_outbox where id = 'not allowed' returning *)
         insert into keylane_outbox (id, topic, type, payload) select id, 'bad_events.orders', type, payload from mended",
    );
    bed.wait(&road, "the mended row to be published", || {
        bed.origin_sql("select count(*) from keylane_outbox where id = 'not allowed'") == "0"
    });
    road.terminate();
    let mended = ids(&bed, "bad_events.orders").into_iter();
    assert_eq!(mended.filter(|id| id == "not allowed").count(), 1);
}
