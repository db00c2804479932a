//! Groups as the log's file keeps them: how far each is, and who reads for it. Whoever took a group over last is its member; what an earlier one says is refused in the transaction that would write it.

use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::Committed;
use rusqlite::{OptionalExtension as _, Transaction, params};

/// Signs of life in the time after which a member counts as dead.
const SIGNS: u32 = 3;
/// Made when a group is first taken over: a file in which nobody keeps a place does without.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS consumer_groups (
  name TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL,
  alive_ms INTEGER NOT NULL,
  session_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS group_offsets (
  group_name TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  PRIMARY KEY (group_name, topic, partition)
) STRICT, WITHOUT ROWID;
";

/// Whoever asks is the group's member from now on, under this epoch, until it gave no sign of life for longer than `session_ms`.
pub(super) fn take_over(
    transaction: &Transaction<'_>,
    group: &str,
    (now_ms, session_ms): (i64, i64),
) -> rusqlite::Result<u64> {
    transaction.execute_batch(TABLES)?;
    transaction
        .prepare_cached(
            "INSERT INTO consumer_groups (name, epoch, alive_ms, session_ms) VALUES (?1, 1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE
             SET epoch = epoch + 1, alive_ms = excluded.alive_ms, session_ms = excluded.session_ms
             RETURNING epoch",
        )?
        .query_row(params![group, now_ms, session_ms], |row| row.get(0))
}

/// How far the group is in those of these partitions in which it has kept that.
pub(super) fn committed(
    transaction: &Transaction<'_>,
    group: &str,
    partitions: Vec<TopicPartition>,
) -> rusqlite::Result<Vec<Committed>> {
    let mut statement = transaction.prepare_cached(
        "SELECT next_offset, metadata FROM group_offsets
         WHERE group_name = ?1 AND topic = ?2 AND partition = ?3",
    )?;
    let mut kept = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let found = statement
            .query_row(
                params![group, partition.topic, partition.partition],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        kept.extend(found.map(|(offset, metadata)| Committed {
            partition,
            offset: Offset(offset),
            metadata,
        }));
    }
    Ok(kept)
}

/// Keeps how far the group is. `false`, and nothing is kept, if another has taken it over since this epoch.
pub(super) fn commit(
    transaction: &Transaction<'_>,
    (group, epoch): (&str, u64),
    progress: &[Committed],
    now_ms: i64,
) -> rusqlite::Result<bool> {
    if !alive(transaction, (group, epoch), now_ms)? {
        return Ok(false);
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO group_offsets (group_name, topic, partition, next_offset, metadata) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (group_name, topic, partition)
         DO UPDATE SET next_offset = excluded.next_offset, metadata = excluded.metadata",
    )?;
    for Committed {
        partition,
        offset,
        metadata,
    } in progress
    {
        statement.execute(params![
            group,
            partition.topic,
            partition.partition,
            offset.0,
            metadata
        ])?;
    }
    Ok(true)
}

/// A sign of life, written where the last one is a while ago. `false` if another has taken the group over since this epoch.
pub(super) fn alive(
    transaction: &Transaction<'_>,
    (group, epoch): (&str, u64),
    now_ms: i64,
) -> rusqlite::Result<bool> {
    let is_due = transaction
        .prepare_cached(
            "SELECT abs(?3 - alive_ms) >= session_ms / ?4 FROM consumer_groups WHERE name = ?1 AND epoch = ?2",
        )?
        .query_row(params![group, epoch, now_ms, SIGNS], |row| row.get(0))
        .optional()?;
    if is_due == Some(true) {
        set_alive(transaction, (group, epoch), now_ms)?;
    }
    Ok(is_due.is_some())
}

/// The group's member leaves, if no other has taken it over since this epoch.
pub(super) fn leave(transaction: &Transaction<'_>, member: (&str, u64)) -> rusqlite::Result<bool> {
    // It was last alive long ago.
    set_alive(transaction, member, 0)
}

fn set_alive(
    transaction: &Transaction<'_>,
    (group, epoch): (&str, u64),
    alive_ms: i64,
) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached("UPDATE consumer_groups SET alive_ms = ?3 WHERE name = ?1 AND epoch = ?2")?
        .execute(params![group, epoch, alive_ms])?;
    Ok(changed == 1)
}

/// Whether the group's member has left, or gave no sign of life for too long.
pub(super) fn is_left_alone(
    transaction: &Transaction<'_>,
    group: &str,
    now_ms: i64,
) -> rusqlite::Result<bool> {
    let found = transaction
        .prepare_cached(
            // Also where the clock was set back since.
            "SELECT abs(?2 - alive_ms) > session_ms FROM consumer_groups WHERE name = ?1",
        )?
        .query_row(params![group, now_ms], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(true))
}
