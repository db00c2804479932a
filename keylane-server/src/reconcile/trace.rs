//! One row's whole way: what the origin has, its records in the log, how far its lane is, what the replica has, and what the last comparison said.

use std::collections::VecDeque;
use std::sync::Arc;

use keylane::envelope::decode;
use keylane::sqlite::journal::{Journal, TableState};
use keylane_core::apply::ParkedFilter;
use keylane_core::model::{Offset, Op, OrderHash, TableName, TopicPartition, Value};
use keylane_core::publish::{Header, RawRecord, RecordKind};
use keylane_core::reconcile::{Key, Kind, TablePlan, difference, plan};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::target::Target;
use super::view::text_of;
use crate::exit_code::{Exit, Failure};
use crate::wire_up::Road;

/// Records of a partition that are looked at, from its end backwards.
const RECORDS_BACK: u64 = 200_000;
const READ_BYTES: usize = 1 << 20;
/// Records of the key that are told, the latest.
const TOLD_MAX: usize = 20;
const PARKED_MAX: u32 = 10_000;

/// What is known of a row.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// The pipeline.
    pub pipeline: String,
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: Map<String, Json>,
    /// What the origin has; null: no row.
    pub origin: Option<Map<String, Json>>,
    /// Its records in the log, the oldest first; the latest 20.
    pub records: Vec<TracedRecord>,
    /// Whether older records of its partitions were not looked at.
    pub older_left_out: bool,
    /// Where its changes go; null if no record was found.
    pub partition: Option<String>,
    /// The lane that applies them.
    pub lane: Option<u16>,
    /// Everything of its lane below this offset is applied.
    pub applied_below: Option<u64>,
    /// Whether changes of it are parked.
    pub parked: bool,
    /// What the replica has; null: no row.
    pub replica: Option<Map<String, Json>>,
    /// Columns that differ now. Changes may be on their way: `keylane reconcile` says what is proved.
    pub differs: Vec<String>,
    /// What comparisons said.
    pub reconciled: Option<Reconciled>,
}

/// A record of the row.
#[derive(Clone, Debug, Serialize)]
pub struct TracedRecord {
    /// Its partition.
    pub partition: String,
    /// Its offset.
    pub offset: u64,
    /// `insert`, `update`, `delete`, `read` (of the initial copy), `truncate`.
    pub op: &'static str,
    /// The commit's place at the origin, and the change's within it.
    pub position: String,
    /// When it was committed, microseconds since 1970.
    pub committed_us: i64,
    /// When it came into the log, milliseconds since 1970.
    pub logged_ms: i64,
    /// Whether it is applied.
    pub applied: bool,
}

/// What the last comparison of the table said.
#[derive(Clone, Debug, Serialize)]
pub struct Reconciled {
    /// The run.
    pub run: String,
    /// When it began, microseconds since 1970.
    pub at_us: i64,
    /// The table's verdict.
    pub verdict: String,
    /// The last run that found this row to differ.
    pub row_run: Option<String>,
    /// How: `missing`, `extra`, `different`.
    pub row_kind: Option<String>,
    /// What was done about it.
    pub row_repair: Option<String>,
}

/// Follows a row of a target's only table.
///
/// # Errors
/// If the key is not of the table's columns, or a database or the log does not answer.
pub async fn trace(target: &Target, key: &str, journal: &Journal) -> Result<Trace, Failure> {
    let (Some(table), Some(road)) = (target.tables.first(), &target.road) else {
        return Err(Failure::new(Exit::Usage, "a row is followed in a pipeline"));
    };
    let failed =
        |error: keylane_core::reconcile::SideError| Failure::new(Exit::Unreachable, error.message);
    let mut origin = target.origin.origin(None);
    let mut replica = target.replica.replica(None);
    let at_replica = target.replica.replica_table(table);
    let there = tokio::join!(origin.table(table), replica.table(&at_replica));
    let shapes = there.0.map_err(failed)?.zip(there.1.map_err(failed)?);
    let (one, other) = shapes
        .ok_or_else(|| Failure::new(Exit::Error, format!("table {table} is not on both sides")))?;
    let engines = (target.origin.engine(), target.replica.engine());
    let plan = plan(engines, &one, &other);
    let plan = plan.map_err(|refusal| Failure::new(Exit::Error, refusal.to_string()))?;
    let key = read_key(&plan, key)?;
    let keys = std::slice::from_ref(&key);
    let ours = origin.rows(&plan, keys).await.map_err(failed)?.pop();
    let follow = Follow {
        road,
        plan: &plan,
        identity: plan.identity(&key),
    };
    let way = follow.records(table).await?;
    let theirs = replica.rows(&plan, keys).await.map_err(failed)?.pop();
    let found = difference(&plan, ours.as_ref(), theirs.as_ref());
    let differs = match found.difference {
        None => Vec::new(),
        Some(keylane_core::reconcile::Difference::Different(columns)) => {
            let names = columns.iter().filter_map(|place| plan.columns.get(*place));
            names.map(|column| column.name.to_string()).collect()
        }
        Some(_) => vec!["the row".to_owned()],
    };
    Ok(Trace {
        pipeline: road.name.to_string(),
        table: table.to_string(),
        key: named(&plan, &key),
        origin: ours.map(|row| named(&plan, &row)),
        records: way.records,
        older_left_out: way.older_left_out,
        partition: way.partition.map(|partition| partition.to_string()),
        lane: way.lane,
        applied_below: way.applied_below.map(|offset| offset.0),
        parked: follow.is_parked(table).await?,
        replica: theirs.map(|row| named(&plan, &row)),
        differs,
        reconciled: reconciled(journal, table, &follow.identity).await,
    })
}

fn named(plan: &TablePlan, row: &[Value]) -> Map<String, Json> {
    let cells = plan.columns.iter().zip(row);
    cells
        .map(|(column, value)| (column.name.to_string(), text_of(value)))
        .collect()
}

/// `42`, `id=42`, `a=1,b=x` or `{"a":1,"b":"x"}`.
fn read_key(plan: &TablePlan, text: &str) -> Result<Key, Failure> {
    let columns: Vec<&str> = plan
        .columns
        .iter()
        .take(plan.key)
        .map(|column| &*column.name)
        .collect();
    let parts: Option<Vec<(String, String)>> = match serde_json::from_str::<Map<String, Json>>(text)
    {
        Ok(members) => Some(
            members
                .into_iter()
                .map(|(name, value)| match value {
                    Json::String(text) => (name, text),
                    other => (name, other.to_string()),
                })
                .collect(),
        ),
        Err(_) => text
            .split([' ', ','])
            .map(|part| {
                let (name, value) = part.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect(),
    };
    let of_column = |name: &str| -> Option<String> {
        let named = parts.as_ref()?.iter().find(|(column, _)| column == name);
        named.map(|(_, value)| value.clone())
    };
    let values: Option<Vec<String>> = columns.iter().map(|name| of_column(name)).collect();
    let values = match (values, columns.as_slice()) {
        (Some(values), _) => values,
        (None, [_]) => vec![text.to_owned()],
        (None, _) => {
            let message = format!(
                "the key of table {} is {}: name each, such as '{}'",
                plan.origin,
                columns.join(", "),
                columns
                    .iter()
                    .map(|name| format!("{name}=…"))
                    .collect::<Vec<_>>()
                    .join(",")
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    let typed = plan.columns.iter().zip(values);
    Ok(typed
        .map(|(column, text)| {
            let digits = text.parse::<i64>().is_ok();
            match column.kinds.0 {
                Kind::AsStored if digits => Value::number(text),
                _ => Value::text(text),
            }
        })
        .collect())
}

async fn reconciled(journal: &Journal, table: &TableName, identity: &[u8]) -> Option<Reconciled> {
    let name = table.to_string();
    let row = journal
        .last_of(&name, identity.to_vec())
        .await
        .ok()
        .flatten();
    for run in journal.latest(50).await.ok()? {
        let known = journal.known(&run).await.ok().flatten()?;
        let verdict = known.tables.iter().find_map(|of| match &of.state {
            TableState::Done(verdict) if of.name == name && verdict != "counted" => {
                Some(verdict.clone())
            }
            _ => None,
        });
        let Some(verdict) = verdict else { continue };
        return Some(Reconciled {
            run,
            at_us: known.begun_us,
            verdict,
            row_run: row.as_ref().map(|(run, _)| run.clone()),
            row_kind: row.as_ref().map(|(_, noted)| noted.kind.clone()),
            row_repair: row
                .as_ref()
                .map(|(_, noted)| noted.repair.word().to_owned()),
        });
    }
    None
}

/// Looks for the row's records.
struct Follow<'a> {
    road: &'a Arc<Road>,
    plan: &'a TablePlan,
    identity: bytes::Bytes,
}

#[derive(Default)]
struct Way {
    records: Vec<TracedRecord>,
    older_left_out: bool,
    partition: Option<TopicPartition>,
    lane: Option<u16>,
    applied_below: Option<Offset>,
}

impl Follow<'_> {
    async fn records(&self, table: &TableName) -> Result<Way, Failure> {
        let failed =
            |error: keylane_core::publish::LogError| Failure::new(Exit::Unreachable, error.message);
        let mut way = Way::default();
        for partition in self.road.partitions_of(table).await {
            let bounds = self.road.log.bounds(&partition).await.map_err(failed)?;
            let back = Offset(bounds.end.0.saturating_sub(RECORDS_BACK));
            way.older_left_out |= back > bounds.start;
            let mut from = back.max(bounds.start);
            let mut own: VecDeque<(TracedRecord, Option<OrderHash>)> = VecDeque::new();
            while from < bounds.end {
                let records = self.road.log.read(&partition, from, READ_BYTES).await;
                let records = records.map_err(failed)?;
                let Some(last) = records.last() else { break };
                from = last.offset.next();
                for record in &records {
                    own.extend(self.own(table, &partition, record));
                    if own.len() > TOLD_MAX {
                        own.pop_front();
                    }
                }
            }
            if let Some((_, order)) = own.back() {
                way.lane = order.map(|order| order.lane(self.road.apply.lanes).0);
                way.partition = Some(partition);
            }
            way.records
                .extend(own.into_iter().map(|(record, _)| record));
        }
        self.applied(&mut way).await?;
        Ok(way)
    }

    async fn applied(&self, way: &mut Way) -> Result<(), Failure> {
        let Some(partition) = &way.partition else {
            return Ok(());
        };
        let progress = self.road.progress().await.map_err(unanswered)?;
        let own = progress.iter().find(|it| it.partition == *partition);
        let lane = way.lane.and_then(|lane| {
            let lanes = &own?.lanes;
            lanes
                .get(&keylane_core::model::Lane(lane))
                .map(|(next, _)| *next)
        });
        let below = own.map(|it| it.low.max(lane.unwrap_or(Offset(0))));
        let name = partition.to_string();
        for record in way.records.iter_mut().filter(|it| it.partition == name) {
            record.applied = below.is_some_and(|below| Offset(record.offset) < below);
        }
        way.applied_below = below;
        Ok(())
    }

    /// The record, if it is of the row.
    fn own(
        &self,
        table: &TableName,
        partition: &TopicPartition,
        record: &RawRecord,
    ) -> Option<(TracedRecord, Option<OrderHash>)> {
        let header = Header::decode(record.keylane.as_ref()?).ok()?;
        let key = std::str::from_utf8(record.key.as_deref()?).ok()?;
        if header.kind != RecordKind::Change || self.plan.identity_of_text(key)? != self.identity {
            return None;
        }
        let change = decode(record.value.as_deref()?, Some(&header), &self.road.schemas).ok()?;
        let traced = TracedRecord {
            partition: partition.to_string(),
            offset: record.offset.0,
            op: word_of(change.op),
            position: format!("{}/{}", change.position.commit, change.position.ordinal),
            committed_us: change.committed_at_us,
            logged_ms: record.timestamp_ms,
            applied: false,
        };
        (change.schema.table == *table).then_some((traced, header.order))
    }

    async fn is_parked(&self, table: &TableName) -> Result<bool, Failure> {
        let filter = ParkedFilter {
            id: None,
            table: Some(table.to_string()),
        };
        let Some(replica) = &self.road.replica else {
            return Ok(false);
        };
        let parked = replica.parked(&self.road.name, &filter, PARKED_MAX).await;
        let mut keys = parked.map_err(unanswered)?.into_iter();
        let own = Some(&self.identity);
        Ok(keys.any(|parked| self.plan.identity_of_text(&parked.key).as_ref() == own))
    }
}

fn unanswered(error: keylane_core::apply::ApplyError) -> Failure {
    let message = format!("the replica does not answer: {error}");
    Failure::new(Exit::Unreachable, message)
}

fn word_of(op: Op) -> &'static str {
    match op {
        Op::Read => "read",
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
    }
}
