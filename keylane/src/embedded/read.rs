//! Reading: a connection that never writes, and sees of each partition a whole prefix.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Bounds, LogError, LogErrorKind, RawRecord};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::file::LogFile;

/// A wish to read: from where on, and about how many bytes.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) partition: TopicPartition,
    pub(super) from: Offset,
    pub(super) bytes_max: usize,
}

/// What a look at several partitions found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: Vec<(TopicPartition, Vec<RawRecord>)>,
    /// The end of each partition that was asked for.
    pub(super) ends: Vec<(TopicPartition, Offset)>,
}

/// A reading connection and what it remembers.
pub(super) struct Reader {
    file: LogFile,
    connection: Connection,
    with_headers: bool,
    topics: HashMap<Arc<str>, i64>,
    /// `PRAGMA data_version` when `bounds` was read; it changes with every commit of another connection.
    seen_version: Option<i64>,
    bounds: BTreeMap<(i64, u32), Bounds>,
}

impl Reader {
    /// Tells records' headers if it is asked to.
    pub(super) fn open(file: LogFile, with_headers: bool) -> Result<Self, LogError> {
        let connection = file.connect()?;
        Ok(Reader {
            file,
            connection,
            with_headers,
            topics: HashMap::new(),
            seen_version: None,
            bounds: BTreeMap::new(),
        })
    }

    /// The offsets a partition holds.
    pub(super) fn bounds(&mut self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        let number = self.topic_no(&partition.topic)?;
        let found = self
            .connection
            .prepare_cached(
                "SELECT start_offset, next_offset FROM ends WHERE topic_no = ?1 AND partition = ?2",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![number, partition.partition], |row| {
                        bounds_of(row, 0)
                    })
                    .optional()
            });
        found
            .map_err(|error| self.file.explain(&error))?
            .ok_or_else(|| self.no_partition(partition))
    }

    /// What the partitions hold from the wished offsets on; every partition that has something gets its part of `bytes_max`.
    pub(super) fn look(&mut self, wishes: &[Wish], bytes_max: usize) -> Result<Found, LogError> {
        let mut numbers = Vec::with_capacity(wishes.len());
        for wish in wishes {
            numbers.push(self.topic_no(&wish.partition.topic)?);
        }
        let version = self.data_version()?;
        if self.seen_version == Some(version) && !self.any_has_more(wishes, &numbers) {
            return Ok(self.found(Vec::new(), wishes, &numbers));
        }
        // One read transaction: between the bounds and the records nothing is trimmed.
        self.run("BEGIN")?;
        let records = self.look_inside(wishes, &numbers, bytes_max);
        self.run("COMMIT")?;
        let records = records?;
        self.seen_version = Some(version);
        Ok(self.found(records, wishes, &numbers))
    }

    fn look_inside(
        &mut self,
        wishes: &[Wish],
        numbers: &[i64],
        bytes_max: usize,
    ) -> Result<Vec<(TopicPartition, Vec<RawRecord>)>, LogError> {
        self.read_all_bounds()
            .map_err(|error| self.file.explain(&error))?;
        let mut ready = Vec::new();
        for (wish, number) in wishes.iter().zip(numbers) {
            let bounds = self
                .bounds
                .get(&(*number, wish.partition.partition))
                .ok_or_else(|| self.no_partition(&wish.partition))?;
            if wish.from < bounds.start {
                return Err(self.out_of_range(wish, *bounds));
            }
            if wish.from < bounds.end && wish.bytes_max > 0 {
                ready.push((wish, *number));
            }
        }
        let share = bytes_max / ready.len().max(1);
        let mut found = Vec::with_capacity(ready.len());
        for (wish, number) in ready {
            let records = self
                .records(number, wish, wish.bytes_max.min(share))
                .map_err(|error| self.file.explain(&error))?;
            found.push((wish.partition.clone(), records));
        }
        Ok(found)
    }

    /// At least one record if there is one, then until `bytes_max`.
    fn records(
        &self,
        topic_no: i64,
        wish: &Wish,
        bytes_max: usize,
    ) -> rusqlite::Result<Vec<RawRecord>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT offset, ts, key, value, keylane, headers FROM records
             WHERE topic_no = ?1 AND partition = ?2 AND offset >= ?3 ORDER BY offset",
        )?;
        let mut rows = statement.query(params![topic_no, wish.partition.partition, wish.from.0])?;
        let mut records: Vec<RawRecord> = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let mut record = record_of(row)?;
            if self.with_headers {
                record.headers = headers_of(row)?;
            }
            bytes += record.size_bytes();
            if bytes > bytes_max && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }

    fn any_has_more(&self, wishes: &[Wish], numbers: &[i64]) -> bool {
        wishes.iter().zip(numbers).any(|(wish, number)| {
            // An unknown partition or an offset that is no longer held: look, to say so.
            self.bounds
                .get(&(*number, wish.partition.partition))
                .is_none_or(|bounds| {
                    wish.from < bounds.start || (wish.from < bounds.end && wish.bytes_max > 0)
                })
        })
    }

    fn found(
        &self,
        records: Vec<(TopicPartition, Vec<RawRecord>)>,
        wishes: &[Wish],
        numbers: &[i64],
    ) -> Found {
        let ends = wishes.iter().zip(numbers).filter_map(|(wish, number)| {
            let bounds = self.bounds.get(&(*number, wish.partition.partition))?;
            Some((wish.partition.clone(), bounds.end))
        });
        Found {
            ends: ends.collect(),
            records,
        }
    }

    fn read_all_bounds(&mut self) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT topic_no, partition, start_offset, next_offset FROM ends")?;
        let rows = statement.query_map([], |row| {
            Ok(((row.get(0)?, row.get(1)?), bounds_of(row, 2)?))
        })?;
        self.bounds = rows.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    fn topic_no(&mut self, topic: &Arc<str>) -> Result<i64, LogError> {
        if let Some(number) = self.topics.get(topic) {
            return Ok(*number);
        }
        let found = self
            .connection
            .query_row("SELECT no FROM topics WHERE name = ?1", [topic], |row| {
                row.get(0)
            })
            .optional();
        let number = found
            .map_err(|error| self.file.explain(&error))?
            .ok_or_else(|| {
                LogError::new(
                    LogErrorKind::TopicMismatch,
                    format!(
                        "log file {}: there is no topic {topic}",
                        self.file.path.display()
                    ),
                )
            })?;
        self.topics.insert(Arc::clone(topic), number);
        Ok(number)
    }

    fn data_version(&self) -> Result<i64, LogError> {
        self.connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|error| self.file.explain(&error))
    }

    fn run(&self, sql: &str) -> Result<(), LogError> {
        self.connection
            .execute_batch(sql)
            .map_err(|error| self.file.explain(&error))
    }

    fn no_partition(&self, partition: &TopicPartition) -> LogError {
        LogError::new(
            LogErrorKind::TopicMismatch,
            format!(
                "log file {}: there is no partition {partition}",
                self.file.path.display()
            ),
        )
    }

    fn out_of_range(&self, wish: &Wish, bounds: Bounds) -> LogError {
        LogError::new(
            LogErrorKind::OutOfRange,
            format!(
                "log file {}: partition {} was asked for offset {}, and holds {} to {}",
                self.file.path.display(),
                wish.partition,
                wish.from.0,
                bounds.start.0,
                bounds.end.0
            ),
        )
    }
}

fn bounds_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Bounds> {
    Ok(Bounds {
        start: Offset(row.get(first)?),
        end: Offset(row.get(first + 1)?),
    })
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<RawRecord> {
    let bytes = |index| -> rusqlite::Result<Option<Bytes>> {
        Ok(row
            .get_ref(index)?
            .as_bytes_or_null()?
            .map(Bytes::copy_from_slice))
    };
    Ok(RawRecord {
        headers: Vec::new(),
        offset: Offset(row.get(0)?),
        timestamp_ms: row.get(1)?,
        key: bytes(2)?,
        value: bytes(3)?,
        keylane: bytes(4)?,
    })
}

/// The headers as the writer put them: text, in an object.
fn headers_of(row: &Row<'_>) -> rusqlite::Result<Vec<(Arc<str>, Bytes)>> {
    let text: Option<String> = row.get(5)?;
    let object: BTreeMap<String, String> = text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let headers = object.into_iter();
    Ok(headers
        .map(|(name, value)| (Arc::from(name), Bytes::from(value)))
        .collect())
}
