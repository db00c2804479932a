//! Records that a real Debezium wrote, read as changes, against what the origin held. Golden records: `tests/golden/debezium`.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane::envelope::{
    DebeziumDecoder, DebeziumSettings, EnvelopeError, ForeignChange, Guarantee,
};
use keylane_core::model::{Change, Column, Op, Row, SchemaId, TableName, TableSchema, Value};
use keylane_parts::{PostgresHandle, quick};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::envelope::mutilate;

const WITH_SCHEMAS: &str = include_str!("golden/debezium/golds.public.gold.jsonl");
const WITHOUT: &str = include_str!("golden/debezium/goldns.public.gold.jsonl");
const FULL: &str = include_str!("golden/debezium/goldns.public.gold_full.jsonl");
const NO_KEY: &str = include_str!("golden/debezium/goldns.public.gold_nopk.jsonl");
const NO_KEY_WITH_SCHEMAS: &str = include_str!("golden/debezium/golds.public.gold_nopk.jsonl");

/// The table as a replica has it: column, type, what the first golden row holds (as text), what PostgreSQL prints for that.
const GOLD: &[(&str, &str, &str, &str)] = &[
    ("id", "bigint", "1", "1"),
    ("b", "boolean", "f", "false"),
    ("i2", "smallint", "1", "1"),
    ("i4", "integer", "-1000", "-1000"),
    ("i8", "bigint", "9223372036854775806", "9223372036854775806"),
    ("f4", "real", "1.5", "1.5"),
    (
        "f8",
        "double precision",
        "0.3333333333333333",
        "0.3333333333333333",
    ),
    ("n", "numeric", "-0.000001", "-0.000001"),
    ("n102", "numeric(10,2)", "1.25", "1.25"),
    ("m", "money", "3.50", "$3.50"),
    ("c", "character(5)", "ab   ", "ab"),
    ("vc", "character varying(20)", "vär-1", "vär-1"),
    ("t", "text", "txt\t\"q\"\n\\ 😀 1", "txt\t\"q\"\n\\ 😀 1"),
    ("ct", "citext", "CiText", "CiText"),
    (
        "by",
        "bytea",
        "\\xc4ca4238a0b923820dcc509a6f75849b",
        "\\xc4ca4238a0b923820dcc509a6f75849b",
    ),
    ("d", "date", "1969-12-31", "1969-12-31"),
    (
        "tm",
        "time without time zone",
        "13:14:15.123456",
        "13:14:15.123456",
    ),
    (
        "tm3",
        "time(3) without time zone",
        "13:14:15.123",
        "13:14:15.123",
    ),
    (
        "tz",
        "time with time zone",
        "07:44:15.123456Z",
        "07:44:15.123456+00",
    ),
    (
        "ts",
        "timestamp without time zone",
        "2024-03-01 23:59:59.999999",
        "2024-03-01 23:59:59.999999",
    ),
    (
        "ts3",
        "timestamp(3) without time zone",
        "1960-01-01 00:00:00.123",
        "1960-01-01 00:00:00.123",
    ),
    (
        "tstz",
        "timestamp with time zone",
        "2026-03-29T00:30:00.000001Z",
        "2026-03-29 00:30:00.000001+00",
    ),
    (
        "iv",
        "interval",
        "37091106.789000 seconds",
        "10303:05:06.789",
    ),
    (
        "u",
        "uuid",
        "c4ca4238-a0b9-2382-0dcc-509a6f75849b",
        "c4ca4238-a0b9-2382-0dcc-509a6f75849b",
    ),
    (
        "j",
        "json",
        "{\"a\": 1,  \"b\":[1,null]}",
        "{\"a\": 1,  \"b\":[1,null]}",
    ),
    (
        "jb",
        "jsonb",
        "{\"k\": 1, \"n\": 1.10, \"z\": null}",
        "{\"k\": 1, \"n\": 1.10, \"z\": null}",
    ),
    ("x", "xml", "<a>x</a>", "<a>x</a>"),
    ("bi", "bit(5)", "10101", "10101"),
    ("b1", "bit(1)", "1", "1"),
    ("vb", "bit varying(8)", "00001011", "00001011"),
    ("ine", "inet", "10.1.2.3/24", "10.1.2.3/24"),
    ("cid", "cidr", "10.1.0.0/16", "10.1.0.0/16"),
    ("mac", "macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    (
        "mac8",
        "macaddr8",
        "08:00:2b:01:02:03:04:05",
        "08:00:2b:01:02:03:04:05",
    ),
    ("pt", "point", "(1.0,2.5)", "(1,2.5)"),
    ("r4", "int4range", "[1,3)", "[1,3)"),
    ("rn", "numrange", "[1.5,2.5)", "[1.5,2.5)"),
    (
        "rts",
        "tsrange",
        "[\"2024-01-01 00:00:00\",\"2024-01-02 00:00:00\")",
        "[\"2024-01-01 00:00:00\",\"2024-01-02 00:00:00\")",
    ),
    (
        "rtz",
        "tstzrange",
        "[\"2024-01-01 00:00:00+00\",)",
        "[\"2024-01-01 00:00:00+00\",)",
    ),
    (
        "rd",
        "daterange",
        "[2024-01-01,2024-02-01)",
        "[2024-01-01,2024-02-01)",
    ),
    (
        "hs",
        "hstore",
        "\"a\"=>\"1\", \"b\"=>NULL",
        "\"a\"=>\"1\", \"b\"=>NULL",
    ),
    ("lt", "ltree", "top.sub.leaf", "top.sub.leaf"),
    ("en", "mood", "ok", "ok"),
    ("dm", "posint", "2", "2"),
    ("o", "oid", "26", "26"),
    ("ai", "integer[]", "{1,NULL,1}", "{1,NULL,1}"),
    (
        "at",
        "text[]",
        "{\"a,b\",\"\\\"q\\\"\",NULL}",
        "{\"a,b\",\"\\\"q\\\"\",NULL}",
    ),
    (
        "an",
        "numeric(8,3)[]",
        "{\"1.125\",\"2.000\"}",
        "{1.125,2.000}",
    ),
    (
        "auu",
        "uuid[]",
        "{\"9dd4e461-268c-8034-f5c8-564e155c67a6\"}",
        "{9dd4e461-268c-8034-f5c8-564e155c67a6}",
    ),
    (
        "atz",
        "timestamp with time zone[]",
        "{\"2024-01-01T00:00:00.000000Z\"}",
        "{\"2024-01-01 00:00:00+00\"}",
    ),
    ("ab", "boolean[]", "{t,f,NULL}", "{t,f,NULL}"),
    (
        "ajb",
        "jsonb[]",
        "{\"{\\\"a\\\": 1}\"}",
        "{\"{\\\"a\\\": 1}\"}",
    ),
    // Two dimensions were in it: Debezium wrote nulls.
    ("a2", "integer[]", "{NULL,NULL}", "{NULL,NULL}"),
    (
        "tsv",
        "tsvector",
        "'brown':2 'fox':3 'quick':1",
        "'brown':2 'fox':3 'quick':1",
    ),
];

fn replica_table(table: &TableName) -> Option<Arc<TableSchema>> {
    let types: Vec<(&str, &str)> = match &*table.name {
        "gold" => {
            let known = GOLD.iter().map(|(name, type_name, ..)| (*name, *type_name));
            known
                .chain([("big", "text"), ("added", "numeric(5,1)")])
                .collect()
        }
        "gold_full" => vec![
            ("id", "integer"),
            ("k2", "text"),
            ("v", "text"),
            ("big", "text"),
        ],
        "gold_nopk" => vec![("a", "integer"), ("b", "text")],
        _ => return None,
    };
    let columns = types.into_iter().map(|(name, type_name)| Column {
        name: Arc::from(name),
        type_name: Arc::from(type_name),
        nullable: true,
        generated: false,
    });
    let schema = TableSchema {
        id: SchemaId::default(),
        table: table.clone(),
        columns: columns.collect(),
        key: vec![],
        order_key: vec![],
        uniques: vec![],
        references: vec![],
        referenced: vec![],
    };
    Some(Arc::new(schema.sealed()))
}

type Records<'a> = Vec<(Option<&'a [u8]>, Option<&'a [u8]>)>;

fn records(golden: &str) -> Records<'_> {
    let some = |text: &'static str| move |part: &&str| *part != text;
    golden
        .lines()
        .map(|line| {
            let mut parts = line.split('\t');
            let key = parts.next().filter(some("NULL"));
            let value = parts.next().filter(some("NULL"));
            (key.map(str::as_bytes), value.map(str::as_bytes))
        })
        .collect()
}

fn changes(golden: &str) -> Vec<ForeignChange> {
    let decoder = DebeziumDecoder::new(DebeziumSettings::default());
    let decoded = records(golden).into_iter().map(|(key, value)| {
        decoder
            .decode(key, value, &replica_table)
            .expect("every golden record is read")
    });
    decoded.flatten().collect()
}

fn texts(schema: &TableSchema, row: &Row) -> BTreeMap<String, Option<String>> {
    let columns = schema.columns.iter().map(|column| column.name.to_string());
    let values = row
        .iter()
        .map(|value| value.as_sql_text().map(|text| text.into_owned()));
    columns.zip(values).collect()
}

fn after(change: &Change) -> BTreeMap<String, Option<String>> {
    texts(&change.schema, change.after.as_ref().expect("it has a row"))
}

fn with_key<'a>(changes: &'a [ForeignChange], op: Op, key: &str) -> &'a Change {
    let found = changes
        .iter()
        .map(|found| &found.change)
        .find(|change| change.op == op && change.row_key().as_deref() == Some(key));
    assert!(found.is_some(), "no {op:?} of {key}");
    found.expect("just seen")
}

#[test]
fn every_type_reads_as_the_origin_held_it_with_and_without_schemas() {
    for golden in [WITH_SCHEMAS, WITHOUT] {
        let changes = changes(golden);
        let change = with_key(&changes, Op::Read, r#"{"id":1}"#);
        let row = after(change);
        for (column, type_name, text, _) in GOLD {
            assert_eq!(
                row.get(*column),
                Some(&Some((*text).to_owned())),
                "{column} {type_name}"
            );
        }
    }
}

#[test]
fn extreme_values_read_as_the_origin_held_them_where_debezium_kept_them() {
    for golden in [WITH_SCHEMAS, WITHOUT] {
        let changes = changes(golden);
        let row = after(with_key(&changes, Op::Read, r#"{"id":14}"#));
        let is = |column: &str, expect: &str| {
            assert_eq!(row.get(column), Some(&Some(expect.to_owned())), "{column}");
        };
        is("f8", "Infinity");
        is("n", "99999999999999999999999999999999999999.5");
        is("d", "infinity");
        is("ts", "-infinity");
        is("tstz", "infinity");
    }
}

#[test]
fn what_the_change_does_not_carry_is_absent_and_an_added_column_flows_through() {
    for golden in [WITH_SCHEMAS, WITHOUT] {
        let changes = changes(golden);
        let big = |op, key: &str| {
            let change = with_key(&changes, op, key);
            let place = change.schema.column_index("big").expect("a column");
            change.after.as_ref().expect("a row")[place].clone()
        };
        assert_eq!(big(Op::Update, r#"{"id":1}"#), Value::Absent);
        assert!(matches!(big(Op::Update, r#"{"id":7}"#), Value::Text(_)));
        assert_eq!(big(Op::Read, r#"{"id":13}"#), Value::Null);
        assert_eq!(big(Op::Insert, r#"{"id":1008}"#), Value::Absent);
        let added = with_key(&changes, Op::Insert, r#"{"id":2002}"#);
        assert!(added.schema.column_index("added").is_some());
    }
}

#[test]
fn a_delete_holds_only_the_key_because_the_rest_is_made_up() {
    for golden in [WITH_SCHEMAS, WITHOUT] {
        let changes = changes(golden);
        let deleted = with_key(&changes, Op::Delete, r#"{"id":8}"#);
        let before = deleted.before.as_ref().expect("a row");
        assert_eq!(before.iter().filter(|value| value.is_present()).count(), 1);
        assert_eq!(deleted.schema.key, [0]);
        assert_eq!(deleted.after, None);
    }
    let full = changes(FULL);
    let moved = with_key(&full, Op::Insert, r#"{"id":4,"k2":"moved"}"#);
    assert_eq!(moved.schema.key, [0, 1]);
    let deleted = with_key(&full, Op::Delete, r#"{"id":4,"k2":"k4"}"#);
    assert!(deleted.position < moved.position);
}

#[test]
fn a_truncate_names_its_table_and_a_table_without_key_has_none() {
    for (golden, keyed) in [(FULL, true), (NO_KEY, false), (NO_KEY_WITH_SCHEMAS, false)] {
        let changes = changes(golden);
        let last = changes
            .iter()
            .map(|found| &found.change)
            .find(|change| change.op == Op::Truncate);
        assert!(last.is_some_and(|change| change.schema.table.name.starts_with("gold_")));
        assert_eq!(changes[0].change.schema.has_key(), keyed);
    }
}

#[test]
fn positions_grow_in_the_order_of_the_topic_and_say_which_guarantee_holds() {
    for golden in [WITH_SCHEMAS, WITHOUT, FULL, NO_KEY] {
        let changes = changes(golden);
        let streamed: Vec<_> = changes
            .iter()
            .filter(|found| !found.position.snapshot)
            .collect();
        assert!(streamed.len() >= 3);
        for (earlier, later) in streamed.iter().zip(streamed.iter().skip(1)) {
            assert!(earlier.change.position < later.change.position);
            assert!(earlier.position.is_replay_after(&later.position));
        }
        assert!(
            streamed
                .iter()
                .all(|found| found.change.tx > 0 && found.change.committed_at_us > 0)
        );
        for found in &changes {
            let keyed = found.change.schema.has_key();
            let expect = if keyed {
                Guarantee::EffectivelyOnce
            } else {
                Guarantee::AtLeastOnce
            };
            assert_eq!(found.position.guarantee(keyed), expect);
        }
    }
}

#[test]
fn without_schemas_and_without_a_replica_table_nothing_is_guessed() {
    let decoder = DebeziumDecoder::default();
    let (key, value) = records(WITHOUT)[0];
    let error = decoder.decode(key, value, &|_| None).unwrap_err();
    assert!(
        matches!(error, EnvelopeError::UnknownTable { .. }),
        "{error}"
    );
    // With schemas the record says enough to create the table.
    let (key, value) = records(WITH_SCHEMAS)[0];
    let found = decoder.decode(key, value, &|_| None).unwrap().unwrap();
    let schema = found.change.schema;
    let type_of = |name: &str| {
        schema.columns[schema.column_index(name).unwrap()]
            .type_name
            .to_string()
    };
    for (name, expect) in [
        ("id", "bigint"),
        ("n102", "numeric(10,2)"),
        ("ts3", "timestamp"),
        ("tstz", "timestamp with time zone"),
        ("bi", "bit(5)"),
        ("jb", "jsonb"),
        ("an", "numeric(8,3)[]"),
    ] {
        assert_eq!(type_of(name), expect, "{name}");
    }
    assert!(!schema.columns[0].nullable);
}

#[test]
fn what_is_no_change_is_passed_over_and_mutilated_records_never_stop_the_reader() {
    let decoder = DebeziumDecoder::default();
    for other in [
        r#"{"ts_ms":1}"#,
        "null",
        r#"{"status":"BEGIN","id":"1","ts_ms":1}"#,
        r#"{"op":"m","source":{},"message":{"prefix":"x"}}"#,
        r#"{"schema":{"type":"struct"},"payload":null}"#,
    ] {
        let decoded = decoder.decode(None, Some(other.as_bytes()), &replica_table);
        assert_eq!(decoded, Ok(None), "{other}");
    }
    for seed in 0..4_000 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let golden = [WITHOUT, WITH_SCHEMAS, FULL, NO_KEY][(seed % 4) as usize];
        let all = records(golden);
        let (key, value) = all[(seed / 4) as usize % all.len()];
        let mut value = value.unwrap_or(b"null").to_vec();
        mutilate(random, &mut value);
        mutilate(random, &mut value);
        let _ = decoder.decode(key, Some(&value), &replica_table);
    }
}

#[test]
fn postgresql_reads_every_text_back_as_the_origin_printed_it() {
    if quick() {
        return;
    }
    let postgres = PostgresHandle::shared_replica().expect("PostgreSQL starts");
    let database = "debezium_texts";
    postgres.fresh_database(database).expect("created");
    let mut sql = String::from(
        "SET timezone = 'UTC'; SET lc_monetary = 'C'; SET client_min_messages = error;
         CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
         CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN posint AS integer CHECK (value > 0);\n",
    );
    for (column, type_name, text, printed) in GOLD {
        sql += &format!(
            "SELECT '{column}', (CAST($k${text}$k$ AS {type_name}))::text IS NOT DISTINCT FROM $k${printed}$k$;\n"
        );
    }
    // Every other golden value is at least read without complaint.
    for found in changes(WITHOUT) {
        let row = found
            .change
            .after
            .map(|row| texts(&found.change.schema, &row))
            .unwrap_or_default();
        for (column, type_name, ..) in GOLD {
            if let Some(Some(text)) = row.get(*column) {
                sql +=
                    &format!("SELECT '{column}', CAST($k${text}$k$ AS {type_name}) IS NOT NULL;\n");
            }
        }
    }
    let answer = postgres.psql(database, &sql).expect("every text is read");
    let wrong: Vec<&str> = answer.lines().filter(|line| line.ends_with("|f")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(answer.lines().filter(|line| line.ends_with("|t")).count() > 150);
}
