//! From rows to sagas; and definitions.

use std::collections::BTreeSet;

use keylane_core::saga::{Found, KeptDefinition, ParkedAnswer, Saga, StepRow, Wanted};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::store::Fault;
use crate::saga::form;

const SAGA: &str = "
SELECT id, definition, version, hash, key, phase, revision, data, reason, started_us, updated_us, deadline_us FROM saga WHERE id = ?1";
const STEPS: &str = "
SELECT status, attempts, tries, since_us, next_us, stuck, by_hand, reply, error FROM saga_step WHERE saga_id = ?1 ORDER BY place";
const DUE: &str =
    "SELECT id FROM saga WHERE shard = ?1 AND next_us <= ?2 ORDER BY next_us LIMIT ?3";
const WAITING: &str = "
SELECT DISTINCT s.id, s.shard FROM saga_step AS w JOIN saga AS s ON s.id = w.saga_id WHERE w.participant = ?1 AND w.is_out AND w.tries > 1 LIMIT ?2";

pub(super) fn read(open: &Connection, wanted: &Wanted) -> Result<Found, Fault> {
    let mut ids: BTreeSet<String> = wanted.ids.clone();
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    if let Some(due_us) = wanted.due_us {
        let mut due: Vec<String> = Vec::new();
        let mut asked = open.prepare_cached(DUE)?;
        for shard in &wanted.shards {
            let rows = asked.query_map(params![shard, due_us, limit], |row| row.get(0))?;
            due.extend(rows.collect::<Result<Vec<String>, _>>()?);
        }
        ids.extend(due.into_iter().take(wanted.limit));
    }
    for participant in &wanted.waiting_for {
        let mut asked = open.prepare_cached(WAITING)?;
        let rows = asked.query_map(params![participant, limit], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u16>(1)?))
        })?;
        for row in rows {
            let (id, shard) = row?;
            if wanted.shards.contains(&shard) {
                ids.insert(id);
            }
        }
    }
    let mut found = Found::default();
    for id in &ids {
        match one(open, id)? {
            Some(saga) => found.sagas.push(saga),
            None if has_ended(open, id)? => drop(found.ended.insert(id.clone())),
            None => {}
        }
    }
    if wanted.parked {
        found.parked = parked(open, limit)?;
    }
    Ok(found)
}

/// One saga that has not ended.
pub(super) fn one(open: &Connection, id: &str) -> Result<Option<Saga>, Fault> {
    let mut asked = open.prepare_cached(SAGA)?;
    let saga = asked.query_row([id], |row| Ok(saga_of(row))).optional()?;
    let Some(mut saga) = saga.transpose()? else {
        return Ok(None);
    };
    let mut asked = open.prepare_cached(STEPS)?;
    let mut rows = asked.query([id])?;
    while let Some(row) = rows.next()? {
        saga.steps.push(step_of(row)?);
    }
    Ok(Some(saga))
}

fn has_ended(open: &Connection, id: &str) -> Result<bool, Fault> {
    let mut asked = open.prepare_cached("SELECT 1 FROM saga_history WHERE id = ?1")?;
    Ok(asked.exists([id])?)
}

fn saga_of(row: &Row<'_>) -> Result<Saga, Fault> {
    let (phase, data): (String, String) = (row.get(5)?, row.get(7)?);
    Ok(Saga {
        id: row.get(0)?,
        definition: row.get(1)?,
        version: row.get(2)?,
        hash: row.get::<_, i64>(3)? as u64,
        key: row.get(4)?,
        phase: form::phase(&phase)?,
        revision: row.get(6)?,
        data: form::value(&data)?,
        reason: row.get(8)?,
        started_us: row.get(9)?,
        updated_us: row.get(10)?,
        ended_us: None,
        deadline_us: row.get(11)?,
        steps: Vec::new(),
    })
}

fn step_of(row: &Row<'_>) -> Result<StepRow, Fault> {
    let (status, reply): (String, Option<String>) = (row.get(0)?, row.get(7)?);
    Ok(StepRow {
        status: form::status(&status)?,
        attempts: row.get(1)?,
        tries: row.get(2)?,
        since_us: row.get(3)?,
        next_us: row.get(4)?,
        stuck: row.get(5)?,
        by_hand: row.get(6)?,
        reply: reply.as_deref().map(form::value).transpose()?,
        error: row.get(8)?,
    })
}

fn parked(open: &Connection, limit: i64) -> Result<Vec<ParkedAnswer>, Fault> {
    let mut asked = open.prepare_cached(
        "SELECT p.saga_id, p.step, p.op, p.outcome, p.body, p.at_us FROM saga_parked AS p JOIN saga AS s ON s.id = p.saga_id ORDER BY p.at_us LIMIT ?1",
    )?;
    let mut rows = asked.query([limit])?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column: usize| row.get::<_, String>(column);
        let (op, outcome, body) = (text(2)?, text(3)?, text(4)?);
        let at_us = row.get(5)?;
        parked.push(form::parked(
            text(0)?,
            text(1)?,
            &op,
            &outcome,
            &body,
            at_us,
        )?);
    }
    Ok(parked)
}

/// Whether it is kept now, and was not another one before.
pub(super) fn register(open: &Connection, definition: &KeptDefinition) -> Result<bool, Fault> {
    let hash = definition.hash as i64;
    open.execute(
        "INSERT INTO saga_definition (name, version, hash, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        params![definition.name, definition.version, hash, definition.body],
    )?;
    let kept: i64 = open.query_row(
        "SELECT hash FROM saga_definition WHERE name = ?1 AND version = ?2",
        params![definition.name, definition.version],
        |row| row.get(0),
    )?;
    Ok(kept == hash)
}

pub(super) fn definitions(open: &Connection) -> Result<Vec<KeptDefinition>, Fault> {
    let mut asked = open.prepare_cached(
        "SELECT name, version, hash, body FROM saga_definition ORDER BY name, version",
    )?;
    let definitions = asked.query_map([], |row| {
        Ok(KeptDefinition {
            name: row.get(0)?,
            version: row.get(1)?,
            hash: row.get::<_, i64>(2)? as u64,
            body: row.get(3)?,
        })
    })?;
    Ok(definitions.collect::<Result<_, _>>()?)
}
