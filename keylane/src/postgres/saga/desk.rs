//! Lists, figures, and what is forgotten.

use keylane_core::saga::{Count, Figures, Filter, Line, Listed, Shown, State, Style};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::read;
use super::store::{Fault, Session};
use crate::saga::form::{self, Ended};
use crate::saga::{TIMELINE_FIRST, TIMELINE_LAST, Unreadable};
use crate::workers::stats::now_us;

/// All tables in one order; which of them has any of the states decides which is read. `$10` is now: where a choreographed saga stands depends on it.
const LIST: &str = "
WITH cursor AS (SELECT started_us, id FROM keylane.saga WHERE id = $6 UNION ALL SELECT started_us, id FROM keylane.saga_history WHERE id = $6
                UNION ALL SELECT started_us, id FROM keylane.saga_track WHERE id = $6 LIMIT 1)
(SELECT id, key, definition, version, state, step, attempts, why, started_us, updated_us FROM keylane.saga AS s
 WHERE $8 AND state = ANY($1) AND ($2::text IS NULL OR definition = $2) AND ($4::text IS NULL OR key = $4) AND ($5::bigint IS NULL OR started_us < $5)
   AND ($3::text IS NULL OR EXISTS (SELECT FROM keylane.saga_step AS t WHERE t.saga_id = s.id AND t.step = $3 AND t.is_out))
   AND ($6::text IS NULL OR (started_us, id) < (SELECT started_us, id FROM cursor))
 ORDER BY started_us DESC, id DESC LIMIT $7)
UNION ALL
(SELECT id, key, definition, version, state, NULL, 0, why, started_us, updated_us FROM keylane.saga_history
 WHERE $9 AND $3::text IS NULL AND state = ANY($1) AND ($2::text IS NULL OR definition = $2) AND ($4::text IS NULL OR key = $4) AND ($5::bigint IS NULL OR started_us < $5)
   AND ($6::text IS NULL OR (started_us, id) < (SELECT started_us, id FROM cursor))
 ORDER BY started_us DESC, id DESC LIMIT $7)
UNION ALL
(SELECT id, key, definition, NULL, CASE WHEN stuck_us <= $10 THEN 'stuck' ELSE state END,
        CASE WHEN stuck_us <= $10 THEN stuck_step ELSE waits::json ->> 0 END, 0, CASE WHEN stuck_us <= $10 THEN stuck_why ELSE why END, started_us, updated_us
 FROM keylane.saga_track
 WHERE $8 AND ended_us IS NULL AND CASE WHEN stuck_us <= $10 THEN 'stuck' ELSE state END = ANY($1)
   AND ($2::text IS NULL OR definition = $2) AND ($4::text IS NULL OR key = $4) AND ($5::bigint IS NULL OR started_us < $5)
   AND ($3::text IS NULL OR waits::jsonb ? $3) AND ($6::text IS NULL OR (started_us, id) < (SELECT started_us, id FROM cursor))
 ORDER BY started_us DESC, id DESC LIMIT $7)
UNION ALL
(SELECT id, key, definition, NULL, state, NULL, 0, why, started_us, updated_us FROM keylane.saga_track
 WHERE $9 AND $3::text IS NULL AND ended_us IS NOT NULL AND state = ANY($1)
   AND ($2::text IS NULL OR definition = $2) AND ($4::text IS NULL OR key = $4) AND ($5::bigint IS NULL OR started_us < $5)
   AND ($6::text IS NULL OR (started_us, id) < (SELECT started_us, id FROM cursor))
 ORDER BY started_us DESC, id DESC LIMIT $7)
ORDER BY 9 DESC, 1 DESC LIMIT $7";
const HISTORY: &str = "
SELECT id, key, definition, version, started_us, updated_us, ended_us, body FROM keylane.saga_history WHERE id = $1";
const LINES: &str = "
SELECT at_us, what, step, attempt, actor, reason FROM (
    SELECT *, row_number() OVER (ORDER BY number) AS first, row_number() OVER (ORDER BY number DESC) AS last
    FROM keylane.saga_log WHERE saga_id = $1) AS l
WHERE first <= $2 OR last <= $3 ORDER BY number";
const LINE_COUNT: &str = "SELECT count(*) FROM keylane.saga_log WHERE saga_id = $1";
const COUNTS: &str = "
SELECT definition, state, count(*), min(updated_us), false FROM keylane.saga GROUP BY 1, 2
UNION ALL
SELECT definition, CASE WHEN stuck_us <= $1 THEN 'stuck' ELSE state END, count(*), min(updated_us), true FROM keylane.saga_track WHERE ended_us IS NULL GROUP BY 1, 2
ORDER BY 5, 1, 2";
const WAITING: &str =
    "SELECT (SELECT count(*) FROM keylane.saga_outbox), (SELECT count(*) FROM keylane.saga_parked)";
/// So many at once, so that no transaction takes long.
const FORGET: &str = "
WITH old AS (SELECT id, definition, key FROM keylane.saga_history WHERE ended_us < $1 ORDER BY ended_us LIMIT 1000),
lines AS (DELETE FROM keylane.saga_log WHERE saga_id IN (SELECT id FROM old)),
keys AS (DELETE FROM keylane.saga_key AS k USING old WHERE k.definition = old.definition AND k.key = old.key AND k.saga_id = old.id)
DELETE FROM keylane.saga_history WHERE id IN (SELECT id FROM old)";
const FORGET_TRACKS: &str = "
WITH old AS (SELECT id FROM keylane.saga_track WHERE ended_us < $1 ORDER BY ended_us LIMIT 1000),
lines AS (DELETE FROM keylane.saga_log WHERE saga_id IN (SELECT id FROM old)),
signals AS (DELETE FROM keylane.saga_signal WHERE saga_id IN (SELECT id FROM old))
DELETE FROM keylane.saga_track WHERE id IN (SELECT id FROM old)";
const FORGET_PARKED: &str = "DELETE FROM keylane.saga_parked WHERE at_us < $1";

pub(super) async fn list(session: &mut Session, filter: &Filter) -> Result<Vec<Listed>, Fault> {
    let states = filter.states();
    let codes: Vec<&str> = states.iter().map(|state| state.code()).collect();
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let (living, ended) = (
        states.iter().any(|state| !state.is_end()),
        states.iter().any(|state| state.is_end()),
    );
    let now_us = now_us();
    let values: [&(dyn ToSql + Sync); 10] = [
        &codes,
        &filter.definition,
        &filter.step,
        &filter.key,
        &filter.started_before_us,
        &filter.behind,
        &limit,
        &living,
        &ended,
        &now_us,
    ];
    let asked = session.prepared(LIST).await?;
    let rows = session.client.query(&asked, &values).await?;
    rows.iter().map(listed).collect()
}

fn listed(row: &Row) -> Result<Listed, Fault> {
    let version: Option<i32> = row.get(3);
    Ok(Listed {
        id: row.get(0),
        // Only definitions of those that are driven have versions.
        style: match version {
            Some(_) => Style::Orchestration,
            None => Style::Choreography,
        },
        key: row.get(1),
        definition: row.get(2),
        version: version.map(|it| it as u32),
        state: state(row.get(4))?,
        step: row.get(5),
        attempts: row.get::<_, i32>(6) as u32,
        why: row.get(7),
        started_us: row.get(8),
        updated_us: row.get(9),
    })
}

fn state(code: &str) -> Result<State, Unreadable> {
    State::named(code).ok_or_else(|| Unreadable(format!("state {code}")))
}

pub(super) async fn show(session: &mut Session, id: &str) -> Result<Option<Shown>, Fault> {
    let mut saga = read::one(session, id).await?;
    if saga.is_none()
        && let Some(row) = session.client.query_opt(HISTORY, &[&id]).await?
    {
        let columns = Ended {
            id: row.get(0),
            key: row.get(1),
            definition: row.get(2),
            version: row.get::<_, i32>(3) as u32,
            started_us: row.get(4),
            updated_us: row.get(5),
            ended_us: row.get(6),
        };
        saga = Some(form::ended_saga(columns, row.get(7))?);
    }
    let Some(saga) = saga else {
        return Ok(None);
    };
    let (first, last) = (TIMELINE_FIRST as i64, TIMELINE_LAST as i64);
    let rows = session.client.query(LINES, &[&id, &first, &last]).await?;
    let all: i64 = session.client.query_one(LINE_COUNT, &[&id]).await?.get(0);
    let timeline: Vec<Line> = rows.iter().map(line_of).collect();
    Ok(Some(Shown {
        saga,
        left_out: (all as u64).saturating_sub(timeline.len() as u64),
        timeline,
    }))
}

/// Of the columns at, what, step, attempt, actor, reason.
pub(super) fn line_of(row: &Row) -> Line {
    Line {
        at_us: row.get(0),
        what: row.get(1),
        step: row.get(2),
        attempt: row.get::<_, Option<i32>>(3).map(|it| it as u32),
        actor: row.get(4),
        reason: row.get(5),
    }
}

pub(super) async fn figures(session: &mut Session) -> Result<Figures, Fault> {
    let rows = session.client.query(COUNTS, &[&now_us()]).await?;
    let count = |row: &Row| {
        Ok(Count {
            style: match row.get(4) {
                true => Style::Choreography,
                false => Style::Orchestration,
            },
            definition: row.get(0),
            state: state(row.get(1))?,
            sagas: row.get::<_, i64>(2) as u64,
            oldest_us: row.get(3),
        })
    };
    let waiting = session.client.query_one(WAITING, &[]).await?;
    Ok(Figures {
        counts: rows.iter().map(count).collect::<Result<_, Unreadable>>()?,
        unsent: waiting.get::<_, i64>(0) as u64,
        parked: waiting.get::<_, i64>(1) as u64,
    })
}

pub(super) async fn forget(
    session: &mut Session,
    ended_before_us: i64,
    parked_before_us: i64,
) -> Result<u64, Fault> {
    let forgotten = session.client.execute(FORGET, &[&ended_before_us]).await?;
    let tracks = session
        .client
        .execute(FORGET_TRACKS, &[&ended_before_us])
        .await?;
    session
        .client
        .execute(FORGET_PARKED, &[&parked_before_us])
        .await?;
    Ok(forgotten + tracks)
}
