//! Mends a replica's rows in one transaction of the file's only writer.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::Row;
use keylane_core::reconcile::{Key, Mend, Mender, SideError, TablePlan, Which};
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

use super::super::cell::Bound;
use super::read;
use super::side::kind_of;
use super::sql;
use crate::own_thread::OwnThread;

/// How long another writer is waited for.
const FENCE_WITHIN: Duration = Duration::from_secs(2);

/// A replica that is mended.
pub struct SqliteMender {
    path: PathBuf,
    enforce: bool,
    thread: Option<OwnThread<Connection>>,
}

impl SqliteMender {
    /// With `trust`, foreign keys are not checked.
    pub fn new(path: impl Into<PathBuf>, trust: bool) -> Self {
        SqliteMender {
            path: path.into(),
            enforce: !trust,
            thread: None,
        }
    }

    async fn run<R: Send + 'static>(
        &mut self,
        doing: &str,
        job: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SideError> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => self.open().await?,
        };
        let answer = self.thread.insert(thread).call(job).await;
        let answer = answer.map_err(SideError::from)?;
        answer.map_err(|error| SideError {
            kind: kind_of(&error),
            message: format!("{doing} in {}: {error}", self.path.display()),
        })
    }

    async fn open(&self) -> Result<OwnThread<Connection>, SideError> {
        let (path, enforce) = (self.path.clone(), self.enforce);
        OwnThread::start("keylane-repair", move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
                connection.busy_timeout(FENCE_WITHIN)?;
                connection.pragma_update(None, "foreign_keys", enforce)?;
                Ok(connection)
            });
            opened.map_err(|error| SideError {
                kind: kind_of(&error),
                message: format!("opening {}: {error}", path.display()),
            })
        })
        .await
    }
}

/// One write; what the file refuses is told in words, and has changed nothing.
fn written(
    file: &Connection,
    plan: &TablePlan,
    write: &Mend,
) -> rusqlite::Result<Result<(), String>> {
    let (sql, values) = sql::write(plan, write);
    match file.execute(&sql, params_from_iter(values.iter().map(Bound))) {
        Ok(_) => Ok(Ok(())),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
                Ok(Err(error.to_string()))
            }
            _ => Err(error),
        },
    }
}

/// Whether a delete may do more than take its row out: a trigger of the table, or a foreign key to it with an action.
fn acts(file: &Connection, table: &str, enforce: bool) -> rusqlite::Result<bool> {
    file.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE)
             OR ?2 AND EXISTS (SELECT 1 FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f
                               WHERE f.\"table\" = ?1 COLLATE NOCASE AND f.on_delete <> 'NO ACTION')",
        (table, enforce),
        |row| row.get(0),
    )
}

#[async_trait]
impl Mender for SqliteMender {
    async fn fence(&mut self, _: &TablePlan) -> Result<(), SideError> {
        self.run("fencing", |file| file.execute_batch("BEGIN IMMEDIATE"))
            .await
    }

    async fn rows(&mut self, plan: &TablePlan, keys: &[Key]) -> Result<Vec<Row>, SideError> {
        let (asked, keys) = (plan.clone(), keys.to_vec());
        self.run("reading rows that are mended", move |file| {
            read::rows_within(file, Which::Replica, &asked, None, &keys)
        })
        .await
    }

    async fn write(
        &mut self,
        plan: &TablePlan,
        write: &Mend,
    ) -> Result<Result<(), String>, SideError> {
        let (plan, write) = (plan.clone(), write.clone());
        self.run("mending a row", move |file| written(file, &plan, &write))
            .await
    }

    async fn replace(
        &mut self,
        plan: &TablePlan,
        rows: &[(Key, Row)],
    ) -> Result<Result<(), String>, SideError> {
        let (plan, rows, enforce) = (plan.clone(), rows.to_vec(), self.enforce);
        self.run("exchanging rows", move |file| {
            let table = &*plan.replica.name;
            if acts(file, table, enforce)? {
                let why = format!("a delete from {table} would do more than take the row out");
                return Ok(Err(why));
            }
            let savepoint = file.savepoint()?;
            let deletes = rows.iter().map(|(key, _)| Mend::Delete(key.clone()));
            let inserts = rows.iter().map(|(_, row)| Mend::Insert(row.clone()));
            for write in deletes.chain(inserts) {
                if let Err(why) = written(&savepoint, &plan, &write)? {
                    return Ok(Err(why));
                }
            }
            savepoint.commit()?;
            Ok(Ok(()))
        })
        .await
    }

    async fn commit(&mut self) -> Result<(), SideError> {
        self.run("committing what was mended", |file| {
            file.execute_batch("COMMIT")
        })
        .await
    }

    async fn give_up(&mut self) {
        let undone = self.run("undoing what was mended", |file| {
            match file.is_autocommit() {
                true => Ok(()),
                false => file.execute_batch("ROLLBACK"),
            }
        });
        if undone.await.is_err() {
            // With its connection all that it did is gone.
            self.thread = None;
        }
    }
}
