//! SQLite as replica.

use std::sync::Arc;

use bytes::Bytes;
use keylane::envelope::SchemaCache;
use keylane::sqlite::apply::{SqliteReplica, SqliteReplicaOptions};
use keylane::sqlite::capture::{SqliteOrigin, SqliteOriginOptions};
use keylane_core::apply::{
    ApplyBatch, Held, LaneStep, Mode, MustHit, PartitionLow, PartitionSpec, Replica, Work,
    WorkAction,
};
use keylane_core::capture::{Origin, OriginEvent};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, Lane, LaneCount, Offset, Op, Position, TopicPartition};
use keylane_core::publish::Acceptance;

use crate::changes::check_asked_threads;
use crate::sqlite_capture::until_idle;

/// The change that an event tells.
pub(crate) fn change_of(event: OriginEvent, position: Position) -> Option<Change> {
    let (schema, op, before, after) = match event {
        OriginEvent::Insert { schema, after } => (schema, Op::Insert, None, Some(after)),
        OriginEvent::Update {
            schema,
            before,
            after,
        } => (schema, Op::Update, before, Some(after)),
        OriginEvent::Delete { schema, before } => (schema, Op::Delete, Some(before), None),
        _ => return None,
    };
    Some(Change {
        schema,
        op,
        before,
        after,
        moved_from: None,
        position,
        tx: position.commit,
        committed_at_us: 0,
    })
}

pub(crate) async fn replica(path: &std::path::Path) -> SqliteReplica {
    let replica = SqliteReplica::connect(SqliteReplicaOptions {
        path: path.to_owned(),
        foreign_keys: true,
        decoder: Arc::new(SchemaCache::default()),
    })
    .await
    .expect("opened");
    replica.prepare().await.expect("prepared");
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_threads_is_kept_also_in_a_file_of_an_earlier_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("replica.db");
    let replica = replica(&path).await;
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection
        .execute_batch("DROP TABLE keylane_pipelines")
        .expect("dropped");
    check_asked_threads(&replica).await;
}

pub(crate) fn spec() -> PartitionSpec {
    PartitionSpec {
        partition: TopicPartition::new("t", 0),
        topic_id: Arc::from("id"),
        partitions: 1,
        lanes: LaneCount(4),
    }
}

/// One lane's changes as one batch that starts at the lane's offset `from`.
pub(crate) fn batch(owner_epoch: u64, from: u64, changes: Vec<Change>, mode: Mode) -> ApplyBatch {
    let next = from + changes.len() as u64;
    let position = changes.last().map_or(Position::ZERO, |last| last.position);
    let work = changes
        .into_iter()
        .zip(from..)
        .map(|(change, offset)| Work {
            step: 0,
            offset: Offset(offset),
            key: Bytes::from(change.row_key().unwrap_or_default()),
            action: WorkAction::Apply(Arc::new(change)),
        });
    ApplyBatch {
        pipeline: Arc::from("p"),
        work: work.collect(),
        steps: vec![LaneStep {
            partition: spec().partition,
            lane: Lane(0),
            owner_epoch,
            expected: Offset(from),
            next: Offset(next),
            position,
        }],
        mode,
        must_hit: MustHit::Nowhere,
        turn: None,
    }
}

#[tokio::test]
async fn every_storage_class_comes_through_from_origin_to_replica() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (folder.path().join("o.db"), folder.path().join("r.db"));
    let shop = rusqlite::Connection::open(&from).expect("opened");
    shop.execute_batch(
        "PRAGMA journal_mode=WAL;
         CREATE TABLE cell (id TEXT PRIMARY KEY NOT NULL, any, i INTEGER, r REAL, n DECIMAL(10,2), t TEXT, b BLOB) WITHOUT ROWID;
         CREATE TABLE \"Select \"\"odd\"\"\" (\"Order\" INTEGER, \"a b\" TEXT);",
    )
    .expect("made");
    let mut origin = SqliteOrigin::connect(SqliteOriginOptions::at(&from))
        .await
        .expect("connected");
    let replica = replica(&to).await;
    let schemas = origin.tables().await.expect("tables");
    for schema in schemas {
        replica.create_table(&schema).await.expect("created");
    }
    let epoch = replica.fence("p", &[spec()]).await.expect("fenced")[0].owner_epoch;
    origin.open().await.expect("opened");
    let values = "1, '1', 1.0, 1.5, x'31', x'', '', NULL, 9e999, -9e999, 9223372036854775807, -9223372036854775808, \
                  9007199254740993, 0.1, 5e-324, 1.7976931348623157e308, -0.0, 'a' || char(0) || 'b', 'ä€😀', 1e15, 123456789.123456789";
    for (index, value) in values.split(", ").enumerate() {
        shop.execute_batch(&format!(
            "INSERT INTO cell SELECT 'k{index}', v, v, v, v, v, v FROM (SELECT {value} AS v);
             UPDATE cell SET any = t, t = any WHERE id = 'k{index}';
             UPDATE cell SET any = t, t = any WHERE id = 'k{index}';
             INSERT INTO \"Select \"\"odd\"\"\" VALUES ({index} % 3, {value});"
        ))
        .expect("written");
    }
    shop.execute_batch(
        "DELETE FROM \"Select \"\"odd\"\"\" WHERE \"Order\" = 1;
         UPDATE \"Select \"\"odd\"\"\" SET \"Order\" = NULL WHERE \"Order\" = 2;
         DELETE FROM cell WHERE id = 'k3'",
    )
    .expect("written");
    let changes: Vec<Change> = until_idle(&mut origin)
        .await
        .into_iter()
        .zip(0..)
        .filter_map(|(event, index)| change_of(event, Position::new(index, 0)))
        .collect();
    assert!(changes.len() > 80);
    let mut session = replica.session().await.expect("a session");
    let applied = session
        .apply(&batch(epoch, 0, changes, Mode::Unfolded))
        .await
        .expect("applied");
    assert!(applied.missing.is_empty(), "{:?}", applied.missing);
    for table in ["cell", "Select \"odd\""] {
        assert_eq!(dump(&from, table), dump(&to, table));
    }
}

/// All rows with their storage classes, sorted.
pub(crate) fn dump(path: &std::path::Path, table: &str) -> Vec<String> {
    let database = rusqlite::Connection::open(path).expect("opened");
    let mut statement = database
        .prepare(&format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")))
        .expect("there");
    let width = statement.column_count();
    let rows = statement
        .query_map([], |row| {
            let cells = (0..width).map(|place| {
                row.get_ref(place).map(|cell| match cell {
                    rusqlite::types::ValueRef::Real(real) => format!("{:x}", real.to_bits()),
                    other => format!("{other:?}"),
                })
            });
            cells.collect::<rusqlite::Result<Vec<_>>>()
        })
        .expect("readable");
    let mut rows: Vec<String> = rows.map(|row| row.expect("a row").join("|")).collect();
    rows.sort();
    rows
}

/// A transaction of a shop whose foreign keys cascade: the customer's delete first, then the order's that went with it; another order was given to the
/// customer who stays, just before.
#[tokio::test]
async fn a_delete_that_takes_rows_with_it_goes_only_with_its_whole_transaction() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (folder.path().join("o.db"), folder.path().join("r.db"));
    let tables = "PRAGMA foreign_keys=ON;
         CREATE TABLE customer (id INTEGER PRIMARY KEY);
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer ON DELETE CASCADE);
         INSERT INTO customer VALUES (1), (2);
         INSERT INTO orders VALUES (10, 1), (11, 1);";
    let [shop, copy] = [&from, &to].map(|path| {
        let database = rusqlite::Connection::open(path).expect("opened");
        database.execute_batch(tables).expect("made");
        database
    });
    let mut origin = SqliteOrigin::connect(SqliteOriginOptions::at(&from))
        .await
        .expect("connected");
    let replica = replica(&to).await;
    let epoch = replica.fence("p", &[spec()]).await.expect("fenced")[0].owner_epoch;
    origin.tables().await.expect("tables");
    origin.open().await.expect("opened");
    shop.execute_batch(
        "BEGIN; UPDATE orders SET customer = 2 WHERE id = 11; DELETE FROM customer WHERE id = 1; COMMIT",
    )
    .expect("written");
    let changes: Vec<Change> = until_idle(&mut origin)
        .await
        .into_iter()
        .zip(0..)
        .filter_map(|(event, index)| change_of(event, Position::new(1, index)))
        .collect();
    let told: Vec<Op> = changes.iter().map(|change| change.op).collect();
    assert!(
        told.contains(&Op::Update) && told.iter().filter(|op| **op == Op::Delete).count() == 2,
        "{told:?}"
    );
    let mut session = replica.session().await.expect("a session");
    for mode in [Mode::Folded, Mode::Unfolded] {
        let refused = session
            .apply(&batch(epoch, 0, changes.clone(), mode))
            .await
            .expect_err("not in parts");
        assert_eq!(
            refused.kind,
            keylane_core::error::ApplyErrorKind::Constraint
        );
    }
    let applied = session
        .apply(&batch(epoch, 0, changes, Mode::Together))
        .await
        .expect("applied");
    assert!(applied.missing.is_empty(), "{:?}", applied.missing);
    drop(copy);
    for table in ["customer", "orders"] {
        assert_eq!(dump(&from, table), dump(&to, table));
    }
}

#[tokio::test]
async fn a_low_mark_is_saved_only_where_all_that_it_stands_for_is_held() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("r.db");
    let replica = replica(&file).await;
    let owner_epoch = replica.fence("p", &[spec()]).await.expect("fenced")[0].owner_epoch;
    let mut session = replica.session().await.expect("a session");
    let low = |next: u64, held: u64, ahead: &[(Lane, Offset)]| PartitionLow {
        partition: spec().partition,
        owner_epoch,
        low: Offset(next),
        low_position: Position::new(next, 0),
        acceptance: Acceptance::default(),
        held: Held {
            low: Offset(held),
            ahead: ahead.to_vec(),
        },
    };
    let person = rusqlite::Connection::open(&file).expect("opened");
    let sql = |sql: &str| person.execute_batch(sql).expect("done");
    sql("CREATE TABLE backup AS SELECT * FROM keylane_progress");
    session
        .save_low("p", &[low(5, 0, &[])])
        .await
        .expect("saved");
    let refused = session
        .save_low("p", &[low(6, 5, &[(Lane(0), Offset(6))])])
        .await;
    let refused = refused.expect_err("the lane is not there");
    assert_eq!(refused.kind, ApplyErrorKind::Fenced, "{refused}");
    sql("DELETE FROM keylane_progress; INSERT INTO keylane_progress SELECT * FROM backup");
    let refused = session.save_low("p", &[low(6, 5, &[])]).await;
    let refused = refused.expect_err("the file was restored");
    assert_eq!(refused.kind, ApplyErrorKind::Fenced, "{refused}");
}
