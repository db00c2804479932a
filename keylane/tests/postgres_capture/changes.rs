//! What the stream tells of inserts, updates, deletes and truncates, under every replica identity.

use std::time::{Duration, Instant};

use keylane_core::capture::{Origin, OriginEvent};

use super::harness::{Capturer, PATIENCE, lines, on_every_version, table};

#[test]
fn every_kind_of_change_is_told_in_commit_order_with_positions_of_its_own() {
    on_every_version("cap_kinds", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
        let mut capturer = database.open().await;
        for statement in [
            "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
            "BEGIN; UPDATE t SET v = 'b' WHERE id = 1; UPDATE t SET id = 3 WHERE id = 2; COMMIT",
            "DELETE FROM t WHERE id = 3",
            "TRUNCATE t",
            "SELECT pg_logical_emit_message(true, 'keylane', 'settle')",
        ] {
            database.sql(statement);
        }
        let told = capturer.commits(5).await;
        assert_eq!(
            lines(&told),
            [
                "I t 1|a",
                "I t 2|-",
                "U t [] 1|b",
                "U t [2|~] 3|-",
                "D t 3|~",
                "T t",
                "M",
            ]
        );
        let mut places = Vec::new();
        let mut open = false;
        for event in &told {
            match event {
                OriginEvent::Begin {
                    commit,
                    committed_at_us,
                    tx,
                } => {
                    assert!(!open && *committed_at_us > 1_700_000_000_000_000 && *tx > 0);
                    open = true;
                    places.push(*commit);
                }
                OriginEvent::Commit { end } => {
                    assert!(open && *end > *places.last().expect("begun"));
                    open = false;
                    places.push(*end);
                }
                OriginEvent::Idle { up_to } => {
                    assert!(!open && places.last().is_none_or(|last| up_to >= last));
                }
                _ => assert!(open, "{event:?} outside of a transaction"),
            }
        }
        assert!(places.is_sorted(), "{places:?}");
    });
}

#[test]
fn each_replica_identity_tells_what_it_can_and_a_missing_one_is_refused_with_the_mend() {
    on_every_version("cap_identity", async |database| {
        database.sql(
            "CREATE TABLE by_index (a int NOT NULL, b int NOT NULL, v text); CREATE UNIQUE INDEX u ON by_index (b, a);
             ALTER TABLE by_index REPLICA IDENTITY USING INDEX u;
             CREATE TABLE wide (id int PRIMARY KEY, v text, p int); ALTER TABLE wide REPLICA IDENTITY FULL;
             CREATE TABLE history (v int)",
        );
        let refused = Capturer::open(database.config()).await.map(|_| ());
        let refused = refused.expect_err("history has no identity");
        assert_eq!(refused.code, "KL-CAPTURE-107");
        let mend = "ALTER TABLE \"public\".\"history\" REPLICA IDENTITY FULL;";
        assert!(refused.message.contains(mend), "{refused}");
        database.sql(mend);
        let mut capturer = database.open().await;
        for statement in [
            "INSERT INTO by_index VALUES (1, 2, 'x'); UPDATE by_index SET v = 'y'; UPDATE by_index SET b = 3; DELETE FROM by_index",
            "INSERT INTO wide VALUES (1, 'x', 7); UPDATE wide SET v = 'y'; DELETE FROM wide",
            "INSERT INTO history VALUES (5), (5), (NULL); UPDATE history SET v = 6 WHERE v = 5; DELETE FROM history WHERE v IS NULL",
        ] {
            database.sql(statement);
        }
        let told = capturer.commits(3).await;
        assert_eq!(
            lines(&told),
            [
                "I by_index 1|2|x",
                "U by_index [] 1|2|y",
                "U by_index [1|2|~] 1|3|y",
                "D by_index 1|3|~",
                "I wide 1|x|7",
                "U wide [1|x|7] 1|y|7",
                "D wide 1|y|7",
                "I history 5",
                "I history 5",
                "I history -",
                "U history [5] 6",
                "U history [5] 6",
                "D history -",
            ]
        );
        let schemas = capturer.origin.tables().await.expect("tables");
        let keys: Vec<_> = schemas
            .iter()
            .map(|schema| (&*schema.table.name, schema.key.clone()))
            .collect();
        assert_eq!(
            keys,
            [
                ("by_index", vec![1, 0]),
                ("history", vec![]),
                ("wide", vec![0])
            ]
        );
    });
}

#[test]
fn an_unchanged_out_of_line_value_is_absent_and_filled_where_the_old_row_tells_it() {
    on_every_version("cap_toast", async |database| {
        database.sql(
            "CREATE TABLE t (id int PRIMARY KEY, big text, n int); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
             CREATE TABLE f (id int PRIMARY KEY, big text, n int); ALTER TABLE f ALTER big SET STORAGE EXTERNAL;
             ALTER TABLE f REPLICA IDENTITY FULL",
        );
        let mut capturer = database.open().await;
        for name in ["t", "f"] {
            database.sql(&format!(
                "INSERT INTO {name} VALUES (1, repeat('x', 9000), 0); UPDATE {name} SET n = 1; UPDATE {name} SET id = 2"
            ));
        }
        let told = capturer.commits(2).await;
        let big = "x".repeat(9000);
        let short: Vec<String> = lines(&told)
            .iter()
            .map(|line| line.replace(&big, "BIG"))
            .collect();
        assert_eq!(
            short,
            [
                "I t 1|BIG|0",
                "U t [] 1|~|1",
                "U t [1|~|~] 2|~|1",
                "I f 1|BIG|0",
                "U f [1|BIG|0] 1|BIG|1",
                "U f [1|BIG|1] 2|BIG|1",
            ]
        );
    });
}

#[test]
fn partitions_are_told_as_their_root_and_generated_columns_are_left_out() {
    on_every_version("cap_partitions", async |database| {
        database.sql(
            "CREATE TABLE p (id int, part int, twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
             CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
             CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (extra int, PRIMARY KEY (id)) INHERITS (parent)",
        );
        let mut capturer = database.open().await;
        database.sql("INSERT INTO p VALUES (1, 1), (2, 2); UPDATE p SET part = 2 WHERE id = 1; INSERT INTO child VALUES (9, 8); TRUNCATE p");
        let told = capturer.commits(1).await;
        assert_eq!(
            lines(&told),
            [
                "I p 1|1",
                "I p 2|2",
                "D p 1|1",
                "I p 1|2",
                "I child 9|8",
                "T p"
            ]
        );
        let schemas = capturer.origin.tables().await.expect("tables");
        let shape = schemas
            .iter()
            .find(|schema| schema.table == table("p"))
            .expect("p");
        let names: Vec<&str> = shape.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(
            (names, shape.key.as_slice()),
            (vec!["id", "part"], [1, 0].as_slice())
        );
    });
}

#[test]
fn constraints_are_told_and_parents_come_first() {
    on_every_version("cap_constraints", async |database| {
        database.sql(
            "CREATE TABLE a_items (id int PRIMARY KEY, order_id int, code text);
             CREATE TABLE z_orders (id int PRIMARY KEY, email text UNIQUE, region int, nr int);
             CREATE UNIQUE INDEX nrs ON z_orders (nr, region); CREATE UNIQUE INDEX of_region ON z_orders (nr) WHERE region = 1;
             CREATE UNIQUE INDEX low ON z_orders (lower(email));
             ALTER TABLE a_items ADD FOREIGN KEY (order_id) REFERENCES z_orders (id);
             CREATE TABLE outside (id int PRIMARY KEY, item int REFERENCES a_items (id))",
        );
        let mut config = database.config();
        config.tables = vec![table("a_items"), table("z_orders")];
        let (mut capturer, _) = Capturer::open(config).await.expect("it opens");
        let schemas = capturer.origin.tables().await.expect("tables");
        let [orders, items] = schemas.as_slice() else {
            panic!("{schemas:?}")
        };
        assert_eq!(orders.table, table("z_orders"));
        assert_eq!(orders.uniques, [vec![1], vec![3, 2]]);
        assert_eq!(orders.referenced, [vec![0]]);
        assert_eq!(items.references.len(), 1);
        assert_eq!(items.references[0].parent, table("z_orders"));
        assert!(items.referenced.is_empty(), "{items:?}");
        database.sql("INSERT INTO z_orders VALUES (1)");
        let told = capturer.commits(1).await;
        let Some(OriginEvent::Insert { schema, .. }) = told
            .iter()
            .find(|event| matches!(event, OriginEvent::Insert { .. }))
        else {
            panic!("{told:?}")
        };
        assert_eq!(schema, orders, "stream and catalog tell one shape");
    });
}

#[test]
fn traffic_on_tables_that_are_not_captured_lets_the_slot_move_on() {
    on_every_version("cap_idle", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)");
        let mut config = database.config();
        config.tables = vec![table("t")];
        let (mut capturer, opened) = Capturer::open(config).await.expect("it opens");
        database.sql("INSERT INTO other SELECT * FROM generate_series(1, 10000)");
        let place = database.sql("SELECT (pg_current_wal_insert_lsn() - '0/0')::text");
        let place: u64 = place.parse().expect("a number");
        let deadline = Instant::now() + PATIENCE;
        let mut confirmed = opened.confirmed;
        while confirmed < place {
            let left = deadline.saturating_duration_since(Instant::now());
            let events = tokio::time::timeout(left, capturer.origin.next(1 << 20))
                .await
                .expect("idle places arrive")
                .expect("the stream goes on");
            assert!(lines(&events).is_empty(), "{events:?}");
            for event in events {
                if let OriginEvent::Idle { up_to } | OriginEvent::Commit { end: up_to } = event {
                    confirmed = up_to;
                    capturer.origin.confirm(up_to).await.expect("confirmed");
                }
            }
        }
        keylane_parts::wait_until("the slot to move on", PATIENCE, || {
            let sql = format!("SELECT confirmed_flush_lsn - '0/0' >= {place} FROM pg_replication_slots WHERE slot_name = 'cap_idle'");
            Ok(database.sql(&sql) == "t")
        })
        .expect("it moves on");
    });
}

#[test]
fn heartbeats_move_the_slot_of_an_idle_database() {
    on_every_version("cap_heartbeat", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let mut config = database.config();
        config.heartbeat = Duration::from_millis(200);
        let (mut capturer, opened) = Capturer::open(config).await.expect("it opens");
        let idle = |told: &[OriginEvent]| {
            let places = told.iter().filter_map(|event| match event {
                OriginEvent::Idle { up_to } => Some(*up_to),
                _ => None,
            });
            places
                .max()
                .is_some_and(|place| place > opened.confirmed + 300)
        };
        capturer.until("heartbeats to be told", idle).await;
    });
}

#[test]
fn a_transaction_much_larger_than_the_buffers_passes_in_flat_memory() {
    on_every_version("cap_large", async |database| {
        const ROWS: usize = 300_000;
        database.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
        let mut capturer = database.open().await;
        database.sql(&format!(
            "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, {ROWS}) i"
        ));
        let before = resident_bytes();
        let (mut rows, mut highest, mut ended) = (0usize, 0, false);
        let began = Instant::now();
        while !ended {
            let events = capturer.origin.next(1 << 20).await.expect("it goes on");
            rows += lines(&events).len();
            ended = events
                .iter()
                .any(|event| matches!(event, OriginEvent::Commit { .. }));
            highest = highest.max(resident_bytes());
            assert!(began.elapsed() < PATIENCE * 3, "{rows} rows so far");
        }
        assert_eq!(rows, ROWS);
        let grown = highest.saturating_sub(before) >> 20;
        eprintln!("{rows} rows in {:?}, grown by {grown} MB", began.elapsed());
        assert!(grown < 150, "grown by {grown} MB while 300 MB passed");
    });
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).expect("resident pages");
    pages.parse::<u64>().expect("a number") * 4096
}

#[test]
fn a_wait_that_is_dropped_loses_nothing_and_tells_nothing_twice() {
    on_every_version("cap_dropped", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let mut capturer = database.open().await;
        let writer = std::thread::spawn(move || {
            for round in 0..30 {
                // Each new column brings a new shape, for which the catalog is asked in the midst of a wait.
                let ids = format!("generate_series({}, {})", round * 10, round * 10 + 9);
                database.sql(&format!(
                    "ALTER TABLE t ADD c{round} int; INSERT INTO t (id) SELECT * FROM {ids}"
                ));
            }
        });
        let (mut ids, mut dropped) = (Vec::new(), 0);
        let began = Instant::now();
        while ids.len() < 300 {
            assert!(began.elapsed() < PATIENCE, "{} rows so far", ids.len());
            let wait = Duration::from_micros(50 * (1 + dropped % 40));
            match tokio::time::timeout(wait, capturer.origin.next(200)).await {
                Ok(events) => ids.extend(lines(&events.expect("it goes on")).iter().map(|line| {
                    let row = line.trim_start_matches("I t ");
                    row.split('|').next().map(str::to_owned).expect("an id")
                })),
                Err(_) => dropped += 1,
            }
        }
        writer.join().expect("the writer ends");
        let expect: Vec<String> = (0..300).map(|id: i32| id.to_string()).collect();
        assert_eq!(ids, expect);
        assert!(dropped > 10, "{dropped} waits were dropped");
    });
}

#[test]
fn what_was_rolled_back_is_not_told_and_what_was_prepared_is_told_at_its_commit() {
    on_every_version("cap_prepared", async |database| {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)");
        let mut capturer = database.open().await;
        database.sql("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'cap_prepared'");
        database.sql("BEGIN; INSERT INTO t VALUES (2); SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s; INSERT INTO t VALUES (4); COMMIT");
        database.sql("BEGIN; INSERT INTO t VALUES (5); ROLLBACK");
        database.sql("COMMIT PREPARED 'cap_prepared'");
        let told = capturer.commits(2).await;
        assert_eq!(lines(&told), ["I t 2", "I t 4", "I t 1"]);
    });
}
