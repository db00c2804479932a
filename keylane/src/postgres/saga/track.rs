//! What was heard of choreographed sagas, and what is told to their services.

use std::collections::BTreeMap;

use keylane_core::model::Offset;
use keylane_core::saga::{
    Choreographies, Line, NotedSignal, Signal, SignalKind, Track, TrackRow, Tracked, shard_of,
};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

use super::desk::line_of;
use super::store::{Fault, Session};
use crate::saga::Unreadable;
use crate::saga::track_form::{track_of, track_text, waits_text};

/// So that a row is there to be locked. In the order of the ids, so that two do not wait for each other.
const PLACE: &str =
    "INSERT INTO keylane.saga_track (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";
const LOCK: &str =
    "SELECT id, terms, track FROM keylane.saga_track WHERE id = ANY($1) ORDER BY id FOR UPDATE";
const PUT: &str = "
UPDATE keylane.saga_track AS t SET terms = $1, definition = n.definition, state = n.state, key = n.key, started_us = n.started_us, updated_us = n.updated_us,
    ended_us = n.ended_us, waits = n.waits, why = n.why, stuck_us = n.stuck_us, stuck_step = n.stuck_step, stuck_why = n.stuck_why, track = n.track
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[])
    AS n(id, definition, state, key, started_us, updated_us, ended_us, waits, why, stuck_us, stuck_step, stuck_why, track)
WHERE t.id = n.id";
/// Another may be making the same anew.
const OLD_TERMS: &str = "
SELECT id, terms, track FROM keylane.saga_track WHERE terms <> $1 LIMIT 500 FOR UPDATE SKIP LOCKED";
const ONE: &str = "SELECT track FROM keylane.saga_track WHERE id = $1";
const ASKED: &str = "
SELECT at_us, what, step, attempt, actor, reason FROM keylane.saga_log WHERE saga_id = $1 ORDER BY number LIMIT 1000";
const NOTE: &str = "
INSERT INTO keylane.saga_log (saga_id, at_us, what, step, actor, reason) VALUES ($1, $2, $3, $4, $5, $6)";
/// Who asks for the same again has it told again.
const SIGNAL: &str = "
INSERT INTO keylane.saga_signal (saga_id, kind, topic, shard, actor, reason, at_us) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (saga_id, kind, topic) DO UPDATE SET is_sent = false, partition = NULL, tried_at = NULL WHERE saga_signal.is_sent";
const SIGNALS_OF: &str = "
SELECT number, saga_id, kind, topic, actor, reason, at_us, partition, tried_at, is_sent FROM keylane.saga_signal WHERE saga_id = $1 ORDER BY number";
const UNSENT: &str = "
SELECT number, saga_id, kind, topic, actor, reason, at_us, partition, tried_at FROM keylane.saga_signal
WHERE shard = ANY($1) AND NOT is_sent ORDER BY number LIMIT $2";
const TRY: &str = "UPDATE keylane.saga_signal SET partition = $2, tried_at = $3 WHERE number = $1";
const SENT: &str = "UPDATE keylane.saga_signal SET is_sent = true WHERE number = $1";

/// Rows, column by column.
#[derive(Default)]
struct Columns {
    id: Vec<String>,
    definition: Vec<Option<String>>,
    state: Vec<&'static str>,
    key: Vec<Option<String>>,
    started_us: Vec<i64>,
    updated_us: Vec<i64>,
    ended_us: Vec<Option<i64>>,
    waits: Vec<String>,
    why: Vec<Option<String>>,
    stuck_us: Vec<Option<i64>>,
    stuck_step: Vec<Option<String>>,
    stuck_why: Vec<Option<String>>,
    track: Vec<String>,
}

impl Columns {
    fn add(&mut self, id: String, row: TrackRow, track: String) {
        self.id.push(id);
        self.definition.push(row.definition);
        self.state.push(row.state.code());
        self.key.push(row.key);
        self.started_us.push(row.started_us);
        self.updated_us.push(row.updated_us);
        self.ended_us.push(row.ended_us);
        self.waits.push(waits_text(&row.waits));
        self.why.push(row.why);
        self.stuck_us.push(row.stuck_us);
        self.stuck_step.push(row.stuck_step);
        self.stuck_why.push(row.stuck_why);
        self.track.push(track);
    }

    /// Writes rows that were read as `(id, terms, track)`, with what was heard besides; those that stay as they are, are not.
    fn of(
        rows: &[Row],
        heard: &BTreeMap<String, Track>,
        known: &Choreographies,
    ) -> Result<Columns, Fault> {
        let mut columns = Columns::default();
        for row in rows {
            let (id, terms, text): (String, i64, &str) = (row.get(0), row.get(1), row.get(2));
            let mut track = track_of(text)?;
            if let Some(more) = heard.get(&id) {
                track.join(more);
            }
            let joined = track_text(&track);
            if joined != text || terms != known.terms() as i64 {
                columns.add(id, known.row(&track), joined);
            }
        }
        Ok(columns)
    }

    async fn put(
        &self,
        open: &Transaction<'_>,
        put: &tokio_postgres::Statement,
        known: &Choreographies,
    ) -> Result<(), Fault> {
        if self.id.is_empty() {
            return Ok(());
        }
        let terms = known.terms() as i64;
        let values: [&(dyn ToSql + Sync); 14] = [
            &terms,
            &self.id,
            &self.definition,
            &self.state,
            &self.key,
            &self.started_us,
            &self.updated_us,
            &self.ended_us,
            &self.waits,
            &self.why,
            &self.stuck_us,
            &self.stuck_step,
            &self.stuck_why,
            &self.track,
        ];
        open.execute(put, &values).await?;
        Ok(())
    }
}

pub(super) async fn join(
    session: &mut Session,
    heard: &BTreeMap<String, Track>,
    known: &Choreographies,
) -> Result<(), Fault> {
    let ids: Vec<&str> = heard.keys().map(String::as_str).collect();
    let place = session.prepared(PLACE).await?;
    let lock = session.prepared(LOCK).await?;
    let put = session.prepared(PUT).await?;
    let open = session.client.transaction().await?;
    open.execute(&place, &[&ids]).await?;
    let rows = open.query(&lock, &[&ids]).await?;
    Columns::of(&rows, heard, known)?
        .put(&open, &put, known)
        .await?;
    open.commit().await?;
    Ok(())
}

pub(super) async fn renew(session: &mut Session, known: &Choreographies) -> Result<u64, Fault> {
    let old = session.prepared(OLD_TERMS).await?;
    let put = session.prepared(PUT).await?;
    let open = session.client.transaction().await?;
    let rows = open.query(&old, &[&(known.terms() as i64)]).await?;
    Columns::of(&rows, &BTreeMap::new(), known)?
        .put(&open, &put, known)
        .await?;
    open.commit().await?;
    Ok(rows.len() as u64)
}

pub(super) async fn tracked(session: &mut Session, id: &str) -> Result<Option<Tracked>, Fault> {
    let Some(row) = session.client.query_opt(ONE, &[&id]).await? else {
        return Ok(None);
    };
    let track = track_of(row.get(0))?;
    let asked = session.client.query(ASKED, &[&id]).await?;
    let told = session.client.query(SIGNALS_OF, &[&id]).await?;
    let told = told
        .iter()
        .map(|row| Ok((signal_of(row)?.signal, row.get(9))));
    Ok(Some(Tracked {
        id: id.to_owned(),
        track,
        asked: asked.iter().map(line_of).collect(),
        told: told.collect::<Result<_, Fault>>()?,
    }))
}

pub(super) async fn signal(
    session: &mut Session,
    id: &str,
    asked: &[Line],
    signals: &[Signal],
) -> Result<(), Fault> {
    let (note, put) = (
        session.prepared(NOTE).await?,
        session.prepared(SIGNAL).await?,
    );
    let open = session.client.transaction().await?;
    for line in asked {
        let values: [&(dyn ToSql + Sync); 6] = [
            &id,
            &line.at_us,
            &line.what,
            &line.step,
            &line.actor,
            &line.reason,
        ];
        open.execute(&note, &values).await?;
    }
    for signal in signals {
        let (kind, shard) = (signal.kind.code(), shard_of(&signal.saga) as i16);
        let values: [&(dyn ToSql + Sync); 7] = [
            &signal.saga,
            &kind,
            &signal.topic,
            &shard,
            &signal.actor,
            &signal.reason,
            &signal.at_us,
        ];
        open.execute(&put, &values).await?;
    }
    open.commit().await?;
    Ok(())
}

pub(super) async fn unsent(
    session: &mut Session,
    shards: &[u16],
    limit: usize,
) -> Result<Vec<NotedSignal>, Fault> {
    let shards: Vec<i16> = shards.iter().map(|it| *it as i16).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let asked = session.prepared(UNSENT).await?;
    let rows = session.client.query(&asked, &[&shards, &limit]).await?;
    rows.iter().map(signal_of).collect()
}

/// Of the columns of [`UNSENT`].
fn signal_of(row: &Row) -> Result<NotedSignal, Fault> {
    let code: &str = row.get(2);
    let kind = SignalKind::named(code).ok_or_else(|| Unreadable(format!("signal {code}")))?;
    let (partition, tried_at): (Option<i32>, Option<i64>) = (row.get(7), row.get(8));
    Ok(NotedSignal {
        number: row.get(0),
        signal: Signal {
            saga: row.get(1),
            kind,
            topic: row.get(3),
            actor: row.get(4),
            reason: row.get(5),
            at_us: row.get(6),
        },
        tried_at: partition
            .map(|it| it as u32)
            .zip(tried_at.map(|it| Offset(it as u64))),
    })
}

pub(super) async fn try_signal(
    session: &mut Session,
    number: i64,
    partition: u32,
    end: Offset,
) -> Result<(), Fault> {
    let values: [&(dyn ToSql + Sync); 3] = [&number, &(partition as i32), &(end.0 as i64)];
    session.client.execute(TRY, &values).await?;
    Ok(())
}

pub(super) async fn sent(session: &mut Session, number: i64) -> Result<(), Fault> {
    session.client.execute(SENT, &[&number]).await?;
    Ok(())
}
