//! Keeping the log: topics made and verified, what was applied dropped, state that was written again dropped, the file's free pages given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{LogError, LogErrorKind, TopicInfo, TopicSpec};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::file::LogFile;
use super::log::EmbeddedOptions;

/// Records dropped in one transaction: so short that an appender hardly waits.
const TRIM_RECORDS_MAX: u64 = 2000;
/// Free pages that are kept for what comes next, at least; above this and a quarter of the file they are given back.
const FREE_PAGES_KEPT: u64 = 256;
/// Control topics are looked through for state that was written again this often.
const COMPACT_EVERY: Duration = Duration::from_secs(60);
/// State is dropped once what replaced it is this old: until then a capturer that is just opening may still go by it.
const COMPACT_AFTER: Duration = Duration::from_secs(600);
/// Pages given back in one transaction.
const VACUUM_PAGES_MAX: u64 = 256;

/// A connection for what is done now and then.
pub(super) struct Keeper {
    file: LogFile,
    connection: Connection,
    retention_ms: i64,
    bytes_max: u64,
    compacted: Option<Instant>,
}

impl Keeper {
    pub(super) fn open(file: LogFile, options: &EmbeddedOptions) -> Result<Self, LogError> {
        let connection = file.connect()?;
        Ok(Keeper {
            file,
            connection,
            retention_ms: i64::try_from(options.retention.as_millis()).unwrap_or(i64::MAX),
            bytes_max: options.bytes_max,
            compacted: None,
        })
    }

    /// The time before which a record that may be dropped is dropped: now, once the file is three quarters full.
    fn drop_older_than_ms(&self) -> rusqlite::Result<i64> {
        let number = |pragma| {
            self.connection
                .query_row(pragma, [], |row| row.get::<_, u64>(0))
        };
        let used = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
        let crowded = used.saturating_mul(number("PRAGMA page_size")?) > self.bytes_max / 4 * 3;
        Ok(if crowded || self.retention_ms == 0 {
            i64::MAX
        } else {
            now_ms().saturating_sub(self.retention_ms)
        })
    }

    /// Creates what is missing and verifies what is there, all or nothing.
    pub(super) fn ensure_topics(
        &mut self,
        specs: &[TopicSpec],
    ) -> Result<Vec<TopicInfo>, LogError> {
        let file = self.file.clone();
        let explain = |error: rusqlite::Error| file.explain(&error);
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(explain)?;
        let mut infos = Vec::with_capacity(specs.len());
        for spec in specs {
            let info = match topic(&transaction, &spec.name).map_err(explain)? {
                Some(info) if info.partitions != spec.partitions => {
                    return Err(LogError::new(
                        LogErrorKind::TopicMismatch,
                        format!(
                            "log file {}: topic {} has {} partitions, {} are asked for: keys would move between partitions",
                            file.path.display(),
                            spec.name,
                            info.partitions,
                            spec.partitions
                        ),
                    ));
                }
                Some(info) => info,
                None => create(&transaction, spec).map_err(explain)?,
            };
            infos.push(info);
        }
        transaction.commit().map_err(explain)?;
        Ok(infos)
    }

    /// A topic as it is.
    pub(super) fn describe(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        topic(&self.connection, name).map_err(|error| self.file.explain(&error))
    }

    /// Something of few rows, all or nothing, and durable when it is done.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LogError> {
        let all = || {
            let transaction = self
                .connection
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        all().map_err(|error: rusqlite::Error| self.file.explain(&error))
    }

    /// Drops a bounded number of a partition's records below `before`. Whether more are to be dropped.
    pub(super) fn trim_some(
        &mut self,
        partition: &TopicPartition,
        before: Offset,
    ) -> Result<bool, LogError> {
        self.trim_transaction(partition, before)
            .map_err(|error| self.file.explain(&error))
    }

    fn trim_transaction(
        &mut self,
        partition: &TopicPartition,
        before: Offset,
    ) -> rusqlite::Result<bool> {
        let older_than_ms = self.drop_older_than_ms()?;
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let held: Option<(i64, u64, u64)> = transaction
            .prepare_cached(
                "SELECT topic_no, start_offset, next_offset FROM ends
                 WHERE topic_no = (SELECT no FROM topics WHERE name = ?1) AND partition = ?2",
            )?
            .query_row(params![partition.topic, partition.partition], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((topic_no, start, next)) = held else {
            return Ok(false);
        };
        let goal = before.0.min(next);
        let upper = goal.min(start.saturating_add(TRIM_RECORDS_MAX));
        let young: Option<u64> = transaction
            .prepare_cached(
                "SELECT offset FROM records WHERE topic_no = ?1 AND partition = ?2 AND offset >= ?3 AND offset < ?4 AND ts >= ?5
                 ORDER BY offset LIMIT 1",
            )?
            .query_row(params![topic_no, partition.partition, start, upper, older_than_ms], |row| row.get(0))
            .optional()?;
        let goal = young.map_or(goal, |young| goal.min(young));
        let upper = upper.min(goal);
        if upper <= start {
            return Ok(false);
        }
        transaction
            .prepare_cached(
                "DELETE FROM records WHERE topic_no = ?1 AND partition = ?2 AND offset < ?3",
            )?
            .execute(params![topic_no, partition.partition, upper])?;
        transaction
            .prepare_cached(
                "UPDATE ends SET start_offset = ?3 WHERE topic_no = ?1 AND partition = ?2",
            )?
            .execute(params![topic_no, partition.partition, upper])?;
        transaction.commit()?;
        Ok(upper < goal)
    }

    /// Drops a bounded number of control records whose key was written again, now and then. Whether more are to be dropped.
    pub(super) fn compact_some(&mut self) -> Result<bool, LogError> {
        if self
            .compacted
            .is_some_and(|at| at.elapsed() < COMPACT_EVERY)
        {
            return Ok(false);
        }
        let dropped = self
            .compact_step()
            .map_err(|error| self.file.explain(&error))?;
        let more = dropped == TRIM_RECORDS_MAX;
        if !more {
            self.compacted = Some(Instant::now());
        }
        Ok(more)
    }

    /// Only control topics hold records of state (`k=x`).
    fn compact_step(&mut self) -> rusqlite::Result<u64> {
        let replaced_before_ms = now_ms().saturating_sub(COMPACT_AFTER.as_millis() as i64);
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let dropped = transaction
            .prepare_cached(
                "WITH state AS (
                   SELECT topic_no, offset, max(offset) FILTER (WHERE ts < ?1) OVER (PARTITION BY topic_no, key) AS newest
                   FROM records
                   WHERE topic_no IN (SELECT no FROM topics WHERE partitions = 1 AND name LIKE '%.keylane') AND partition = 0 AND keylane LIKE '1 k=x %'
                 )
                 DELETE FROM records
                 WHERE partition = 0 AND (topic_no, offset) IN (SELECT topic_no, offset FROM state WHERE offset < newest LIMIT ?2)",
            )?
            .execute(params![replaced_before_ms, TRIM_RECORDS_MAX])?;
        transaction.commit()?;
        Ok(dropped as u64)
    }

    /// Gives a bounded number of free pages back to the file system. Whether more are to be given back.
    pub(super) fn shrink_some(&mut self) -> Result<bool, LogError> {
        self.shrink_step()
            .map_err(|error| self.file.explain(&error))
    }

    fn shrink_step(&mut self) -> rusqlite::Result<bool> {
        let pages = |pragma| {
            self.connection
                .query_row(pragma, [], |row| row.get::<_, u64>(0))
        };
        let (all, free) = (pages("PRAGMA page_count")?, pages("PRAGMA freelist_count")?);
        let kept = FREE_PAGES_KEPT.max(all / 4);
        if free <= kept {
            return Ok(false);
        }
        let give_back = (free - kept).min(VACUUM_PAGES_MAX);
        // One row for each page: the statement frees pages only as it is stepped.
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA incremental_vacuum({give_back})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        let more = free - give_back > kept;
        if !more {
            // The file itself shrinks when the pages reach it.
            self.connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
        Ok(more)
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

fn topic(connection: &Connection, name: &str) -> rusqlite::Result<Option<TopicInfo>> {
    connection
        .prepare_cached("SELECT name, id, partitions FROM topics WHERE name = ?1")?
        .query_row([name], |row| {
            Ok(TopicInfo {
                name: row.get(0)?,
                id: row.get(1)?,
                partitions: row.get(2)?,
                created: false,
                record_bytes_max: None,
            })
        })
        .optional()
}

fn create(connection: &Connection, spec: &TopicSpec) -> rusqlite::Result<TopicInfo> {
    let (number, id): (i64, Arc<str>) = connection.query_row(
        "INSERT INTO topics (name, id, partitions) VALUES (?1, lower(hex(randomblob(12))), ?2) RETURNING no, id",
        params![spec.name, spec.partitions],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO ends (topic_no, partition, start_offset, next_offset) VALUES (?1, ?2, 0, 0)",
    )?;
    for partition in 0..spec.partitions {
        statement.execute(params![number, partition])?;
    }
    Ok(TopicInfo {
        name: Arc::clone(&spec.name),
        id,
        partitions: spec.partitions,
        created: true,
        record_bytes_max: None,
    })
}
