//! Every type survives text to text.

use keylane_core::apply::{Mode, ReplicaSession};
use keylane_core::model::Op;

use super::bed::{Bed, MODES, change, insert, shape, update};

/// Type, and texts as PostgreSQL prints them.
const TEXTS: &[(&str, &[&str])] = &[
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["4000000000"]),
    ("boolean", &["t", "f"]),
    (
        "real",
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "1.1754944e-38",
            "3.4028235e+38",
            "0.1",
        ],
    ),
    (
        "double precision",
        &[
            "NaN",
            "-Infinity",
            "-0",
            "2.2250738585072014e-308",
            "1.7976931348623157e+308",
            "0.30000000000000004",
        ],
    ),
    (
        "numeric",
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "1.00",
            "-0.000000000000000000000000000001",
            "123456789012345678901234567890.123456789",
        ],
    ),
    ("numeric(10,2)", &["99999999.99", "-0.01", "1.50"]),
    ("numeric(3,-2)", &["12300"]),
    ("money", &["-$92,233,720,368,547,758.08", "$1.00"]),
    (
        "text",
        &[
            "",
            "NULL?",
            "tab\tnewline\nquote'\"\\",
            "ünïcödé 🐘",
            "{}",
            "\\N",
            "(,)",
        ],
    ),
    ("character varying(5)", &["ab   ", "", "äöüß€"]),
    ("character(5)", &["ab   "]),
    ("\"char\"", &["a", ""]),
    ("name", &["a name"]),
    ("citext", &["MiXeD"]),
    ("bytea", &["\\x", "\\x00ff0a5c27"]),
    (
        "date",
        &[
            "infinity",
            "-infinity",
            "4713-01-01 BC",
            "5874897-12-31",
            "2024-02-29",
        ],
    ),
    ("time without time zone", &["24:00:00", "00:00:00.000001"]),
    (
        "time with time zone",
        &["23:59:59.999999+15:59:59", "00:00:00-12"],
    ),
    (
        "timestamp without time zone",
        &[
            "infinity",
            "4713-01-01 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
        ],
    ),
    (
        "timestamp with time zone",
        &[
            "-infinity",
            "2024-03-31 01:30:00.123456+00",
            "0044-03-15 12:00:00+00 BC",
        ],
    ),
    (
        "interval",
        &[
            "1 year 2 mons 3 days 04:05:06.789",
            "-178000000 years",
            "1 day -00:00:00.000001",
            "24:00:00",
        ],
    ),
    (
        "json",
        &[
            "{\"b\" : 1, \"a\":[1.0, 1e400,  null], \"b\":2}",
            "\"x\"",
            "12345678901234567890",
        ],
    ),
    (
        "jsonb",
        &["{\"a\": [1.00, 12345678901234567890], \"b\": null}"],
    ),
    ("uuid", &["00112233-4455-6677-8899-aabbccddeeff"]),
    ("xml", &["<a b=\"c\">text</a>", "just text <b/>"]),
    ("inet", &["10.1.2.3/8", "::1", "2001:db8::/32"]),
    ("cidr", &["10.0.0.0/8"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(3)", &["101"]),
    ("bit varying(8)", &["", "1010101"]),
    ("hstore", &["\"a\"=>\"1\", \"b\"=>NULL"]),
    ("ltree", &["Top.Science.Astronomy"]),
    ("tsvector", &["'cat':3 'fat':2,11A 'it''s':1"]),
    ("tsquery", &["'fat' & ( 'rat' | !'cat' )"]),
    ("int4range", &["[1,10)", "empty", "(,5)"]),
    ("tstzrange", &["[\"2020-01-01 00:00:00+00\",infinity)"]),
    ("int4multirange", &["{[1,3),[5,8)}", "{}"]),
    ("point", &["(1.5,-2)"]),
    ("line", &["{1,-1,0}"]),
    ("lseg", &["[(0,0),(1,1)]"]),
    ("box", &["(1,1),(0,0)"]),
    ("path", &["((0,0),(1,1))", "[(0,0),(1,1)]"]),
    ("polygon", &["((0,0),(1,1),(1,0))"]),
    ("circle", &["<(0,0),1>"]),
    ("pg_lsn", &["16/B374D848"]),
    (
        "integer[]",
        &[
            "{}",
            "{1,NULL,3}",
            "{{1,2},{3,4}}",
            "[0:1]={5,6}",
            "[2:3][-1:0]={{1,2},{3,4}}",
        ],
    ),
    (
        "text[]",
        &["{a,\"b c\",NULL,\"NULL\",\"\",\"q\\\"\\\\,{}\"}"],
    ),
    ("character varying(3)[]", &["{abc,d}"]),
    ("mood", &["sad", "so so"]),
    ("mood[]", &["{sad,\"so so\"}"]),
    ("positive", &["7"]),
    ("very_positive", &["8"]),
    ("code5", &["abcde"]),
    ("positive[]", &["{1,2}"]),
    ("pair", &["(1,\"a b\")", "(,)", "(2,\"quote\"\"\")"]),
    ("pair[]", &["{\"(1,x)\",NULL}"]),
    ("shop.tone", &["grün"]),
];

const DDL: &str = r#"
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'happy'); ALTER TYPE mood ADD VALUE 'so so' AFTER 'sad';
CREATE DOMAIN positive AS integer CHECK (value > 0); CREATE DOMAIN very_positive AS positive CHECK (value > 5);
CREATE DOMAIN code5 AS varchar(5);
CREATE TYPE pair AS (a integer, b text);
CREATE SCHEMA shop; CREATE TYPE shop.tone AS ENUM ('grün');"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_type_survives_byte_equal_in_text() {
    let Some(bed) = Bed::new("apply_types").await else {
        return;
    };
    bed.sql(DDL);
    let mut session = bed.session().await;
    let version: u32 = bed
        .sql("SHOW server_version_num")
        .parse()
        .expect("a number");
    for (number, (type_name, texts)) in TEXTS.iter().enumerate() {
        // Scales below zero came with PostgreSQL 15.
        if version < 150_000 && *type_name == "numeric(3,-2)" {
            continue;
        }
        by_key(&bed, &mut *session, number, type_name, texts).await;
        without_key(&bed, &mut *session, number, type_name, texts).await;
    }
}

async fn by_key(
    bed: &Bed,
    session: &mut dyn ReplicaSession,
    number: usize,
    type_name: &str,
    texts: &[&str],
) {
    bed.sql(&format!(
        "CREATE TABLE t{number} (id int PRIMARY KEY, v {type_name})"
    ));
    // As text in the shape, so that values are taken as they are printed.
    let t = shape(&format!("t{number}"), 1, &["id integer", "v text"]);
    let mut commit = 0;
    for (mode, op) in MODES.into_iter().zip([Op::Insert, Op::Update, Op::Read]) {
        let mut lane = bed.lane(0).await;
        let mut changes = Vec::new();
        for (id, text) in texts.iter().enumerate() {
            commit += 1;
            changes.push(change(&t, op, commit, None, Some(&[&id.to_string(), text])));
        }
        let applied = session.apply(&lane.batch(mode, &changes)).await;
        assert_eq!(applied.expect(type_name).failed, None, "{type_name}");
        let sql = format!("SELECT v FROM t{number} ORDER BY id");
        assert_eq!(bed.column(&sql), texts, "{type_name} {mode:?}");
        bed.sql(&format!("DELETE FROM t{number} WHERE id % 2 = 0"));
    }
}

/// Inserts each text twice and deletes it once.
async fn without_key(
    bed: &Bed,
    session: &mut dyn ReplicaSession,
    number: usize,
    type_name: &str,
    texts: &[&str],
) {
    bed.sql(&format!("CREATE TABLE n{number} (id int, v {type_name})"));
    let n = shape(&format!("n{number}"), 0, &["id integer", "v text"]);
    let mut lane = bed.lane(0).await;
    let mut changes = Vec::new();
    for text in texts {
        let row: &[&str] = &["1", text];
        for (op, before, after) in [
            (Op::Insert, None, Some(row)),
            (Op::Insert, None, Some(row)),
            (Op::Delete, Some(row), None),
        ] {
            changes.push(change(&n, op, changes.len() as u64 + 1, before, after));
        }
    }
    let applied = session.apply(&lane.batch(Mode::Folded, &changes)).await;
    let missing = applied.expect(type_name).missing;
    assert!(missing.is_empty(), "{type_name}: {missing:?}");
    let left = bed.sql(&format!("SELECT count(*) FROM n{number}"));
    assert_eq!(left, texts.len().to_string(), "{type_name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_any_comparable_type_finds_its_row() {
    let Some(bed) = Bed::new("apply_key_types").await else {
        return;
    };
    bed.sql(DDL);
    let mut session = bed.session().await;
    let mut commit = 0;
    for (number, (type_name, first, same)) in [
        ("numeric", "1.0", "1.00"),
        ("character(5)", "ab", "ab   "),
        ("citext", "Ab", "aB"),
        (
            "uuid",
            "00112233-4455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-AABBCCDDEEFF",
        ),
        (
            "timestamp with time zone",
            "2024-01-01 00:00:00+00",
            "2024-01-01 01:00:00+01",
        ),
        ("mood", "so so", "so so"),
        ("integer[]", "{1,2}", "{1,2}"),
        ("jsonb", "{\"a\": 1}", "{\"a\": 1.0}"),
        ("very_positive", "8", "8"),
        ("bytea", "\\x00", "\\x00"),
        ("pair", "(1,a)", "(1,a)"),
        ("int4range", "[1,3)", "[1,2]"),
    ]
    .into_iter()
    .enumerate()
    {
        bed.sql(&format!(
            "CREATE TABLE k{number} (k {type_name} PRIMARY KEY, v text)"
        ));
        let t = shape(&format!("k{number}"), 1, &["k text", "v text"]);
        for mode in MODES {
            let mut lane = bed.lane(0).await;
            commit += 2;
            let inserted = insert(&t, commit - 1, &[first, "a"]);
            let updated = update(&t, commit, &[same, "b"]);
            session
                .apply(&lane.batch(mode, &[inserted]))
                .await
                .expect(type_name);
            let applied = session
                .apply(&lane.batch(mode, &[updated]))
                .await
                .expect(type_name);
            assert!(applied.missing.is_empty(), "{type_name} {mode:?}");
            assert_eq!(
                bed.sql(&format!("SELECT count(*), max(v) FROM k{number}")),
                "1|b"
            );
        }
    }
}
