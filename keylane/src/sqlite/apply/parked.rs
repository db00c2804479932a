//! Parked changes: a table of the replica, one queue for each key of a topic, by whatever partitions and lanes its changes came. Rows are numbered in the order of the
//! changes' positions, since each change is parked only when its row's last one was.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use keylane_core::apply::{
    ApplyError, ParkedEntry, ParkedFilter, ParkedSummary, PartitionProgress,
};
use keylane_core::model::{Lane, Offset, TopicPartition};
use rusqlite::{Connection, params};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS keylane_parked (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pipeline TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  key BLOB NOT NULL,
  offset INTEGER NOT NULL,
  tbl TEXT,
  value BLOB NOT NULL,
  header TEXT,
  code TEXT NOT NULL,
  error TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  since_us INTEGER NOT NULL,
  redrive INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS keylane_parked_key
  ON keylane_parked (pipeline, topic, key, id);
";

/// A key's first entry stands for the key.
const FIRST: &str = "NOT EXISTS (
  SELECT 1 FROM keylane_parked AS e
  WHERE e.pipeline = p.pipeline AND e.topic = p.topic AND e.key = p.key AND e.id < p.id)";

/// Puts a change at the end of its key's queue.
pub(super) fn park(
    connection: &Connection,
    pipeline: &str,
    entry: &ParkedEntry,
) -> rusqlite::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_us = now.map_or(0, |since| since.as_micros()) as i64;
    connection
        .prepare_cached(
            "INSERT INTO keylane_parked
             (pipeline, topic, partition, lane, key, offset, tbl, value, header, code, error, attempts, since_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            pipeline,
            entry.partition.topic,
            entry.partition.partition,
            entry.lane.0,
            &entry.key[..],
            entry.offset.0,
            entry.table.as_ref().map(ToString::to_string),
            &entry.value[..],
            entry.header,
            entry.code,
            entry.error,
            entry.attempts,
            now_us
        ])
        .map(|_| ())
}

/// A queued record: its value and header.
pub(super) type Queued = (Vec<u8>, Option<String>);

/// A key's queue, in order.
pub(super) fn queue(
    connection: &Connection,
    pipeline: &str,
    topic: &str,
    key: &[u8],
) -> rusqlite::Result<Vec<Queued>> {
    let mut statement = connection.prepare_cached(
        "SELECT value, header FROM keylane_parked
         WHERE pipeline = ?1 AND topic = ?2 AND key = ?3 ORDER BY id",
    )?;
    let rows = statement.query_map(params![pipeline, topic, key], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    rows.collect()
}

/// Empties a key's queue.
pub(super) fn empty(
    connection: &Connection,
    pipeline: &str,
    topic: &str,
    key: &[u8],
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM keylane_parked
             WHERE pipeline = ?1 AND topic = ?2 AND key = ?3",
        )?
        .execute(params![pipeline, topic, key])
        .map(|_| ())
}

/// Notes at the queue's first change why its redrive failed, and that it is no longer asked for.
pub(super) fn redrive_failed(
    connection: &Connection,
    pipeline: &str,
    topic: &str,
    key: &[u8],
    why: &ApplyError,
) -> rusqlite::Result<()> {
    let of_queue = params![pipeline, topic, key];
    connection
        .prepare_cached(
            "UPDATE keylane_parked SET redrive = 0
             WHERE pipeline = ?1 AND topic = ?2 AND key = ?3",
        )?
        .execute(of_queue)?;
    connection
        .prepare_cached(&format!(
            "UPDATE keylane_parked AS p SET code = ?4, error = ?5, attempts = attempts + 1
             WHERE pipeline = ?1 AND topic = ?2 AND key = ?3 AND {FIRST}"
        ))?
        .execute(params![pipeline, topic, key, why.kind.code(), why.message])
        .map(|_| ())
}

/// Fills in which keys are parked. A queue whose first change stood behind another one lost that one to a person who dropped it: nothing keeps it any more.
pub(super) fn add_keys(
    connection: &Connection,
    pipeline: &str,
    progress: &mut PartitionProgress,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT lane, key, max(redrive) OR (
           SELECT code = 'KL-APPLY-011' FROM keylane_parked AS e
           WHERE e.pipeline = p.pipeline AND e.topic = p.topic AND e.key = p.key
           ORDER BY e.id LIMIT 1)
         FROM keylane_parked AS p
         WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 GROUP BY lane, key ORDER BY min(id)",
    )?;
    let place = progress.partition.clone();
    let mut rows = statement.query(params![pipeline, place.topic, place.partition])?;
    while let Some(row) = rows.next()? {
        let key = Bytes::from(row.get::<_, Vec<u8>>(1)?);
        if row.get::<_, bool>(2)? {
            progress.redrive_keys.push(key.clone());
        }
        progress.parked_keys.push((Lane(row.get(0)?), key));
    }
    Ok(())
}

/// Parked keys as people see them, oldest first.
pub(super) fn list(
    connection: &Connection,
    pipeline: &str,
    filter: &ParkedFilter,
    limit: u32,
) -> rusqlite::Result<Vec<ParkedSummary>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT p.id, p.pipeline, coalesce(p.tbl, ''), p.key, p.since_us, p.attempts, p.code, p.error,
           (SELECT count(*) - 1 FROM keylane_parked AS e WHERE e.pipeline = p.pipeline
            AND e.topic = p.topic AND e.key = p.key),
           p.redrive, p.topic, p.partition, p.offset
         FROM keylane_parked AS p
         WHERE p.pipeline = ?1 AND (?2 IS NULL OR p.id = ?2) AND (?3 IS NULL OR p.tbl = ?3) AND {FIRST}
         ORDER BY p.id LIMIT ?4"
    ))?;
    let rows = statement.query_map(params![pipeline, filter.id, filter.table, limit], |row| {
        Ok(ParkedSummary {
            id: row.get(0)?,
            pipeline: row.get(1)?,
            table: row.get(2)?,
            key: String::from_utf8_lossy(row.get_ref(3)?.as_bytes()?).into_owned(),
            since_us: row.get(4)?,
            attempts: row.get(5)?,
            code: row.get(6)?,
            error: row.get(7)?,
            behind: row.get(8)?,
            redriving: row.get(9)?,
            partition: TopicPartition::new(row.get::<_, String>(10)?, row.get(11)?),
            offset: Offset(row.get(12)?),
        })
    })?;
    rows.collect()
}

/// Marks the queues of these keys for redrive, or drops them; how many keys.
pub(super) fn resolve(
    connection: &Connection,
    pipeline: &str,
    filter: &ParkedFilter,
    discard: bool,
) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT p.topic, p.key FROM keylane_parked AS p
         WHERE p.pipeline = ?1 AND (?2 IS NULL OR p.id = ?2) AND (?3 IS NULL OR p.tbl = ?3) AND {FIRST}"
    ))?;
    let rows = statement.query_map(params![pipeline, filter.id, filter.table], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let keys = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for (topic, key) in &keys {
        if discard {
            empty(connection, pipeline, topic, key)?;
        } else {
            connection
                .prepare_cached(
                    "UPDATE keylane_parked SET redrive = 1
                     WHERE pipeline = ?1 AND topic = ?2 AND key = ?3",
                )?
                .execute(params![pipeline, topic, key])?;
        }
    }
    Ok(keys.len() as u64)
}
