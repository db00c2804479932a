//! What is written in a record's value reads back as it was; what is not an envelope is refused.

use std::sync::Arc;

use keylane::envelope::{
    Connector, EnvelopeError, SchemaCache, SourceInfo, decode, decode_schema, encode_change,
    encode_schema,
};
use keylane_core::model::{
    Change, Column, Epoch, ForeignKey, Op, Position, Row, SchemaId, TableName, TableSchema, Value,
};
use keylane_core::publish::{Header, RecordKind};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: Arc::from(name),
        type_name: Arc::from(type_name),
        nullable: true,
        generated: false,
    }
}

fn orders() -> Arc<TableSchema> {
    Arc::new(
        TableSchema {
            id: SchemaId::default(),
            table: TableName::new("public", "orders"),
            columns: vec![
                column("id", "integer"),
                column("customer_id", "bigint"),
                column("total", "numeric(10,2)"),
                column("note \"quoted\"", "text"),
                column("paid", "boolean"),
                column("scan", "BLOB"),
            ],
            key: vec![0],
            order_key: vec![1],
            uniques: vec![vec![3, 4]],
            references: vec![ForeignKey {
                columns: vec![1],
                parent: TableName::new("public", "customers"),
                parent_columns: vec![Arc::from("id")],
            }],
            referenced: vec![vec![0]],
        }
        .sealed(),
    )
}

fn source() -> SourceInfo {
    SourceInfo::new(Connector::Postgres, "shop", "app")
}

fn header_of(change: &Change) -> Header {
    Header {
        schema: Some(change.schema.id),
        committed_at_us: change.committed_at_us,
        ..Header::plain(RecordKind::Change, Epoch(1), change.position)
    }
}

fn update() -> Change {
    Change {
        schema: orders(),
        op: Op::Update,
        before: None,
        after: Some(vec![
            Value::number("7"),
            Value::number("9223372036854775807"),
            Value::text("10.50"),
            Value::Absent,
            Value::Null,
            Value::Bytes(Box::from([0u8, 255])),
        ]),
        moved_from: None,
        position: Position::new(0xabc, 3),
        tx: 771,
        committed_at_us: 1_700_000_000_123_456,
    }
}

#[test]
fn a_change_is_a_debezium_envelope_and_an_absent_column_is_left_out() {
    let value = encode_change(&update(), &source());
    let text = std::str::from_utf8(&value).unwrap();
    let (stable, written) = text.rsplit_once(",\"ts_ms\":").unwrap();
    let row = r#"{"before":null,"after":{"id":7,"customer_id":9223372036854775807,"total":"10.50","paid":null,"scan":{"$bytes":"AP8="}},"#;
    let source = format!(
        r#""source":{{"version":"{}","connector":"keylane-postgresql","name":"shop","db":"app","ts_ms":1700000000123,"ts_us":1700000000123456,"#,
        env!("CARGO_PKG_VERSION")
    );
    let place = r#""snapshot":"false","schema":"public","table":"orders","txId":771,"lsn":2748,"sequence":"[\"2748\",\"3\"]"},"op":"u""#;
    let expect = format!("{row}{source}{place}");
    assert_eq!(stable, expect);
    assert!(written.trim_end_matches('}').parse::<u64>().is_ok());
}

#[test]
fn a_truncate_has_no_rows() {
    let change = Change {
        op: Op::Truncate,
        after: None,
        ..update()
    };
    let schemas = SchemaCache::default();
    schemas.insert(change.schema.clone());
    let value = encode_change(&change, &source());
    let back = decode(&value, Some(&header_of(&change)), &schemas);
    assert_eq!(back, Ok(change));
}

#[test]
fn a_record_that_names_no_known_schema_is_told_apart_from_a_malformed_one() {
    let change = update();
    let value = encode_change(&change, &source());
    let schemas = SchemaCache::default();
    let header = header_of(&change);
    let check = |value: &[u8], header: Option<&Header>, schemas: &SchemaCache| {
        decode(value, header, schemas).unwrap_err()
    };
    assert_eq!(check(&value, None, &schemas), EnvelopeError::NoSchema);
    assert_eq!(
        check(&value, Some(&header), &schemas),
        EnvelopeError::UnknownSchema(change.schema.id)
    );
    schemas.insert(change.schema.clone());
    for bad in [
        &b""[..],
        b"null",
        b"{}",
        b"[]",
        br#"{"before":null,"after":null,"op":"c"}"#,
        br#"{"before":null,"after":{"other":1},"op":"c"}"#,
        br#"{"before":null,"after":{"id":[1]},"op":"c"}"#,
        br#"{"before":null,"after":{"id":{"$bytes":"?"}},"op":"c"}"#,
        br#"{"before":null,"after":{"id":1},"op":"x"}"#,
        br#"{"before":null,"after":{"id":1},"op":"c"} {}"#,
        b"\xff\xfe",
    ] {
        let error = check(bad, Some(&header), &schemas);
        assert!(matches!(error, EnvelopeError::Malformed { .. }), "{error}");
    }
    let error = check(
        br#"{"after":{"id":"secret","x":1}}"#,
        Some(&header),
        &schemas,
    );
    assert!(!error.to_string().contains("secret"));
}

#[test]
fn a_schema_reads_back_and_a_changed_one_is_refused() {
    let schema = orders();
    let text = encode_schema(&schema);
    assert_eq!(decode_schema(&text).unwrap(), *schema);
    let changed = String::from_utf8(text.to_vec())
        .unwrap()
        .replace("bigint", "integer");
    assert!(matches!(
        decode_schema(changed.as_bytes()),
        Err(EnvelopeError::SchemaMismatch { .. })
    ));
    let outside = TableSchema {
        key: vec![99],
        ..(*schema).clone()
    };
    let error = decode_schema(&encode_schema(&outside.sealed())).unwrap_err();
    assert!(matches!(error, EnvelopeError::Malformed { .. }), "{error}");
    assert!(decode_schema(b"{}").is_err());
}

#[test]
fn the_cache_forgets_the_oldest_schema_and_knows_each_tables_latest() {
    let schemas = SchemaCache::new(2);
    let shape = |types: &str| {
        let table = TableSchema {
            columns: vec![column("id", types)],
            key: vec![0],
            order_key: vec![0],
            uniques: vec![],
            references: vec![],
            referenced: vec![],
            ..(*orders()).clone()
        };
        Arc::new(table.sealed())
    };
    let (one, two, three) = (shape("integer"), shape("bigint"), shape("text"));
    for schema in [&one, &two, &three] {
        schemas.insert(schema.clone());
    }
    assert_eq!(schemas.get(one.id), None);
    assert_eq!(schemas.get(two.id), Some(two.clone()));
    assert_eq!(schemas.latest(&three.table), Some(three));
}

#[test]
fn every_random_change_reads_back_as_it_was() {
    for seed in 0..3_000 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let change = random_change(random);
        let schemas = SchemaCache::default();
        let schema = decode_schema(&encode_schema(&change.schema)).unwrap();
        schemas.insert(Arc::new(schema));
        let value = encode_change(&change, &source());
        assert!(serde_json::from_slice::<serde_json::Value>(&value).is_ok());
        let back = decode(&value, Some(&header_of(&change)), &schemas);
        assert_eq!(back, Ok(change), "seed {seed}");
    }
}

#[test]
fn mutilated_values_never_stop_the_reader() {
    for seed in 0..20_000 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let change = random_change(random);
        let schemas = SchemaCache::default();
        schemas.insert(change.schema.clone());
        let mut value = encode_change(&change, &source()).to_vec();
        for _ in 0..random.random_range(1..4) {
            mutilate(random, &mut value);
        }
        // Whatever it says, it says it without values and without a panic.
        let _ = decode(&value, Some(&header_of(&change)), &schemas);
        let _ = decode_schema(&value);
    }
}

pub(crate) fn mutilate(random: &mut SmallRng, value: &mut Vec<u8>) {
    if value.is_empty() {
        return;
    }
    let place = random.random_range(0..value.len());
    match random.random_range(0..5) {
        0 => value[place] = random.random(),
        1 => value.truncate(place),
        2 => {
            value.remove(place);
        }
        3 => {
            let marks = b"{}[]\",:\\0-e.ntf";
            value[place] = marks[random.random_range(0..marks.len())];
        }
        _ => {
            let end = random.random_range(place..value.len());
            let piece = value[place..end].to_vec();
            value.splice(place..place, piece);
        }
    }
}

fn random_change(random: &mut SmallRng) -> Change {
    let width = random.random_range(1..12);
    let columns: Vec<Column> = (0..width)
        .map(|index| Column {
            nullable: random.random(),
            generated: random.random(),
            ..column(&format!("{}{index}", random_text(random)), "text")
        })
        .collect();
    let key = vec![random.random_range(0..width)];
    let schema = TableSchema {
        id: SchemaId::default(),
        table: TableName::new("s", random_text(random)),
        columns,
        order_key: key.clone(),
        key,
        uniques: vec![vec![0]],
        references: vec![],
        referenced: vec![],
    };
    let schema = Arc::new(schema.sealed());
    let op = [Op::Read, Op::Insert, Op::Update, Op::Delete][random.random_range(0..4)];
    let mut row = |wanted: bool| wanted.then(|| random_row(random, &schema));
    let before = row(op == Op::Delete || op == Op::Update);
    let after = row(op != Op::Delete);
    let moved_from = row(op == Op::Insert);
    Change {
        schema,
        op,
        before,
        after,
        moved_from,
        position: Position::new(random.random(), random.random()),
        tx: random.random(),
        committed_at_us: random.random_range(-1_000_000_000_000..2_000_000_000_000_000),
    }
}

fn random_row(random: &mut SmallRng, schema: &TableSchema) -> Row {
    let present = schema.key[0];
    (0..schema.columns.len())
        .map(|index| match random_value(random) {
            Value::Absent if index == present => Value::Null,
            value => value,
        })
        .collect()
}

fn random_value(random: &mut SmallRng) -> Value {
    match random.random_range(0..7) {
        0 => Value::Null,
        1 => Value::Absent,
        2 => Value::Bool(random.random()),
        3 => Value::number(random.random::<i64>().to_string()),
        4 => Value::number(
            ["1e+308", "-0", "0.1000", "123456789012345678901234567890.5"]
                [random.random_range(0..4)],
        ),
        5 => Value::Bytes(
            (0..random.random_range(0..9))
                .map(|_| random.random())
                .collect(),
        ),
        _ => Value::text(random_text(random)),
    }
}

fn random_text(random: &mut SmallRng) -> String {
    let alphabet = [
        'a', 'Z', '0', '"', '\\', '\n', '\u{0}', '\u{1f}', '\u{7f}', 'ä', '€', '😀', '{', '$', ' ',
    ];
    (0..random.random_range(0..10))
        .map(|_| alphabet[random.random_range(0..alphabet.len())])
        .collect()
}
