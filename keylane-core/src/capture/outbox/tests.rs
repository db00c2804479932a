//! What becomes of rows, by their topic, their position and what was done to them.

use super::*;
use crate::model::{Column, SchemaId, Value};
use crate::outbox::{COLUMNS, EVENT_BYTES_MAX, TopicPattern};

fn schema() -> Arc<TableSchema> {
    let column = |name: &&str| Column {
        name: (*name).into(),
        type_name: "text".into(),
        nullable: true,
        generated: false,
    };
    let schema = TableSchema {
        id: SchemaId(0),
        table: TableName::new("public", "keylane_outbox"),
        columns: COLUMNS.iter().map(column).collect(),
        key: vec![0],
        order_key: vec![0],
        uniques: Vec::new(),
        references: Vec::new(),
        referenced: Vec::new(),
    };
    Arc::new(schema.sealed())
}

fn cells(topic: &str, parked: Value) -> Row {
    let cell = |name: &&str| match *name {
        "seq" => Value::number("3"),
        "id" => Value::text("e-3"),
        "topic" => Value::text(topic),
        "partition_key" => Value::text("order-1"),
        "type" => Value::text("order.placed.v1"),
        "payload" => Value::text("x".repeat(1000)),
        "parked" => parked.clone(),
        _ => Value::Null,
    };
    COLUMNS.iter().map(cell).collect()
}

fn tables() -> OutboxTables {
    let rules = Rules {
        topics: ["orders.*", "shop.public.orders"]
            .map(|text| TopicPattern::parse(text).expect("legal"))
            .to_vec(),
        event_bytes_max: EVENT_BYTES_MAX,
        source: "test".to_owned(),
    };
    let own = schema().table.clone();
    OutboxTables::new([own], rules, ["shop.public.orders".into()])
}

fn change(op: Op, position: Position, after: Option<Row>) -> Change {
    Change {
        schema: schema(),
        op,
        before: None,
        after,
        moved_from: None,
        position,
        tx: 1,
        committed_at_us: 5,
    }
}

fn open(tables: &mut OutboxTables, name: &str, tail: Position, record_bytes_max: Option<usize>) {
    let topic = EventTopic {
        partitions: 1,
        record_bytes_max,
    };
    let tails = BTreeMap::from([(TopicPartition::new(name, 0), tail)]);
    tables.open(name.into(), topic, tails);
}

#[test]
fn an_inserted_row_above_its_partitions_tail_is_published_and_one_below_is_a_replay() {
    let mut tables = tables();
    open(&mut tables, "orders.v1", Position::new(10, 2), None);
    let inserted = |commit, ordinal| {
        let row = cells("orders.v1", Value::Null);
        change(Op::Insert, Position::new(commit, ordinal), Some(row))
    };
    assert!(matches!(tables.step(inserted(10, 2)), RowStep::Replay(row) if row.seq == 3));
    match tables.step(inserted(10, 3)) {
        RowStep::Publish(publication) => {
            assert_eq!(publication.partition, TopicPartition::new("orders.v1", 0));
            assert_eq!(publication.row.seq, 3);
            assert_eq!(publication.position, Position::new(10, 3));
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn what_deletes_or_changes_a_row_says_nothing_nor_does_a_parked_one() {
    let mut tables = tables();
    open(&mut tables, "orders.v1", Position::ZERO, None);
    let at = Position::new(1, 0);
    let row = || cells("orders.v1", Value::Null);
    let parked = cells("orders.v1", Value::text("KL-OUTBOX-003: …"));
    for silent in [
        change(Op::Update, at, Some(row())),
        change(Op::Delete, at, None),
        change(Op::Truncate, at, None),
        change(Op::Read, at, Some(row())),
        change(Op::Insert, at, Some(parked)),
        Change {
            moved_from: Some(row()),
            ..change(Op::Insert, at, Some(row()))
        },
    ] {
        assert_eq!(tables.step(silent), RowStep::Nothing);
    }
}

#[test]
fn a_row_is_refused_where_its_topic_is_missing_small_or_a_tables() {
    let mut tables = tables();
    open(&mut tables, "orders.small", Position::ZERO, Some(1_000));
    tables.missing("orders.none".into());
    for (topic, expect) in [
        ("orders.none", RefusalCode::TopicMissing),
        ("orders.small", RefusalCode::TooLarge),
        ("payments", RefusalCode::TopicNotAllowed),
        ("shop.public.orders", RefusalCode::TopicNotAllowed),
    ] {
        let row = cells(topic, Value::Null);
        match tables.step(change(Op::Insert, Position::new(1, 0), Some(row.clone()))) {
            RowStep::Refused(refused) => {
                assert_eq!(refused.refusal.code, expect, "{topic}");
                assert_eq!(refused.cells, row);
            }
            other => unreachable!("{topic}: {other:?}"),
        }
    }
}

#[test]
fn a_topic_is_opened_once_for_rows_that_may_name_it() {
    let mut tables = tables();
    let inserted = |topic: &str, parked: Value| OriginEvent::Insert {
        schema: schema(),
        after: cells(topic, parked),
    };
    let asked = |tables: &OutboxTables, topic: &str| {
        tables
            .unknown_topic(&inserted(topic, Value::Null))
            .is_some()
    };
    assert!(asked(&tables, "orders.v1"));
    assert!(!asked(&tables, "payments"));
    assert!(!asked(&tables, "shop.public.orders"));
    assert_eq!(
        tables.unknown_topic(&inserted("orders.v1", Value::text("x"))),
        None
    );
    open(&mut tables, "orders.v1", Position::ZERO, None);
    tables.missing("orders.v2".into());
    assert!(!asked(&tables, "orders.v1"));
    assert!(!asked(&tables, "orders.v2"));
    tables.forget_missing();
    assert!(asked(&tables, "orders.v2"));
}
