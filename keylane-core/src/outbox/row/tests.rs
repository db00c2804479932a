//! Rows as they come, and rows as they should not come.

use super::*;
use crate::model::{Column, SchemaId, TableName};
use crate::outbox::{EVENT_BYTES_MAX, TopicPattern};

fn schema(payload: &str) -> TableSchema {
    let column = |name: &str| Column {
        name: name.into(),
        type_name: if name == "payload" { payload } else { "text" }.into(),
        nullable: true,
        generated: false,
    };
    TableSchema {
        id: SchemaId(0),
        table: TableName::new("public", "keylane_outbox"),
        columns: COLUMNS.iter().map(|name| column(name)).collect(),
        key: vec![0],
        order_key: vec![0],
        uniques: Vec::new(),
        references: Vec::new(),
        referenced: Vec::new(),
    }
    .sealed()
}

fn rules() -> Rules {
    Rules {
        topics: vec![TopicPattern::parse("orders").expect("legal")],
        event_bytes_max: EVENT_BYTES_MAX,
        source: "/pipelines/shop".to_owned(),
    }
}

/// A row that can be published, with some cells put in the place of its own.
fn row(with: &[(&str, Value)]) -> Row {
    let cell = |name: &&str| {
        if let Some((_, value)) = with.iter().find(|(other, _)| other == name) {
            return value.clone();
        }
        match *name {
            "seq" => Value::number("7"),
            "id" => Value::text("e-1"),
            "topic" => Value::text("orders"),
            "type" => Value::text("order.placed.v1"),
            "payload" => Value::text("\\x7b7d"),
            _ => Value::Null,
        }
    };
    COLUMNS.iter().map(cell).collect()
}

fn event(with: &[(&str, Value)]) -> Result<Event, RefusalCode> {
    Event::of_row(&schema("bytea"), &row(with), &rules()).map_err(|refusal| refusal.code)
}

#[test]
fn a_row_is_a_cloud_event_of_its_columns() {
    let whole = event(&[
        ("partition_key", Value::text("order-1")),
        ("subject", Value::text("order-1")),
        ("time", Value::text("2026-11-27 11:00:00+00")),
        ("content_type", Value::text("application/json")),
        (
            "headers",
            Value::text(r#"{"traceparent": "00-1", "ce_correlationid": 5, "none": null}"#),
        ),
    ])
    .expect("it is whole");
    assert_eq!(whole.payload.as_deref(), Some(&b"{}"[..]));
    assert_eq!(whole.order(), crate::model::OrderHash::of(b"order-1"));
    let headers: Vec<(String, String)> = whole
        .record_headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value).into()))
        .collect();
    let expect = [
        ("ce_specversion", "1.0"),
        ("ce_id", "e-1"),
        ("ce_type", "order.placed.v1"),
        ("ce_source", "/pipelines/shop"),
        ("ce_subject", "order-1"),
        ("ce_time", "2026-11-27T11:00:00Z"),
        ("content-type", "application/json"),
        ("ce_correlationid", "5"),
        ("traceparent", "00-1"),
    ];
    let mut told = headers;
    told.sort();
    let mut expect = expect.map(|(name, text)| (name.to_owned(), text.to_owned()));
    expect.sort();
    assert_eq!(told, expect);
}

#[test]
fn what_cannot_be_published_is_refused_with_its_code() {
    use RefusalCode::{BadHeaders, TooLarge, TopicNotAllowed};
    let text = |text: &str| Value::text(text);
    let many: String = (0..65).map(|n| format!("\"h{n}\":1,")).collect();
    let many = format!("{{{}}}", many.trim_end_matches(','));
    for (name, value, expect) in [
        ("topic", Value::Null, TopicNotAllowed),
        ("topic", text("payments"), TopicNotAllowed),
        ("topic", Value::number("5"), TopicNotAllowed),
        ("id", Value::Null, BadHeaders),
        ("type", text(""), BadHeaders),
        ("type", text("a\nb"), BadHeaders),
        ("time", text("yesterday"), BadHeaders),
        ("headers", text("{"), BadHeaders),
        ("headers", text("[1]"), BadHeaders),
        ("headers", text(r#"{"a": [1]}"#), BadHeaders),
        ("headers", text(r#"{"": "x"}"#), BadHeaders),
        ("headers", text(r#"{"a b": "x"}"#), BadHeaders),
        ("headers", text(r#"{"a": "x\u0000"}"#), BadHeaders),
        ("headers", text(r#"{"keylane": "1 k=o"}"#), BadHeaders),
        ("headers", text(r#"{"ce_id": "other"}"#), BadHeaders),
        ("headers", text(&many), BadHeaders),
        ("payload", text(&"x".repeat(EVENT_BYTES_MAX)), TooLarge),
    ] {
        assert_eq!(event(&[(name, value)]), Err(expect), "{name}");
    }
}

#[test]
fn a_payload_is_its_bytes_whatever_the_column_is() {
    let payload_of = |kind: &str, value: Value| {
        let event = Event::of_row(&schema(kind), &row(&[("payload", value)]), &rules());
        event.expect("it is whole").payload
    };
    let bytes = |bytes: &'static [u8]| Some(Bytes::from_static(bytes));
    assert_eq!(
        payload_of("bytea", Value::text("\\x00ff")),
        bytes(b"\x00\xff")
    );
    assert_eq!(
        payload_of("text", Value::text("\\x00ff")),
        bytes(b"\\x00ff")
    );
    assert_eq!(payload_of("jsonb", Value::text("{}")), bytes(b"{}"));
    assert_eq!(
        payload_of("BLOB", Value::Bytes([0, 255].into())),
        bytes(b"\x00\xff")
    );
    assert_eq!(payload_of("bytea", Value::Null), None);
}

#[test]
fn a_table_without_what_an_event_needs_is_no_outbox() {
    assert_eq!(fault_of(&schema("bytea")), None);
    let mut lacks = schema("bytea");
    lacks.columns.truncate(11);
    let fault = fault_of(&lacks).expect("it lacks one");
    assert!(fault.contains("`parked`"), "{fault}");
    let mut keyed = schema("bytea");
    keyed.key = vec![1];
    assert!(fault_of(&keyed).is_some());
}

#[test]
fn a_row_that_was_parked_is_told_apart() {
    let schema = schema("bytea");
    let parked = [("parked", Value::text("KL-OUTBOX-001: …"))];
    let stands = |row: &Row| place(&schema, row).map(|it| (it.seq, it.is_parked));
    assert_eq!(stands(&row(&[])), Some((7, false)));
    assert_eq!(stands(&row(&parked)), Some((7, true)));
    assert_eq!(stands(&row(&[("seq", Value::Null)])), None);
}
