//! Databases of two kinds.

use std::path::{Path, PathBuf};

use super::bed::{Bed, two_databases};

pub fn file(folder: &Path, name: &str, sql: &str) -> PathBuf {
    let path = folder.join(name);
    run(&path, sql);
    path
}

fn run(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).expect("opened");
    connection.execute_batch(sql).expect(sql);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_and_sqlite_hold_equal_rows_in_their_own_spellings() {
    let Some((pg, other)) = two_databases("pair") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let table = "CREATE TABLE t (id bigint PRIMARY KEY, a boolean, b numeric(10,2), c double precision, d text, e bytea, f uuid, g timestamp, h jsonb)";
    for side in [&pg, &other] {
        side.sql(table);
        side.sql(
            "INSERT INTO t SELECT n, n % 2 = 0, n / 4.0, n / 7.0, 'é' || n, decode(md5(n::text), 'hex'), md5(n::text)::uuid, '2020-01-01'::timestamp + n * interval '1 s', '{\"a\": 1}'
             FROM generate_series(1, 3000) n",
        );
        side.sql(
            "INSERT INTO t (id, c, d) VALUES (-1, 'NaN', ''), (9007199254740993, 1e300, NULL)",
        );
    }
    // As the applier writes it: by each value's text, kept as the column's declared type has it.
    let sqlite = file(
        folder.path(),
        "replica.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a BOOLEAN, b NUMERIC, c REAL, d TEXT, e TEXT, f TEXT, g TEXT, h TEXT)",
    );
    let rows = pg.sql("SELECT format('INSERT INTO t VALUES (%s, %s, %L, %s, %L, %L, %L, %L, %L);', id, coalesce((a::int)::text, 'NULL'), b, CASE WHEN c = 'NaN' THEN '''NaN''' ELSE c::text END, d, e, f, g, h) FROM t");
    let rows = rows.replace("''\"", "\"").replace(" E'\\\\x", " '\\x");
    run(&sqlite, &format!("BEGIN; {rows}; COMMIT"));

    let mut bed = Bed::to_sqlite(&pg, &sqlite, "t").await;
    let figures = bed.check(&[]).await;
    assert_eq!(figures.rows_replica, 3002);
    run(
        &sqlite,
        "UPDATE t SET a = 1 - a WHERE id = 7; UPDATE t SET b = b + 0.01 WHERE id = 8; UPDATE t SET d = NULL WHERE id = -1; UPDATE t SET e = '\\x00' WHERE id = 9;
         UPDATE t SET c = 1e299 WHERE id = 9007199254740993; DELETE FROM t WHERE id = 3000; INSERT INTO t (id) VALUES (9007199254740992)",
    );
    let expect = [
        ("7", "a"),
        ("8", "b"),
        ("-1", "d"),
        ("9", "e"),
        ("9007199254740993", "c"),
        ("3000", "missing"),
        ("9007199254740992", "extra"),
    ];
    bed.check(&expect).await;
    // And back: what SQLite holds against a third copy.
    let expect = expect.map(|(key, kind)| match kind {
        "missing" => (key, "extra"),
        "extra" => (key, "missing"),
        kind => (key, kind),
    });
    let mut bed = Bed::from_sqlite(&sqlite, &other, "t").await;
    bed.check(&expect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_of_sqlite_are_compared_by_value_and_class() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = "CREATE TABLE t (a TEXT, b ANY, v, PRIMARY KEY (a, b)) WITHOUT ROWID";
    let rows = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 6000)
                INSERT INTO t SELECT 'k' || (n % 100), n, CASE n % 4 WHEN 0 THEN n WHEN 1 THEN n / 7.0 WHEN 2 THEN 'v' || n ELSE x'00ff' END FROM n";
    let sql = format!("{table}; {rows}");
    let one = file(folder.path(), "one.db", &sql);
    let other = file(folder.path(), "other.db", &sql);
    let mut bed = Bed::sqlite(&one, &other, "t").await;
    let figures = bed.check(&[]).await;
    assert_eq!(figures.rows_origin, 6000);
    run(
        &other,
        "UPDATE t SET v = CAST(v AS TEXT) WHERE b = 400; UPDATE t SET v = NULL WHERE b = 401; DELETE FROM t WHERE b = 403; INSERT INTO t VALUES ('k1', 'text', 1);
         UPDATE t SET v = CAST(v AS TEXT) WHERE b = 402; UPDATE t SET v = CAST(v AS BLOB) WHERE b = 406",
    );
    bed.check(&[
        ("k0|400", "v"),
        ("k1|401", "v"),
        ("k3|403", "missing"),
        ("k1|text", "extra"),
        ("k6|406", "v"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_key_holds_null_are_never_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = "CREATE TABLE t (id TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('a', 3)";
    let one = file(folder.path(), "one.db", table);
    let other = file(folder.path(), "other.db", table);
    let mut bed = Bed::sqlite(&one, &other, "t").await;
    assert_eq!(bed.check(&[]).await.rows_origin, 3);
    run(&other, "UPDATE t SET v = 9 WHERE v = 2");
    let ended = bed.compare(&mut super::bed::Notes::default()).await;
    let told = ended.expect_err("NULL cannot be looked for").to_string();
    assert!(told.contains("holds NULL"), "{told}");
}
