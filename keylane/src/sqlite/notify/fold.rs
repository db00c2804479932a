//! Bounds: the oldest messages of a channel that takes none are folded into one that says so.

use keylane_core::notify::{Detail, Folded, Message};
use rusqlite::{Connection, params};

use super::error::Fault;
use super::queue::{message_of, new_id, text_of};

/// Messages that wait for one channel.
pub(super) const WAITING_MAX: i64 = 1000;
/// So many more are folded at once when there are too many, so that not each new one folds another.
const FOLDED_AT_ONCE: i64 = 100;
/// A message that has waited for so long is folded.
pub(super) const AGE_MAX_US: i64 = 7 * 86_400_000_000;
/// Refused messages that are kept of one channel.
const REFUSED_MAX: i64 = 100;

/// Folds what is too much or too old, in every channel.
pub(super) fn bound(connection: &Connection, now_us: i64) -> Result<(), Fault> {
    let old_us = now_us.saturating_sub(AGE_MAX_US);
    let sql =
        "SELECT channel, count(*), sum(made_us < ?1) FROM outbox WHERE NOT refused GROUP BY channel
               HAVING count(*) > ?2 OR sum(made_us < ?1) > 0";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let full: Vec<(String, i64, i64)> = statement
        .query_map(params![old_us, WAITING_MAX], read)?
        .collect::<Result<_, _>>()?;
    for (channel, waiting, old) in full {
        let too_many = match waiting > WAITING_MAX {
            true => waiting - WAITING_MAX + FOLDED_AT_ONCE,
            false => 0,
        };
        fold(connection, &channel, too_many.max(old), now_us)?;
    }
    Ok(())
}

/// The oldest `many`, less one that is being sent just now.
fn fold(connection: &Connection, channel: &str, many: i64, now_us: i64) -> Result<(), Fault> {
    let sql = "SELECT number, made_us, folded, message FROM outbox WHERE channel = ?1 AND NOT refused AND NOT begun ORDER BY number LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![channel, many])?;
    let (mut numbers, mut new) = (Vec::new(), 0_u64);
    let mut folded = Folded {
        messages: 0,
        from_us: i64::MAX,
        to_us: i64::MIN,
    };
    while let Some(row) = rows.next()? {
        let (number, made_us, before): (i64, i64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        numbers.push(number);
        let mut one = Folded {
            messages: 1,
            from_us: made_us,
            to_us: made_us,
        };
        if before > 0 {
            let text: String = row.get(3)?;
            if let Ok(Detail::Folded(earlier)) = message_of(&text).map(|message| message.detail) {
                one = earlier;
            }
        } else {
            new += 1;
        }
        folded.messages += one.messages;
        folded.from_us = folded.from_us.min(one.from_us);
        folded.to_us = folded.to_us.max(one.to_us);
    }
    let (Some(first), true) = (numbers.first(), new > 0) else {
        return Ok(());
    };
    for number in &numbers {
        connection.execute("DELETE FROM outbox WHERE number = ?1", [number])?;
    }
    let message = Message::folded(folded, now_us);
    // In the place of the first, so that it is told before what came later.
    connection.execute(
        "INSERT INTO outbox (number, channel, id, subject, message, made_us, folded) VALUES (?1, ?2, ?3, '', ?4, ?5, ?6)",
        params![first, channel, new_id(connection)?, text_of(&message)?, now_us, folded.messages],
    )?;
    count(connection, channel, new)?;
    tracing::warn!(
        channel,
        "KL-NOTIFY-004: {new} messages were folded into one"
    );
    Ok(())
}

/// The oldest refused messages go when there are too many; they are counted.
pub(super) fn bound_refused(connection: &Connection, channel: &str) -> Result<(), Fault> {
    let sql = "DELETE FROM outbox WHERE channel = ?1 AND refused AND number NOT IN
               (SELECT number FROM outbox WHERE channel = ?1 AND refused ORDER BY number DESC LIMIT ?2)";
    let dropped = connection.execute(sql, params![channel, REFUSED_MAX])?;
    if dropped > 0 {
        count(connection, channel, dropped as u64)?;
        tracing::warn!(
            channel,
            "KL-NOTIFY-004: more than {REFUSED_MAX} messages were refused; the oldest is dropped"
        );
    }
    Ok(())
}

fn count(connection: &Connection, channel: &str, messages: u64) -> Result<(), Fault> {
    let sql = "INSERT INTO channels (channel, folded) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET folded = folded + excluded.folded";
    connection.execute(sql, params![channel, messages])?;
    Ok(())
}
