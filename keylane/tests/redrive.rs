//! Parked changes that are redriven: what happens to one that fails again, and those that Debezium wrote.

use std::sync::Arc;

use bytes::Bytes;
use keylane::envelope::{DebeziumDecoder, DecodeParked, SchemaCache, encode_change};
use keylane::postgres::apply::{PostgresReplica, PostgresReplicaConfig};
use keylane::sqlite::apply::{SqliteReplica, SqliteReplicaOptions};
use keylane_core::apply::{
    ApplyError, ParkedEntry, ParkedFilter, ParkedSummary, PartitionSpec, Replica, Work, WorkAction,
};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, Epoch, Lane, Offset, Position, TableName, TopicPartition};
use keylane_core::publish::{Header, RecordKind};

use crate::changes::{insert, shape, update};
use crate::postgres_apply::bed::{Bed, source};
use crate::sqlite_apply::{batch, spec};

/// A record to be parked: its key, value and header.
type Parked = (String, Bytes, Option<String>);

fn own(change: &Change) -> Parked {
    let mut header = Header::plain(RecordKind::Change, Epoch(1), change.position);
    header.schema = Some(change.schema.id);
    let key = change.row_key().expect("a key");
    (key, encode_change(change, &source()), Some(header.encode()))
}

/// Applies these pieces of work at the lane's place.
async fn apply(
    replica: &dyn Replica,
    actions: Vec<(String, WorkAction)>,
) -> Result<(), ApplyError> {
    let progress = replica.fence("p", &[spec()]).await.expect("fenced");
    let (from, _) = progress[0].lanes.get(&Lane(0)).copied().unwrap_or_default();
    let mut batch = batch(
        progress[0].owner_epoch,
        from.0,
        Vec::new(),
        keylane_core::apply::Mode::Folded,
    );
    let mut next = from;
    for (key, action) in actions {
        let offset = next;
        if !matches!(action, WorkAction::Redrive) {
            next = next.next();
        }
        batch.work.push(Work {
            step: 0,
            offset,
            key: Bytes::from(key),
            action,
        });
    }
    (batch.steps[0].next, batch.steps[0].position) = (next, Position::new(next.0, 0));
    let mut session = replica.session().await.expect("a session");
    let applied = session.apply(&batch).await?;
    assert_eq!(applied.failed, None);
    Ok(())
}

/// Parks the records of one key, the first for its own sake.
async fn park(replica: &dyn Replica, table: &TableName, records: &[Parked]) {
    let progress = replica.fence("p", &[spec()]).await.expect("fenced");
    let (from, _) = progress[0].lanes.get(&Lane(0)).copied().unwrap_or_default();
    let mut offset = from;
    let mut actions = Vec::new();
    for (key, value, header) in records {
        let first = offset == from;
        let entry = ParkedEntry {
            table: Some(table.clone()),
            partition: spec().partition,
            offset,
            lane: Lane(0),
            key: Bytes::from(key.clone()),
            value: value.clone(),
            header: header.clone(),
            code: if first {
                "KL-APPLY-004"
            } else {
                "KL-APPLY-011"
            }
            .to_owned(),
            error: "did not fit".to_owned(),
            attempts: 1,
        };
        actions.push((key.clone(), WorkAction::Park(Box::new(entry))));
        offset = offset.next();
    }
    apply(replica, actions).await.expect("parked");
    assert_eq!(offset, Offset(from.0 + records.len() as u64));
    let last = listed(replica).await.pop().expect("it is listed");
    assert_eq!((last.partition, last.offset), (spec().partition, from));
}

async fn listed(replica: &dyn Replica) -> Vec<ParkedSummary> {
    let all = ParkedFilter::default();
    replica.parked("p", &all, 10).await.expect("listed")
}

async fn redrive(replica: &dyn Replica, key: &str) -> Result<(), ApplyError> {
    let all = ParkedFilter::default();
    let asked = replica.resolve_parked("p", &all, false).await;
    assert_eq!(asked, Ok(1));
    assert!(listed(replica).await[0].redriving);
    apply(replica, vec![(key.to_owned(), WorkAction::Redrive)]).await
}

struct Sqlite {
    folder: tempfile::TempDir,
    replica: SqliteReplica,
}

impl Sqlite {
    async fn new(decoder: Arc<dyn DecodeParked>) -> Sqlite {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = SqliteReplicaOptions {
            path: folder.path().join("r.db"),
            decoder,
            foreign_keys: true,
        };
        let replica = SqliteReplica::connect(options).await.expect("opened");
        replica.prepare().await.expect("prepared");
        Sqlite { folder, replica }
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("r.db")).expect("opened")
    }

    fn text(&self, sql: &str) -> String {
        let answer = self.database().query_row(sql, [], |row| row.get(0));
        answer.expect(sql)
    }
}

#[tokio::test]
async fn a_redrive_that_fails_at_sqlite_stays_parked_with_its_new_error_and_is_not_asked_for_again()
{
    let schemas = Arc::new(SchemaCache::default());
    let sqlite = Sqlite::new(schemas.clone()).await;
    let replica = &sqlite.replica;
    sqlite
        .database()
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (length(v) < 4))")
        .expect("made");
    let t = shape("main.t", 1, &["id integer!", "v text"]);
    schemas.insert(t.clone());
    let records = [
        own(&insert(&t, 1, &["1", "too long"])),
        own(&update(&t, 2, &["1", "longer"])),
    ];
    park(replica, &t.table, &records).await;
    for attempts in [2, 3] {
        let error = redrive(replica, "{\"id\":1}").await.expect_err("too long");
        assert_eq!(error.kind, ApplyErrorKind::Misfit, "{error}");
        let listed = listed(replica).await;
        let one = &listed[0];
        assert_eq!((one.attempts, one.behind), (attempts, 1));
        assert!(!one.redriving, "it was asked for once");
        assert!(one.error.contains("CHECK constraint failed"), "{one:?}");
    }
    sqlite
        .database()
        .execute_batch("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        .expect("mended");
    redrive(replica, "{\"id\":1}").await.expect("it fits now");
    assert_eq!(sqlite.text("SELECT v FROM t WHERE id = 1"), "longer");
    assert_eq!(listed(replica).await, []);
}

/// What a Debezium connector writes of one row: its value says what it is, or the replica's columns do.
fn debezium(with_schema: bool, op: char, before: &str, after: &str, lsn: u64) -> Parked {
    let source = format!(
        "{{\"version\":\"3.4.0.Final\",\"connector\":\"postgresql\",\"name\":\"erp\",\"ts_ms\":1,\"snapshot\":\"false\",\"db\":\"erp\",\
         \"sequence\":\"[\\\"{lsn}\\\",\\\"{lsn}\\\"]\",\"schema\":\"public\",\"table\":\"orders\",\"txId\":7,\"lsn\":{lsn}}}"
    );
    let payload = format!(
        "{{\"before\":{before},\"after\":{after},\"source\":{source},\"op\":\"{op}\",\"ts_ms\":1}}"
    );
    let row = |name: &str| {
        let field = |name: &str, kind: &str, optional: bool, more: &str| {
            format!("{{\"type\":\"{kind}\",\"optional\":{optional},\"field\":\"{name}\"{more}}}")
        };
        let fields = [
            field("id", "int32", false, ""),
            field("note", "string", true, ""),
            field(
                "day",
                "int32",
                true,
                ",\"name\":\"io.debezium.time.Date\",\"version\":1",
            ),
        ];
        format!(
            "{{\"type\":\"struct\",\"fields\":[{}],\"optional\":true,\"field\":\"{name}\"}}",
            fields.join(",")
        )
    };
    let value = match with_schema {
        false => payload,
        true => format!(
            "{{\"schema\":{{\"type\":\"struct\",\"fields\":[{},{}],\"optional\":false}},\"payload\":{payload}}}",
            row("before"),
            row("after")
        ),
    };
    ("{\"id\":1}".to_owned(), Bytes::from(value), None)
}

/// Without schemas the replica's column says that a number is a day.
async fn redrives_debezium(replica: &dyn Replica, read: &dyn Fn() -> String) {
    let table = TableName::new("public", "orders");
    for with_schema in [false, true] {
        let row = |note: &str, day: &str| format!("{{\"id\":1,\"note\":{note},\"day\":{day}}}");
        let records = [
            debezium(with_schema, 'c', "null", &row("\"a\"", "0"), 100),
            debezium(with_schema, 'd', &row("null", "null"), "null", 110),
            debezium(with_schema, 'c', "null", &row("\"b\"", "1"), 120),
            debezium(with_schema, 'u', "null", &row("\"last\"", "19783"), 130),
        ];
        park(replica, &table, &records).await;
        assert_eq!(listed(replica).await[0].behind, 3);
        redrive(replica, "{\"id\":1}").await.expect("redriven");
        assert_eq!(read(), "1 last 2024-03-01", "with schemas: {with_schema}");
        assert_eq!(listed(replica).await, []);
        let deleted = [debezium(
            with_schema,
            'd',
            &row("null", "null"),
            "null",
            140,
        )];
        park(replica, &table, &deleted).await;
        redrive(replica, "{\"id\":1}").await.expect("redriven");
        assert_eq!(read(), "");
    }
    // What says nothing of itself, of a table that is not there.
    let lost = debezium(false, 'd', "{\"id\":1}", "null", 150);
    let elsewhere = String::from_utf8_lossy(&lost.1).replace("orders", "elsewhere");
    let records = [(lost.0, Bytes::from(elsewhere), None)];
    park(replica, &table, &records).await;
    let error = redrive(replica, "{\"id\":1}").await.expect_err("no table");
    assert_eq!(error.kind, ApplyErrorKind::MissingObject, "{error}");
    assert!(error.message.contains("public.elsewhere"), "{error}");
    let one = &listed(replica).await[0];
    assert_eq!(
        (one.attempts, one.redriving, &*one.code),
        (2, false, "KL-APPLY-005")
    );
}

#[tokio::test]
async fn what_debezium_wrote_is_redriven_at_sqlite() {
    let sqlite = Sqlite::new(Arc::new(DebeziumDecoder::default())).await;
    let table = "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, day date)";
    sqlite.database().execute_batch(table).expect("made");
    let read =
        || sqlite.text("SELECT coalesce(max(id || ' ' || note || ' ' || day), '') FROM orders");
    redrives_debezium(&sqlite.replica, &read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_debezium_wrote_is_redriven_at_postgresql() {
    let Some(bed) = Bed::new("redrive_debezium").await else {
        return;
    };
    bed.sql("CREATE TABLE orders (id int PRIMARY KEY, note text, day date)");
    let config = PostgresReplicaConfig::new(bed.url.clone());
    let replica = PostgresReplica::new(config, Arc::new(DebeziumDecoder::default()));
    let read = || bed.sql("SELECT id || ' ' || note || ' ' || day FROM orders");
    redrives_debezium(&replica, &read).await;
}

/// Parks one change that came by this partition.
async fn park_by(replica: &dyn Replica, partition: u32, change: &Change) {
    let specs = [0, 1].map(|number| PartitionSpec {
        partition: TopicPartition::new("two", number),
        partitions: 2,
        ..spec()
    });
    let progress = replica.fence("p", &specs).await.expect("fenced");
    let progress = progress
        .iter()
        .find(|one| one.partition.partition == partition)
        .expect("its progress");
    let (from, _) = progress.lanes.get(&Lane(0)).copied().unwrap_or_default();
    let (key, value, header) = own(change);
    let entry = ParkedEntry {
        table: Some(change.schema.table.clone()),
        partition: progress.partition.clone(),
        offset: from,
        lane: Lane(0),
        key: Bytes::from(key),
        value,
        header,
        code: "KL-APPLY-004".to_owned(),
        error: "did not fit".to_owned(),
        attempts: 1,
    };
    let mut parking = batch(
        progress.owner_epoch,
        from.0,
        Vec::new(),
        keylane_core::apply::Mode::Folded,
    );
    parking.work.push(Work {
        step: 0,
        offset: from,
        key: entry.key.clone(),
        action: WorkAction::Park(Box::new(entry)),
    });
    parking.steps[0].partition = progress.partition.clone();
    (parking.steps[0].next, parking.steps[0].position) = (from.next(), change.position);
    let mut session = replica.session().await.expect("a session");
    session.apply(&parking).await.expect("parked");
}

/// A row whose order key changes twice comes by two partitions.
async fn redrives_by_position(
    replica: &dyn Replica,
    schemas: &SchemaCache,
    read: &dyn Fn() -> String,
) {
    let t = shape("main.t", 1, &["id integer!", "v text"]);
    schemas.insert(t.clone());
    for (partition, change) in [
        (1, insert(&t, 1, &["1", "first"])),
        (0, update(&t, 2, &["1", "second"])),
        (1, update(&t, 3, &["1", "third"])),
        (0, update(&t, 4, &["1", "last"])),
    ] {
        park_by(replica, partition, &change).await;
    }
    let listed = listed(replica).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].behind, 3);
    let all = ParkedFilter::default();
    assert_eq!(replica.resolve_parked("p", &all, false).await, Ok(1));
    let progress = replica.progress("p").await.expect("progress");
    let one = progress
        .iter()
        .find(|one| !one.redrive_keys.is_empty())
        .expect("it is asked for");
    let (from, position) = one.lanes.get(&Lane(0)).copied().unwrap_or_default();
    let mut redrive = batch(
        one.owner_epoch,
        from.0,
        Vec::new(),
        keylane_core::apply::Mode::Folded,
    );
    redrive.steps[0].partition = one.partition.clone();
    (redrive.steps[0].next, redrive.steps[0].position) = (from, position);
    redrive.work.push(Work {
        step: 0,
        offset: Offset(0),
        key: one.redrive_keys[0].clone(),
        action: WorkAction::Redrive,
    });
    let mut session = replica.session().await.expect("a session");
    session.apply(&redrive).await.expect("redriven");
    assert_eq!(read(), "last");
    assert_eq!(self::listed(replica).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_changes_came_by_two_partitions_has_one_queue_in_the_order_of_their_positions()
{
    let schemas = Arc::new(SchemaCache::default());
    let sqlite = Sqlite::new(schemas.clone()).await;
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)";
    sqlite.database().execute_batch(table).expect("made");
    let read = || sqlite.text("SELECT v FROM t");
    redrives_by_position(&sqlite.replica, &schemas, &read).await;
    let Some(bed) = Bed::new("redrive_two_partitions").await else {
        return;
    };
    bed.sql("CREATE SCHEMA main; CREATE TABLE main.t (id int PRIMARY KEY, v text)");
    let read = || bed.sql("SELECT v FROM main.t");
    redrives_by_position(&bed.replica, &bed.schemas, &read).await;
}
