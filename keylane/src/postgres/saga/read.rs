//! From rows to sagas; and definitions.

use std::collections::{HashMap, HashSet};

use keylane_core::saga::{Found, KeptDefinition, ParkedAnswer, Saga, StepRow, Wanted};
use tokio_postgres::Row;

use super::store::{Fault, Session};
use crate::saga::form;

/// Of the columns of [`saga_of`].
const SAGAS: &str = "
SELECT id, definition, version, hash, key, phase, revision, data, reason, started_us, updated_us, deadline_us
FROM keylane.saga WHERE id IN (
    SELECT unnest($1::text[])
    UNION (SELECT id FROM keylane.saga WHERE shard = ANY($2) AND next_us <= $3 ORDER BY next_us LIMIT $4)
    UNION (SELECT w.saga_id FROM keylane.saga_step AS w JOIN keylane.saga AS s ON s.id = w.saga_id
           WHERE w.participant = ANY($5) AND w.is_out AND w.tries > 1 AND s.shard = ANY($2) LIMIT $4))";
const STEPS: &str = "
SELECT saga_id, status, attempts, tries, since_us, next_us, stuck, by_hand, reply, error
FROM keylane.saga_step WHERE saga_id = ANY($1) ORDER BY saga_id, place";
const ENDED: &str = "SELECT id FROM keylane.saga_history WHERE id = ANY($1)";
/// Sagas are looked up for answers, and never the other way round: there may be very many.
const PARKED: &str = "
SELECT p.saga_id, p.step, p.op, p.outcome, p.body, p.at_us
FROM keylane.saga_parked AS p CROSS JOIN LATERAL (SELECT FROM keylane.saga WHERE id = p.saga_id LIMIT 1) AS s
ORDER BY p.at_us LIMIT $1";
const REGISTER: &str = "
INSERT INTO keylane.saga_definition (name, version, hash, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const KEPT: &str = "SELECT hash FROM keylane.saga_definition WHERE name = $1 AND version = $2";
const DEFINITIONS: &str =
    "SELECT name, version, hash, body FROM keylane.saga_definition ORDER BY name, version";

pub(super) async fn read(session: &mut Session, wanted: &Wanted) -> Result<Found, Fault> {
    let ids: Vec<&str> = wanted.ids.iter().map(String::as_str).collect();
    let shards: Vec<i16> = wanted.shards.iter().map(|it| *it as i16).collect();
    let due_us = wanted.due_us.unwrap_or(i64::MIN);
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    let (asked, of_steps) = (
        session.prepared(SAGAS).await?,
        session.prepared(STEPS).await?,
    );
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&ids, &shards, &due_us, &limit, &wanted.waiting_for];
    let of_ids: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&ids];
    // Sent together: the server has one answer ready after the other.
    let (rows, steps) = tokio::join!(
        session.client.query(&asked, &parameters),
        session.client.query(&of_steps, &of_ids)
    );
    let rows = rows?;
    let mut sagas = rows
        .iter()
        .map(saga_of)
        .collect::<Result<Vec<Saga>, Fault>>()?;
    let mut steps = steps?;
    let others = sagas.iter().filter(|saga| !wanted.ids.contains(&saga.id));
    let others: Vec<&str> = others.map(|saga| saga.id.as_str()).collect();
    if !others.is_empty() {
        steps.extend(session.client.query(&of_steps, &[&others]).await?);
    }
    give_steps(&mut sagas, &steps)?;
    let mut found = Found {
        sagas,
        ..Found::default()
    };
    let known: HashSet<&str> = found.sagas.iter().map(|saga| saga.id.as_str()).collect();
    let missing: Vec<&str> = ids.into_iter().filter(|id| !known.contains(id)).collect();
    if !missing.is_empty() {
        let asked = session.prepared(ENDED).await?;
        let rows = session.client.query(&asked, &[&missing]).await?;
        found.ended = rows.iter().map(|row| row.get(0)).collect();
    }
    if wanted.parked {
        let asked = session.prepared(PARKED).await?;
        let rows = session.client.query(&asked, &[&limit]).await?;
        found.parked = rows.iter().map(parked_of).collect::<Result<_, Fault>>()?;
    }
    Ok(found)
}

/// Gives each saga its steps.
fn give_steps(sagas: &mut [Saga], rows: &[Row]) -> Result<(), Fault> {
    let mut of_saga: HashMap<&str, Vec<StepRow>> = HashMap::new();
    for row in rows {
        of_saga.entry(row.get(0)).or_default().push(step_of(row)?);
    }
    for saga in sagas {
        saga.steps = of_saga.remove(saga.id.as_str()).unwrap_or_default();
    }
    Ok(())
}

/// One saga that has not ended.
pub(super) async fn one(session: &mut Session, id: &str) -> Result<Option<Saga>, Fault> {
    let wanted = Wanted {
        ids: [id.to_owned()].into(),
        limit: 1,
        ..Wanted::default()
    };
    Ok(read(session, &wanted).await?.sagas.pop())
}

fn saga_of(row: &Row) -> Result<Saga, Fault> {
    Ok(Saga {
        id: row.get(0),
        definition: row.get(1),
        version: row.get::<_, i32>(2) as u32,
        hash: row.get::<_, i64>(3) as u64,
        key: row.get(4),
        phase: form::phase(row.get(5))?,
        revision: row.get::<_, i64>(6) as u64,
        data: form::value(row.get(7))?,
        reason: row.get(8),
        started_us: row.get(9),
        updated_us: row.get(10),
        ended_us: None,
        deadline_us: row.get(11),
        steps: Vec::new(),
    })
}

fn step_of(row: &Row) -> Result<StepRow, Fault> {
    let reply: Option<&str> = row.get(8);
    Ok(StepRow {
        status: form::status(row.get(1))?,
        attempts: row.get::<_, i32>(2) as u32,
        tries: row.get::<_, i32>(3) as u32,
        since_us: row.get(4),
        next_us: row.get(5),
        stuck: row.get(6),
        by_hand: row.get(7),
        reply: reply.map(form::value).transpose()?,
        error: row.get(9),
    })
}

fn parked_of(row: &Row) -> Result<ParkedAnswer, Fault> {
    let text = |column: usize| row.get::<_, &str>(column);
    let (saga, step) = (text(0).to_owned(), text(1).to_owned());
    Ok(form::parked(
        saga,
        step,
        text(2),
        text(3),
        text(4),
        row.get(5),
    )?)
}

/// Whether it is kept now, and was not another one before.
pub(super) async fn register(
    session: &mut Session,
    definition: &KeptDefinition,
) -> Result<bool, Fault> {
    let (version, hash) = (definition.version as i32, definition.hash as i64);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&definition.name, &version, &hash, &definition.body];
    session.client.execute(REGISTER, &values).await?;
    let kept = session
        .client
        .query_one(KEPT, &[&definition.name, &version])
        .await?;
    Ok(kept.get::<_, i64>(0) == hash)
}

pub(super) async fn definitions(session: &mut Session) -> Result<Vec<KeptDefinition>, Fault> {
    let rows = session.client.query(DEFINITIONS, &[]).await?;
    let definition = |row: &Row| KeptDefinition {
        name: row.get(0),
        version: row.get::<_, i32>(1) as u32,
        hash: row.get::<_, i64>(2) as u64,
        body: row.get(3),
    };
    Ok(rows.iter().map(definition).collect())
}
