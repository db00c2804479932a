//! What was heard of choreographed sagas, and what is told to their services.

use std::collections::BTreeMap;

use keylane_core::model::Offset;
use keylane_core::saga::{
    Choreographies, Line, NotedSignal, Signal, SignalKind, Track, Tracked, shard_of,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::desk::line_of;
use super::store::Fault;
use crate::saga::Unreadable;
use crate::saga::track_form::{track_of, track_text, waits_text};

const PUT: &str = "
INSERT OR REPLACE INTO saga_track (id, terms, definition, state, key, started_us, updated_us, ended_us, waits, why, stuck_us, stuck_step, stuck_why, track)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
const ONE: &str = "SELECT terms, track FROM saga_track WHERE id = ?1";
const OLD_TERMS: &str = "SELECT id, track FROM saga_track WHERE terms <> ?1 LIMIT 500";
const OLD: &str = "SELECT id FROM saga_track WHERE ended_us < ?1 ORDER BY ended_us LIMIT 1000";
/// Who asks for the same again has it told again.
const SIGNAL: &str = "
INSERT INTO saga_signal (saga_id, kind, topic, shard, actor, reason, at_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (saga_id, kind, topic) DO UPDATE SET is_sent = 0, partition = NULL, tried_at = NULL WHERE is_sent";
const SIGNALS: &str = "
SELECT number, saga_id, kind, topic, actor, reason, at_us, partition, tried_at, is_sent FROM saga_signal
WHERE saga_id = ?1 OR (?1 IS NULL AND NOT is_sent AND shard IN (SELECT value FROM json_each(?2))) ORDER BY number LIMIT ?3";

pub(super) fn join(
    open: &Connection,
    heard: &BTreeMap<String, Track>,
    known: &Choreographies,
) -> Result<(), Fault> {
    for (id, more) in heard {
        let kept = open
            .prepare_cached(ONE)?
            .query_row([id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let (terms, text) = kept.unwrap_or_default();
        let mut track = match text.is_empty() {
            true => Track::default(),
            false => track_of(&text)?,
        };
        track.join(more);
        let joined = track_text(&track);
        if joined != text || terms != known.terms() as i64 {
            put(open, id, &track, &joined, known)?;
        }
    }
    Ok(())
}

fn put(
    open: &Connection,
    id: &str,
    track: &Track,
    text: &str,
    known: &Choreographies,
) -> Result<(), Fault> {
    let row = known.row(track);
    open.prepare_cached(PUT)?.execute(params![
        id,
        known.terms() as i64,
        row.definition,
        row.state.code(),
        row.key,
        row.started_us,
        row.updated_us,
        row.ended_us,
        waits_text(&row.waits),
        row.why,
        row.stuck_us,
        row.stuck_step,
        row.stuck_why,
        text,
    ])?;
    Ok(())
}

pub(super) fn renew(open: &Connection, known: &Choreographies) -> Result<u64, Fault> {
    let mut asked = open.prepare_cached(OLD_TERMS)?;
    let old = asked.query_map([known.terms() as i64], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    let old = old.collect::<Result<Vec<_>, _>>()?;
    for (id, text) in &old {
        put(open, id, &track_of(text)?, text, known)?;
    }
    Ok(old.len() as u64)
}

pub(super) fn tracked(open: &Connection, id: &str) -> Result<Option<Tracked>, Fault> {
    let mut asked = open.prepare_cached(ONE)?;
    let text = asked.query_row([id], |row| row.get::<_, String>(1));
    let Some(text) = text.optional()? else {
        return Ok(None);
    };
    let mut asked = open.prepare_cached(
        "SELECT at_us, what, step, attempt, actor, reason FROM saga_log WHERE saga_id = ?1 ORDER BY number LIMIT 1000",
    )?;
    let lines = asked.query_map([id], line_of)?;
    let told = signals(open, Some(id), None, usize::MAX)?;
    Ok(Some(Tracked {
        id: id.to_owned(),
        track: track_of(&text)?,
        asked: lines.collect::<Result<_, _>>()?,
        told: told
            .into_iter()
            .map(|(it, sent)| (it.signal, sent))
            .collect(),
    }))
}

pub(super) fn signal(
    open: &Connection,
    id: &str,
    asked: &[Line],
    signals: &[Signal],
) -> Result<(), Fault> {
    for line in asked {
        open.execute(
            "INSERT INTO saga_log (saga_id, at_us, what, step, actor, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![id, line.at_us, line.what, line.step, line.actor, line.reason],
        )?;
    }
    for signal in signals {
        open.prepare_cached(SIGNAL)?.execute(params![
            signal.saga,
            signal.kind.code(),
            signal.topic,
            shard_of(&signal.saga),
            signal.actor,
            signal.reason,
            signal.at_us,
        ])?;
    }
    Ok(())
}

pub(super) fn unsent(
    open: &Connection,
    shards: &[u16],
    limit: usize,
) -> Result<Vec<NotedSignal>, Fault> {
    let shards = serde_json::json!(shards).to_string();
    let unsent = signals(open, None, Some(shards), limit)?;
    Ok(unsent.into_iter().map(|(it, _)| it).collect())
}

fn signals(
    open: &Connection,
    saga: Option<&str>,
    shards: Option<String>,
    limit: usize,
) -> Result<Vec<(NotedSignal, bool)>, Fault> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut asked = open.prepare_cached(SIGNALS)?;
    let mut rows = asked.query(params![saga, shards, limit])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push((signal_of(row)?, row.get(9)?));
    }
    Ok(all)
}

fn signal_of(row: &Row<'_>) -> Result<NotedSignal, Fault> {
    let code: String = row.get(2)?;
    let kind = SignalKind::named(&code).ok_or_else(|| Unreadable(format!("signal {code}")))?;
    let (partition, tried_at): (Option<u32>, Option<i64>) = (row.get(7)?, row.get(8)?);
    Ok(NotedSignal {
        number: row.get(0)?,
        signal: Signal {
            saga: row.get(1)?,
            kind,
            topic: row.get(3)?,
            actor: row.get(4)?,
            reason: row.get(5)?,
            at_us: row.get(6)?,
        },
        tried_at: partition.zip(tried_at.map(|it| Offset(it as u64))),
    })
}

pub(super) fn try_signal(
    open: &Connection,
    number: i64,
    partition: u32,
    end: Offset,
) -> Result<(), Fault> {
    let sql = "UPDATE saga_signal SET partition = ?2, tried_at = ?3 WHERE number = ?1";
    open.execute(sql, params![number, partition, end.0 as i64])?;
    Ok(())
}

pub(super) fn sent(open: &Connection, number: i64) -> Result<(), Fault> {
    let sql = "UPDATE saga_signal SET is_sent = 1 WHERE number = ?1";
    open.execute(sql, [number])?;
    Ok(())
}

/// Forgets a number of those that ended before, with what was asked of them; how many.
pub(super) fn forget(open: &Connection, ended_before_us: i64) -> Result<u64, Fault> {
    let mut asked = open.prepare_cached(OLD)?;
    let old = asked.query_map([ended_before_us], |row| row.get::<_, String>(0))?;
    let old = old.collect::<Result<Vec<_>, _>>()?;
    for id in &old {
        for sql in [
            "DELETE FROM saga_log WHERE saga_id = ?1",
            "DELETE FROM saga_signal WHERE saga_id = ?1",
            "DELETE FROM saga_track WHERE id = ?1",
        ] {
            open.prepare_cached(sql)?.execute([id])?;
        }
    }
    Ok(old.len() as u64)
}
