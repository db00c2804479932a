//! Progress in the replica: the fence, what is read behind it, the lanes' steps and the partitions' low marks.
//!
//! Lanes' steps are the *first* statement of a data transaction. That takes the lanes' row locks, so a new owner's fence waits for the transaction and
//! reads what it left; a transaction of a former owner fails before it has written a row or waited for one; and the position is compared before anything
//! depends on it. Rows are locked in the order of the primary key by steps and fences alike, so they cannot lock each other out.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use bytes::Bytes;
use keylane_core::apply::{ApplyError, LaneStep, PartitionLow, PartitionProgress, PartitionSpec};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Epoch, Lane, Offset, Position, TopicPartition};
use keylane_core::publish::Acceptance;
use postgres_protocol::escape::escape_literal;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::link::Failure;
use super::own_tables::LANES;
use crate::postgres::error::apply_error;
use crate::postgres::lanes::{Must, named, names, signed, unsigned};

/// Prepared once in every session. A NULL position leaves the stored one.
///
/// Each lane's row is found by the whole primary key, then by its place. Joined plainly, a planner without statistics of the table takes the first column of
/// the key for selective and compares every lane with every step. Of a row that a fence changed while this waited for it, owner and offset are compared again.
pub(super) const PREPARE_STEPS: &str = r#"
PREPARE keylane_steps (text, text[], int[], int[], bigint[], bigint[], bigint[], bigint[], bigint[]) AS
UPDATE keylane.progress AS p
SET next_offset = s.next, commit_position = coalesce(s.commit, p.commit_position), ordinal = coalesce(s.ordinal, p.ordinal), applied_at = now()
FROM unnest($2, $3, $4, $5, $6, $7, $8, $9) AS s (topic, partition, lane, epoch, expected, next, commit, ordinal),
     LATERAL (SELECT q.ctid AS place FROM keylane.progress AS q
              WHERE q.pipeline = $1 AND q.topic = s.topic AND q.partition = s.partition AND q.lane = s.lane OFFSET 0) AS q
WHERE p.ctid = q.place AND p.owner_epoch = s.epoch AND p.next_offset = s.expected"#;

const SAVE_LOW: &str = r#"
UPDATE keylane.progress AS p
SET next_offset = s.next, commit_position = s.commit, ordinal = s.ordinal,
    accept_epoch = s.accept_epoch, accept_commit = s.accept_commit, accept_ordinal = s.accept_ordinal, applied_at = now()
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
     AS s (topic, partition, epoch, next, commit, ordinal, accept_epoch, accept_commit, accept_ordinal)
WHERE p.pipeline = $1 AND p.topic = s.topic AND p.partition = s.partition AND p.lane = -1 AND p.owner_epoch = s.epoch"#;

const READ: &str = r#"
SELECT p.topic, p.partition, p.lane, p.next_offset, p.commit_position, p.ordinal, p.owner_epoch, p.accept_epoch, p.accept_commit, p.accept_ordinal
FROM keylane.progress AS p
WHERE p.pipeline = $1 AND ($2::text[] IS NULL OR (p.topic, p.partition) IN (SELECT * FROM unnest($2::text[], $3::int[])))
ORDER BY p.topic, p.partition, p.lane"#;

/// Only the partitions' own rows, from one to the next by the primary key: the lanes between are many, and this is asked all the time.
const READ_LOWS: &str = r#"
WITH RECURSIVE part (topic, partition) AS (
    (SELECT p.topic, p.partition FROM keylane.progress AS p WHERE p.pipeline = $1 ORDER BY p.topic, p.partition LIMIT 1)
    UNION ALL
    SELECT next.topic, next.partition FROM part, LATERAL (
        SELECT p.topic, p.partition FROM keylane.progress AS p
        WHERE p.pipeline = $1 AND (p.topic, p.partition) > (part.topic, part.partition) ORDER BY p.topic, p.partition LIMIT 1) AS next)
SELECT p.topic, p.partition, p.lane, p.next_offset, p.commit_position, p.ordinal, p.owner_epoch, p.accept_epoch, p.accept_commit, p.accept_ordinal
FROM part JOIN keylane.progress AS p ON p.pipeline = $1 AND p.topic = part.topic AND p.partition = part.partition AND p.lane = -1"#;

/// A queue whose first change stood behind another one lost that one to a person who dropped it: nothing keeps it any more.
const READ_PARKED: &str = r#"
SELECT k.topic, k.partition, k.lane, k.key, bool_or(k.redrive OR k.first_code = 'KL-APPLY-011')
FROM (SELECT *, first_value(code) OVER (PARTITION BY topic, key ORDER BY id) AS first_code FROM keylane.parked WHERE pipeline = $1) AS k
WHERE ($2::text[] IS NULL OR (k.topic, k.partition) IN (SELECT * FROM unnest($2::text[], $3::int[])))
GROUP BY k.topic, k.partition, k.lane, k.key
ORDER BY min(k.id)"#;

/// Takes partitions over: see [`keylane_core::apply::Replica::fence`].
pub(super) async fn fence(
    client: &mut Client,
    pipeline: &str,
    specs: &[PartitionSpec],
) -> Result<Vec<PartitionProgress>, ApplyError> {
    let at_rim = |error: tokio_postgres::Error| {
        apply_error(&error, "taking partitions over in keylane.progress")
    };
    let transaction = client.transaction().await.map_err(at_rim)?;
    LANES.raise(&transaction, pipeline, specs).await?;
    let (topics, numbers) = names(specs.iter().map(|spec| &spec.partition));
    let these = Some((&*topics, &*numbers));
    let progress = read(transaction.client(), pipeline, Lanes::Told, these)
        .await
        .map_err(at_rim)?;
    transaction.commit().await.map_err(at_rim)?;
    Ok(progress)
}

/// Whether each lane's own progress is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    Told,
    LeftOut,
}

/// Progress as stored; of these partitions, or of all. Lanes are left out only of all.
pub(super) async fn read(
    client: &Client,
    pipeline: &str,
    lanes: Lanes,
    only: Option<(&[String], &[i32])>,
) -> Result<Vec<PartitionProgress>, tokio_postgres::Error> {
    let (topics, numbers) = only.unzip();
    let mut found: Vec<PartitionProgress> = Vec::new();
    let mut places: HashMap<TopicPartition, usize> = HashMap::new();
    let rows = match lanes {
        Lanes::Told => client.query(READ, &[&pipeline, &topics, &numbers]).await?,
        Lanes::LeftOut => client.query(READ_LOWS, &[&pipeline]).await?,
    };
    for row in rows {
        let partition = named(&row);
        let number = |column: usize| unsigned(row.get(column));
        let (offset, position) = (
            Offset(number(3)),
            Position::new(number(4), ordinal(row.get(5))),
        );
        if row.get::<_, i32>(2) < 0 {
            let part = |column: usize| row.get::<_, Option<i64>>(column).unwrap_or(0);
            places.insert(partition.clone(), found.len());
            found.push(PartitionProgress {
                partition,
                owner_epoch: number(6),
                low: offset,
                low_position: position,
                acceptance: Acceptance {
                    epoch: Epoch(unsigned(part(7))),
                    reached: Position::new(unsigned(part(8)), ordinal(part(9))),
                },
                lanes: BTreeMap::new(),
                parked_keys: Vec::new(),
                redrive_keys: Vec::new(),
            });
        } else if let Some(progress) = place(&places, &mut found, &partition) {
            progress.lanes.insert(lane(row.get(2)), (offset, position));
        }
    }
    for row in client
        .query(READ_PARKED, &[&pipeline, &topics, &numbers])
        .await?
    {
        if let Some(progress) = place(&places, &mut found, &named(&row)) {
            let key = Bytes::from(row.get::<_, Vec<u8>>(3));
            if row.get(4) {
                progress.redrive_keys.push(key.clone());
            }
            progress.parked_keys.push((lane(row.get(2)), key));
        }
    }
    Ok(found)
}

fn place<'a>(
    places: &HashMap<TopicPartition, usize>,
    found: &'a mut [PartitionProgress],
    partition: &TopicPartition,
) -> Option<&'a mut PartitionProgress> {
    found.get_mut(*places.get(partition)?)
}

/// Saves how far partitions are, if the replica holds what it held: both statements see it as it is when they begin, and a replica that is restored meanwhile ends the
/// connection, or is seen by the next save.
pub(super) async fn save_low(
    client: &Client,
    pipeline: &str,
    lows: &[PartitionLow],
) -> Result<(), ApplyError> {
    let at_rim =
        |error: tokio_postgres::Error| apply_error(&error, "saving progress in keylane.progress");
    let lacking = LANES.lacking(client, pipeline, &must(lows)).await;
    if let Some(partition) = lacking.map_err(at_rim)?.first() {
        return Err(ApplyError::new(
            ApplyErrorKind::Fenced,
            format!("{partition}: keylane.progress holds less than was written there"),
        ));
    }
    let (topics, numbers) = names(lows.iter().map(|low| &low.partition));
    let column = |of: fn(&PartitionLow) -> u64| -> Vec<i64> {
        lows.iter().map(|low| signed(of(low))).collect()
    };
    let columns = [
        column(|low| low.owner_epoch),
        column(|low| low.low.0),
        column(|low| low.low_position.commit),
        column(|low| u64::from(low.low_position.ordinal)),
        column(|low| low.acceptance.epoch.0),
        column(|low| low.acceptance.reached.commit),
        column(|low| u64::from(low.acceptance.reached.ordinal)),
    ];
    let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        vec![&pipeline, &topics, &numbers];
    for column in &columns {
        parameters.push(column);
    }
    let hit = client
        .execute(SAVE_LOW, &parameters)
        .await
        .map_err(at_rim)?;
    if hit == lows.len() as u64 {
        Ok(())
    } else {
        Err(fenced())
    }
}

/// What must be stored.
fn must(lows: &[PartitionLow]) -> Vec<Must<'_>> {
    let lanes = lows.iter().flat_map(|low| {
        let own = std::iter::once((-1, low.held.low));
        let ahead = low.held.ahead.iter();
        let lanes = own.chain(ahead.map(|(lane, next)| (i32::from(lane.0), *next)));
        lanes.map(|(lane, next)| (&low.partition, lane, signed(next.0)))
    });
    lanes.collect()
}

/// A lane's step, its position left as it is if unknown.
#[derive(Clone, Debug)]
pub(super) struct Step<'a> {
    /// As asked for.
    pub step: &'a LaneStep,
    /// The next offset after it.
    pub next: Offset,
    /// The position reached.
    pub position: Option<Position>,
}

/// Makes lanes' steps in one statement; with `begin`, in the message that opens the transaction, so that neither can happen without the other.
///
/// # Errors
/// `Fenced` if a step's owner or position is not what is stored.
pub(super) async fn make_steps(
    client: &Client,
    begin: bool,
    pipeline: &str,
    steps: &[Step<'_>],
) -> Result<(), Failure> {
    let mut sql = String::with_capacity(64 + steps.len() * 96);
    if begin {
        sql.push_str("BEGIN;");
    }
    execute_steps(&mut sql, pipeline, steps);
    let answers = client
        .simple_query(&sql)
        .await
        .map_err(|error| Failure::sql(&error, "moving lanes on in keylane.progress"))?;
    let hit = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
        _ => None,
    });
    if hit == Some(steps.len() as u64) {
        Ok(())
    } else {
        Err(Failure::from(fenced()))
    }
}

fn execute_steps(sql: &mut String, pipeline: &str, steps: &[Step<'_>]) {
    let mut sorted: Vec<&Step<'_>> = steps.iter().collect();
    sorted.sort_by(|a, b| {
        let place = |step: &Step<'_>| (step.step.partition.clone(), step.step.lane);
        place(a).cmp(&place(b))
    });
    let mut topics = String::from("{");
    for (count, step) in sorted.iter().enumerate() {
        if count > 0 {
            topics.push(',');
        }
        topics.push('"');
        for character in step.step.partition.topic.chars() {
            if matches!(character, '"' | '\\') {
                topics.push('\\');
            }
            topics.push(character);
        }
        topics.push('"');
    }
    topics.push('}');
    // Writing to a String cannot fail.
    let _ = write!(
        sql,
        "EXECUTE keylane_steps ({}, {}",
        escape_literal(pipeline),
        escape_literal(&topics)
    );
    let known = |value: u64| Some(signed(value));
    let mut column = |of: &dyn Fn(&Step<'_>) -> Option<i64>| {
        sql.push_str(",'{");
        for (count, step) in sorted.iter().enumerate() {
            if count > 0 {
                sql.push(',');
            }
            let _ = match of(step) {
                Some(value) => write!(sql, "{value}"),
                None => write!(sql, "NULL"),
            };
        }
        sql.push_str("}'");
    };
    column(&|step| known(u64::from(step.step.partition.partition)));
    column(&|step| known(u64::from(step.step.lane.0)));
    column(&|step| known(step.step.owner_epoch));
    column(&|step| known(step.step.expected.0));
    column(&|step| known(step.next.0));
    column(&|step| known(step.position?.commit));
    column(&|step| known(u64::from(step.position?.ordinal)));
    sql.push(')');
}

fn fenced() -> ApplyError {
    ApplyError::new(
        ApplyErrorKind::Fenced,
        "another owner has taken these partitions over in keylane.progress; nothing was written",
    )
}

fn lane(stored: i32) -> Lane {
    Lane(u16::try_from(stored).unwrap_or(u16::MAX))
}

fn ordinal(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}
