//! A batch of decisions in one transaction, and the outbox.

use keylane_core::saga::{
    Batch, Change, PARKED_MAX, ParkedAnswer, Saga, Unsent, Written, shard_of,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::lease;
use super::store::Fault;
use crate::saga::form;

pub(super) fn commit(open: &Connection, batch: &Batch) -> Result<Vec<Written>, Fault> {
    sent(open, &batch.sent)?;
    let written = batch.changes.iter().map(|change| one(open, change));
    let written = written.collect::<Result<_, _>>()?;
    for answer in &batch.park {
        park(open, answer)?;
    }
    for id in &batch.unpark {
        open.prepare_cached("DELETE FROM saga_parked WHERE saga_id = ?1")?
            .execute([id])?;
    }
    Ok(written)
}

fn one(open: &Connection, change: &Change) -> Result<Written, Fault> {
    if let Some(lease) = change.lease
        && !lease::is_held(open, lease)?
    {
        return Ok(Written::Fenced);
    }
    let saga = &change.decision.saga;
    let is_as_read = match &change.before {
        None => {
            if let Some(taken) = take_key(open, change)? {
                return Ok(taken);
            }
            true
        }
        Some(before) if before.revision == saga.revision => true,
        Some(before) => match saga.has_ended() {
            true => end(open, before)?,
            false => update(open, change, before.revision)?,
        },
    };
    if !is_as_read {
        return Ok(Written::Stale);
    }
    match (&change.before, saga.has_ended()) {
        (_, true) => keep_ended(open, change)?,
        (None, false) => insert(open, change)?,
        (Some(_), false) => {}
    }
    steps(open, change)?;
    lines(open, change)?;
    Ok(Written::Done(queue(open, change)?))
}

/// The key of a new saga; what it was used for if it was.
fn take_key(open: &Connection, change: &Change) -> Result<Option<Written>, Fault> {
    let saga = &change.decision.saga;
    let Some(key) = &saga.key else {
        return Ok(None);
    };
    let taken = open
        .prepare_cached("INSERT INTO saga_key (definition, key, saga_id, request) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
        .execute(params![saga.definition, key, saga.id, change.request as i64])?;
    if taken > 0 {
        return Ok(None);
    }
    let mut asked = open.prepare_cached(
        "SELECT saga_id, request FROM saga_key WHERE definition = ?1 AND key = ?2",
    )?;
    let before = asked.query_row(params![saga.definition, key], |row| {
        Ok(Written::Taken {
            id: row.get(0)?,
            request: row.get::<_, i64>(1)? as u64,
        })
    });
    Ok(before.optional()?)
}

fn insert(open: &Connection, change: &Change) -> Result<(), Fault> {
    let saga = &change.decision.saga;
    let listed = saga.listed(&change.plan);
    open.prepare_cached(
        "INSERT INTO saga (id, shard, definition, version, hash, key, phase, state, revision, data, reason, started_us, updated_us, deadline_us, next_us, step, attempts, why)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        saga.id, shard_of(&saga.id), saga.definition, saga.version, saga.hash as i64, saga.key,
        saga.phase.code(), listed.state.code(), saga.revision, saga.data.to_string(), saga.reason,
        saga.started_us, saga.updated_us, saga.deadline_us, saga.next_us(), listed.step, listed.attempts, listed.why,
    ])?;
    Ok(())
}

fn update(open: &Connection, change: &Change, read: u64) -> Result<bool, Fault> {
    let saga = &change.decision.saga;
    let listed = saga.listed(&change.plan);
    let hit = open
        .prepare_cached(
            "UPDATE saga SET phase = ?3, state = ?4, revision = ?5, reason = ?6, updated_us = ?7, deadline_us = ?8, next_us = ?9, step = ?10, attempts = ?11, why = ?12
             WHERE id = ?1 AND revision = ?2",
        )?
        .execute(params![
            saga.id, read, saga.phase.code(), listed.state.code(), saga.revision, saga.reason,
            saga.updated_us, saga.deadline_us, saga.next_us(), listed.step, listed.attempts, listed.why,
        ])?;
    Ok(hit > 0)
}

/// Takes a saga out of the tables of the living, if it is as it was read.
fn end(open: &Connection, before: &Saga) -> Result<bool, Fault> {
    let hit = open
        .prepare_cached("DELETE FROM saga WHERE id = ?1 AND revision = ?2")?
        .execute(params![before.id, before.revision])?;
    if hit == 0 {
        return Ok(false);
    }
    open.prepare_cached("DELETE FROM saga_step WHERE saga_id = ?1")?
        .execute([&before.id])?;
    open.prepare_cached("DELETE FROM saga_outbox WHERE saga_id = ?1")?
        .execute([&before.id])?;
    Ok(true)
}

fn keep_ended(open: &Connection, change: &Change) -> Result<(), Fault> {
    let saga = &change.decision.saga;
    let listed = saga.listed(&change.plan);
    open.prepare_cached(
        "INSERT INTO saga_history (id, definition, version, key, state, started_us, updated_us, ended_us, why, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        saga.id, saga.definition, saga.version, saga.key, listed.state.code(), saga.started_us,
        saga.updated_us, saga.ended_us, listed.why, form::saga_text(saga),
    ])?;
    Ok(())
}

fn steps(open: &Connection, change: &Change) -> Result<(), Fault> {
    let saga = &change.decision.saga;
    if saga.has_ended() {
        return Ok(());
    }
    let mut put = open.prepare_cached(
        "INSERT INTO saga_step (saga_id, place, step, participant, status, is_out, attempts, tries, since_us, next_us, stuck, by_hand, reply, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT DO UPDATE SET status = excluded.status, is_out = excluded.is_out, attempts = excluded.attempts, tries = excluded.tries, since_us = excluded.since_us,
           next_us = excluded.next_us, stuck = excluded.stuck, by_hand = excluded.by_hand, reply = excluded.reply, error = excluded.error",
    )?;
    for (place, row) in saga.steps.iter().enumerate() {
        let before = change.before.as_ref().and_then(|it| it.steps.get(place));
        let Some(step) = change.plan.step(place).filter(|_| before != Some(row)) else {
            continue;
        };
        put.execute(params![
            saga.id,
            i64::try_from(place).unwrap_or(i64::MAX),
            step.id,
            step.participant.name(),
            row.status.code(),
            row.status.op().is_some(),
            row.attempts,
            row.tries,
            row.since_us,
            row.next_us,
            row.stuck,
            row.by_hand,
            row.reply.as_ref().map(ToString::to_string),
            row.error,
        ])?;
    }
    Ok(())
}

fn lines(open: &Connection, change: &Change) -> Result<(), Fault> {
    let mut put = open.prepare_cached(
        "INSERT INTO saga_log (saga_id, at_us, what, step, attempt, actor, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for entry in &change.decision.log {
        put.execute(params![
            change.decision.saga.id,
            entry.at_us,
            entry.what.code(),
            entry.step,
            entry.attempt,
            entry.actor.as_deref().map(form::plain),
            form::reason_of(entry),
        ])?;
    }
    Ok(())
}

fn queue(open: &Connection, change: &Change) -> Result<Vec<i64>, Fault> {
    let saga = &change.decision.saga;
    let mut numbers = Vec::with_capacity(change.decision.commands.len());
    for command in &change.decision.commands {
        // A new number for what takes an older one's place: whoever sent the older one does not delete it.
        open.prepare_cached(
            "INSERT OR REPLACE INTO saga_outbox (saga_id, step, shard, participant, at_us, command) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            saga.id, command.step, shard_of(&saga.id), command.participant.name(), saga.updated_us,
            form::command_text(saga, command),
        ])?;
        numbers.push(open.last_insert_rowid());
    }
    Ok(numbers)
}

fn park(open: &Connection, answer: &ParkedAnswer) -> Result<(), Fault> {
    let reply = &answer.reply;
    open.prepare_cached(
        "INSERT INTO saga_parked (saga_id, step, op, outcome, body, at_us)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE (SELECT count(*) FROM saga_parked) < ?7
         ON CONFLICT DO UPDATE SET outcome = excluded.outcome, body = excluded.body",
    )?
    .execute(params![
        answer.saga,
        reply.step,
        reply.op.code(),
        reply.outcome.code(),
        form::body_text(&reply.outcome),
        answer.at_us,
        PARKED_MAX,
    ])?;
    Ok(())
}

pub(super) fn unsent(
    open: &Connection,
    shards: &[u16],
    but_to: &[String],
    limit: usize,
) -> Result<Vec<Unsent>, Fault> {
    let mut asked = open.prepare_cached(
        "SELECT number, saga_id, step, command FROM saga_outbox
         WHERE shard IN (SELECT value FROM json_each(?1)) AND participant NOT IN (SELECT value FROM json_each(?2)) ORDER BY number LIMIT ?3",
    )?;
    let (shards, but_to) = (json!(shards).to_string(), json!(but_to).to_string());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = asked.query(params![shards, but_to, limit])?;
    let mut unsent = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(3)?;
        unsent.push(form::unsent(row.get(0)?, row.get(1)?, row.get(2)?, &text)?);
    }
    Ok(unsent)
}

fn sent(open: &Connection, numbers: &[i64]) -> Result<(), Fault> {
    let mut delete = open.prepare_cached("DELETE FROM saga_outbox WHERE number = ?1")?;
    for number in numbers {
        delete.execute([number])?;
    }
    Ok(())
}
