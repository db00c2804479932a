//! Lists, figures, and what is forgotten.

use keylane_core::saga::{Count, Figures, Filter, Line, Listed, Saga, Shown, State, Style};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::read;
use super::store::Fault;
use crate::saga::form::{self, Ended};
use crate::saga::{TIMELINE_FIRST, TIMELINE_LAST, Unreadable};
use crate::workers::stats::now_us;

/// All tables in one order. The states are a list in JSON. `?8` is now: where a choreographed saga stands depends on it.
const LIST: &str = "
WITH cursor(at, id) AS (SELECT started_us, id FROM saga WHERE id = ?6 UNION ALL SELECT started_us, id FROM saga_history WHERE id = ?6
                        UNION ALL SELECT started_us, id FROM saga_track WHERE id = ?6 LIMIT 1),
meant(state) AS (SELECT value FROM json_each(?1)),
track AS (SELECT *, iif(stuck_us <= ?8, 'stuck', state) AS now FROM saga_track)
SELECT id, key, definition, version, state, step, attempts, why, started_us, updated_us FROM saga AS s
WHERE state IN meant AND (?2 IS NULL OR definition = ?2) AND (?4 IS NULL OR key = ?4) AND (?5 IS NULL OR started_us < ?5)
  AND (?3 IS NULL OR EXISTS (SELECT 1 FROM saga_step AS t WHERE t.saga_id = s.id AND t.step = ?3 AND t.is_out))
  AND (?6 IS NULL OR (started_us, id) < (SELECT at, id FROM cursor))
UNION ALL
SELECT id, key, definition, version, state, NULL, 0, why, started_us, updated_us FROM saga_history
WHERE ?3 IS NULL AND state IN meant AND (?2 IS NULL OR definition = ?2) AND (?4 IS NULL OR key = ?4) AND (?5 IS NULL OR started_us < ?5)
  AND (?6 IS NULL OR (started_us, id) < (SELECT at, id FROM cursor))
UNION ALL
SELECT id, key, definition, NULL, now, iif(now = 'stuck', stuck_step, waits ->> 0), 0, iif(now = 'stuck', stuck_why, why), started_us, updated_us FROM track
WHERE now IN meant AND (?2 IS NULL OR definition = ?2) AND (?4 IS NULL OR key = ?4) AND (?5 IS NULL OR started_us < ?5)
  AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(waits) WHERE value = ?3))
  AND (?6 IS NULL OR (started_us, id) < (SELECT at, id FROM cursor))
ORDER BY 9 DESC, 1 DESC LIMIT ?7";
const HISTORY: &str = "
SELECT id, key, definition, version, started_us, updated_us, ended_us, body FROM saga_history WHERE id = ?1";
const LINES: &str = "
SELECT at_us, what, step, attempt, actor, reason FROM (
  SELECT *, row_number() OVER (ORDER BY number) AS first, row_number() OVER (ORDER BY number DESC) AS last FROM saga_log WHERE saga_id = ?1)
WHERE first <= ?2 OR last <= ?3 ORDER BY number";
const COUNTS: &str = "
SELECT definition, state, count(*), min(updated_us), 0 FROM saga GROUP BY 1, 2
UNION ALL
SELECT definition, iif(stuck_us <= ?1, 'stuck', state), count(*), min(updated_us), 1 FROM saga_track WHERE ended_us IS NULL GROUP BY 1, 2
ORDER BY 5, 1, 2";
/// So many at once, so that no transaction takes long.
const OLD: &str =
    "SELECT id, definition, key FROM saga_history WHERE ended_us < ?1 ORDER BY ended_us LIMIT 1000";

pub(super) fn list(open: &Connection, filter: &Filter) -> Result<Vec<Listed>, Fault> {
    let states: Vec<&str> = filter.states().iter().map(|state| state.code()).collect();
    let states = serde_json::json!(states).to_string();
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let mut asked = open.prepare_cached(LIST)?;
    let mut rows = asked.query(params![
        states,
        filter.definition,
        filter.step,
        filter.key,
        filter.started_before_us,
        filter.behind,
        limit,
        now_us()
    ])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(listed(row)?);
    }
    Ok(all)
}

fn listed(row: &Row<'_>) -> Result<Listed, Fault> {
    let code: String = row.get(4)?;
    let version: Option<u32> = row.get(3)?;
    Ok(Listed {
        id: row.get(0)?,
        // Only definitions of those that are driven have versions.
        style: match version {
            Some(_) => Style::Orchestration,
            None => Style::Choreography,
        },
        key: row.get(1)?,
        definition: row.get(2)?,
        version,
        state: state(&code)?,
        step: row.get(5)?,
        attempts: row.get(6)?,
        why: row.get(7)?,
        started_us: row.get(8)?,
        updated_us: row.get(9)?,
    })
}

fn state(code: &str) -> Result<State, Unreadable> {
    State::named(code).ok_or_else(|| Unreadable(format!("state {code}")))
}

pub(super) fn show(open: &Connection, id: &str) -> Result<Option<Shown>, Fault> {
    let saga = match read::one(open, id)? {
        Some(saga) => Some(saga),
        None => ended(open, id)?,
    };
    let Some(saga) = saga else {
        return Ok(None);
    };
    let mut asked = open.prepare_cached(LINES)?;
    let lines = asked.query_map(params![id, TIMELINE_FIRST, TIMELINE_LAST], line_of)?;
    let timeline: Vec<Line> = lines.collect::<Result<_, _>>()?;
    let all: u64 = open
        .prepare_cached("SELECT count(*) FROM saga_log WHERE saga_id = ?1")?
        .query_row([id], |row| row.get(0))?;
    Ok(Some(Shown {
        saga,
        left_out: all.saturating_sub(timeline.len() as u64),
        timeline,
    }))
}

/// Of the columns at, what, step, attempt, actor, reason.
pub(super) fn line_of(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        at_us: row.get(0)?,
        what: row.get(1)?,
        step: row.get(2)?,
        attempt: row.get(3)?,
        actor: row.get(4)?,
        reason: row.get(5)?,
    })
}

fn ended(open: &Connection, id: &str) -> Result<Option<Saga>, Fault> {
    let mut asked = open.prepare_cached(HISTORY)?;
    let found = asked.query_row([id], |row| {
        let columns = Ended {
            id: row.get(0)?,
            key: row.get(1)?,
            definition: row.get(2)?,
            version: row.get(3)?,
            started_us: row.get(4)?,
            updated_us: row.get(5)?,
            ended_us: row.get(6)?,
        };
        Ok((columns, row.get::<_, String>(7)?))
    });
    let found = found.optional()?;
    Ok(found
        .map(|(columns, text)| form::ended_saga(columns, &text))
        .transpose()?)
}

pub(super) fn figures(open: &Connection) -> Result<Figures, Fault> {
    let mut asked = open.prepare_cached(COUNTS)?;
    let mut rows = asked.query([now_us()])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let code: String = row.get(1)?;
        counts.push(Count {
            style: match row.get(4)? {
                true => Style::Choreography,
                false => Style::Orchestration,
            },
            definition: row.get(0)?,
            state: state(&code)?,
            sagas: row.get(2)?,
            oldest_us: row.get(3)?,
        });
    }
    let number = |sql| open.query_row(sql, [], |row| row.get::<_, u64>(0));
    Ok(Figures {
        counts,
        unsent: number("SELECT count(*) FROM saga_outbox")?,
        parked: number("SELECT count(*) FROM saga_parked")?,
    })
}

pub(super) fn forget(
    open: &Connection,
    ended_before_us: i64,
    parked_before_us: i64,
) -> Result<u64, Fault> {
    let mut asked = open.prepare_cached(OLD)?;
    let old = asked.query_map([ended_before_us], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, Option<String>>(2)?,
        ))
    })?;
    let old = old.collect::<Result<Vec<_>, _>>()?;
    for (id, definition, key) in &old {
        let sql = "DELETE FROM saga_key WHERE definition = ?1 AND key = ?2 AND saga_id = ?3";
        open.prepare_cached(sql)?
            .execute(params![definition, key, id])?;
        for sql in [
            "DELETE FROM saga_log WHERE saga_id = ?1",
            "DELETE FROM saga_history WHERE id = ?1",
        ] {
            open.prepare_cached(sql)?.execute([id])?;
        }
    }
    let tracks = super::track::forget(open, ended_before_us)?;
    open.execute(
        "DELETE FROM saga_parked WHERE at_us < ?1",
        [parked_before_us],
    )?;
    Ok(old.len() as u64 + tracks)
}
