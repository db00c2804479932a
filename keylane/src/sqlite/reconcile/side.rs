//! The side.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::{Row, TableName};
use keylane_core::reconcile::{
    Key, Range, Scanned, Side, SideError, SideErrorKind, SideTable, TablePlan, Which,
};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::read;
use super::sql;
use crate::own_thread::{OwnThread, ThreadGone};

/// The longest that a writer is waited for.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// A file to compare.
pub struct SqliteSide {
    path: PathBuf,
    which: Which,
    filter: Option<String>,
    thread: Option<OwnThread<Connection>>,
}

impl SqliteSide {
    /// The origin of a comparison. Opens the file when it is asked for something. `filter`: a condition in SQL; rows for which it is not true do not count.
    pub fn origin(path: impl Into<PathBuf>, filter: Option<String>) -> Self {
        SqliteSide::new(Which::Origin, path.into(), filter)
    }

    /// The replica of one.
    pub fn replica(path: impl Into<PathBuf>, filter: Option<String>) -> Self {
        SqliteSide::new(Which::Replica, path.into(), filter)
    }

    fn new(which: Which, path: PathBuf, filter: Option<String>) -> Self {
        SqliteSide {
            path,
            which,
            filter,
            thread: None,
        }
    }

    async fn run<R: Send + 'static>(
        &mut self,
        doing: &str,
        read: impl FnOnce(&mut Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SideError> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => self.open().await?,
        };
        let answer = self.thread.insert(thread).call(read).await;
        let answer = answer.map_err(SideError::from)?;
        answer.map_err(|error| SideError {
            kind: kind_of(&error),
            message: format!("{doing} in {}: {error}", self.path.display()),
        })
    }

    async fn open(&self) -> Result<OwnThread<Connection>, SideError> {
        let path = self.path.clone();
        OwnThread::start("keylane-reconcile", move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
                connection.busy_timeout(BUSY_MAX)?;
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

pub(super) fn kind_of(error: &rusqlite::Error) -> SideErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SideErrorKind::Busy,
        Some(ErrorCode::CannotOpen) => SideErrorKind::Unreachable,
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            SideErrorKind::Denied
        }
        _ if error.to_string().contains("no such") => SideErrorKind::Table,
        _ => SideErrorKind::Other,
    }
}

impl From<ThreadGone> for SideError {
    fn from(gone: ThreadGone) -> Self {
        SideError {
            kind: SideErrorKind::Other,
            message: gone.to_string(),
        }
    }
}

#[async_trait]
impl Side for SqliteSide {
    async fn table(&mut self, name: &TableName) -> Result<Option<SideTable>, SideError> {
        let asked = name.clone();
        let doing = format!("reading the shape of {name}");
        self.run(&doing, move |file| read::shape(file, &asked))
            .await
    }

    async fn count(&mut self, name: &TableName) -> Result<u64, SideError> {
        let (asked, filter) = (name.clone(), self.filter.clone());
        let doing = format!("counting {name}");
        self.run(&doing, move |file| {
            read::count(file, &asked, filter.as_deref())
        })
        .await
    }

    async fn estimate(&mut self, name: &TableName) -> Result<Option<u64>, SideError> {
        let asked = name.clone();
        let doing = format!("asking about {name}");
        self.run(&doing, move |file| Ok(read::highest(file, &asked)))
            .await
    }

    async fn scan(
        &mut self,
        plan: &TablePlan,
        range: &Range,
        bounds: (usize, usize),
    ) -> Result<Scanned, SideError> {
        let (which, filter) = (self.which, self.filter.clone());
        let (asked, range) = (plan.clone(), range.clone());
        let doing = format!("reading {}", sql::table(which, plan));
        self.run(&doing, move |file| {
            read::scan(file, which, &asked, filter.as_deref(), &range, bounds)
        })
        .await
    }

    async fn rows(&mut self, plan: &TablePlan, keys: &[Key]) -> Result<Vec<Row>, SideError> {
        let (which, filter) = (self.which, self.filter.clone());
        let (asked, keys) = (plan.clone(), keys.to_vec());
        let doing = format!("reading {} by key", sql::table(which, plan));
        self.run(&doing, move |file| {
            read::rows(file, which, &asked, filter.as_deref(), &keys)
        })
        .await
    }
}
