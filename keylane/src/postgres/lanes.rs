//! Who owns the lanes of a partition: the fence that every table of lanes has.
//!
//! Such a table has a row for each lane and one (lane −1) for each partition as a whole, each with its owner's number. Rows are locked in the order of the
//! primary key by fences and steps alike, so they cannot lock each other out.

use keylane_core::apply::{ApplyError, PartitionSpec};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::TopicPartition;
use postgres_protocol::escape::escape_literal;
use tokio_postgres::{Client, Row, Transaction};

use super::error::apply_error;

const NEW_PARTITIONS: &str = r#"
INSERT INTO $TABLE ($OWNER, topic, partition, lane, topic_id, partitions, lanes)
SELECT $1, s.topic, s.partition, -1, s.topic_id, s.partitions, s.lanes
FROM unnest($2::text[], $3::int[], $4::text[], $5::int[], $6::int[]) AS s (topic, partition, topic_id, partitions, lanes)
ORDER BY s.topic COLLATE "C", s.partition
ON CONFLICT DO NOTHING"#;

const LOCK_PARTITIONS: &str = r#"
SELECT p.topic, p.partition, p.topic_id, p.partitions, p.lanes
FROM $TABLE AS p
WHERE p.$OWNER = $1 AND p.lane = -1 AND (p.topic, p.partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
ORDER BY p.topic, p.partition FOR UPDATE"#;

const NEW_LANES: &str = r#"
INSERT INTO $TABLE ($OWNER, topic, partition, lane)
SELECT $1, s.topic, s.partition, lane
FROM unnest($2::text[], $3::int[], $4::int[]) AS s (topic, partition, lanes), generate_series(0, s.lanes - 1) AS lane
ORDER BY s.topic COLLATE "C", s.partition, lane
ON CONFLICT DO NOTHING"#;

/// Waits for open transactions of the former owner, in the order in which they lock.
const LOCK_LANES: &str = r#"
SELECT FROM $TABLE AS p
WHERE p.$OWNER = $1 AND (p.topic, p.partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
ORDER BY p.topic, p.partition, p.lane FOR NO KEY UPDATE"#;

const RAISE: &str = r#"
UPDATE $TABLE AS p
SET owner_epoch = (SELECT q.owner_epoch + 1 FROM $TABLE AS q
                   WHERE q.$OWNER = p.$OWNER AND q.topic = p.topic AND q.partition = p.partition AND q.lane = -1)
WHERE p.$OWNER = $1 AND (p.topic, p.partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))"#;

/// Each lane's row is found by the whole primary key: joined plainly, a planner without statistics would compare every lane with every other.
const LACKING: &str = r#"
SELECT DISTINCT h.topic, h.partition
FROM unnest($2::text[], $3::int[], $4::int[], $5::bigint[]) AS h (topic, partition, lane, next)
LEFT JOIN LATERAL (SELECT p.next_offset FROM $TABLE AS p
                   WHERE p.$OWNER = $1 AND p.topic = h.topic AND p.partition = h.partition AND p.lane = h.lane OFFSET 0) AS p ON true
WHERE p.next_offset IS NULL OR p.next_offset < h.next"#;

/// A lane (−1: the partition as a whole) and the next offset that must be stored of it, or a higher one.
pub(super) type Must<'a> = (&'a TopicPartition, i32, i64);

/// A table of lanes.
pub(super) struct LaneTable {
    /// Its name, with its schema.
    pub name: &'static str,
    /// The column that says whose lanes they are.
    pub owner: &'static str,
    /// Since when a topic must be the same, in words.
    pub since: &'static str,
    /// What is done with records, in words.
    pub done: &'static str,
    /// What a person thinks of before a topic's progress is deleted, in words.
    pub first: &'static str,
}

/// Why partitions were not taken over.
#[derive(Debug)]
pub(crate) enum NotRaised {
    /// A topic, its number of partitions, or the number of lanes is not what it was; in words.
    Changed(String),
    /// The database.
    Database(ApplyError),
}

impl From<ApplyError> for NotRaised {
    fn from(error: ApplyError) -> Self {
        NotRaised::Database(error)
    }
}

impl From<NotRaised> for ApplyError {
    fn from(error: NotRaised) -> Self {
        match error {
            NotRaised::Changed(words) => ApplyError::new(ApplyErrorKind::Other, words),
            NotRaised::Database(error) => error,
        }
    }
}

impl LaneTable {
    /// Takes partitions over: makes what is missing, compares what must not have changed, waits for open transactions of the former owner, raises the owner's
    /// number. Progress is read behind it, in the same transaction.
    pub(super) async fn raise(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        specs: &[PartitionSpec],
    ) -> Result<(), NotRaised> {
        let doing = format!("taking partitions over in {}", self.name);
        let at_rim = |error: tokio_postgres::Error| apply_error(&error, &doing);
        let (topics, numbers) = names(specs.iter().map(|spec| &spec.partition));
        let ids: Vec<&str> = specs.iter().map(|spec| &*spec.topic_id).collect();
        let partitions: Vec<i32> = specs.iter().map(|spec| stored(spec.partitions)).collect();
        let lanes: Vec<i32> = specs.iter().map(|spec| i32::from(spec.lanes.0)).collect();
        transaction
            .execute(
                &self.sql(NEW_PARTITIONS),
                &[&owner, &topics, &numbers, &ids, &partitions, &lanes],
            )
            .await
            .map_err(at_rim)?;
        let rows = transaction
            .query(&self.sql(LOCK_PARTITIONS), &[&owner, &topics, &numbers])
            .await
            .map_err(at_rim)?;
        for row in &rows {
            let partition = named(row);
            if let Some(spec) = specs.iter().find(|spec| spec.partition == partition) {
                self.check_identity(owner, spec, row)?;
            }
        }
        transaction
            .execute(&self.sql(NEW_LANES), &[&owner, &topics, &numbers, &lanes])
            .await
            .map_err(at_rim)?;
        for statement in [LOCK_LANES, RAISE] {
            transaction
                .execute(&self.sql(statement), &[&owner, &topics, &numbers])
                .await
                .map_err(at_rim)?;
        }
        Ok(())
    }

    /// What is stored of a partition must still hold, or its offsets and lanes mean something else.
    fn check_identity(
        &self,
        owner: &str,
        spec: &PartitionSpec,
        row: &Row,
    ) -> Result<(), NotRaised> {
        let (id, partitions, lanes): (String, i32, i32) = (row.get(2), row.get(3), row.get(4));
        let (topic, since, done) = (&spec.partition.topic, self.since, self.done);
        let changed = if id != *spec.topic_id {
            format!(
                "topic {topic} was deleted and created again since {since}: its offsets count anew"
            )
        } else if partitions != stored(spec.partitions) {
            format!(
                "topic {topic} has {} partitions, and had {partitions} when {since}: keys have moved between partitions",
                spec.partitions
            )
        } else if lanes != i32::from(spec.lanes.0) {
            format!(
                "topic {topic} is {done} with {} lanes per partition, and was with {lanes}: set lanes back to {lanes}, or",
                spec.lanes.0
            )
        } else {
            return Ok(());
        };
        Err(NotRaised::Changed(format!(
            "{changed}. Way out: {}: DELETE FROM {} WHERE {} = {} AND topic = {}",
            self.first,
            self.name,
            self.owner,
            escape_literal(owner).trim(),
            escape_literal(topic).trim(),
        )))
    }

    /// Partitions of which less is stored than must be: the database was restored from an older state.
    pub(super) async fn lacking(
        &self,
        client: &Client,
        owner: &str,
        must: &[Must<'_>],
    ) -> Result<Vec<TopicPartition>, tokio_postgres::Error> {
        let (topics, numbers) = names(must.iter().map(|(partition, _, _)| *partition));
        let lanes: Vec<i32> = must.iter().map(|(_, lane, _)| *lane).collect();
        let nexts: Vec<i64> = must.iter().map(|(_, _, next)| *next).collect();
        let rows = client
            .query(
                &self.sql(LACKING),
                &[&owner, &topics, &numbers, &lanes, &nexts],
            )
            .await?;
        Ok(rows.iter().map(named).collect())
    }

    /// A statement for this table.
    pub(super) fn sql(&self, statement: &str) -> String {
        let named = statement.replace("$TABLE", self.name);
        named.replace("$OWNER", self.owner)
    }
}

/// Names of partitions as parameters.
pub(super) fn names<'a>(
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> (Vec<String>, Vec<i32>) {
    partitions
        .map(|partition| (partition.topic.to_string(), stored(partition.partition)))
        .unzip()
}

/// The partition that a row names in its first two columns.
pub(super) fn named(row: &Row) -> TopicPartition {
    let partition: i32 = row.get(1);
    TopicPartition::new(row.get::<_, String>(0), partition.max(0) as u32)
}

fn stored(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Bit by bit: positions beyond 2^63 (there are marks like "everything") survive.
pub(super) fn signed(number: u64) -> i64 {
    number as i64
}

/// See [`signed`].
pub(super) fn unsigned(stored: i64) -> u64 {
    stored as u64
}
