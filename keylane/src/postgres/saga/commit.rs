//! A batch of decisions: one statement that writes the rows of all whose revision is as it was read, and nothing of the others.

use std::collections::{BTreeSet, HashMap};

use keylane_core::saga::{Batch, Change, Lease, PARKED_MAX, ParkedAnswer, Written};
use tokio_postgres::types::ToSql;

use super::columns::Columns;
use super::lease;
use super::outbox;
use super::store::{Fault, Session};
use crate::saga::form;

/// What a former owner may not do, and what has changed since it was read, leaves no trace. `keyed`: new sagas whose key nobody used. `gone`: those that end now. `done`: those that count.
/// `IS TRUE` keeps what is looked up in `done` from becoming a join: it is a hash that is asked, whatever the planner is told of joins.
const COMMIT: &str = r#"
WITH c AS (SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::smallint[], $4::text[], $5::int[], $6::bigint[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::bigint[],
        $12::text[], $13::text[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::text[], $20::int[], $21::text[], $22::text[])
    AS c(id, read, shard, definition, version, hash, key, request, phase, state, revision,
         data, reason, started_us, updated_us, ended_us, deadline_us, next_us, step, attempts, why, body)),
keyed AS (
    INSERT INTO keylane.saga_key (definition, key, saga_id, request)
    SELECT definition, key, id, request FROM c WHERE read = 0 AND key IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING saga_id),
begun AS (
    INSERT INTO keylane.saga (id, shard, definition, version, hash, key, phase, state, revision, data, reason, started_us, updated_us, deadline_us, next_us, step, attempts, why)
    SELECT id, shard, definition, version, hash, key, phase, state, revision, data, reason, started_us, updated_us, deadline_us, next_us, step, attempts, why
    FROM c WHERE read = 0 AND ended_us IS NULL AND (key IS NULL OR id IN (SELECT saga_id FROM keyed))
    ON CONFLICT (id) DO NOTHING RETURNING id),
moved AS (
    UPDATE keylane.saga AS s SET phase = c.phase, state = c.state, revision = c.revision, reason = c.reason, updated_us = c.updated_us,
        deadline_us = c.deadline_us, next_us = c.next_us, step = c.step, attempts = c.attempts, why = c.why
    FROM c WHERE s.id = c.id AND s.revision = c.read AND c.revision > c.read AND c.ended_us IS NULL RETURNING s.id),
gone AS (
    DELETE FROM keylane.saga AS s USING c
    WHERE s.id = c.id AND s.revision = c.read AND c.revision > c.read AND c.ended_us IS NOT NULL RETURNING s.id),
ended AS (
    INSERT INTO keylane.saga_history (id, definition, version, key, state, started_us, updated_us, ended_us, why, body)
    SELECT id, definition, version, key, state, started_us, updated_us, ended_us, why, body FROM c
    WHERE ended_us IS NOT NULL AND revision > read
      AND (id IN (SELECT id FROM gone) OR (read = 0 AND (key IS NULL OR id IN (SELECT saga_id FROM keyed))))
    RETURNING id),
done AS (
    SELECT id FROM begun UNION ALL SELECT id FROM moved UNION ALL SELECT id FROM ended UNION ALL SELECT id FROM c WHERE revision = read),
stepped AS (
    INSERT INTO keylane.saga_step AS t (saga_id, place, step, participant, status, is_out, attempts, tries, since_us, next_us, stuck, by_hand, reply, error)
    SELECT p.* FROM unnest($23::text[], $24::int[], $25::text[], $26::text[], $27::text[], $28::boolean[], $29::int[], $30::int[],
        $31::bigint[], $32::bigint[], $33::boolean[], $34::boolean[], $35::text[], $36::text[]) AS p(saga_id) WHERE (p.saga_id IN (SELECT id FROM done)) IS TRUE
    ON CONFLICT (saga_id, place) DO UPDATE SET status = excluded.status, is_out = excluded.is_out, attempts = excluded.attempts, tries = excluded.tries,
        since_us = excluded.since_us, next_us = excluded.next_us, stuck = excluded.stuck, by_hand = excluded.by_hand, reply = excluded.reply, error = excluded.error),
forgotten AS (DELETE FROM keylane.saga_step WHERE saga_id IN (SELECT id FROM gone)),
unqueued AS (DELETE FROM keylane.saga_outbox WHERE saga_id IN (SELECT id FROM gone)),
logged AS (
    INSERT INTO keylane.saga_log (saga_id, at_us, what, step, attempt, actor, reason)
    SELECT l.saga_id, l.at_us, l.what, l.step, l.attempt, l.actor, l.reason
    FROM unnest($37::text[], $38::bigint[], $39::text[], $40::text[], $41::int[], $42::text[], $43::text[])
        WITH ORDINALITY AS l(saga_id, at_us, what, step, attempt, actor, reason, place)
    WHERE (l.saga_id IN (SELECT id FROM done)) IS TRUE ORDER BY l.place),
queued AS (
    INSERT INTO keylane.saga_outbox AS o (saga_id, step, number, shard, participant, at_us, command)
    SELECT q.saga_id, q.step, nextval('keylane.saga_outbox_number'), q.shard, q.participant, q.at_us, q.command
    FROM unnest($44::text[], $45::text[], $46::smallint[], $47::text[], $48::bigint[], $49::text[]) AS q(saga_id, step, shard, participant, at_us, command)
    WHERE (q.saga_id IN (SELECT id FROM done)) IS TRUE
    ON CONFLICT (saga_id, step) DO UPDATE SET number = excluded.number, at_us = excluded.at_us, participant = excluded.participant, command = excluded.command
    RETURNING saga_id, step, number)
SELECT id, NULL::text, NULL::bigint FROM done UNION ALL SELECT saga_id, step, number FROM queued"#;

const TAKEN: &str = "
SELECT k.definition, k.key, k.saga_id, k.request FROM keylane.saga_key AS k
JOIN unnest($1::text[], $2::text[]) AS w(definition, key) ON k.definition = w.definition AND k.key = w.key";
const PARK: &str = "
INSERT INTO keylane.saga_parked AS p (saga_id, step, op, outcome, body, at_us)
SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM (SELECT FROM keylane.saga_parked LIMIT $7) AS kept) < $7
ON CONFLICT (saga_id, step, op) DO UPDATE SET outcome = excluded.outcome, body = excluded.body";
const UNPARK: &str = "DELETE FROM keylane.saga_parked WHERE saga_id = ANY($1)";

/// What is sent together goes over the wire once: a batch costs two ways to the server and back, whatever is in it.
pub(super) async fn commit(session: &mut Session, batch: &Batch) -> Result<Vec<Written>, Fault> {
    let held = begin(session, batch).await?;
    let may = |change: &&Change| change.lease.is_none_or(|lease| held.contains(&lease));
    for answer in &batch.park {
        park(session, answer).await?;
    }
    if !batch.unpark.is_empty() {
        let unpark = session.prepared(UNPARK).await?;
        session.client.execute(&unpark, &[&batch.unpark]).await?;
    }
    let columns = Columns::of(batch.changes.iter().filter(may));
    let mut came = match columns.sagas.id.is_empty() {
        true => {
            session.client.batch_execute("COMMIT").await?;
            Came::default()
        }
        false => write(session, &columns).await?,
    };
    // Who has a key has committed it, or is in this batch.
    came.taken = taken(session, batch.changes.iter().filter(may), &came).await?;
    let outcome = |change| match may(&change) {
        true => came.of(change),
        false => Written::Fenced,
    };
    Ok(batch.changes.iter().map(outcome).collect())
}

/// Opens the transaction, in which commands that went out leave the outbox, and the leases that stand are kept so.
async fn begin(session: &mut Session, batch: &Batch) -> Result<BTreeSet<Lease>, Fault> {
    let leases: BTreeSet<Lease> = batch.changes.iter().filter_map(|it| it.lease).collect();
    let shards: Vec<i16> = leases.iter().map(|it| it.shard as i16).collect();
    let asked = session.prepared(lease::HELD).await?;
    let sent = session.prepared(outbox::SENT).await?;
    let client = &session.client;
    let held = async {
        match shards.is_empty() {
            true => Ok(Vec::new()),
            false => client.query(&asked, &[&shards]).await,
        }
    };
    let sent = async {
        match batch.sent.is_empty() {
            true => Ok(0),
            false => client.execute(&sent, &[&batch.sent]).await,
        }
    };
    let (begun, held, sent) = tokio::join!(client.batch_execute("BEGIN"), held, sent);
    begun?;
    let held = held?.iter().map(lease::of_row).collect();
    sent?;
    Ok(held)
}

/// What came of the statement.
#[derive(Default)]
struct Came {
    done: BTreeSet<String>,
    numbers: HashMap<(String, String), i64>,
    /// By definition and key.
    taken: HashMap<(String, String), (String, u64)>,
}

impl Came {
    fn of(&self, change: &Change) -> Written {
        let saga = &change.decision.saga;
        if self.done.contains(&saga.id) {
            let number = |step: &String| self.numbers.get(&(saga.id.clone(), step.clone()));
            let commands = change.decision.commands.iter();
            return Written::Done(
                commands
                    .filter_map(|it| number(&it.step).copied())
                    .collect(),
            );
        }
        let key = saga.key.clone().filter(|_| change.before.is_none());
        let taken = key.and_then(|key| self.taken.get(&(saga.definition.clone(), key)));
        match taken {
            Some((id, request)) => Written::Taken {
                id: id.clone(),
                request: *request,
            },
            None => Written::Stale,
        }
    }
}

/// Writes and commits.
async fn write(session: &mut Session, columns: &Columns) -> Result<Came, Fault> {
    let statement = session.prepared(COMMIT).await?;
    let parameters = columns.parameters();
    let mut came = Came::default();
    // Where the statement fails the server rolls back, whatever it answers to `COMMIT`.
    let (rows, committed) = tokio::join!(
        session.client.query(&statement, &parameters),
        session.client.batch_execute("COMMIT")
    );
    let rows = rows?;
    committed?;
    for row in rows {
        let (id, step): (String, Option<String>) = (row.get(0), row.get(1));
        match step {
            Some(step) => drop(came.numbers.insert((id, step), row.get(2))),
            None => drop(came.done.insert(id)),
        }
    }
    Ok(came)
}

/// Who has the keys of new sagas that were not written.
async fn taken<'a>(
    session: &mut Session,
    changes: impl Iterator<Item = &'a Change>,
    came: &Came,
) -> Result<HashMap<(String, String), (String, u64)>, Fault> {
    let missed =
        changes.filter(|it| it.before.is_none() && !came.done.contains(&it.decision.saga.id));
    let (definitions, keys): (Vec<&str>, Vec<&str>) = missed
        .filter_map(|it| {
            Some((
                it.decision.saga.definition.as_str(),
                it.decision.saga.key.as_deref()?,
            ))
        })
        .unzip();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let asked = session.prepared(TAKEN).await?;
    let rows = session.client.query(&asked, &[&definitions, &keys]).await?;
    let taken = rows.iter().map(|row| {
        let key = (row.get(0), row.get(1));
        (key, (row.get(2), row.get::<_, i64>(3) as u64))
    });
    Ok(taken.collect())
}

async fn park(session: &mut Session, answer: &ParkedAnswer) -> Result<(), Fault> {
    let statement = session.prepared(PARK).await?;
    let reply = &answer.reply;
    let body = form::body_text(&reply.outcome);
    let (op, outcome) = (reply.op.code(), reply.outcome.code());
    let most = i64::try_from(PARKED_MAX).unwrap_or(i64::MAX);
    let values: [&(dyn ToSql + Sync); 7] = [
        &answer.saga,
        &reply.step,
        &op,
        &outcome,
        &body,
        &answer.at_us,
        &most,
    ];
    session.client.execute(&statement, &values).await?;
    Ok(())
}
