//! What the tests stand on: a database of their own, changes put together by hand, and a lane that keeps count.

use std::sync::Arc;

use bytes::Bytes;
use keylane::envelope::{Connector, SchemaCache, SourceInfo, encode_change};
use keylane::postgres::apply::{PostgresReplica, PostgresReplicaConfig};
use keylane::postgres::connect::{ConnectOptions, connect};
use keylane_core::apply::{
    ApplyBatch, LaneStep, Mode, MustHit, ParkedEntry, PartitionSpec, Replica, ReplicaSession, Work,
    WorkAction,
};
use keylane_core::model::{Change, Epoch, Lane, LaneCount, Offset, Position, TopicPartition};
use keylane_core::publish::{Header, RecordKind};
use keylane_parts::PostgresHandle;
use tokio::runtime::Handle;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

pub use crate::changes::{change, delete, insert, row, shape, update};

pub const PIPELINE: &str = "shop";
pub const LANES: LaneCount = LaneCount(4);

/// A replica in a database of its own, prepared.
pub struct Bed {
    pub replica: PostgresReplica,
    pub schemas: Arc<SchemaCache>,
    pub url: String,
    client: tokio_postgres::Client,
}

impl Bed {
    /// `None` in quick mode.
    pub async fn new(database: &str) -> Option<Bed> {
        if keylane_parts::quick() {
            return None;
        }
        let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
        server.fresh_database(database).expect("a database");
        let bed = Bed::at(server.url(database)).await;
        bed.replica.prepare().await.expect("own tables");
        Some(bed)
    }

    pub async fn at(url: String) -> Bed {
        let schemas = Arc::new(SchemaCache::default());
        let config = PostgresReplicaConfig::new(url.clone());
        Bed {
            replica: PostgresReplica::new(config, schemas.clone()),
            schemas,
            client: connect(&url, "bed", &ConnectOptions::default())
                .await
                .expect("connected"),
            url,
        }
    }

    /// Runs SQL; rows come as lines, columns separated by `|`.
    pub fn sql(&self, sql: &str) -> String {
        let line = |row: SimpleQueryRow| {
            let cells = (0..row.len()).map(|at| row.get(at).unwrap_or_default());
            cells.collect::<Vec<_>>().join("|")
        };
        self.rows(sql)
            .into_iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The first column of a query.
    pub fn column(&self, sql: &str) -> Vec<String> {
        let cell = |row: SimpleQueryRow| row.get(0).unwrap_or("NULL").to_owned();
        self.rows(sql).into_iter().map(cell).collect()
    }

    fn rows(&self, sql: &str) -> Vec<SimpleQueryRow> {
        let asked = self.client.simple_query(sql);
        let answers = tokio::task::block_in_place(|| Handle::current().block_on(asked));
        let row = |answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        answers.expect(sql).into_iter().filter_map(row).collect()
    }

    /// Takes partition 0 over: a lane that knows where it stands.
    pub async fn lane(&self, lane: u16) -> LaneAt {
        let progress = self
            .replica
            .fence(PIPELINE, &[spec()])
            .await
            .expect("fenced")
            .remove(0);
        let (next, position) = progress.lanes.get(&Lane(lane)).copied().unwrap_or_default();
        LaneAt {
            lane: Lane(lane),
            owner_epoch: progress.owner_epoch,
            next,
            position,
        }
    }

    pub async fn session(&self) -> Box<dyn ReplicaSession> {
        self.replica.session().await.expect("a session")
    }

    /// An entry that parks a change, as the worker makes it.
    pub fn parked(&self, change: &Change, offset: Offset, lane: Lane, code: &str) -> ParkedEntry {
        self.schemas.insert(change.schema.clone());
        let key = change.row_key().expect("a key of its own");
        let mut header = Header::plain(RecordKind::Change, Epoch(1), change.position);
        header.schema = Some(change.schema.id);
        header.committed_at_us = change.committed_at_us;
        ParkedEntry {
            table: Some(change.schema.table.clone()),
            partition: partition(),
            offset,
            lane,
            key: Bytes::from(key),
            value: encode_change(change, &source()),
            header: Some(header.encode()),
            code: code.to_owned(),
            error: "did not fit".to_owned(),
            attempts: 1,
        }
    }
}

pub fn source() -> SourceInfo {
    SourceInfo::new(Connector::Postgres, "shop", "shop")
}

pub fn partition() -> TopicPartition {
    TopicPartition::new("shop.public", 0)
}

pub fn spec() -> PartitionSpec {
    PartitionSpec {
        partition: partition(),
        topic_id: Arc::from("id-1"),
        partitions: 1,
        lanes: LANES,
    }
}

/// A lane, and where the replica holds it to be.
#[derive(Clone, Debug)]
pub struct LaneAt {
    pub lane: Lane,
    pub owner_epoch: u64,
    pub next: Offset,
    pub position: Position,
}

impl LaneAt {
    /// A batch of changes at the lane's next offsets; the lane goes on behind them.
    pub fn batch(&mut self, mode: Mode, changes: &[Change]) -> ApplyBatch {
        let actions = changes
            .iter()
            .map(|change| {
                let key = change.row_key().unwrap_or_else(|| "truncate".to_owned());
                (
                    Bytes::from(key),
                    WorkAction::Apply(Arc::new(change.clone())),
                )
            })
            .collect();
        self.batch_of(mode, actions)
    }

    pub fn batch_of(&mut self, mode: Mode, actions: Vec<(Bytes, WorkAction)>) -> ApplyBatch {
        let expected = self.next;
        let mut work = Vec::new();
        for (key, action) in actions {
            if let WorkAction::Apply(change) = &action {
                self.position = change.position;
            }
            let offset = match &action {
                WorkAction::Redrive => Offset(0),
                _ => {
                    self.next = self.next.next();
                    Offset(self.next.0 - 1)
                }
            };
            work.push(Work {
                step: 0,
                offset,
                key,
                action,
            });
        }
        ApplyBatch {
            pipeline: Arc::from(PIPELINE),
            steps: vec![LaneStep {
                partition: partition(),
                lane: self.lane,
                owner_epoch: self.owner_epoch,
                expected,
                next: self.next,
                position: self.position,
            }],
            work,
            mode,
            must_hit: MustHit::Nowhere,
            turn: None,
        }
    }
}

pub const MODES: [Mode; 3] = [Mode::Folded, Mode::Unfolded, Mode::Careful];

/// An append-only audit of what the replica's rows went through.
pub const AUDIT: &str = r#"
CREATE TABLE audit (n bigserial, op text, id text, v text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' THEN INSERT INTO audit (op, id) VALUES (tg_op, old.id::text); RETURN old; END IF;
    INSERT INTO audit (op, id, v) VALUES (tg_op, new.id::text, new.v::text); RETURN new;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();"#;

impl Bed {
    /// A connection to hold locks with.
    pub async fn holder(&self) -> tokio_postgres::Client {
        let options = ConnectOptions::default();
        connect(&self.url, "holder", &options)
            .await
            .expect("connected")
    }

    /// Waits until a backend of this database waits for a lock of this kind.
    pub async fn wait_for(&self, waiter: &str, locktype: &str) {
        let sql = format!(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE NOT l.granted AND l.locktype = '{locktype}' AND a.datname = current_database()"
        );
        let began = std::time::Instant::now();
        while self.sql(&sql) == "0" {
            assert!(
                began.elapsed().as_secs() < 20,
                "waited in vain for {waiter}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
