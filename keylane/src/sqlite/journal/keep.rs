//! The journal.

use std::path::Path;

use keylane_core::reconcile::{Difference, Figures, Finding, Key, TablePlan};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::file;
use super::form;
use super::note::{Noted, Repair};
use super::run::{KnownTable, LastCompared, NewRun, Run, RunState, TableState};
use crate::own_thread::{OwnThread, ThreadGone};
use crate::workers::stats::now_us;

/// Runs that are kept; those before them are forgotten.
const RUNS_KEPT: i64 = 200;

/// The journal cannot be used, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

impl From<ThreadGone> for JournalError {
    fn from(gone: ThreadGone) -> Self {
        JournalError(gone.to_string())
    }
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        JournalError(format!("the journal of comparisons: {error}"))
    }
}

/// What comparisons found, durable: what a call returned for is there after a crash. Several processes may use it.
pub struct Journal {
    thread: OwnThread<Connection>,
}

impl Journal {
    /// Opens it; makes it where there is none.
    ///
    /// # Errors
    /// The file cannot be used, or is another program's.
    pub async fn open(path: &Path) -> Result<Journal, JournalError> {
        let path = path.to_owned();
        let thread = OwnThread::start("keylane-journal", move || file::connect(&path)).await?;
        Ok(Journal { thread })
    }

    async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, JournalError> {
        Ok(self.thread.call(job).await??)
    }

    /// A run begins; runs long past are forgotten.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn begin(&self, new: NewRun) -> Result<(), JournalError> {
        self.run(move |file| {
            let transaction = file.transaction()?;
            transaction.execute(
                "INSERT INTO runs (run, pipeline, origin, replica, filter, scheduled, begun_us, gone_on_us, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 'running')",
                params![new.run, new.pipeline, new.origin, new.replica, new.filter, new.scheduled, now_us()],
            )?;
            for (place, name) in new.tables.iter().enumerate() {
                transaction.execute(
                    "INSERT INTO tables (run, place, name, state) VALUES (?1, ?2, ?3, 'open')",
                    params![new.run, place as i64, name],
                )?;
            }
            let oldest = "SELECT run FROM runs ORDER BY number DESC LIMIT -1 OFFSET ?1";
            for forgotten in ["tables", "findings", "runs"] {
                let sql = format!("DELETE FROM {forgotten} WHERE run IN ({oldest})");
                transaction.execute(&sql, [RUNS_KEPT])?;
            }
            transaction.commit()
        })
        .await
    }

    /// A process begins with a run, or goes on with one; a run that failed is under way again.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn goes_on(&self, run: &str) -> Result<(), JournalError> {
        let run = run.to_owned();
        self.run(move |file| {
            let sql = "UPDATE runs SET gone_on_us = ?2, state = 'running', why = '', ended_us = NULL WHERE run = ?1 AND state <> 'done'";
            file.execute(sql, params![run, now_us()])
        })
        .await?;
        Ok(())
    }

    /// A table is compared: which columns. What was found behind the place that was reached is forgotten, because it is found again; `anew`, all that was found in it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn compares(
        &self,
        run: &str,
        plan: &TablePlan,
        anew: bool,
    ) -> Result<(), JournalError> {
        let (run, name, key) = (run.to_owned(), plan.origin.to_string(), plan.key as i64);
        let columns = form::written_names(plan.columns.iter().map(|column| &*column.name));
        self.run(move |file| {
            let transaction = file.transaction()?;
            transaction.execute(
                "UPDATE tables SET columns = ?3, key = ?4, state = 'open', why = '' WHERE run = ?1 AND name = ?2",
                params![run, name, columns, key],
            )?;
            if anew {
                let sql = "UPDATE tables SET figures = NULL, after = NULL WHERE run = ?1 AND name = ?2";
                transaction.execute(sql, params![run, name])?;
            }
            let sql = "DELETE FROM findings WHERE run = ?1 AND name = ?2 AND (?3 OR NOT counts)";
            transaction.execute(sql, params![run, name, anew])?;
            transaction.commit()
        })
        .await
    }

    /// Rows that are proved to differ. They count once [`Journal::reached`] is told.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn found(
        &self,
        run: &str,
        plan: &TablePlan,
        findings: Vec<Finding>,
    ) -> Result<(), JournalError> {
        let (run, plan) = (run.to_owned(), plan.clone());
        self.run(move |file| {
            let transaction = file.transaction()?;
            {
                let mut statement = transaction.prepare(
                    "INSERT OR REPLACE INTO findings (run, name, identity, key, kind, columns, origin, replica, first_seen_us, proved_us, proof)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?;
                let name = plan.origin.to_string();
                for it in &findings {
                    let (kind, columns) = words_of(&plan, &it.difference);
                    statement.execute(params![
                        run,
                        name,
                        &*plan.identity(&it.key),
                        form::written(&it.key),
                        kind,
                        form::written_names(columns),
                        it.origin.as_deref().map(form::written),
                        it.replica.as_deref().map(form::written),
                        it.first_seen_us,
                        it.proved_us,
                        it.proof,
                    ])?;
                }
            }
            transaction.commit()
        })
        .await
    }

    /// A table is compared up to this key (`None`: to its end), and what was found counts.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn reached(
        &self,
        run: &str,
        table: &str,
        figures: &Figures,
        after: Option<&Key>,
    ) -> Result<(), JournalError> {
        let (run, table) = (run.to_owned(), table.to_owned());
        let figures = form::written_figures(figures);
        let after = after.map(|key| form::written(key));
        self.run(move |file| {
            let transaction = file.transaction()?;
            transaction.execute(
                "UPDATE tables SET figures = ?3, after = ?4 WHERE run = ?1 AND name = ?2",
                params![run, table, figures, after],
            )?;
            let sql = "UPDATE findings SET counts = 1 WHERE run = ?1 AND name = ?2 AND NOT counts";
            transaction.execute(sql, params![run, table])?;
            transaction.commit()
        })
        .await
    }

    /// A table has its verdict (in the word that scripts see), or failed, in words.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn ended(
        &self,
        run: &str,
        table: &str,
        outcome: Result<&str, &str>,
        took_ms: u64,
    ) -> Result<(), JournalError> {
        let (run, table) = (run.to_owned(), table.to_owned());
        let (state, verdict, why) = match outcome {
            Ok(verdict) => ("done", verdict.to_owned(), String::new()),
            Err(why) => ("failed", String::new(), why.to_owned()),
        };
        let took_ms = i64::try_from(took_ms).unwrap_or(i64::MAX);
        self.run(move |file| {
            file.execute(
                "UPDATE tables SET state = ?3, verdict = ?4, why = ?5, took_ms = took_ms + ?6 WHERE run = ?1 AND name = ?2",
                params![run, table, state, verdict, why, took_ms],
            )
        })
        .await?;
        Ok(())
    }

    /// A run is over.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn end(&self, run: &str, state: RunState, why: &str) -> Result<(), JournalError> {
        let (run, why) = (run.to_owned(), why.to_owned());
        self.run(move |file| {
            file.execute(
                "UPDATE runs SET state = ?2, why = ?3, ended_us = ?4 WHERE run = ?1",
                params![run, state.word(), why, now_us()],
            )
        })
        .await?;
        Ok(())
    }

    /// A run by its name; `None` if it is not kept.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn known(&self, run: &str) -> Result<Option<Run>, JournalError> {
        let run = run.to_owned();
        self.run(move |file| read_run(file, &run)).await
    }

    /// The last run of a pipeline that only the configuration asked for.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn last_scheduled(&self, pipeline: &str) -> Result<Option<Run>, JournalError> {
        let pipeline = pipeline.to_owned();
        self.run(move |file| {
            let sql = "SELECT run FROM runs WHERE scheduled AND pipeline = ?1 ORDER BY number DESC LIMIT 1";
            let run: Option<String> = file.query_row(sql, [pipeline], |row| row.get(0)).optional()?;
            run.map_or(Ok(None), |run| read_run(file, &run))
        })
        .await
    }

    /// The names of the last runs, the latest first.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn latest(&self, most: usize) -> Result<Vec<String>, JournalError> {
        self.run(move |file| {
            let mut statement =
                file.prepare("SELECT run FROM runs ORDER BY number DESC LIMIT ?1")?;
            let rows = statement.query_map([most as i64], |row| row.get(0))?;
            rows.collect()
        })
        .await
    }

    /// Of each pipeline's tables the last comparison that came to an end and was of the whole table.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn last_tables(&self) -> Result<Vec<LastCompared>, JournalError> {
        self.run(|file| {
            let mut statement = file.prepare(
                "SELECT name, columns, key, figures, after, state, verdict, why, took_ms, repaired, failed, pipeline, run, gone_on_us FROM (
                   SELECT t.*, r.pipeline, r.gone_on_us,
                          (SELECT count(*) FROM findings f WHERE f.run = t.run AND f.name = t.name AND counts AND repair = 'repaired') AS repaired,
                          (SELECT count(*) FROM findings f WHERE f.run = t.run AND f.name = t.name AND counts AND repair = 'failed') AS failed,
                          row_number() OVER (PARTITION BY r.pipeline, t.name ORDER BY r.number DESC) AS place_of_run
                   FROM tables t JOIN runs r USING (run)
                   WHERE r.pipeline IS NOT NULL AND r.filter IS NULL AND t.state = 'done' AND t.figures IS NOT NULL)
                 WHERE place_of_run = 1 ORDER BY pipeline, name",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(LastCompared {
                    pipeline: row.get(11)?,
                    run: row.get(12)?,
                    at_us: row.get(13)?,
                    table: known_table(row)?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    /// Rows that differ in a table, in the order in which they were found, behind a number.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn findings(
        &self,
        run: &str,
        table: &str,
        behind: i64,
        most: usize,
    ) -> Result<Vec<Noted>, JournalError> {
        let (run, table) = (run.to_owned(), table.to_owned());
        self.run(move |file| {
            let mut statement = file.prepare(
                "SELECT number, name, key, kind, columns, origin, replica, first_seen_us, proved_us, proof, repair, repair_why, before_image, after_image
                 FROM findings WHERE run = ?1 AND name = ?2 AND counts AND number > ?3 ORDER BY number LIMIT ?4",
            )?;
            let rows = statement.query_map(params![run, table, behind, most as i64], noted)?;
            rows.collect()
        })
        .await
    }

    /// The last that a comparison of this row's table, in any run, said of it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn last_of(
        &self,
        table: &str,
        identity: Vec<u8>,
    ) -> Result<Option<(String, Noted)>, JournalError> {
        let table = table.to_owned();
        self.run(move |file| {
            let sql = "SELECT number, name, key, kind, columns, origin, replica, first_seen_us, proved_us, proof, repair, repair_why, before_image, after_image, run
                 FROM findings WHERE name = ?1 AND identity = ?2 AND counts ORDER BY number DESC LIMIT 1";
            let found = file.query_row(sql, params![table, identity], |row| {
                Ok((row.get(14)?, noted(row)?))
            });
            found.optional()
        })
        .await
    }

    /// What is done about a row: noted with its images before it is done, and again once it is known how it ended.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn repairs(&self, notes: Vec<Noted>) -> Result<(), JournalError> {
        self.run(move |file| {
            let transaction = file.transaction()?;
            for it in &notes {
                let why = match &it.repair {
                    Repair::Failed(why) => why.as_str(),
                    _ => "",
                };
                transaction.execute(
                    "UPDATE findings SET repair = ?2, repair_why = ?3, repaired_us = ?4, before_image = ?5, after_image = ?6 WHERE number = ?1",
                    params![
                        it.number,
                        it.repair.word(),
                        why,
                        now_us(),
                        it.before_image.as_deref().map(form::written),
                        it.after_image.as_deref().map(form::written),
                    ],
                )?;
            }
            transaction.commit()
        })
        .await
    }
}

fn words_of(plan: &TablePlan, difference: &Difference) -> (&'static str, Vec<String>) {
    match difference {
        Difference::Missing => ("missing", Vec::new()),
        Difference::Extra => ("extra", Vec::new()),
        Difference::Different(places) => {
            let columns = places.iter().filter_map(|place| plan.columns.get(*place));
            let names = columns.map(|column| column.name.to_string());
            ("different", names.collect())
        }
    }
}

fn noted(row: &rusqlite::Row<'_>) -> rusqlite::Result<Noted> {
    let image = |at: usize| -> rusqlite::Result<_> {
        let text: Option<String> = row.get(at)?;
        Ok(text.and_then(|text| form::read(&text)))
    };
    let key: String = row.get(2)?;
    let columns: String = row.get(4)?;
    let repair: String = row.get(10)?;
    Ok(Noted {
        number: row.get(0)?,
        table: row.get(1)?,
        key: form::read_key(&key).unwrap_or_default(),
        kind: row.get(3)?,
        columns: form::read_names(&columns),
        origin: image(5)?,
        replica: image(6)?,
        first_seen_us: row.get(7)?,
        proved_us: row.get(8)?,
        proof: row.get(9)?,
        repair: Repair::read(&repair, row.get(11)?),
        before_image: image(12)?,
        after_image: image(13)?,
    })
}

fn read_run(file: &Connection, run: &str) -> rusqlite::Result<Option<Run>> {
    let sql = "SELECT pipeline, origin, replica, filter, begun_us, ended_us, state, why, scheduled, gone_on_us FROM runs WHERE run = ?1";
    let found = file.query_row(sql, [run], |row| {
        let state: String = row.get(6)?;
        Ok(Run {
            begun: NewRun {
                run: run.to_owned(),
                pipeline: row.get(0)?,
                origin: row.get(1)?,
                replica: row.get(2)?,
                filter: row.get(3)?,
                scheduled: row.get(8)?,
                tables: Vec::new(),
            },
            begun_us: row.get(4)?,
            gone_on_us: row.get(9)?,
            ended_us: row.get(5)?,
            state: RunState::read(&state),
            why: row.get(7)?,
            tables: Vec::new(),
        })
    });
    let Some(mut known) = found.optional()? else {
        return Ok(None);
    };
    let mut statement = file.prepare(
        "SELECT name, columns, key, figures, after, state, verdict, why, took_ms,
                (SELECT count(*) FROM findings f WHERE f.run = t.run AND f.name = t.name AND counts AND repair = 'repaired'),
                (SELECT count(*) FROM findings f WHERE f.run = t.run AND f.name = t.name AND counts AND repair = 'failed')
         FROM tables t WHERE run = ?1 ORDER BY place",
    )?;
    let tables = statement.query_map([run], known_table)?;
    known.tables = tables.collect::<rusqlite::Result<_>>()?;
    let names = known.tables.iter().map(|table| table.name.clone());
    known.begun.tables = names.collect();
    Ok(Some(known))
}

fn known_table(row: &rusqlite::Row<'_>) -> rusqlite::Result<KnownTable> {
    let text = |at: usize| row.get::<_, Option<String>>(at);
    let state: String = row.get(5)?;
    let after = text(4)?.and_then(|key| form::read_key(&key));
    let figures = text(3)?.and_then(|figures| form::read_figures(&figures));
    Ok(KnownTable {
        name: row.get(0)?,
        columns: form::read_names(&row.get::<_, String>(1)?),
        key: usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
        figures: figures.unwrap_or_default(),
        state: match &*state {
            "done" => TableState::Done(row.get(6)?),
            "failed" => TableState::Failed(row.get(7)?),
            _ => TableState::Open(after),
        },
        took_ms: u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0),
        repaired: (row.get(9)?, row.get(10)?),
    })
}
