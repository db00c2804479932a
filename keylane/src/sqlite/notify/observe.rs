//! Observations become standings and messages, in one transaction.

use keylane_core::notify::{
    AllTerms, Day, DigestOrder, Due, Message, Observation, Standing, Subject, Taken, digest, step,
};
use rusqlite::{Connection, OptionalExtension as _};

use super::error::Fault;
use super::{fold, queue, standing};

/// What was not seen for so long is gone.
const FORGOTTEN_US: i64 = 90 * 86_400_000_000;
const DAY_US: i64 = 86_400_000_000;

/// Takes observations in; then subjects that have rested.
pub(super) fn observe(
    connection: &Connection,
    observations: &[Observation],
    terms: &AllTerms,
    now_us: i64,
) -> Result<Vec<Taken>, Fault> {
    let mut taken = Vec::new();
    for observation in observations {
        let subject = &observation.subject;
        let before = standing::load(connection, subject)?;
        let own = terms.of(subject.pipeline.as_deref());
        let step = step(before.clone(), observation, own);
        standing::save(connection, subject, before.as_ref(), &step.standing)?;
        put(connection, &step.messages, terms, subject)?;
        taken.push(Taken {
            subject: subject.clone(),
            messages: step.messages,
            quiet: step.quiet,
            state: step.standing.told,
        });
    }
    for (subject, before) in standing::all(connection, true)? {
        let mut now = before.clone();
        let rested = now.rest(&subject, now_us);
        if now == before {
            continue;
        }
        standing::save(connection, &subject, None, &now)?;
        let messages: Vec<Message> = rested.into_iter().collect();
        put(connection, &messages, terms, &subject)?;
        taken.push(Taken {
            subject,
            messages,
            quiet: None,
            state: now.told,
        });
    }
    fold::bound(connection, now_us)?;
    Ok(taken)
}

fn put(
    connection: &Connection,
    messages: &[Message],
    terms: &AllTerms,
    subject: &Subject,
) -> Result<(), Fault> {
    let own = terms.of(subject.pipeline.as_deref());
    for message in messages {
        queue::put(connection, message, own.channels.iter().map(|name| &**name))?;
    }
    Ok(())
}

/// Whether there may be something to do: looked at before a transaction is opened.
pub(super) fn digest_due(
    connection: &Connection,
    order: &DigestOrder,
    now_us: i64,
) -> Result<Due, Fault> {
    let sql = "SELECT value FROM counters WHERE name = 'digest_us'";
    let told: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(order.at.due(told, now_us))
}

/// Puts the digest in if it is due. Each channel is told of the pipelines that it is told of otherwise.
pub(super) fn daily(
    connection: &Connection,
    order: &DigestOrder,
    terms: &AllTerms,
    now_us: i64,
) -> Result<bool, Fault> {
    let (due_us, is_first) = match digest_due(connection, order, now_us)? {
        Due::NotYet => return Ok(false),
        Due::First(due_us) => (due_us, true),
        Due::Now(due_us) => (due_us, false),
    };
    let sql = "INSERT INTO counters VALUES ('digest_us', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.execute(sql, [due_us])?;
    if is_first {
        return Ok(false);
    }
    standing::forget(connection, now_us.saturating_sub(FORGOTTEN_US))?;
    let all = standing::all(connection, false)?;
    for channel in &order.channels {
        let hears = |pipeline: Option<&str>| terms.of(pipeline).channels.contains(channel);
        let lines = order.pipelines.iter();
        let lines = lines.filter(|line| hears(Some(&line.name))).cloned();
        let of: Vec<(Subject, Standing)> = all
            .iter()
            .filter(|(subject, _)| hears(subject.pipeline.as_deref()))
            .cloned()
            .collect();
        let told = digest((due_us - DAY_US, now_us), lines.collect(), &of);
        queue::put(
            connection,
            &Message::digest(told),
            std::iter::once(&**channel),
        )?;
    }
    for (subject, mut now) in all {
        now.day = Day::default();
        standing::save(connection, &subject, None, &now)?;
    }
    Ok(true)
}
