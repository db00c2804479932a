//! Every type of PostgreSQL arrives in the text that PostgreSQL itself prints, by the stream and by a copy's read alike.

use keylane_core::capture::{ChunkRequest, Origin, OriginEvent};
use keylane_core::model::{Row, Value};
use tokio_postgres::SimpleQueryMessage;

use super::harness::{Database, on_every_version, row_text, table, value_text};

const OWN_TYPES: &str = "
CREATE SCHEMA own; CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS hstore; CREATE EXTENSION IF NOT EXISTS ltree;
CREATE TYPE own.mood AS ENUM ('sad', 'o''k'); ALTER TYPE own.mood ADD VALUE 'so so' BEFORE 'sad';
CREATE TYPE own.pair AS (a int, b text); CREATE DOMAIN own.small AS int CHECK (VALUE < 100); CREATE DOMAIN own.smaller AS own.small;
CREATE DOMAIN own.name AS text;";

/// A column's type and values to put into it, as SQL.
const VALUES: &[(&str, &[&str])] = &[
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "0"]),
    ("bigint", &["9223372036854775807", "-9223372036854775808"]),
    ("oid", &["4000000000"]),
    ("boolean", &["true", "false"]),
    (
        "real",
        &[
            "'NaN'",
            "'-Infinity'",
            "'-0'",
            "1e-30",
            "3.4028235e38",
            "0.1",
        ],
    ),
    (
        "double precision",
        &[
            "'NaN'",
            "'Infinity'",
            "'-0'",
            "1e-300",
            "1.7976931348623157e308",
            "0.1",
            "1e20",
        ],
    ),
    (
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1.00",
            "-0.0",
            "1e1000",
            "(repeat('9', 5000) || '.' || repeat('1', 3000))::numeric",
        ],
    ),
    ("numeric(10,2)", &["12345678.9", "0"]),
    ("money", &["1234567.89", "-0.01"]),
    ("text", &["''", "E'a\\n\\t\\\\b\"'", "'é😀'", "'NULL'"]),
    ("character varying(7)", &["'ab '"]),
    ("character(5)", &["'ab'", "''"]),
    ("\"char\"", &["'x'"]),
    ("name", &["'n'"]),
    ("citext", &["'MiXed'"]),
    (
        "bytea",
        &["'\\x00ff'", "''", "decode(repeat('00', 10000), 'hex')"],
    ),
    (
        "date",
        &[
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 BC'",
            "'5874897-12-31'",
            "'2026-02-28'",
        ],
    ),
    (
        "timestamp without time zone",
        &[
            "'infinity'",
            "'0044-03-15 12:00:00.000001 BC'",
            "'294276-12-31 23:59:59.999999'",
        ],
    ),
    (
        "timestamp with time zone",
        &[
            "'-infinity'",
            "'2026-06-01 12:00:00+05:30'",
            "'0001-01-01 00:00:00+00 BC'",
        ],
    ),
    (
        "timestamp(3) with time zone",
        &["'2026-06-01 12:00:00.1239+00'"],
    ),
    (
        "time without time zone",
        &["'24:00:00'", "'00:00:00.000001'"],
    ),
    ("time with time zone", &["'23:59:59.5-15:59'"]),
    (
        "interval",
        &[
            "'1 year -2 months 3 days -04:05:06.789'",
            "'0'",
            "'-178000000 years'",
        ],
    ),
    ("json", &["'{\"b\": 1,  \"a\":[1.0,null],\"b\":2}'"]),
    (
        "jsonb",
        &["'{\"b\": 12345678901234567890.10, \"a\": \"\\u00e9\"}'"],
    ),
    ("uuid", &["'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("xml", &["'<a>1</a><b/>'"]),
    ("inet", &["'::1/128'", "'10.1.2.3/8'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("bit(3)", &["B'101'"]),
    ("bit varying(8)", &["B''", "B'0101'"]),
    ("tsvector", &["'a:1A fat:2B,4C'"]),
    ("tsquery", &["'fat & (rat | cat)'"]),
    ("hstore", &["'a=>1, b=>NULL, \"c d\"=>\"\\\"\"'"]),
    ("ltree", &["'Top.Science'"]),
    ("int4range", &["'[1,5]'", "'empty'", "'(,3)'"]),
    ("tstzrange", &["'[2026-01-01 00:00:00+02,infinity)'"]),
    ("nummultirange", &["'{[1,2),(3.5,4]}'", "'{}'"]),
    ("point", &["'(1.5,-0)'"]),
    ("box", &["'(1,2),(3,4)'"]),
    ("path", &["'[(0,0),(1,1)]'"]),
    ("polygon", &["'((0,0),(1,1),(1,0))'"]),
    ("circle", &["'<(0,0),1e-20>'"]),
    (
        "integer[]",
        &["'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:2]={1,2,3}'"],
    ),
    ("text[]", &["array['a,b', 'q\"', NULL, 'NULL', '']"]),
    ("own.mood", &["'so so'", "'o''k'"]),
    ("own.mood[]", &["'{sad,NULL}'"]),
    ("own.pair", &["row(1, 'x,\"y')", "row(NULL, '')"]),
    ("own.pair[]", &["array[row(1, 'a')::own.pair]"]),
    ("own.smaller", &["99"]),
    ("own.name", &["'dom'"]),
    ("pg_lsn", &["'16/B374D848'"]),
    ("xid8", &["'18446744073709551615'"]),
    ("regclass", &["'pg_class'"]),
    ("jsonpath", &["'$.a[*] ? (@ > 1)'"]),
];

#[test]
fn every_type_arrives_in_the_text_that_postgresql_prints() {
    on_every_version("cap_types", async |database| {
        database.sql(OWN_TYPES);
        let columns: Vec<String> = VALUES
            .iter()
            .enumerate()
            .map(|(at, (type_name, _))| format!("c{at} {type_name}"))
            .collect();
        database.sql(&format!(
            "CREATE TABLE t (id serial PRIMARY KEY, {}); ALTER TABLE t REPLICA IDENTITY FULL",
            columns.join(", ")
        ));
        let mut capturer = database.open().await;
        let inserts: Vec<String> = VALUES
            .iter()
            .enumerate()
            .flat_map(|(at, (type_name, values))| {
                values.iter().map(move |value| {
                    format!("INSERT INTO t (c{at}) VALUES (({value})::{type_name});")
                })
            })
            .collect();
        database.sql(&format!("BEGIN; {} COMMIT", inserts.concat()));
        let told = capturer.commits(1).await;
        let streamed: Vec<Row> = told
            .into_iter()
            .filter_map(|event| match event {
                OriginEvent::Insert { after, .. } => Some(after),
                _ => None,
            })
            .collect();
        let printed = printed(database).await;
        assert_eq!(streamed.len(), inserts.len());
        for (insert, (row, expect)) in inserts.iter().zip(streamed.iter().zip(&printed)) {
            assert_eq!(&row_text(row), expect, "{insert}");
        }
        capturer
            .origin
            .request_chunk(ChunkRequest {
                id: 1,
                table: table("t"),
                after: None,
                rows_max: 1000,
            })
            .await
            .expect("asked");
        let told = capturer.commits(1).await;
        let Some(OriginEvent::Chunk { rows, .. }) = told
            .iter()
            .find(|event| matches!(event, OriginEvent::Chunk { .. }))
        else {
            unreachable!("{told:?}")
        };
        assert_eq!(*rows, streamed, "stream and copy tell the same values");
        numbers_are_told_as_numbers(&streamed);
    });
}

fn numbers_are_told_as_numbers(rows: &[Row]) {
    for value in rows.iter().flatten() {
        if let Value::Number(digits) = value {
            let legal = digits
                .trim_start_matches('-')
                .starts_with(|first: char| first.is_ascii_digit());
            assert!(legal, "{digits}");
        }
    }
    let kind = |at: usize, row: usize| {
        rows.iter()
            .filter_map(|cells| cells.get(at + 1).filter(|value| **value != Value::Null))
            .nth(row)
            .cloned()
    };
    let position = |name: &str| {
        VALUES
            .iter()
            .position(|(type_name, _)| *type_name == name)
            .expect("listed")
    };
    assert_eq!(kind(position("boolean"), 0), Some(Value::Bool(true)));
    assert_eq!(kind(position("own.smaller"), 0), Some(Value::number("99")));
    assert_eq!(
        kind(position("double precision"), 0),
        Some(Value::text("NaN"))
    );
}

/// The rows as PostgreSQL prints them to a client that pinned its session as a careful client does.
async fn printed(database: Database) -> Vec<String> {
    let client = database.client().await;
    let pinned = "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET extra_float_digits = 3;
                  SET bytea_output = 'hex'; SET lc_monetary = 'C'";
    client.batch_execute(pinned).await.expect("pinned");
    let answer = client.simple_query("SELECT * FROM t ORDER BY id").await;
    let answer = answer.expect("rows");
    answer
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let cells: Vec<String> = (0..row.len())
                    .map(|at| row.get(at).unwrap_or("-").to_owned())
                    .collect();
                Some(cells.join("|"))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn names_that_must_be_quoted_are() {
    on_every_version("cap_names", async |database| {
        database.sql(
            "CREATE SCHEMA \"My Schema\"; CREATE TABLE \"My Schema\".\"select\" (\"Or\"\"der\" int, \"é\" text, PRIMARY KEY (\"Or\"\"der\"))",
        );
        let mut config = database.config();
        config.publication = "My \"Pub\"".to_owned();
        let (mut capturer, _) = super::harness::Capturer::open(config)
            .await
            .expect("it opens");
        database.sql("INSERT INTO \"My Schema\".\"select\" VALUES (1, 'x')");
        let told = capturer.commits(1).await;
        let Some(OriginEvent::Insert { schema, after }) = told
            .iter()
            .find(|event| matches!(event, OriginEvent::Insert { .. }))
        else {
            unreachable!("{told:?}")
        };
        assert_eq!(schema.table.to_string(), "My Schema.select");
        assert_eq!(&*schema.columns.first().expect("a column").name, "Or\"der");
        capturer
            .origin
            .request_chunk(ChunkRequest {
                id: 7,
                table: schema.table.clone(),
                after: Some(vec![Value::number("0")]),
                rows_max: 10,
            })
            .await
            .expect("asked");
        let chunk = capturer.commits(1).await;
        assert!(
            chunk.iter().any(|event| matches!(event, OriginEvent::Chunk { id: 7, rows, .. } if rows == std::slice::from_ref(after))),
            "{chunk:?}"
        );
        assert_eq!(value_text(after.first().expect("a cell")), "1");
    });
}
