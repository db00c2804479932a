//! Taking the slot: a lost or foreign one is refused, one that is held is waited for, and a database that dies is found again.

use std::time::{Duration, Instant};

use keylane::postgres::capture::slot_standing;
use keylane_core::capture::{Origin, OriginErrorKind, OriginEvent};
use keylane_parts::{Postgres, PostgresVersion};

use super::harness::{Capturer, Database, PATIENCE, lines, on_every_version, runtime};

async fn refusal(
    config: keylane::postgres::capture::PostgresOriginConfig,
) -> (OriginErrorKind, &'static str) {
    match Capturer::open(config).await {
        Ok(_) => (OriginErrorKind::Unreachable, "it opened"),
        Err(error) => (error.kind, error.code),
    }
}

fn drop_slot(database: Database) {
    let sql = format!("SELECT pg_drop_replication_slot('{}')", database.name);
    let gone = keylane_parts::wait_until("the slot to be free", PATIENCE, || {
        Ok(database.server.psql(database.name, &sql).is_ok())
    });
    gone.expect("the slot is dropped");
}

#[test]
fn a_lost_or_recreated_slot_is_refused_and_never_made_anew() {
    on_every_version("cap_lost", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let (capturer, opened) = Capturer::open(database.config()).await.expect("it opens");
        drop(capturer);
        let mut config = database.config();
        config.expected_identity = Some(opened.identity.clone());
        config.published_up_to = opened.confirmed;
        let (capturer, again) = Capturer::open(config.clone()).await.expect("the same slot");
        assert!(again.epoch > opened.epoch);
        drop(capturer);
        drop_slot(database);
        assert_eq!(
            refusal(config.clone()).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-103")
        );
        database.sql("INSERT INTO t VALUES (1)");
        database.sql(&format!(
            "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
            database.name
        ));
        assert_eq!(
            refusal(config.clone()).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-104")
        );
        config.expected_identity = Some("1/elsewhere/x".to_owned());
        assert_eq!(
            refusal(config.clone()).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-104")
        );
        drop_slot(database);
        database.sql(&format!(
            "SELECT pg_create_logical_replication_slot('{}', 'test_decoding')",
            database.name
        ));
        assert_eq!(
            refusal(database.config()).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-104")
        );
        drop_slot(database);
    });
}

#[test]
fn a_slot_whose_log_was_removed_is_refused() {
    if keylane_parts::quick() {
        return;
    }
    let options = keylane_parts::PostgresOptions::new(PostgresVersion::V15)
        .set("max_slot_wal_keep_size", "1MB")
        .set("min_wal_size", "32MB")
        .set("max_wal_size", "32MB");
    let server: &'static Postgres =
        Box::leak(Box::new(Postgres::start(options).expect("it starts")));
    server.create_database("cap_removed").expect("a database");
    let database = Database {
        server,
        name: "cap_removed",
    };
    runtime().block_on(async {
        database.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE o (v text); ALTER TABLE o REPLICA IDENTITY FULL");
        let (capturer, opened) = Capturer::open(database.config()).await.expect("it opens");
        drop(capturer);
        for _ in 0..4 {
            database.sql("INSERT INTO o SELECT repeat('x', 1000) FROM generate_series(1, 30000)");
            database.sql("SELECT pg_switch_wal()");
            database.sql("CHECKPOINT");
        }
        let mut config = database.config();
        config.published_up_to = opened.confirmed;
        assert_eq!(
            refusal(config).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-103")
        );
    });
}

#[test]
fn a_second_capturer_is_told_that_the_slot_is_busy_and_gets_it_when_the_first_ends() {
    on_every_version("cap_busy", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let (first, opened) = Capturer::open(database.config()).await.expect("it opens");
        let mut config = database.config();
        config.take_slot_within = Duration::from_millis(500);
        assert_eq!(
            refusal(config.clone()).await,
            (OriginErrorKind::Busy, "KL-CAPTURE-102")
        );
        config.take_slot_within = PATIENCE;
        let second = tokio::spawn(Capturer::open(config));
        drop(first);
        let (_second, taken) = second.await.expect("no panic").expect("it opens");
        assert!(taken.epoch > opened.epoch);
    });
}

#[test]
fn a_slot_that_another_moved_on_meanwhile_is_foreign_only_if_the_next_session_knows_no_more() {
    on_every_version("cap_meanwhile", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let (mut first, opened) = Capturer::open(database.config()).await.expect("it opens");
        let mut waiting = database.config();
        waiting.published_up_to = opened.confirmed;
        waiting.doubted_place = Some(std::sync::Arc::new(u64::MAX.into()));
        waiting.take_slot_within = PATIENCE;
        let (config, name) = (waiting.clone(), database.name);
        let second = tokio::spawn(async move { refusal(config).await });
        // The holder goes on while the other waits, publishes, moves the slot, ends.
        database.sql("INSERT INTO t VALUES (1)");
        let told = first.commits(1).await;
        let end = told.iter().find_map(|event| match event {
            OriginEvent::Commit { end } => Some(*end),
            _ => None,
        });
        let end = end.expect("a commit");
        first.origin.confirm(end).await.expect("confirmed");
        let place = format!(
            "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{name}'"
        );
        keylane_parts::wait_until("the slot to move", PATIENCE, || {
            Ok(database.sql(&place) == end.to_string())
        })
        .expect("it moves");
        drop(first);
        let busy = (OriginErrorKind::Busy, "KL-CAPTURE-102");
        assert_eq!(second.await.expect("no panic"), busy);
        // Asked again, the one who waited is told what was published meanwhile.
        let asked_again = keylane::postgres::capture::PostgresOriginConfig {
            published_up_to: end,
            ..waiting.clone()
        };
        drop(Capturer::open(asked_again).await.expect("it opens"));
        // Nobody published more: the slot was moved by a stranger.
        assert_eq!(
            refusal(waiting).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-104")
        );
    });
}

#[test]
fn what_was_not_confirmed_is_told_again_as_whole_transactions_and_what_was_is_not() {
    on_every_version("cap_again", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let mut capturer = database.open().await;
        database.sql("INSERT INTO t VALUES (1)");
        database.sql("INSERT INTO t VALUES (2), (3)");
        let told = capturer.commits(2).await;
        let first_end = told.iter().find_map(|event| match event {
            OriginEvent::Commit { end } => Some(*end),
            _ => None,
        });
        let end = first_end.expect("a commit");
        capturer.origin.confirm(end).await.expect("confirmed");
        keylane_parts::wait_until("the slot to move", PATIENCE, || {
            let sql = "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = 'cap_again'";
            Ok(database.sql(sql) == end.to_string())
        })
        .expect("it moves");
        drop(capturer);
        let mut capturer = database.open().await;
        assert_eq!(lines(&capturer.commits(1).await), ["I t 2", "I t 3"]);
    });
}

#[test]
fn a_killed_database_is_unreachable_and_then_goes_on_where_it_was() {
    if keylane_parts::quick() {
        return;
    }
    let mut server = Postgres::start(PostgresVersion::V15).expect("it starts");
    server.create_database("shop").expect("a database");
    server
        .psql("shop", "CREATE TABLE t (id int PRIMARY KEY)")
        .expect("a table");
    let mut config = keylane::postgres::capture::PostgresOriginConfig::new(
        server.url("shop"),
        "killed",
        "killed",
    );
    config.heartbeat = Duration::from_millis(100);
    runtime().block_on(async {
        let (mut capturer, opened) = Capturer::open(config.clone()).await.expect("it opens");
        server
            .psql("shop", "INSERT INTO t VALUES (1)")
            .expect("written");
        assert_eq!(lines(&capturer.commits(1).await), ["I t 1"]);
        server.kill9().expect("killed");
        let error = capturer.until_error("the broken connection").await;
        assert_eq!(error.kind, OriginErrorKind::Unreachable, "{error}");
        let error = capturer.origin.open().await.expect_err("nobody there");
        assert_eq!(error.kind, OriginErrorKind::Unreachable, "{error}");
        server.restart().expect("restarted");
        server
            .psql("shop", "INSERT INTO t VALUES (2)")
            .expect("written");
        let deadline = Instant::now() + PATIENCE;
        let again = loop {
            match capturer.origin.open().await {
                Ok(again) => break again,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        assert!(again.epoch > opened.epoch);
        assert_eq!(again.identity, opened.identity);
        let told = capturer
            .until("the second row", |told| {
                lines(told).contains(&"I t 2".to_owned())
            })
            .await;
        assert!(lines(&told).len() <= 2, "{told:?}");
    });
}

#[test]
fn a_publication_that_was_dropped_or_narrowed_is_not_mended_in_silence() {
    on_every_version("cap_narrowed", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)");
        let (mut capturer, opened) = Capturer::open(database.config()).await.expect("it opens");
        let mut config = database.config();
        config.expected_identity = Some(opened.identity);
        config.published_up_to = opened.confirmed;
        config.known_schemas = capturer.origin.tables().await.expect("tables");
        drop(capturer);
        // A table that was never published is added.
        database.sql("CREATE TABLE v (id int PRIMARY KEY)");
        drop(Capturer::open(config.clone()).await.expect("it opens"));
        database.sql("ALTER PUBLICATION cap_narrowed DROP TABLE t");
        assert_eq!(
            refusal(config.clone()).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-109")
        );
        database.sql("DROP PUBLICATION cap_narrowed");
        assert_eq!(
            refusal(config).await,
            (OriginErrorKind::Lost, "KL-CAPTURE-109")
        );
    });
}

#[test]
fn a_stream_that_the_server_ends_is_unreachable() {
    on_every_version("cap_ended", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let mut capturer = database.open().await;
        let client = database.client().await;
        let standing = slot_standing(&client, "cap_ended")
            .await
            .expect("asked")
            .expect("there");
        assert!(standing.active && standing.retained_bytes < 1 << 30);
        database.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'cap_ended'");
        let error = capturer.until_error("the end").await;
        assert_eq!(error.kind, OriginErrorKind::Unreachable, "{error}");
        assert!(capturer.origin.open().await.is_ok());
    });
}

#[test]
fn every_connection_is_encrypted_where_the_url_asks_for_it() {
    if keylane_parts::quick() {
        return;
    }
    let server = Postgres::start(PostgresVersion::V15).expect("it starts");
    // By the server's own hand, in its data folder: the key must be its user's.
    let certificate = "COPY (SELECT 1) TO PROGRAM 'openssl req -new -x509 -days 30 -nodes -subj /CN=localhost -out server.crt -keyout server.key 2>/dev/null && chmod 600 server.key'";
    for sql in [
        "CREATE TABLE t (id int PRIMARY KEY)",
        certificate,
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        server.psql("postgres", sql).expect("prepared");
    }
    keylane_parts::wait_until("TLS to be on", PATIENCE, || {
        Ok(server.psql("postgres", "SHOW ssl")? == "on")
    })
    .expect("it is");
    let url = format!("{}?sslmode=require", server.url("postgres"));
    let config = keylane::postgres::capture::PostgresOriginConfig::new(url, "tls", "tls");
    runtime().block_on(async {
        let (mut capturer, _) = Capturer::open(config).await.expect("it opens");
        server.psql("postgres", "INSERT INTO t VALUES (1)").expect("written");
        capturer.until("the row", |told| lines(told).len() == 1).await;
        let encrypted = "SELECT count(*), bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name LIKE 'keylane capture%'";
        let answer = server.psql("postgres", encrypted).expect("asked");
        assert_eq!(answer, "2|t");
    });
}
