//! How far each lane is: rows of the replica, changed in the same transaction as the data.
//!
//! A partition has a row of its own with lane −1: its owner's number, its identity, and how far it is as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane_core::apply::{LaneStep, PartitionLow, PartitionProgress, PartitionSpec};
use keylane_core::model::{Epoch, Lane, Offset, Position, TopicPartition};
use keylane_core::publish::Acceptance;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS keylane_progress (
  pipeline TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  position TEXT NOT NULL,
  owner_epoch INTEGER,
  topic_id TEXT,
  partitions INTEGER,
  lanes INTEGER,
  accepted_epoch INTEGER,
  accepted_position TEXT,
  PRIMARY KEY (pipeline, topic, partition, lane)
) WITHOUT ROWID;
";

/// Why a partition is not taken.
pub(super) enum Refusal {
    /// SQLite failed.
    Failed(rusqlite::Error),
    /// It is not as stored; in words.
    Changed(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(cause: rusqlite::Error) -> Self {
        Refusal::Failed(cause)
    }
}

/// Raises the owner's number of a partition, or writes its first row.
pub(super) fn raise(
    connection: &Connection,
    pipeline: &str,
    spec: &PartitionSpec,
) -> Result<(), Refusal> {
    let place = &spec.partition;
    let stored: Option<(String, u32, u16)> = connection
        .prepare_cached(
            "SELECT topic_id, partitions, lanes FROM keylane_progress
             WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 AND lane = -1",
        )?
        .query_row(params![pipeline, place.topic, place.partition], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((topic_id, partitions, lanes)) = stored else {
        connection
            .prepare_cached(
                "INSERT INTO keylane_progress VALUES (?1, ?2, ?3, -1, 0, '0.0', 1, ?4, ?5, ?6, 0, '0.0')",
            )?
            .execute(params![
                pipeline,
                place.topic,
                place.partition,
                spec.topic_id,
                spec.partitions,
                spec.lanes.0
            ])?;
        return Ok(());
    };
    if topic_id != *spec.topic_id {
        return Err(Refusal::Changed(format!(
            "topic {} was made anew since its progress was stored (it was {topic_id}, and is {}): a new pipeline name and a snapshot are needed",
            place.topic, spec.topic_id
        )));
    }
    if partitions != spec.partitions {
        return Err(Refusal::Changed(format!(
            "topic {} had {partitions} partitions and has {}: keys have moved between partitions, a new topic is needed",
            place.topic, spec.partitions
        )));
    }
    if lanes != spec.lanes.0 {
        return Err(Refusal::Changed(format!(
            "partition {place} has {lanes} lanes for its life, {} are configured: put the number back",
            spec.lanes.0
        )));
    }
    connection
        .prepare_cached(
            "UPDATE keylane_progress SET owner_epoch = owner_epoch + 1
             WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 AND lane = -1",
        )?
        .execute(params![pipeline, place.topic, place.partition])?;
    Ok(())
}

/// The progress of a pipeline's partitions with each lane's; of one, or of all.
pub(super) fn read(
    connection: &Connection,
    pipeline: &str,
    only: Option<&TopicPartition>,
) -> rusqlite::Result<Vec<PartitionProgress>> {
    let mut found = lows(connection, pipeline, only)?;
    let mut lanes = connection.prepare_cached(
        "SELECT lane, next_offset, position FROM keylane_progress
         WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 AND lane >= 0",
    )?;
    for progress in &mut found {
        let place = &progress.partition;
        let rows = lanes.query_map(params![pipeline, place.topic, place.partition], |row| {
            Ok((Lane(row.get(0)?), (Offset(row.get(1)?), position(row, 2)?)))
        })?;
        progress.lanes = rows.collect::<rusqlite::Result<_>>()?;
    }
    Ok(found)
}

/// As [`read`], without the lanes'.
pub(super) fn lows(
    connection: &Connection,
    pipeline: &str,
    only: Option<&TopicPartition>,
) -> rusqlite::Result<Vec<PartitionProgress>> {
    let mut statement = connection.prepare_cached(
        "SELECT topic, partition, owner_epoch, next_offset, position, accepted_epoch, accepted_position
         FROM keylane_progress
         WHERE pipeline = ?1 AND lane = -1 AND (?2 IS NULL OR (topic = ?2 AND partition = ?3))
         ORDER BY topic, partition",
    )?;
    let topic = only.map(|place| Arc::clone(&place.topic));
    let number = only.map(|place| place.partition);
    let rows = statement.query_map(params![pipeline, topic, number], |row| {
        Ok(PartitionProgress {
            partition: TopicPartition::new(row.get::<_, Arc<str>>(0)?, row.get(1)?),
            owner_epoch: row.get(2)?,
            low: Offset(row.get(3)?),
            low_position: position(row, 4)?,
            acceptance: Acceptance {
                epoch: Epoch(row.get(5)?),
                reached: position(row, 6)?,
            },
            lanes: BTreeMap::new(),
            parked_keys: Vec::new(),
            redrive_keys: Vec::new(),
        })
    })?;
    rows.collect()
}

/// Whether the partition's stored owner has this number.
pub(super) fn is_owner(
    connection: &Connection,
    pipeline: &str,
    place: &TopicPartition,
    owner_epoch: u64,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM keylane_progress
             WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 AND lane = -1 AND owner_epoch = ?4",
        )?
        .exists(params![pipeline, place.topic, place.partition, owner_epoch])
}

/// Moves a lane from its expected offset; `false` if that is not what is stored. Without a position the stored one stays.
pub(super) fn step(
    connection: &Connection,
    pipeline: &str,
    step: &LaneStep,
    next: Offset,
    reached: Option<Position>,
) -> rusqlite::Result<bool> {
    let place = &step.partition;
    let text = reached.map(|position| position.to_string());
    let moved = connection
        .prepare_cached(
            "UPDATE keylane_progress SET next_offset = ?5, position = coalesce(?6, position)
             WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 AND lane = ?4 AND next_offset = ?7",
        )?
        .execute(params![
            pipeline,
            place.topic,
            place.partition,
            step.lane.0,
            next.0,
            text,
            step.expected.0
        ])?;
    if moved == 1 {
        return Ok(true);
    }
    if step.expected.0 != 0 {
        return Ok(false);
    }
    // A lane without a row stands at 0.
    let made = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO keylane_progress (pipeline, topic, partition, lane, next_offset, position)
             VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, '0.0'))",
        )?
        .execute(params![
            pipeline,
            place.topic,
            place.partition,
            step.lane.0,
            next.0,
            text
        ])?;
    Ok(made == 1)
}

/// Saves how far a partition is as a whole; `false` if its owner has another number, or the file holds less than it held.
pub(super) fn save_low(
    connection: &Connection,
    pipeline: &str,
    low: &PartitionLow,
) -> rusqlite::Result<bool> {
    let own = std::iter::once((-1, low.held.low));
    let ahead = low.held.ahead.iter();
    for (lane, next) in own.chain(ahead.map(|(lane, next)| (i32::from(lane.0), *next))) {
        let held = connection
            .prepare_cached(
                "SELECT 1 FROM keylane_progress
                 WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 AND lane = ?4 AND next_offset >= ?5",
            )?
            .exists(params![
                pipeline,
                low.partition.topic,
                low.partition.partition,
                lane,
                next.0
            ])?;
        if !held {
            return Ok(false);
        }
    }
    let saved = connection
        .prepare_cached(
            "UPDATE keylane_progress
             SET next_offset = ?5, position = ?6, accepted_epoch = ?7, accepted_position = ?8
             WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3 AND lane = -1 AND owner_epoch = ?4",
        )?
        .execute(params![
            pipeline,
            low.partition.topic,
            low.partition.partition,
            low.owner_epoch,
            low.low.0,
            low.low_position.to_string(),
            low.acceptance.epoch.0,
            low.acceptance.reached.to_string()
        ])?;
    Ok(saved == 1)
}

fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    let text: String = row.get(column)?;
    text.parse().map_err(|()| rusqlite::Error::InvalidQuery)
}
