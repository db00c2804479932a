//! What is known of a subject, as the file holds it.

use keylane_core::notify::{Flapping, Standing, State, Subject};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use crate::notice::{DayForm, DetailForm, subject_of};

/// What has changed nothing but the time is written this seldom.
const WRITTEN_EVERY_US: i64 = 60_000_000;

#[derive(Serialize, Deserialize)]
struct StandingForm {
    told: String,
    told_us: i64,
    runs: u32,
    seen: String,
    seen_us: i64,
    at_us: i64,
    known_runs: Vec<String>,
    changes_us: Vec<i64>,
    flapping: Option<u32>,
    day: DayForm,
    last: Option<DetailForm>,
}

impl From<&Standing> for StandingForm {
    fn from(standing: &Standing) -> Self {
        StandingForm {
            told: standing.told.word().to_owned(),
            told_us: standing.told_us,
            runs: standing.runs,
            seen: standing.seen.word().to_owned(),
            seen_us: standing.seen_us,
            at_us: standing.at_us,
            known_runs: standing.known_runs.clone(),
            changes_us: standing.changes_us.clone(),
            flapping: standing.flapping.map(|flapping| flapping.changes),
            day: standing.day.into(),
            last: standing.last.as_ref().map(DetailForm::from),
        }
    }
}

impl StandingForm {
    fn read(self) -> Result<Standing, String> {
        let state = |word: &str| State::read(word).ok_or_else(|| format!("state {word}"));
        Ok(Standing {
            told: state(&self.told)?,
            told_us: self.told_us,
            runs: self.runs,
            seen: state(&self.seen)?,
            seen_us: self.seen_us,
            at_us: self.at_us,
            known_runs: self.known_runs,
            changes_us: self.changes_us,
            flapping: self.flapping.map(|changes| Flapping { changes }),
            day: self.day.into(),
            last: self.last.map(DetailForm::read).transpose()?,
        })
    }
}

fn read(text: &str) -> Result<Standing, Fault> {
    let form: StandingForm =
        serde_json::from_str(text).map_err(|error| Fault::Unreadable(error.to_string()))?;
    form.read().map_err(Fault::Unreadable)
}

/// The pipeline, kind and name by which a subject stands in the file.
fn key(subject: &Subject) -> (&str, &str, &str) {
    let pipeline = subject.pipeline.as_deref().unwrap_or_default();
    let name = subject.what.table().unwrap_or_default();
    (pipeline, subject.what.kind(), name)
}

/// What is known of a subject.
pub(super) fn load(connection: &Connection, subject: &Subject) -> Result<Option<Standing>, Fault> {
    let sql = "SELECT standing FROM subjects WHERE pipeline = ?1 AND kind = ?2 AND name = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let text: Option<String> = statement
        .query_row(key(subject), |row| row.get(0))
        .optional()?;
    text.as_deref().map(read).transpose()
}

/// Notes what is known now. `before` is what the file holds.
pub(super) fn save(
    connection: &Connection,
    subject: &Subject,
    before: Option<&Standing>,
    standing: &Standing,
) -> Result<(), Fault> {
    if before.is_some_and(|before| says_the_same(before, standing)) {
        return Ok(());
    }
    let text = serde_json::to_string(&StandingForm::from(standing));
    let text = text.map_err(|error| Fault::Unreadable(error.to_string()))?;
    let (pipeline, kind, name) = key(subject);
    let sql = "INSERT INTO subjects (pipeline, kind, name, standing, flapping, at_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET standing = excluded.standing, flapping = excluded.flapping, at_us = excluded.at_us";
    let flapping = standing.flapping.is_some();
    connection.prepare_cached(sql)?.execute(params![
        pipeline,
        kind,
        name,
        text,
        flapping,
        standing.at_us
    ])?;
    Ok(())
}

/// Whether it need not be written: a figure is looked at every few seconds, and mostly nothing changes.
fn says_the_same(before: &Standing, now: &Standing) -> bool {
    let lately = (0..WRITTEN_EVERY_US).contains(&(now.at_us - before.at_us));
    let as_before = Standing {
        at_us: before.at_us,
        last: before.last.clone(),
        ..now.clone()
    };
    lately && as_before == *before
}

/// Every subject that fits, with what is known of it.
pub(super) fn all(
    connection: &Connection,
    flapping_only: bool,
) -> Result<Vec<(Subject, Standing)>, Fault> {
    let sql = "SELECT pipeline, kind, name, standing FROM subjects WHERE flapping >= ?1 ORDER BY pipeline, kind, name";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([flapping_only])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (pipeline, kind, name): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let pipeline = Some(pipeline.as_str()).filter(|name| !name.is_empty());
        let table = Some(name.as_str()).filter(|name| !name.is_empty());
        let subject = subject_of(pipeline, &kind, table).map_err(Fault::Unreadable)?;
        let text: String = row.get(3)?;
        all.push((subject, read(&text)?));
    }
    Ok(all)
}

/// Forgets subjects that were not seen since then: their tables or pipelines are gone.
pub(super) fn forget(connection: &Connection, before_us: i64) -> Result<(), Fault> {
    connection.execute("DELETE FROM subjects WHERE at_us < ?1", [before_us])?;
    Ok(())
}
