//! The two databases of a comparison, and the road between them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use keylane::envelope::decode;
use keylane::postgres::connect::redacted;
use keylane::postgres::reconcile::{PostgresMender, PostgresSide};
use keylane::sqlite::reconcile::{SqliteMender, SqliteSide};
use keylane::sqlite::replica_name;
use keylane_core::model::{Change, Offset, Op, Row, TableName, TopicPartition, Value};
use keylane_core::publish::{Header, LogError, RawRecord, RecordKind};
use keylane_core::reconcile::{Engine, Mender, Passage, PassageError, Side, TablePlan, Touched};

use tokio::time::error::Elapsed;

use super::marker::Marker;
use super::road::Road;
use crate::config::{self, Pipeline};
use crate::exit_code::Failure;

/// Bytes that are read of a partition at once.
const READ_BYTES: usize = 1 << 20;
/// How long a mark may take that is waited for behind a fence.
const LEVEL_WAIT: Duration = Duration::from_secs(5);
/// Records of a partition that are looked through, from its end, for what they told of a row last.
const TOLD_RECORDS_MAX: u64 = 50_000;
/// How often the replica is asked how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A database to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL by its URL, with secrets.
    Postgres(String),
    /// A file.
    Sqlite(PathBuf),
}

impl Database {
    /// A pipeline's origin and replica; `None` if it lacks one of them: its topics are another tool's, or its events'.
    pub fn both(pipeline: &Pipeline) -> Option<(Database, Database)> {
        let origin = match pipeline.origin.as_ref()? {
            config::Origin::Postgres(origin) => Database::Postgres(origin.url.expose().to_owned()),
            config::Origin::Sqlite { path } => Database::Sqlite(path.clone()),
        };
        let replica = match pipeline.replica.as_ref()? {
            config::Replica::Postgres { url } => Database::Postgres(url.expose().to_owned()),
            config::Replica::Sqlite { path } => Database::Sqlite(path.clone()),
        };
        Some((origin, replica))
    }

    /// Its kind.
    pub fn engine(&self) -> Engine {
        match self {
            Database::Postgres(_) => Engine::Postgres,
            Database::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Its place without secrets.
    pub fn place(&self) -> String {
        match self {
            Database::Postgres(url) => redacted(url),
            Database::Sqlite(path) => path.display().to_string(),
        }
    }

    /// As the origin of a comparison.
    pub fn origin(&self, filter: Option<String>) -> Box<dyn Side> {
        match self {
            Database::Postgres(url) => Box::new(PostgresSide::origin(url.as_str(), filter)),
            Database::Sqlite(path) => Box::new(SqliteSide::origin(path, filter)),
        }
    }

    /// As the replica of one.
    pub fn replica(&self, filter: Option<String>) -> Box<dyn Side> {
        match self {
            Database::Postgres(url) => Box::new(PostgresSide::replica(url.as_str(), filter)),
            Database::Sqlite(path) => Box::new(SqliteSide::replica(path, filter)),
        }
    }

    /// As a replica that is mended; with `trust`, foreign keys are not checked.
    pub fn mender(&self, trust: bool) -> Box<dyn Mender> {
        match self {
            Database::Postgres(url) => Box::new(PostgresMender::new(url.as_str(), trust)),
            Database::Sqlite(path) => Box::new(SqliteMender::new(path, trust)),
        }
    }

    /// The name that a table of the origin has here as the replica.
    pub fn replica_table(&self, table: &TableName) -> TableName {
        match self {
            Database::Postgres(_) => table.clone(),
            Database::Sqlite(_) => TableName::new("main", replica_name(table)),
        }
    }
}

impl Road {
    /// The tables that the pipeline carries, as its catalog of topics names them; empty before it ran.
    pub async fn tables(&self) -> Vec<TableName> {
        let control = self.catalog().await;
        let topics = control.state().topics.iter();
        topics
            .map(|topic| TableName::new(topic.schema.as_str(), topic.table.as_str()))
            .collect()
    }

    /// The partitions that a table's changes are in.
    pub async fn partitions_of(&self, table: &TableName) -> Vec<TopicPartition> {
        let control = self.catalog().await;
        let topics = control.state().topics.iter();
        let own = topics.filter(|it| *it.schema == *table.schema && *it.table == *table.name);
        own.flat_map(|it| {
            (0..it.partitions).map(|number| TopicPartition::new(it.topic.as_str(), number))
        })
        .collect()
    }
}

/// The road of one table, as a proof needs it.
pub struct RoadPassage {
    road: Arc<Road>,
    table: TableName,
    /// How long a mark is waited for.
    longest: Duration,
    partitions: Vec<TopicPartition>,
    /// Where each ended when the look began, and when it was over.
    from: BTreeMap<TopicPartition, Offset>,
    to: BTreeMap<TopicPartition, Offset>,
    mark: u64,
    marker: Marker,
}

impl RoadPassage {
    /// Waits so long for a mark at most.
    pub fn new(road: Arc<Road>, table: TableName, longest: Duration) -> Self {
        RoadPassage {
            marker: road.marker(),
            road,
            table,
            longest,
            partitions: Vec::new(),
            from: BTreeMap::new(),
            to: BTreeMap::new(),
            mark: 0,
        }
    }

    async fn ends(&self) -> Result<BTreeMap<TopicPartition, Offset>, PassageError> {
        let mut ends = BTreeMap::new();
        for partition in &self.partitions {
            let bounds = self.road.log.bounds(partition).await;
            ends.insert(partition.clone(), bounds.map_err(unreachable)?.end);
        }
        Ok(ends)
    }

    /// Writes a mark at the origin; its place.
    async fn marked(&mut self, longest: Duration) -> Result<u64, PassageError> {
        let answer = tokio::time::timeout(longest, self.marker.mark()).await;
        self.taken(answer, longest)
    }

    /// A mark that was taken in time.
    fn taken<T>(
        &mut self,
        answer: Result<Result<T, Failure>, Elapsed>,
        longest: Duration,
    ) -> Result<T, PassageError> {
        match answer {
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(failure)) => Err(PassageError::Unreachable(failure.message)),
            Err(_) => {
                // The next one does not wait behind what this one waits for.
                self.marker = self.road.marker();
                Err(stalled(longest, "the origin took no mark"))
            }
        }
    }

    /// The change of the table that a record tells, if it tells one.
    fn change(&self, record: &RawRecord) -> Option<Change> {
        let header = record
            .keylane
            .as_ref()
            .map(|raw| Header::decode(raw))?
            .ok()?;
        if header.kind != RecordKind::Change {
            return None;
        }
        let value = record.value.as_deref().unwrap_or_default();
        let change = decode(value, Some(&header), &self.road.schemas).ok()?;
        (change.schema.table == self.table).then_some(change)
    }

    /// Notes the rows that a record is about; false if that cannot be said.
    fn note(&self, plan: &TablePlan, record: &RawRecord, touched: &mut HashSet<Bytes>) -> bool {
        let header = record.keylane.as_ref().map(|raw| Header::decode(raw));
        let Some(Ok(header)) = header else {
            return false;
        };
        if header.kind != RecordKind::Change {
            return true;
        }
        let value = record.value.as_deref().unwrap_or_default();
        match decode(value, Some(&header), &self.road.schemas) {
            Ok(change) if change.schema.table == self.table => rows_of(plan, &change, touched),
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

fn unreachable(error: LogError) -> PassageError {
    PassageError::Unreachable(error.message)
}

/// The rows that a change is about; false if it is about all of the table's, or does not tell.
fn rows_of(plan: &TablePlan, change: &Change, touched: &mut HashSet<Bytes>) -> bool {
    let images = [&change.before, &change.after, &change.moved_from];
    let rows: Vec<&Row> = images.into_iter().flatten().collect();
    for row in &rows {
        let columns = plan.columns.iter().take(plan.key);
        let key: Option<Vec<Value>> = columns
            .map(|column| {
                let place = change.schema.column_index(&column.name)?;
                row.get(place).filter(|value| value.is_present()).cloned()
            })
            .collect();
        match key {
            Some(key) => touched.insert(plan.identity(&key)),
            None => return false,
        };
    }
    !rows.is_empty()
}

/// False if a record's key says that it is about none of these rows.
fn may_tell(plan: &TablePlan, record: &RawRecord, among: &HashSet<Bytes>) -> bool {
    let key = record.key.as_deref().map(std::str::from_utf8);
    let identity = key.and_then(|key| plan.identity_of_text(key.ok()?));
    identity.is_none_or(|identity| among.contains(&identity))
}

/// What a change leaves of the rows that are asked for. A row that takes a new key has a record of its own under either key.
fn leave(
    plan: &TablePlan,
    change: &Change,
    among: &HashSet<Bytes>,
    told: &mut HashMap<Bytes, Option<Row>>,
) {
    let in_plan = |row: &Row| -> Row {
        let columns = plan.columns.iter().map(|column| {
            let place = change.schema.column_index(&column.name);
            let value = place.and_then(|place| row.get(place));
            value.cloned().unwrap_or(Value::Absent)
        });
        columns.collect()
    };
    let identity = |row: &Row| {
        let key = row.get(..plan.key)?;
        let whole = key.iter().all(Value::is_present);
        whole
            .then(|| plan.identity(key))
            .filter(|identity| among.contains(identity))
    };
    let Some(after) = change.after.as_ref().map(in_plan) else {
        let gone = change.before.as_ref().or(change.moved_from.as_ref());
        if let Some(identity) = gone.map(in_plan).and_then(|gone| identity(&gone)) {
            told.insert(identity, None);
        }
        return;
    };
    if let Some(identity) = identity(&after) {
        let before = told.remove(&identity).flatten();
        let row = after
            .into_iter()
            .enumerate()
            .map(|(place, value)| match value {
                Value::Absent => {
                    let kept = before.as_ref().and_then(|row| row.get(place));
                    kept.cloned().unwrap_or(Value::Absent)
                }
                value => value,
            });
        told.insert(identity, Some(row.collect()));
    }
}

#[async_trait]
impl Passage for RoadPassage {
    async fn begin(&mut self) -> Result<(), PassageError> {
        self.partitions = self.road.partitions_of(&self.table).await;
        if self.partitions.is_empty() {
            let message = format!("no topic carries table {}", self.table);
            return Err(PassageError::Stalled(message));
        }
        self.from = self.ends().await?;
        Ok(())
    }

    async fn level(&mut self) -> Result<(), PassageError> {
        let longest = LEVEL_WAIT.min(self.longest);
        let level = self.marker.level(&self.table);
        let answer = tokio::time::timeout(longest, level).await;
        self.taken(answer, longest)
    }

    async fn pass(&mut self) -> Result<(), PassageError> {
        let until = Instant::now() + self.longest;
        if !self.road.is_copied().await {
            return Err(PassageError::Stalled(
                "the initial copy is not complete".to_owned(),
            ));
        }
        self.mark = self.marked(self.longest).await?;
        loop {
            match self.road.has_applied(self.mark).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failure) if Instant::now() >= until => {
                    return Err(PassageError::Unreachable(failure.message));
                }
                Err(_) => {}
            }
            if Instant::now() >= until {
                return Err(stalled(self.longest, "a mark did not come through"));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn touched(
        &mut self,
        plan: &TablePlan,
        among: &HashSet<Bytes>,
    ) -> Result<Touched, PassageError> {
        self.to = self.ends().await?;
        let mut touched = HashSet::new();
        for (partition, to) in &self.to {
            let mut from = self.from.get(partition).copied().unwrap_or(Offset(0));
            while from < *to {
                let read = self.road.log.read(partition, from, READ_BYTES).await;
                let records = read.map_err(unreachable)?;
                let Some(last) = records.last() else { break };
                let next = last.offset.next();
                for record in records.iter().filter(|record| record.offset < *to) {
                    if !self.note(plan, record, &mut touched) {
                        return Ok(Touched::Any);
                    }
                }
                touched.retain(|identity| among.contains(identity));
                from = next;
            }
        }
        Ok(Touched::Keys(touched))
    }

    async fn told(
        &mut self,
        plan: &TablePlan,
        among: &HashSet<Bytes>,
    ) -> Result<HashMap<Bytes, Option<Row>>, PassageError> {
        let mut all = HashMap::new();
        // What came behind the look says nothing of it.
        for (partition, to) in &self.to {
            let mut told = HashMap::new();
            let bounds = self.road.log.bounds(partition).await;
            let start = bounds.map_err(unreachable)?.start;
            let latest = to.0.saturating_sub(TOLD_RECORDS_MAX);
            let mut from = Offset(start.0.max(latest));
            while from < *to {
                let read = self.road.log.read(partition, from, READ_BYTES).await;
                let records = read.map_err(unreachable)?;
                let Some(last) = records.last() else { break };
                from = last.offset.next();
                let before = records.iter().filter(|record| record.offset < *to);
                for record in before.filter(|record| may_tell(plan, record, among)) {
                    match self.change(record) {
                        // It is about all of the table's rows, and tells none of them.
                        Some(change) if change.op == Op::Truncate => told.clear(),
                        Some(change) => leave(plan, &change, among, &mut told),
                        None => {}
                    }
                }
            }
            all.extend(told);
        }
        Ok(all)
    }

    fn position(&self) -> String {
        let ends: Vec<String> = self
            .to
            .iter()
            .map(|(partition, end)| format!("{partition} at {}", end.0))
            .collect();
        format!("mark {} applied; {}", self.mark, ends.join(", "))
    }
}

fn stalled(longest: Duration, what: &str) -> PassageError {
    PassageError::Stalled(format!("{what} within {longest:?}"))
}
