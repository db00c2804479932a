//! A copy's chunks beside live traffic: each holds exactly what the stream's place of it demands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keylane_core::capture::{ChunkRequest, Origin, OriginEvent};
use keylane_core::model::{Row, Value};

use super::harness::{Capturer, Database, PATIENCE, on_every_version, row_text, table, value_text};

/// What the stream has told so far: it began before the first row, so this is the table at the stream's place.
#[derive(Default)]
struct Table {
    by_key: BTreeMap<String, String>,
    /// For a table without a key: how many of each row.
    bag: BTreeMap<String, i64>,
    touched: BTreeSet<String>,
}

impl Table {
    fn take(&mut self, event: &OriginEvent, keyed: bool) {
        match event {
            OriginEvent::Insert { after, .. } => self.put(after, keyed),
            OriginEvent::Update { before, after, .. } => {
                if let Some(before) = before {
                    self.remove(before, keyed);
                }
                self.put(after, keyed);
            }
            OriginEvent::Delete { before, .. } => self.remove(before, keyed),
            OriginEvent::Truncate { .. } => {
                self.by_key.clear();
                self.bag.clear();
            }
            _ => {}
        }
    }

    fn put(&mut self, row: &Row, keyed: bool) {
        if keyed {
            self.touched.insert(key(row));
            self.by_key.insert(key(row), row_text(row));
        } else {
            *self.bag.entry(row_text(row)).or_default() += 1;
        }
    }

    fn remove(&mut self, row: &Row, keyed: bool) {
        if keyed {
            self.touched.insert(key(row));
            self.by_key.remove(&key(row));
        } else {
            let count = self.bag.entry(row_text(row)).or_default();
            *count -= 1;
            if *count == 0 {
                self.bag.remove(&row_text(row));
            }
        }
    }
}

/// Zero padded, so that text order is key order.
fn key(row: &Row) -> String {
    format!(
        "{:0>12}",
        value_text(row.first().expect("a key column comes first"))
    )
}

fn writer(
    database: Database,
    stop: Arc<AtomicBool>,
    sql: &'static str,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            database.sql(sql);
        }
    })
}

const SETUP: &str = "CREATE TABLE t (id int PRIMARY KEY, v int, pad text); CREATE TABLE h (a int, b int); ALTER TABLE h REPLICA IDENTITY FULL;";
const FILL: &str = "INSERT INTO t SELECT i, 0, 'x' FROM generate_series(1, 5000) i; INSERT INTO h SELECT i % 50, 0 FROM generate_series(1, 5000) i";
/// Short transactions over all rows: updates, deletes that come back, key changes.
const CHURN: &str = "DO $$ DECLARE k int; BEGIN FOR n IN 1..40 LOOP k := 1 + (random() * 4999)::int;
    CASE n % 4 WHEN 0 THEN UPDATE t SET v = v + 1 WHERE id = k;
      WHEN 1 THEN DELETE FROM t WHERE id = k; WHEN 2 THEN INSERT INTO t VALUES (k, -1, 'back') ON CONFLICT DO NOTHING;
      ELSE UPDATE t SET id = id + 100000 WHERE id = k; UPDATE t SET id = id - 100000 WHERE id > 100000 AND NOT EXISTS (SELECT 1 FROM t o WHERE o.id = t.id - 100000); END CASE;
    COMMIT; END LOOP; END $$";
const CHURN_KEYLESS: &str = "DO $$ BEGIN FOR n IN 1..40 LOOP
    CASE n % 3 WHEN 0 THEN UPDATE h SET b = b + 1 WHERE ctid = (SELECT ctid FROM h OFFSET (random() * 4000)::int LIMIT 1);
      WHEN 1 THEN DELETE FROM h WHERE ctid = (SELECT ctid FROM h OFFSET (random() * 4000)::int LIMIT 1); ELSE INSERT INTO h VALUES (n, n); END CASE;
    COMMIT; END LOOP; END $$";

#[test]
fn a_chunk_holds_every_row_that_the_stream_did_not_tell_meanwhile_and_no_other() {
    on_every_version("cap_chunks", async |database| {
        database.sql(SETUP);
        let mut capturer = database.open().await;
        database.sql(FILL);
        let stop = Arc::new(AtomicBool::new(false));
        let writers = [CHURN, CHURN].map(|sql| writer(database, Arc::clone(&stop), sql));
        let mut state = Table::default();
        // The stream first: the requests then race with live traffic.
        let filled = |told: &[OriginEvent]| told.len() > 5000;
        for event in capturer.until("the first rows", filled).await {
            take(&mut state, &event);
        }
        let (mut touched_rows, mut total) = (0, 0);
        for _round in 0..3 {
            let mut after = None;
            for id in 1u64.. {
                let request = ChunkRequest {
                    id,
                    table: table("t"),
                    after: after.clone(),
                    rows_max: 700,
                };
                state.touched.clear();
                capturer.origin.request_chunk(request).await.expect("asked");
                let (rows, next) = next_chunk(&mut capturer, &mut state, id).await;
                touched_rows += state.touched.len();
                total += rows.len();
                check(&state, &rows, after.as_deref(), next.as_deref());
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().expect("the writer ends");
        }
        eprintln!("{total} rows in chunks, {touched_rows} told by the stream meanwhile");
        assert!(touched_rows > 0, "traffic and chunks did overlap");
    });
}

fn take(state: &mut Table, event: &OriginEvent) {
    match event {
        OriginEvent::Insert { schema, .. }
        | OriginEvent::Update { schema, .. }
        | OriginEvent::Delete { schema, .. }
            if &*schema.table.name == "t" =>
        {
            state.take(event, true);
        }
        _ => {}
    }
}

/// Listens up to the chunk; the events behind it are taken too, after the answer was looked at.
async fn next_chunk(
    capturer: &mut Capturer,
    state: &mut Table,
    id: u64,
) -> (Vec<Row>, Option<Vec<Value>>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Small bites: the chunk must be the last event that is looked at.
        let events = tokio::time::timeout(left, capturer.origin.next(1))
            .await
            .expect("the chunk arrives")
            .expect("the stream goes on");
        for event in &events {
            if let OriginEvent::Chunk {
                id: answered,
                rows,
                next_after,
                ..
            } = event
            {
                assert_eq!((*answered, events.len()), (id, 1));
                return (rows.clone(), next_after.clone());
            }
            take(state, event);
        }
    }
}

fn check(state: &Table, rows: &[Row], after: Option<&[Value]>, next: Option<&[Value]>) {
    let bound = |key: &[Value]| format!("{:0>12}", value_text(key.first().expect("one column")));
    let from = after.map(bound).unwrap_or_default();
    let to = next.map_or("~".to_owned(), bound);
    let read: BTreeMap<String, String> = rows.iter().map(|row| (key(row), row_text(row))).collect();
    assert_eq!(read.len(), rows.len(), "no key twice");
    assert!(read.keys().all(|key| *key > from && *key <= to));
    for (key, row) in &read {
        if !state.touched.contains(key) {
            assert_eq!(
                Some(row),
                state.by_key.get(key),
                "a row the stream tells otherwise"
            );
        }
    }
    for (key, row) in &state.by_key {
        if *key > from && *key <= to && !state.touched.contains(key) {
            assert_eq!(Some(row), read.get(key), "a row the chunk left out");
        }
    }
}

#[test]
fn a_table_without_a_key_is_copied_exactly_as_it_is_at_its_place_in_the_stream() {
    on_every_version("cap_keyless", async |database| {
        database.sql(SETUP);
        let mut capturer = database.open().await;
        database.sql(FILL);
        let stop = Arc::new(AtomicBool::new(false));
        let writers =
            [CHURN_KEYLESS, CHURN_KEYLESS].map(|sql| writer(database, Arc::clone(&stop), sql));
        let mut state = Table::default();
        for id in 1..=5u64 {
            let request = ChunkRequest {
                id,
                table: table("h"),
                after: None,
                rows_max: 900,
            };
            capturer.origin.request_chunk(request).await.expect("asked");
            let mut copied: BTreeMap<String, i64> = BTreeMap::new();
            let mut parts = 0;
            let deadline = Instant::now() + PATIENCE;
            'copy: loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let events = tokio::time::timeout(left, capturer.origin.next(1))
                    .await
                    .expect("the copy arrives")
                    .expect("the stream goes on");
                for event in &events {
                    match event {
                        OriginEvent::Chunk {
                            rows, next_after, ..
                        } => {
                            parts += 1;
                            for row in rows {
                                *copied.entry(row_text(row)).or_default() += 1;
                            }
                            if next_after.is_none() {
                                break 'copy;
                            }
                        }
                        OriginEvent::Insert { schema, .. }
                        | OriginEvent::Update { schema, .. }
                        | OriginEvent::Delete { schema, .. }
                            if &*schema.table.name == "h" =>
                        {
                            assert_eq!(parts, 0, "no change falls between the parts of a copy");
                            state.take(event, false);
                        }
                        _ => {}
                    }
                }
            }
            assert_eq!(copied, state.bag);
            assert!(parts > 4, "{parts} parts");
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().expect("the writer ends");
        }
    });
}

#[test]
fn chunks_walk_through_keys_of_any_type_and_stop_at_the_byte_bound() {
    on_every_version("cap_chunk_keys", async |database| {
        database.sql(
            "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE TYPE mood AS ENUM ('z', 'a', 'm'); CREATE DOMAIN code AS ext.citext;
             CREATE TABLE k_citext (k code PRIMARY KEY); INSERT INTO k_citext VALUES ('b'), ('A'), ('C'), ('d''\\'), ('E');
             CREATE TABLE k_numeric (k numeric PRIMARY KEY); INSERT INTO k_numeric VALUES ('NaN'), (1.50), ('-Infinity'), ('Infinity'), (-2);
             CREATE TABLE k_float (k float8 PRIMARY KEY); INSERT INTO k_float VALUES ('NaN'), (0.1), ('-Infinity'), ('Infinity'), (1e-300);
             CREATE TABLE k_text (k text COLLATE \"C\", n int, PRIMARY KEY (k, n)); INSERT INTO k_text VALUES ('a', 2), ('a', 1), ('B', 9), ('', 0), ('b', 1);
             CREATE TABLE k_collated (k text PRIMARY KEY); INSERT INTO k_collated VALUES ('a'), ('B'), ('c-d'), ('cd'), ('C d');
             CREATE TABLE k_uuid (k uuid PRIMARY KEY); INSERT INTO k_uuid SELECT gen_random_uuid() FROM generate_series(1, 5);
             CREATE TABLE k_enum (k mood, c char(3), PRIMARY KEY (k, c)); INSERT INTO k_enum VALUES ('a', 'x'), ('z', 'y'), ('m', ''), ('m', 'a'), ('z', '');
             CREATE TABLE k_time (k timestamptz PRIMARY KEY); INSERT INTO k_time VALUES ('infinity'), ('-infinity'), ('0001-01-01 BC'), (now()), ('2000-01-01');
             CREATE TABLE k_bytes (k bytea, f bool, PRIMARY KEY (f, k)); INSERT INTO k_bytes VALUES ('\\x00', true), ('\\xff', false), ('', true), ('\\x5c', false), ('\\x27', true);
             CREATE TABLE k_array (k int[] PRIMARY KEY); INSERT INTO k_array VALUES ('{}'), ('{1,NULL}'), ('{1,2}'), ('{{1}}'), ('[0:0]={1}');
             CREATE TABLE wide (k int PRIMARY KEY, v text); INSERT INTO wide SELECT i, repeat('x', 100000) FROM generate_series(1, 50) i",
        );
        let mut config = database.config();
        config.chunk_bytes_max = 1 << 20;
        let (mut capturer, _) = Capturer::open(config).await.expect("it opens");
        let tables = capturer.origin.tables().await.expect("tables");
        let mut id = 0;
        for schema in tables
            .iter()
            .filter(|schema| schema.table.name.starts_with("k_"))
        {
            let mut seen = BTreeSet::new();
            let mut after = None;
            for step in 0.. {
                assert!(step < 6, "{} does not end", schema.table);
                id += 1;
                let request = ChunkRequest {
                    id,
                    table: schema.table.clone(),
                    after,
                    rows_max: 2,
                };
                let (rows, next) = ask(&mut capturer, request).await;
                assert!(rows.len() <= 2);
                for row in &rows {
                    assert!(seen.insert(row_text(row)), "{}: twice", schema.table);
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen.len(), 5, "{}: {seen:?}", schema.table);
        }
        let request = ChunkRequest {
            id: 1000,
            table: table("wide"),
            after: None,
            rows_max: 1000,
        };
        let (rows, next) = ask(&mut capturer, request).await;
        assert!(
            rows.len() < 15,
            "{} rows of 100 kB in a chunk of 1 MB",
            rows.len()
        );
        assert_eq!(next, Some(vec![rows.last().expect("rows")[0].clone()]));
    });
}

async fn ask(capturer: &mut Capturer, request: ChunkRequest) -> (Vec<Row>, Option<Vec<Value>>) {
    capturer.origin.request_chunk(request).await.expect("asked");
    let told = capturer.commits(1).await;
    told.into_iter()
        .find_map(|event| match event {
            OriginEvent::Chunk {
                rows, next_after, ..
            } => Some((rows, next_after)),
            _ => None,
        })
        .expect("a chunk in a transaction of its own")
}

#[test]
fn a_copy_waits_for_a_long_transaction_without_holding_up_the_stream() {
    on_every_version("cap_chunk_lock", async |database| {
        database.sql(SETUP);
        let mut capturer = database.open().await;
        let holder = database.client().await;
        holder
            .batch_execute("BEGIN; INSERT INTO h VALUES (1, 1)")
            .await
            .expect("held");
        let request = ChunkRequest {
            id: 1,
            table: table("h"),
            after: None,
            rows_max: 10,
        };
        capturer.origin.request_chunk(request).await.expect("asked");
        // Longer than a lock is waited for: other writers go on and the stream tells them.
        for round in 0..8 {
            database.sql(&format!("SET lock_timeout = '3s'; INSERT INTO h VALUES (2, {round}); INSERT INTO t VALUES ({round})"));
            let told = capturer.commits(1).await;
            assert!(
                told.iter()
                    .all(|event| !matches!(event, OriginEvent::Chunk { .. }))
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        holder.batch_execute("COMMIT").await.expect("released");
        let is_last = |event: &OriginEvent| {
            matches!(
                event,
                OriginEvent::Chunk {
                    next_after: None,
                    ..
                }
            )
        };
        let told = capturer
            .until("the copy", |told| told.iter().any(is_last))
            .await;
        let rows: usize = told
            .iter()
            .map(|event| match event {
                OriginEvent::Chunk { rows, .. } => rows.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(rows, 9);
    });
}
