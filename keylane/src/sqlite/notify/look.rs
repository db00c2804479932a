//! What the outbox holds, for people and figures; and what is done about refused messages.

use std::collections::BTreeMap;

use keylane_core::notify::{ChannelFigures, Entry, Kept, Message};
use rusqlite::{Connection, params};

use super::error::Fault;
use super::queue::{OTHER_VERSION, message_of};

/// Messages that are looked at, at most.
const KEPT_MAX: i64 = 10_000;

/// By channel, in the order of their names.
pub(super) fn figures(connection: &Connection) -> Result<Vec<ChannelFigures>, Fault> {
    let mut all: BTreeMap<String, ChannelFigures> = BTreeMap::new();
    let named = |all: &mut BTreeMap<String, ChannelFigures>, channel: &str| {
        let figures = all.entry(channel.to_owned()).or_default();
        channel.clone_into(&mut figures.channel);
    };
    let sql = "SELECT channel, taken, folded, why FROM channels";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let channel: String = row.get(0)?;
        named(&mut all, &channel);
        if let Some(figures) = all.get_mut(&channel) {
            (figures.taken, figures.folded, figures.why) = (row.get(1)?, row.get(2)?, row.get(3)?);
        }
    }
    let sql = "SELECT channel, sum(NOT refused), sum(refused), min(CASE WHEN refused THEN NULL ELSE made_us END) FROM outbox GROUP BY channel";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let channel: String = row.get(0)?;
        named(&mut all, &channel);
        if let Some(figures) = all.get_mut(&channel) {
            (figures.waiting, figures.refused, figures.oldest_us) =
                (row.get(1)?, row.get(2)?, row.get(3)?);
        }
    }
    Ok(all.into_values().collect())
}

/// Oldest first. One that this version cannot read is told as a test with the reason.
pub(super) fn kept(connection: &Connection) -> Result<Vec<Kept>, Fault> {
    let sql = "SELECT number, channel, id, message, made_us, attempts, begun OR doubtful, refused, why FROM outbox ORDER BY number LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([KEPT_MAX])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (text, made_us, mut why): (String, i64, String) =
            (row.get(3)?, row.get(4)?, row.get(8)?);
        let message = message_of(&text).unwrap_or_else(|_| {
            OTHER_VERSION.clone_into(&mut why);
            Message::test(made_us)
        });
        all.push(Kept {
            channel: row.get(1)?,
            entry: Entry {
                number: row.get(0)?,
                id: row.get(2)?,
                message,
                attempts: row.get(5)?,
                may_have_come: row.get(6)?,
            },
            is_refused: row.get(7)?,
            why,
        });
    }
    Ok(all)
}

/// Refused messages wait again, or go.
pub(super) fn resolve(
    connection: &Connection,
    channel: Option<&str>,
    discard: bool,
) -> Result<u64, Fault> {
    let what = match discard {
        true => "DELETE FROM outbox",
        false => "UPDATE outbox SET refused = 0, attempts = 0, not_before_us = 0, why = ''",
    };
    let sql = format!("{what} WHERE refused AND (?1 IS NULL OR channel = ?1)");
    let resolved = connection.execute(&sql, params![channel])?;
    Ok(resolved as u64)
}
