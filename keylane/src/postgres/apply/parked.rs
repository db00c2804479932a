//! What could not be applied: one row for each change in `keylane.parked`, a topic's key having one queue, by whatever partitions and lanes its changes came. Rows are
//! numbered in the order of the changes' positions, since each change is parked only when its row's last one was. A queue's number is that of its first row.

use std::borrow::Cow;

use keylane_core::apply::{ApplyError, ParkedEntry, ParkedFilter, ParkedSummary};
use keylane_core::model::{Offset, TopicPartition};
use tokio_postgres::{Client, Error};

use super::group::Array;
use super::link::Failure;
use crate::postgres::error::apply_error;

/// Takes the arrays of [`arrays`].
pub(super) const PARK: &str = r#"
INSERT INTO keylane.parked (pipeline, topic, partition, lane, record_offset, key, table_name, value, header, code, error, attempts)
SELECT s.pipeline, s.topic, s.partition::int, s.lane::int, s.record_offset::bigint, s.key::bytea, s.table_name, s.value::bytea, s.header, s.code,
       s.error, s.attempts::int
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) WITH ORDINALITY
     AS s (pipeline, topic, partition, lane, record_offset, key, table_name, value, header, code, error, attempts, place)
ORDER BY s.place"#;

/// Changes read of a queue at a time when it is redriven; longer queues are folded piece by piece.
const PIECE: i64 = 4096;

const READ_QUEUE: &str = r#"
SELECT id, value, header FROM keylane.parked
WHERE pipeline = $1 AND topic = $2 AND key = $3 AND id > $4
ORDER BY id LIMIT $5 FOR UPDATE"#;

const EMPTY_QUEUE: &str =
    "DELETE FROM keylane.parked WHERE pipeline = $1 AND topic = $2 AND key = $3";

const REDRIVE_FAILED: &str = r#"
UPDATE keylane.parked AS k
SET redrive = false, code = CASE WHEN first THEN $4 ELSE k.code END, error = CASE WHEN first THEN $5 ELSE k.error END,
    attempts = k.attempts + CASE WHEN first THEN 1 ELSE 0 END
FROM (SELECT id, row_number() OVER (ORDER BY id) = 1 AS first FROM keylane.parked
      WHERE pipeline = $1 AND topic = $2 AND key = $3) AS q
WHERE k.id = q.id"#;

const QUEUES: &str = r#"
SELECT * FROM (
    SELECT DISTINCT ON (k.topic, k.key)
           k.id, k.pipeline, coalesce(k.table_name, ''), k.key, (extract(epoch FROM k.since) * 1000000)::bigint, k.attempts, k.code, k.error,
           count(*) OVER queue - 1, bool_or(k.redrive) OVER queue, k.topic, k.partition, k.record_offset
    FROM keylane.parked AS k WHERE k.pipeline = $1
    WINDOW queue AS (PARTITION BY k.topic, k.key)
    ORDER BY k.topic, k.key, k.id
) AS q (id, pipeline, table_name, key, since_us, attempts, code, error, behind, redriving, topic, partition, record_offset)
WHERE ($2::bigint IS NULL OR q.id = $2) AND ($3::text IS NULL OR q.table_name = $3)"#;

/// The parameters of [`PARK`], a row for each entry.
pub(super) fn arrays<'a>(pipeline: &'a str, entries: &[&'a ParkedEntry]) -> Vec<Array<'a>> {
    type Of = for<'b> fn(&'b ParkedEntry) -> Option<Cow<'b, str>>;
    let columns: [Of; 11] = [
        |entry| Some(Cow::Borrowed(&*entry.partition.topic)),
        |entry| Some(Cow::Owned(entry.partition.partition.to_string())),
        |entry| Some(Cow::Owned(entry.lane.0.to_string())),
        |entry| Some(Cow::Owned(entry.offset.0.to_string())),
        |entry| Some(Cow::Owned(hex(&entry.key))),
        |entry| {
            entry
                .table
                .as_ref()
                .map(|table| Cow::Owned(table.to_string()))
        },
        |entry| Some(Cow::Owned(hex(&entry.value))),
        |entry| entry.header.as_deref().map(Cow::Borrowed),
        |entry| Some(Cow::Borrowed(&entry.code)),
        |entry| Some(Cow::Borrowed(&entry.error)),
        |entry| Some(Cow::Owned(entry.attempts.to_string())),
    ];
    let mut arrays: Vec<Array<'a>> = vec![
        entries
            .iter()
            .map(|_| Some(Cow::Borrowed(pipeline)))
            .collect(),
    ];
    arrays.extend(columns.map(|of| entries.iter().copied().map(of).collect()));
    arrays
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

/// A key's queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The record key.
    pub key: &'a [u8],
}

/// A parked record.
#[derive(Debug)]
pub(super) struct ParkedRecord {
    /// Its number.
    pub id: i64,
    /// As it came.
    pub value: Vec<u8>,
    /// As it came.
    pub header: Option<String>,
}

/// What is being done, for messages.
pub(super) const REDRIVING: &str = "redriving a parked key of keylane.parked";

impl Queue<'_> {
    /// The records behind `after`, a piece of the queue; locked.
    pub async fn read(&self, client: &Client, after: i64) -> Result<Vec<ParkedRecord>, Failure> {
        let rows = client
            .query(
                READ_QUEUE,
                &[&self.pipeline, &self.topic, &self.key, &after, &PIECE],
            )
            .await
            .map_err(|error| Failure::sql(&error, REDRIVING))?;
        let record = |row: &tokio_postgres::Row| ParkedRecord {
            id: row.get(0),
            value: row.get(1),
            header: row.get(2),
        };
        Ok(rows.iter().map(record).collect())
    }

    /// Deletes the queue.
    pub async fn empty(&self, client: &Client) -> Result<(), Failure> {
        client
            .execute(EMPTY_QUEUE, &[&self.pipeline, &self.topic, &self.key])
            .await
            .map_err(|error| Failure::sql(&error, REDRIVING))?;
        Ok(())
    }

    /// Notes at the queue's first change why its redrive failed, and that it is no longer asked for.
    pub async fn failed(&self, client: &Client, why: &ApplyError) -> Result<(), Error> {
        let code = why.kind.code();
        client
            .execute(
                REDRIVE_FAILED,
                &[&self.pipeline, &self.topic, &self.key, &code, &why.message],
            )
            .await?;
        Ok(())
    }
}

/// Parked keys, oldest first.
pub(super) async fn list(
    client: &Client,
    pipeline: &str,
    filter: &ParkedFilter,
    limit: u32,
) -> Result<Vec<ParkedSummary>, ApplyError> {
    let sql = format!("{QUEUES} ORDER BY q.since_us, q.id LIMIT $4");
    let rows = client
        .query(
            &sql,
            &[&pipeline, &filter.id, &filter.table, &i64::from(limit)],
        )
        .await
        .map_err(|error| apply_error(&error, "reading keylane.parked"))?;
    let summary = |row: &tokio_postgres::Row| ParkedSummary {
        id: row.get(0),
        pipeline: row.get(1),
        table: row.get(2),
        key: String::from_utf8_lossy(row.get(3)).into_owned(),
        since_us: row.get(4),
        attempts: row.get::<_, i32>(5).max(0) as u32,
        code: row.get(6),
        error: row.get(7),
        behind: row.get::<_, i64>(8).max(0) as u64,
        redriving: row.get(9),
        partition: TopicPartition::new(
            row.get::<_, String>(10),
            row.get::<_, i32>(11).max(0) as u32,
        ),
        offset: Offset(row.get::<_, i64>(12).max(0) as u64),
    };
    Ok(rows.iter().map(summary).collect())
}

/// Asks for the redrive of queues, or drops them. Returns how many.
pub(super) async fn resolve(
    client: &Client,
    pipeline: &str,
    filter: &ParkedFilter,
    discard: bool,
) -> Result<u64, ApplyError> {
    let act = if discard {
        "DELETE FROM keylane.parked AS k USING q"
    } else {
        "UPDATE keylane.parked AS k SET redrive = true FROM q"
    };
    let sql = format!(
        "WITH q AS ({QUEUES}), touched AS ({act} WHERE (k.topic, k.key) = (q.topic, q.key) AND k.pipeline = $1 \
         RETURNING q.id) SELECT count(DISTINCT id) FROM touched"
    );
    let row = client
        .query_one(&sql, &[&pipeline, &filter.id, &filter.table])
        .await
        .map_err(|error| apply_error(&error, "changing keylane.parked"))?;
    Ok(row.get::<_, i64>(0).max(0) as u64)
}
