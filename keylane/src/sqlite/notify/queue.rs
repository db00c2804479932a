//! Messages on their way: put in, begun, answered.

use keylane_core::notify::{Answer, Answered, Entry, Message, Next, pause_ms, rest_ms};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::Fault;
use super::fold;
use crate::notice::MessageForm;

/// After so many attempts a message only holds up those of its own subject.
const ASIDE_ATTEMPTS: u32 = 8;
/// Why a message of a later version cannot be sent.
pub(super) const OTHER_VERSION: &str = "KL-NOTIFY-003: was written by another version of Keylane";

/// A name for the next message: the file's identity and a number.
pub(super) fn new_id(connection: &Connection) -> Result<String, Fault> {
    let sql = "INSERT INTO counters VALUES ('messages', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value";
    let number: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    let identity: String = connection.query_row("SELECT id FROM identity", [], |row| row.get(0))?;
    Ok(format!("{identity}-{number}"))
}

/// Puts a message in, for each of these channels.
pub(super) fn put<'c>(
    connection: &Connection,
    message: &Message,
    channels: impl Iterator<Item = &'c str>,
) -> Result<(), Fault> {
    let id = new_id(connection)?;
    let text = text_of(message)?;
    let subject = message.subject.as_ref().map(ToString::to_string);
    let subject = subject.unwrap_or_default();
    for channel in channels {
        connection
            .prepare_cached(
                "INSERT INTO outbox (channel, id, subject, message, made_us) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![channel, id, subject, text, message.at_us])?;
    }
    Ok(())
}

pub(super) fn text_of(message: &Message) -> Result<String, Fault> {
    serde_json::to_string(&MessageForm::from(message))
        .map_err(|error| Fault::Unreadable(error.to_string()))
}

pub(super) fn message_of(text: &str) -> Result<Message, String> {
    let form: MessageForm = serde_json::from_str(text).map_err(|error| error.to_string())?;
    form.read()
}

/// What is known of a row before its message is read.
struct Waiting {
    number: i64,
    id: String,
    text: String,
    attempts: u32,
    begun: bool,
    doubtful: bool,
    not_before_us: i64,
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        number: row.get(0)?,
        id: row.get(1)?,
        text: row.get(2)?,
        attempts: row.get(3)?,
        begun: row.get(4)?,
        doubtful: row.get(5)?,
        not_before_us: row.get(6)?,
    })
}

/// Whether anything waits for a channel.
pub(super) fn waits(connection: &Connection, channel: &str) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE channel = ?1 AND NOT refused)";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([channel], |row| row.get(0))?)
}

/// What to do for a channel; an attempt is noted.
pub(super) fn next(connection: &Connection, channel: &str, now_us: i64) -> Result<Next, Fault> {
    loop {
        let Some(first) = first(connection, channel, now_us)? else {
            let sql = "SELECT min(not_before_us) FROM outbox WHERE channel = ?1 AND NOT refused";
            let until: Option<i64> = connection.query_row(sql, [channel], |row| row.get(0))?;
            return Ok(until.map_or(Next::Idle, Next::Wait));
        };
        let sql = "SELECT not_before_us FROM channels WHERE channel = ?1";
        let rests: Option<i64> = connection
            .query_row(sql, [channel], |row| row.get(0))
            .optional()?;
        let until_us = first.not_before_us.max(rests.unwrap_or(0));
        if until_us > now_us {
            return Ok(Next::Wait(until_us));
        }
        let Ok(message) = message_of(&first.text) else {
            refuse(connection, channel, first.number, OTHER_VERSION)?;
            continue;
        };
        let may_have_come = first.doubtful || first.begun;
        connection.execute(
            "UPDATE outbox SET attempts = attempts + 1, begun = 1, doubtful = ?2 WHERE number = ?1",
            params![first.number, may_have_come],
        )?;
        return Ok(Next::Send(Box::new(Entry {
            number: first.number,
            id: first.id,
            message,
            attempts: first.attempts.saturating_add(1),
            may_have_come,
        })));
    }
}

/// The first that is not set aside, or whose pause is over; and none behind one of its own subject that is, so that states are told in their order.
fn first(connection: &Connection, channel: &str, now_us: i64) -> Result<Option<Waiting>, Fault> {
    let sql = "SELECT number, id, message, attempts, begun, doubtful, not_before_us FROM outbox AS one
               WHERE channel = ?1 AND NOT refused AND (attempts < ?2 OR not_before_us <= ?3)
                 AND NOT EXISTS (SELECT 1 FROM outbox AS earlier WHERE earlier.channel = ?1 AND NOT earlier.refused AND earlier.number < one.number
                                   AND earlier.subject = one.subject AND earlier.attempts >= ?2 AND earlier.not_before_us > ?3)
               ORDER BY number LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement
        .query_row(params![channel, ASIDE_ATTEMPTS, now_us], waiting)
        .optional()?;
    Ok(found)
}

/// Notes what came of an attempt.
pub(super) fn answered(
    connection: &Connection,
    channel: &str,
    answered: &Answered,
) -> Result<(), Fault> {
    let (number, now_us) = (answered.number, answered.at_us);
    connection.execute(
        "INSERT INTO channels (channel) VALUES (?1) ON CONFLICT DO NOTHING",
        [channel],
    )?;
    let after_pace = later(now_us, answered.pace_ms);
    let asked_ms = match &answered.answer {
        Answer::Taken => return taken(connection, channel, number, after_pace),
        Answer::Refused { .. } => {
            connection.execute(
                "UPDATE channels SET not_before_us = ?2 WHERE channel = ?1",
                params![channel, after_pace],
            )?;
            return refuse(connection, channel, number, &words(&answered.answer));
        }
        Answer::Later { after_ms, .. } => *after_ms,
        Answer::Away { .. } | Answer::Unknown { .. } => None,
    };
    let attempts: Option<u32> = connection
        .query_row(
            "SELECT attempts FROM outbox WHERE number = ?1",
            [number],
            |row| row.get(0),
        )
        .optional()?;
    let failures: u32 = connection.query_row(
        "UPDATE channels SET failures = failures + 1, why = ?2 WHERE channel = ?1 RETURNING failures",
        params![channel, words(&answered.answer)],
        |row| row.get(0),
    )?;
    let rests = rest_ms(failures, asked_ms, answered.chance);
    connection.execute(
        "UPDATE channels SET not_before_us = ?2 WHERE channel = ?1",
        params![channel, later(now_us, rests)],
    )?;
    let pause = pause_ms(attempts.unwrap_or(1), asked_ms, answered.chance);
    let is_unknown = matches!(answered.answer, Answer::Unknown { .. });
    connection.execute(
        "UPDATE outbox SET begun = 0, doubtful = doubtful OR ?2, not_before_us = ?3, why = ?4 WHERE number = ?1",
        params![number, is_unknown, later(now_us, pause), words(&answered.answer)],
    )?;
    Ok(())
}

fn taken(
    connection: &Connection,
    channel: &str,
    number: i64,
    not_before_us: i64,
) -> Result<(), Fault> {
    let sql = "DELETE FROM outbox WHERE number = ?1";
    let was_there = connection.execute(sql, [number])? as u64;
    let recovered: bool = connection.query_row(
        "SELECT failures > 0 FROM channels WHERE channel = ?1",
        [channel],
        |row| row.get(0),
    )?;
    if recovered {
        // What was set aside while the channel was away need not wait any longer.
        let sql = "UPDATE outbox SET not_before_us = 0 WHERE channel = ?1 AND NOT refused";
        connection.execute(sql, [channel])?;
    }
    connection.execute(
        "UPDATE channels SET failures = 0, why = '', taken = taken + ?2, not_before_us = ?3 WHERE channel = ?1",
        params![channel, was_there, not_before_us],
    )?;
    Ok(())
}

fn refuse(connection: &Connection, channel: &str, number: i64, why: &str) -> Result<(), Fault> {
    connection.execute(
        "UPDATE outbox SET refused = 1, begun = 0, why = ?2 WHERE number = ?1",
        params![number, why],
    )?;
    fold::bound_refused(connection, channel)
}

/// With its code.
fn words(answer: &Answer) -> String {
    match answer.code() {
        Some(code) => format!("{code}: {}", answer.why()),
        None => String::new(),
    }
}

fn later(now_us: i64, ms: u64) -> i64 {
    let us = i64::try_from(ms.saturating_mul(1000)).unwrap_or(i64::MAX);
    now_us.saturating_add(us)
}
