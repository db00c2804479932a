//! Changes of a table's shape: added columns flow through, everything else stops with a word.

use std::sync::Arc;

use keylane_core::capture::{Origin, OriginErrorKind, OriginEvent};

use super::harness::{Capturer, lines, on_every_version};

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

#[test]
fn what_must_not_be_guessed_stops_with_a_word() {
    on_every_version("cap_stops", async |database| {
        for (number, alter, word) in [
            (1, "ALTER TABLE t DROP v", "column v was dropped or renamed"),
            (
                2,
                "ALTER TABLE t RENAME v TO w",
                "column v was dropped or renamed",
            ),
            (
                3,
                "ALTER TABLE t ALTER v TYPE varchar(99)",
                "column v changed from text to character varying(99)",
            ),
            (
                4,
                "ALTER TABLE t ADD w int NOT NULL DEFAULT 7",
                "column w was added with a default",
            ),
            (
                5,
                "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, n)",
                "key changed",
            ),
            (
                6,
                "ALTER TABLE t RENAME TO u; CREATE TABLE t (id int PRIMARY KEY)",
                "named public.t",
            ),
        ] {
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
