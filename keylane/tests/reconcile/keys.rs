//! Keys of every type and in every order, and rows beyond both ends.

use super::bed::{Bed, two_databases};

/// A table of so many rows whose key is made by `key` from a number `n`; rows are changed, taken away and added.
async fn check(name: &str, before: &str, key: (&str, &str), rows: u32) {
    let Some((origin, replica)) = two_databases(name) else {
        return;
    };
    let (declared, made) = key;
    for side in [&origin, &replica] {
        side.sql(before);
        side.sql(&format!(
            "CREATE TABLE t (pad text, {declared}, v int NOT NULL)"
        ));
        side.sql(&format!(
            "INSERT INTO t SELECT repeat('x', 50), {made}, n FROM generate_series(1, {rows}) n"
        ));
    }
    replica.sql("UPDATE t SET pad = '' WHERE v % 1000 = 7");
    replica.sql("DELETE FROM t WHERE v % 1000 = 13");
    origin.sql("DELETE FROM t WHERE v % 1000 = 19");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let mut notes = super::bed::Notes::default();
    let figures = bed.compare(&mut notes).await.expect("compared");
    let each = u64::from(rows / 1000);
    let found = (figures.different, figures.missing, figures.extra);
    assert_eq!(found, (each, each, each), "{name}: {figures:?}");
    assert_eq!(figures.settling, 0, "{name}: {figures:?}");
    let all = (figures.rows_origin, figures.rows_replica);
    let rest = u64::from(rows) - each;
    assert_eq!(all, (rest, rest), "{name}: no row twice, none left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_read_in_ranges() {
    check("k_int", "", ("id int PRIMARY KEY", "n"), 5000).await;
    check(
        "k_big",
        "",
        ("id bigint PRIMARY KEY", "9007199254740000 + n * 3"),
        5000,
    )
    .await;
    check(
        "k_text",
        "",
        ("id text PRIMARY KEY", "chr(65 + n % 60) || 'é' || n"),
        5000,
    )
    .await;
    check(
        "k_quoted",
        "",
        ("\"a \"\"b\" text PRIMARY KEY", "'it''s \\ ' || n"),
        5000,
    )
    .await;
    check(
        "k_uuid",
        "",
        ("id uuid PRIMARY KEY", "md5(n::text)::uuid"),
        5000,
    )
    .await;
    check(
        "k_num",
        "",
        ("id numeric PRIMARY KEY", "n / 8.0 - 100"),
        5000,
    )
    .await;
    check(
        "k_time",
        "",
        (
            "id timestamptz PRIMARY KEY",
            "'1999-01-01Z'::timestamptz + n * interval '1 day 1 us'",
        ),
        5000,
    )
    .await;
    check(
        "k_bytes",
        "",
        ("id bytea PRIMARY KEY", "decode(md5(n::text), 'hex')"),
        5000,
    )
    .await;
    check(
        "k_float",
        "",
        ("id double precision PRIMARY KEY", "n / 7.0 - 300"),
        5000,
    )
    .await;
    check("k_char", "", ("id char(9) PRIMARY KEY", "'k' || n"), 5000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compound_keys_are_compared_as_wholes() {
    check(
        "k_two",
        "",
        (
            "a int, b text, PRIMARY KEY (b, a)",
            "n % 100, 'b' || n / 100",
        ),
        5000,
    )
    .await;
    check(
        "k_mixed",
        "CREATE TYPE mood AS ENUM ('z', 'a')",
        (
            "m mood, d date, i smallint, PRIMARY KEY (m, d, i)",
            "CASE WHEN n % 2 = 0 THEN 'z'::mood ELSE 'a' END, '2020-01-01'::date + n / 50, n % 50",
        ),
        5000,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_case_says_nothing_is_one_key() {
    check(
        "k_ci",
        "CREATE EXTENSION citext",
        ("id citext PRIMARY KEY", "'Key' || n"),
        5000,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_databases_that_order_texts_in_two_ways_are_compared_all_the_same() {
    let Some((origin, replica)) = two_databases("collations") else {
        return;
    };
    origin.sql("CREATE TABLE t (id text COLLATE \"C\" PRIMARY KEY, v int)");
    replica.sql("CREATE TABLE t (id text COLLATE \"und-x-icu\" PRIMARY KEY, v int)");
    for side in [&origin, &replica] {
        side.sql("INSERT INTO t SELECT CASE n % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'B' ELSE '-_é' END || n, n FROM generate_series(1, 4000) n");
    }
    replica.sql("DELETE FROM t WHERE v = 1");
    replica.sql("UPDATE t SET v = 0 WHERE v = 2");
    origin.sql("DELETE FROM t WHERE v = 3");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let expect = [("B1", "missing"), ("-_é2", "v"), ("a3", "extra")];
    let figures = bed.check(&expect).await;
    assert_eq!((figures.rows_origin, figures.rows_replica), (3999, 3999));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_only_one_side_has_are_found_however_many_they_are() {
    let Some((origin, replica)) = two_databases("many") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, pad text)");
    }
    replica.sql("INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 9000) n");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let mut notes = super::bed::Notes::default();
    let figures = bed.compare(&mut notes).await.expect("compared");
    assert_eq!(
        (figures.extra, figures.missing, figures.different),
        (9000, 0, 0)
    );
    origin.sql("INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(4000, 4001) n");
    let figures = bed.compare(&mut super::bed::Notes::default()).await;
    assert_eq!(figures.expect("compared").extra, 8998);
    let mut bed = Bed::postgres(&replica, &origin, "t", None).await;
    let figures = bed.compare(&mut super::bed::Notes::default()).await;
    assert_eq!(figures.expect("compared").missing, 8998);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_filter_only_its_rows_count() {
    let Some((origin, replica)) = two_databases("filter") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, v int)");
        side.sql("INSERT INTO t SELECT n, n FROM generate_series(1, 100) n");
    }
    replica.sql("UPDATE t SET v = -1 WHERE id IN (10, 90)");
    let mut bed = Bed::postgres(&origin, &replica, "t", Some("id > 50 OR v < -5")).await;
    let figures = bed.check(&[("90", "v")]).await;
    assert_eq!(figures.rows_origin, 50);
}
