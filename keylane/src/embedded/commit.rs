//! One transaction of the writer: many appends, their offsets given inside it.

use std::collections::HashMap;
use std::sync::Arc;

use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{LogError, LogErrorKind, NewRecord};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::file::LogFile;
use super::tickets::Pending;

/// Why a commit did not happen.
pub(super) enum NotCommitted {
    /// The log holds as much as it may, or the device is full: may go away by itself.
    Full(LogError),
    /// Another process held the file for too long: may go away by itself.
    Busy(LogError),
    /// For good.
    Failed(LogError),
}

/// Writes batches of appends.
pub(super) struct Committer {
    file: LogFile,
    connection: Connection,
    bytes_max: u64,
    page_bytes: u64,
    topics: HashMap<Arc<str>, (i64, u32)>,
}

impl Committer {
    pub(super) fn open(file: LogFile, bytes_max: u64) -> Result<Self, LogError> {
        let connection = file.connect()?;
        let page_bytes = connection
            .query_row("PRAGMA page_size", [], |row| row.get::<_, u64>(0))
            .map_err(|error| file.explain(&error))?;
        Ok(Committer {
            file,
            connection,
            bytes_max,
            page_bytes,
            topics: HashMap::new(),
        })
    }

    /// All of the appends or none; `Ok` only when they are durable.
    pub(super) fn commit(&mut self, appends: &[Pending]) -> Result<Vec<Vec<Offset>>, NotCommitted> {
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|error| self.not_committed(&error))?;
        let written = self.room_for(appends).and_then(|()| self.write(appends));
        let result = written.and_then(|offsets| match self.connection.execute_batch("COMMIT") {
            Ok(()) => Ok(offsets),
            Err(error) => Err(match self.not_committed(&error) {
                // Beyond "full" and "busy" nobody knows whether the commit reached the device.
                NotCommitted::Failed(error) => {
                    NotCommitted::Failed(LogError::new(LogErrorKind::SessionOver, error.message))
                }
                other => other,
            }),
        });
        if result.is_err() && !self.connection.is_autocommit() {
            // If even this fails, the connection's next BEGIN says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        result
    }

    fn room_for(&self, appends: &[Pending]) -> Result<(), NotCommitted> {
        let pages = |pragma| {
            self.connection
                .query_row(pragma, [], |row| row.get::<_, u64>(0))
                .map_err(|error| self.not_committed(&error))
        };
        let used = pages("PRAGMA page_count")?.saturating_sub(pages("PRAGMA freelist_count")?)
            * self.page_bytes;
        let more: usize = appends.iter().map(|append| append.size_bytes).sum();
        if used + more as u64 <= self.bytes_max {
            return Ok(());
        }
        Err(NotCommitted::Full(LogError::new(
            LogErrorKind::DiskFull,
            format!(
                "log file {}: holds {used} of at most {} bytes, and what it holds is not applied yet: \
                 see what holds the applying side up, or allow the log more",
                self.file.path.display(),
                self.bytes_max
            ),
        )))
    }

    fn write(&mut self, appends: &[Pending]) -> Result<Vec<Vec<Offset>>, NotCommitted> {
        let mut ends: HashMap<&TopicPartition, (i64, u64)> = HashMap::new();
        let mut offsets = Vec::with_capacity(appends.len());
        for append in appends {
            let mut given = Vec::with_capacity(append.records.len());
            for record in &append.records {
                let (topic_no, next) = match ends.get_mut(&record.partition) {
                    Some(end) => end,
                    None => {
                        let end = self.end_of(&record.partition)?;
                        ends.entry(&record.partition).or_insert(end)
                    }
                };
                self.insert(*topic_no, *next, record)
                    .map_err(|error| self.not_committed(&error))?;
                given.push(Offset(*next));
                *next += 1;
            }
            offsets.push(given);
        }
        self.move_ends(&ends)
            .map_err(|error| self.not_committed(&error))?;
        Ok(offsets)
    }

    fn insert(&self, topic_no: i64, offset: u64, record: &NewRecord) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO records (topic_no, partition, offset, ts, key, value, keylane, headers)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                topic_no,
                record.partition.partition,
                offset,
                record.timestamp_ms,
                record.key.as_deref(),
                record.value.as_deref(),
                (!record.keylane.is_empty()).then_some(&record.keylane),
                headers_text(record),
            ])
            .map(|_| ())
    }

    fn move_ends(&self, ends: &HashMap<&TopicPartition, (i64, u64)>) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE ends SET next_offset = ?3 WHERE topic_no = ?1 AND partition = ?2",
        )?;
        for (place, (topic_no, next)) in ends {
            statement.execute(params![topic_no, place.partition, next])?;
        }
        Ok(())
    }

    /// The topic's number and the partition's next offset.
    fn end_of(&mut self, place: &TopicPartition) -> Result<(i64, u64), NotCommitted> {
        let found = self
            .look_up(place)
            .map_err(|error| self.not_committed(&error))?;
        found.ok_or_else(|| {
            NotCommitted::Failed(LogError::new(
                LogErrorKind::TopicMismatch,
                format!(
                    "log file {}: there is no partition {place}",
                    self.file.path.display()
                ),
            ))
        })
    }

    fn look_up(&mut self, place: &TopicPartition) -> rusqlite::Result<Option<(i64, u64)>> {
        let topic = match self.topics.get(&place.topic) {
            Some(topic) => Some(*topic),
            None => self
                .connection
                .prepare_cached("SELECT no, partitions FROM topics WHERE name = ?1")?
                .query_row([&place.topic], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?,
        };
        let Some((topic_no, partitions)) = topic else {
            return Ok(None);
        };
        self.topics
            .insert(Arc::clone(&place.topic), (topic_no, partitions));
        self.connection
            .prepare_cached("SELECT next_offset FROM ends WHERE topic_no = ?1 AND partition = ?2")?
            .query_row(params![topic_no, place.partition], |row| row.get(0))
            .optional()
            .map(|next| next.map(|next| (topic_no, next)))
    }

    fn not_committed(&self, error: &rusqlite::Error) -> NotCommitted {
        let explained = self.file.explain(error);
        match explained.kind {
            LogErrorKind::DiskFull => NotCommitted::Full(explained),
            LogErrorKind::Unreachable => NotCommitted::Busy(explained),
            LogErrorKind::SessionOver
            | LogErrorKind::Replaced
            | LogErrorKind::Denied
            | LogErrorKind::TopicMismatch
            | LogErrorKind::OutOfRange
            | LogErrorKind::TooLarge
            | LogErrorKind::Other => NotCommitted::Failed(explained),
        }
    }
}

/// Headers besides Keylane's own, for people who open the file: a JSON object, values as text where they are text.
fn headers_text(record: &NewRecord) -> Option<String> {
    if record.headers.is_empty() {
        return None;
    }
    let pairs = record.headers.iter().map(|(name, value)| {
        let text = String::from_utf8_lossy(value).into_owned();
        (name.to_string(), serde_json::Value::String(text))
    });
    Some(serde_json::Value::Object(pairs.collect()).to_string())
}
