//! Every kind of value, and every kind of difference.

use super::bed::{Bed, Pg, two_databases};

const TABLE: &str = "
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN cents AS numeric(12,2);
CREATE TABLE t (
  id bigint PRIMARY KEY, a int, b numeric, c numeric(10,2), d real, e double precision, f text, g varchar(20), h char(5), i boolean, j timestamp, k timestamptz,
  l date, m time, n uuid, o bytea, p jsonb, q json, r int[], s mood, u cents, v interval, w inet, x int4range, y text, z text);
INSERT INTO t SELECT n, n, n / 7.0, n / 3.0, n / 7.0, n / 7.0, 'text ' || n, 'v' || n, 'c' || n % 1000, n % 2 = 0, '2020-01-01'::timestamp + n * interval '1 s 1 us',
  '2020-01-01Z'::timestamptz + n * interval '1 s 1 us', '2020-01-01'::date + n % 5000, '00:00'::time + n * interval '1 s', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
  decode(md5(n::text), 'hex'), jsonb_build_object('a', n, 'b', 1.5), json_build_object('a', n), ARRAY[n, NULL], CASE WHEN n % 2 = 0 THEN 'sad'::mood ELSE 'glad' END, n / 4.0,
  n * interval '1 min', '10.0.0.1'::inet + n, int4range(n, n + 5), NULL, 'a|b'
FROM generate_series(1, 6000) n";

fn both(origin: &Pg, replica: &Pg, sql: &str) {
    origin.sql(sql);
    replica.sql(sql);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_tables_of_every_type_are_equal() {
    let Some((origin, replica)) = two_databases("equal") else {
        return;
    };
    both(&origin, &replica, TABLE);
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let figures = bed.check(&[]).await;
    assert_eq!((figures.rows_origin, figures.rows_replica), (6000, 6000));
    assert_eq!(figures.settling, 0, "no row was looked at twice");
    assert!(figures.chunks > 10, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_value_of_any_column_is_found_and_named() {
    let Some((origin, replica)) = two_databases("each") else {
        return;
    };
    both(&origin, &replica, TABLE);
    let edits = [
        ("a", "a + 1"),
        ("b", "b + 0.0000000000000000000000001"),
        ("c", "NULL"),
        ("d", "'1.2345671'"),
        ("e", "e * (1 + 2.3e-16)"),
        ("f", "f || ' '"),
        ("g", "upper(g)"),
        ("h", "'x'"),
        ("i", "NOT i"),
        ("j", "j + interval '1 us'"),
        ("k", "k + interval '1 us'"),
        ("l", "'infinity'"),
        ("m", "m + interval '1 us'"),
        ("n", "gen_random_uuid()"),
        ("o", "o || '\\x00'"),
        ("p", "p || '{\"c\": null}'"),
        ("q", "'{\"a\":  1}'"),
        ("r", "r || 1"),
        ("s", "CASE WHEN s = 'sad' THEN 'glad'::mood ELSE 'sad' END"),
        ("u", "u + 0.01"),
        ("v", "v + interval '1 us'"),
        ("w", "w + 1"),
        ("x", "'empty'"),
        ("y", "''"),
        ("z", "'a'"),
    ];
    let mut expect = Vec::new();
    for (at, (column, value)) in edits.iter().enumerate() {
        let id = 100 + 200 * at;
        replica.sql(&format!("UPDATE t SET {column} = {value} WHERE id = {id}"));
        expect.push((id.to_string(), *column));
    }
    replica.sql("DELETE FROM t WHERE id IN (1, 3001, 6000)");
    replica.sql("INSERT INTO t (id) VALUES (-5), (0), (6001), (9223372036854775807)");
    let planted = ["1", "3001", "6000"].map(|id| (id.to_owned(), "missing"));
    expect.extend(planted);
    let planted = ["-5", "0", "6001", "9223372036854775807"].map(|id| (id.to_owned(), "extra"));
    expect.extend(planted);
    let expect: Vec<(&str, &str)> = expect.iter().map(|(id, kind)| (&**id, *kind)).collect();
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let figures = bed.check(&expect).await;
    assert_eq!(
        (figures.missing, figures.extra, figures.different),
        (3, 4, 25)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_spellings_of_one_value_are_no_difference() {
    let Some((origin, replica)) = two_databases("spelt") else {
        return;
    };
    let table = |columns: &str| format!("CREATE TABLE t (id int PRIMARY KEY, {columns})");
    origin.sql(&table("a int, b numeric(10,2), c varchar(9), d char(3), e timestamp(3), f double precision, g jsonb"));
    replica.sql(&table(
        "a bigint, b numeric, c text, d char(5), e timestamp, f double precision, g jsonb",
    ));
    origin.sql("INSERT INTO t VALUES (1, 7, 1.5, 'x', 'ab', '2020-01-01', '-0', '{\"a\": 1.0}'), (2, NULL, NULL, '', '', NULL, 'NaN', NULL)");
    replica.sql("INSERT INTO t VALUES (1, 7, 1.5000, 'x', 'ab', '2020-01-01', '0', '{\"a\": 1.00}'), (2, NULL, NULL, '', '', NULL, 'NaN', NULL)");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let figures = bed.check(&[]).await;
    assert_eq!(
        figures.settling, 1,
        "the zero's sign and the digits in JSON are looked at twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_replicas_columns_cannot_hold_is_told_by_column_and_is_no_difference() {
    let Some((origin, replica)) = two_databases("lossy") else {
        return;
    };
    origin.sql(
        "CREATE TABLE t (id int PRIMARY KEY, a numeric, b double precision, c timestamp, d text)",
    );
    replica.sql("CREATE TABLE t (id int PRIMARY KEY, a numeric(10,1), b real, c timestamp(0))");
    origin.sql("INSERT INTO t SELECT n, n + 0.25, n + 0.123456789, '2020-01-01 00:00:00.25'::timestamp, 'x' FROM generate_series(1, 50) n");
    replica.sql("INSERT INTO t SELECT n, n + 0.25, n + 0.123456789, '2020-01-01 00:00:00.25'::timestamp FROM generate_series(1, 50) n");
    replica.sql("UPDATE t SET a = a + 0.1 WHERE id = 7");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    assert_eq!(bed.plan.lacking, ["d".into()]);
    let figures = bed.check(&[("7", "a")]).await;
    let lossy = keylane_core::reconcile::Figures::named(&bed.plan, &figures.lossy);
    let lossy: Vec<(&str, u64)> = lossy
        .iter()
        .map(|(name, count)| (&**name, *count))
        .collect();
    assert_eq!(lossy, [("b", 50), ("c", 50), ("a", 49)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_edit_of_an_even_number_of_rows_does_not_cancel() {
    let Some((origin, replica)) = two_databases("edits") else {
        return;
    };
    both(
        &origin,
        &replica,
        "CREATE TABLE t (id int PRIMARY KEY, status text, a text, b text)",
    );
    both(
        &origin,
        &replica,
        "INSERT INTO t SELECT n, 'paid', 'a#', 'c' FROM generate_series(1, 1000) n",
    );
    replica.sql("UPDATE t SET status = 'void' WHERE id <= 500");
    replica.sql("UPDATE t SET a = 'a', b = '#c' WHERE id = 501");
    replica.sql("UPDATE t SET a = NULL WHERE id = 502");
    origin.sql("UPDATE t SET a = '<null>' WHERE id = 502");
    let ids: Vec<String> = (1..=500).map(|id| id.to_string()).collect();
    let mut expect: Vec<(&str, &str)> = ids.iter().map(|id| (&**id, "status")).collect();
    expect.extend([("501", "a,b"), ("502", "a")]);
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    bed.check(&expect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_to_read_is_enough() {
    let Some((origin, replica)) = two_databases("reader") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
        side.sql("DO $$ BEGIN CREATE ROLE keylane_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
        side.sql("GRANT SELECT ON t TO keylane_reader");
    }
    replica.sql("UPDATE t SET v = 'b'");
    let as_reader = |pg: &Pg| {
        let mut url = url::Url::parse(&pg.url()).expect("a URL");
        url.set_username("keylane_reader").expect("a user");
        url.to_string()
    };
    let mut bed = Bed::by_urls(&as_reader(&origin), &as_reader(&replica), "t").await;
    bed.check(&[("1", "v")]).await;
}
