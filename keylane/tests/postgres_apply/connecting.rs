//! Connections.

use keylane::postgres::connect::{ConnectErrorKind, ConnectOptions, connect, is_connection_lost};
use keylane_parts::{Postgres, PostgresOptions, PostgresVersion};

use super::bed::Bed;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_pinned_whatever_the_user_has_set() {
    let Some(bed) = Bed::new("connect_pinned").await else {
        return;
    };
    bed.sql(
        "ALTER DATABASE connect_pinned SET timezone TO 'Asia/Tokyo'; ALTER DATABASE connect_pinned SET datestyle TO 'SQL, DMY';
         ALTER DATABASE connect_pinned SET bytea_output TO 'escape'; ALTER DATABASE connect_pinned SET extra_float_digits TO 0;
         ALTER DATABASE connect_pinned SET intervalstyle TO 'iso_8601'",
    );
    let client = connect(&bed.url, "pinned", &ConnectOptions::default())
        .await
        .expect("connected");
    let row = client
        .query_one(
            r"SELECT '2020-02-01 00:00:00+00'::timestamptz::text || ' ' || '\x00ff'::bytea::text || ' ' || 0.1::float4::float8::text || ' ' || '1 day'::interval::text",
            &[],
        )
        .await
        .expect("asked");
    assert_eq!(
        row.get::<_, &str>(0),
        r"2020-02-01 00:00:00+00 \x00ff 0.10000000149011612 1 day"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_a_missing_database_and_a_lost_server_are_told_apart() {
    if keylane_parts::quick() {
        return;
    }
    let options = PostgresOptions::new(PostgresVersion::V15).password("right one");
    let mut server = Postgres::start(options).expect("a PostgreSQL");
    let right = server.url("postgres").replace("right one", "right%20one") + "?sslmode=prefer";
    let wrong = right.replace("right%20one", "wrong");
    let defaults = ConnectOptions::default();
    let client = connect(&right, "test", &defaults)
        .await
        .expect("the right password");
    let denied = connect(&wrong, "test", &defaults)
        .await
        .expect_err("denied");
    assert_eq!(denied.kind, ConnectErrorKind::Denied, "{denied}");
    assert!(!denied.message.contains("wrong"), "{denied}");
    let nowhere = right.replace("/postgres?", "/nowhere?");
    let missing = connect(&nowhere, "test", &defaults)
        .await
        .expect_err("no such database");
    assert_eq!(missing.kind, ConnectErrorKind::BadUrl, "{missing}");
    let encrypted = right.replace("prefer", "require");
    let refused = connect(&encrypted, "test", &defaults)
        .await
        .expect_err("no TLS there");
    assert_eq!(refused.kind, ConnectErrorKind::Denied, "{refused}");
    server.kill9().expect("killed");
    let lost = client.batch_execute("SELECT 1").await.expect_err("gone");
    assert!(is_connection_lost(&lost), "{lost}");
    let gone = connect(&right, "test", &defaults).await.expect_err("gone");
    assert_eq!(gone.kind, ConnectErrorKind::Unreachable, "{gone}");
}
