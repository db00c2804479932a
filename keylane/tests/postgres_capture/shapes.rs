//! Changes of a table's shape: added columns flow through, everything else stops with a word.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::capture::{Origin, OriginErrorKind, OriginEvent};
use keylane_core::model::TableName;

use keylane_parts::{Postgres, PostgresOptions, PostgresVersion};

use super::harness::{Capturer, Database, lines, on_every_version, runtime};

#[test]
fn an_added_column_flows_through_and_new_constraints_are_seen() {
    on_every_version("cap_added", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
        let mut capturer = database.open().await;
        database.sql("INSERT INTO t VALUES (1, 'a')");
        database.sql("BEGIN; INSERT INTO t VALUES (2, 'b'); ALTER TABLE t ADD w numeric(5,1); UPDATE t SET w = id; COMMIT");
        database.sql("ALTER TABLE t ADD UNIQUE (w)");
        database.sql("INSERT INTO t VALUES (3, 'c', 3)");
        let told = capturer
            .until("the third row", |told| lines(told).len() == 5)
            .await;
        assert_eq!(
            lines(&told),
            [
                "I t 1|a",
                "I t 2|b",
                "U t [] 1|a|1.0",
                "U t [] 2|b|2.0",
                "I t 3|c|3.0"
            ]
        );
        let last = told.iter().rev().find_map(|event| match event {
            OriginEvent::Insert { schema, .. } => Some(Arc::clone(schema)),
            _ => None,
        });
        let last = last.expect("an insert");
        assert_eq!(&*last.columns[2].type_name, "numeric(5,1)");
        assert_eq!(last.uniques, [vec![2]]);
        let now = capturer.origin.tables().await.expect("tables");
        assert_eq!(now, [last]);
    });
}

/// What is done to a table, and what the stop says.
const STOPS: [(&str, &str); 7] = [
    (
        "ALTER TABLE t ADD w int DEFAULT 7; ALTER TABLE t ALTER w DROP DEFAULT",
        "column w was added with a default",
    ),
    ("ALTER TABLE t DROP v", "column v was dropped or renamed"),
    (
        "ALTER TABLE t RENAME v TO w",
        "column v was dropped or renamed",
    ),
    (
        "ALTER TABLE t ALTER v TYPE varchar(99)",
        "column v changed from text to character varying(99)",
    ),
    (
        "ALTER TABLE t ADD w int NOT NULL DEFAULT 7",
        "column w was added with a default",
    ),
    (
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, n)",
        "key changed",
    ),
    (
        "ALTER TABLE t RENAME TO u; CREATE TABLE t (id int PRIMARY KEY)",
        "named public.t",
    ),
];

#[test]
fn what_must_not_be_guessed_stops_with_a_word() {
    on_every_version("cap_stops", async |database| {
        for (number, (alter, word)) in STOPS.into_iter().enumerate() {
            database.sql("DROP TABLE IF EXISTS t, u; CREATE TABLE t (id int PRIMARY KEY, v text, n int NOT NULL DEFAULT 0)");
            let mut config = database.config();
            config.slot = format!("cap_stops_{number}");
            let (mut capturer, _) = Capturer::open(config.clone()).await.expect("it opens");
            database.sql("INSERT INTO t VALUES (1, 'a')");
            let told = capturer
                .until("the first row", |told| lines(told).len() == 1)
                .await;
            let known = told.iter().find_map(|event| match event {
                OriginEvent::Insert { schema, .. } => Some(Arc::clone(schema)),
                _ => None,
            });
            database.sql(alter);
            let name = if number == 6 { "u" } else { "t" };
            database.sql(&format!("INSERT INTO {name} (id) VALUES (2)"));
            let error = capturer.until_error("the stop").await;
            assert_eq!(
                (error.kind, error.code),
                (OriginErrorKind::Refused, "KL-CAPTURE-110"),
                "{error}"
            );
            assert!(error.message.contains(word), "{alter}: {error}");
            // Nor does a restart go past it, if what was published is known.
            if number < 5 {
                config.known_schemas = known.into_iter().collect();
                config.take_slot_within = super::harness::PATIENCE;
                let reopened = capturer.origin.open().await;
                assert!(reopened.is_ok());
                drop(capturer);
                let (mut capturer, _) = Capturer::open(config).await.expect("it opens");
                let error = capturer.until_error("the stop after a restart").await;
                assert!(error.message.contains(word), "{alter}: {error}");
            }
        }
    });
}

#[test]
fn a_default_that_filled_rows_is_seen_after_it_was_dropped_until_the_table_was_rewritten() {
    on_every_version("cap_filled", async |database| {
        for (table, made) in [
            ("t", "CREATE TABLE t (id int PRIMARY KEY, v text)"),
            (
                "p",
                "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
            ),
        ] {
            database.sql(made);
            let mut config = database.config();
            config.slot = format!("cap_filled_{table}");
            config.publication = config.slot.clone();
            config.tables = vec![TableName::new("public", table)];
            let (mut capturer, _) = Capturer::open(config.clone()).await.expect("it opens");
            config.known_schemas = capturer.origin.tables().await.expect("tables");
            database.sql(&format!(
                "INSERT INTO {table} VALUES (1, 'a'); ALTER TABLE {table} ADD w int DEFAULT 7; ALTER TABLE {table} ALTER w DROP DEFAULT;
                 INSERT INTO {table} VALUES (2, 'b', 3)"
            ));
            let error = capturer.until_error("the stop").await;
            let word = "column w was added with a default";
            assert!(error.message.contains(word), "{table}: {error}");
            drop(capturer);
            database.sql(&format!("VACUUM FULL {table}"));
            config.take_slot_within = super::harness::PATIENCE;
            let (mut capturer, _) = Capturer::open(config).await.expect("it opens");
            let told = capturer
                .until("both rows", |told| lines(told).len() == 2)
                .await;
            let expect = [format!("I {table} 1|a"), format!("I {table} 2|b|3")];
            assert_eq!(lines(&told), expect);
        }
    });
}

#[test]
fn transactions_from_before_an_added_column_pass_after_a_restart() {
    on_every_version("cap_older", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
        let capturer = database.open().await;
        drop(capturer);
        database.sql("INSERT INTO t VALUES (1, 'a')");
        database.sql("ALTER TABLE t ADD w int");
        database.sql("INSERT INTO t VALUES (2, 'b', 3)");
        let mut config = database.config();
        let (mut capturer, _) = Capturer::open(config.clone()).await.expect("it opens");
        let known = capturer.origin.tables().await.expect("tables");
        drop(capturer);
        config.known_schemas = known;
        let (mut capturer, _) = Capturer::open(config).await.expect("it opens");
        let told = capturer
            .until("both rows", |told| lines(told).len() == 2)
            .await;
        assert_eq!(lines(&told), ["I t 1|a", "I t 2|b|3"]);
    });
}

#[test]
fn a_change_of_shape_that_readers_do_not_see_yet_is_waited_for() {
    if keylane_parts::quick() {
        return;
    }
    // A server of its own: all that is committed there waits for a standby that is not there.
    let options = PostgresOptions::new(PostgresVersion::V15);
    let server = Postgres::start(options).expect("PostgreSQL starts");
    let server: &'static Postgres = Box::leak(Box::new(server));
    let name = "cap_unseen";
    server.create_database(name).expect("a database");
    let database = Database { server, name };
    let standby = |named: &str| {
        database.sql(&format!(
            "ALTER SYSTEM SET synchronous_standby_names = '{named}'"
        ));
        database.sql("SELECT pg_reload_conf()");
    };
    database.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    runtime().block_on(async {
        let mut capturer = database.open().await;
        database.sql("INSERT INTO t VALUES (1, 'a')");
        capturer.commits(1).await;
        standby("nobody");
        let writer = std::thread::spawn(move || {
            database.sql(
                "BEGIN; ALTER TABLE t ADD w int DEFAULT 7; INSERT INTO t VALUES (2, 'b'); COMMIT",
            );
        });
        let early = tokio::time::timeout(
            Duration::from_secs(2),
            capturer.until("the second row", |told| lines(told).len() == 2),
        );
        assert!(early.await.is_err(), "it is not told by the former shape");
        let columns =
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0";
        assert_eq!(database.sql(columns), "2", "nobody sees it yet");
        standby("");
        let error = capturer.until_error("the changed shape").await;
        assert!(
            error.message.contains("column w was added with a default"),
            "{}",
            error.message
        );
        writer.join().expect("it is written");
    });
}
