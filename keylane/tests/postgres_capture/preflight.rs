//! The preflight check names what is wrong, each with the command that mends it.

use keylane::postgres::capture::{PostgresOriginConfig, preflight};
use keylane::preflight::Finding;
use keylane_core::capture::{Origin, OriginErrorKind};
use keylane_parts::{Postgres, PostgresOptions, PostgresVersion};

use super::harness::{Capturer, Database, on_every_version, runtime};

fn failed(checks: &[Finding]) -> Vec<(&str, &str)> {
    checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| (&*check.id, &*check.subject))
        .collect()
}

#[test]
fn a_database_that_is_right_passes_before_and_while_it_is_captured() {
    on_every_version("cap_preflight", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let client = database.client().await;
        let checks = preflight(&client, &database.config()).await.expect("asked");
        assert!(failed(&checks).is_empty(), "{checks:?}");
        assert!(checks.iter().all(|check| check.fix.is_empty()));
        let _capturer = database.open().await;
        let checks = preflight(&client, &database.config()).await.expect("asked");
        assert!(failed(&checks).is_empty(), "{checks:?}");
    });
}

#[test]
fn each_fault_is_named_and_its_mend_works() {
    on_every_version("cap_faults", async |database| {
        database.sql(
            "CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE keyless (v int); CREATE TABLE nothing (id int PRIMARY KEY);
             ALTER TABLE nothing REPLICA IDENTITY NOTHING; CREATE TABLE hidden (id int PRIMARY KEY);
             CREATE PUBLICATION cap_faults FOR TABLE good WITH (publish = 'insert');
             DROP ROLE IF EXISTS cap_poor; CREATE ROLE cap_poor LOGIN; GRANT SELECT ON good, keyless, nothing TO cap_poor",
        );
        let mut config = database.config();
        config.url = config
            .url
            .replace("postgres://postgres@", "postgres://cap_poor@");
        assert!(config.url.contains("cap_poor"), "{}", config.url);
        let poor = Database { ..database };
        let (client, connection) = tokio_postgres::connect(&config.url, tokio_postgres::NoTls)
            .await
            .expect("it may log in");
        tokio::spawn(connection);
        let mut checks = preflight(&client, &config).await.expect("asked");
        assert_eq!(
            failed(&checks),
            [
                ("replication_role", "role cap_poor"),
                ("publication_tables", "publication cap_faults"),
                ("publication_changes", "publication cap_faults"),
                ("grants", "table public.hidden"),
                ("replica_identity", "table public.keyless"),
                ("grants", "table public.keyless"),
                ("replica_identity", "table public.nothing"),
            ]
        );
        // Every mend, run as told, until nothing is left.
        for _round in 0..3 {
            for check in checks.iter().filter(|check| !check.ok) {
                let fix = &*check.fix;
                assert!(!fix.is_empty(), "{check:?} has a mend");
                let sql = fix.split_once(": ").map_or(fix, |(_, sql)| sql);
                poor.sql(sql);
            }
            checks = preflight(&client, &config).await.expect("asked");
        }
        assert!(failed(&checks).is_empty(), "{:?}", failed(&checks));
        let (mut capturer, _) = Capturer::open(config).await.expect("it opens");
        capturer.origin.tables().await.expect("tables");
    });
}

#[test]
fn a_server_without_logical_decoding_is_refused_with_the_mend() {
    if keylane_parts::quick() {
        return;
    }
    let options = PostgresOptions::new(PostgresVersion::V15).set("wal_level", "replica");
    let server = Postgres::start(options).expect("it starts");
    server
        .psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)")
        .expect("a table");
    let config = PostgresOriginConfig::new(server.url("postgres"), "k", "k");
    runtime().block_on(async {
        let refused = Capturer::open(config)
            .await
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(
            (refused.kind, refused.code),
            (OriginErrorKind::Refused, "KL-CAPTURE-105")
        );
        assert!(
            refused
                .message
                .contains("ALTER SYSTEM SET wal_level = logical"),
            "{refused}"
        );
        let mut elsewhere = PostgresOriginConfig::new(server.url("nowhere"), "k", "k");
        let refused = Capturer::open(elsewhere.clone())
            .await
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(refused.code, "KL-CAPTURE-113", "{refused}");
        elsewhere.slot = "Not A Slot".to_owned();
        let refused = Capturer::open(elsewhere)
            .await
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(refused.code, "KL-CAPTURE-113", "{refused}");
    });
}
