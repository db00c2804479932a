//! Mends a replica's rows under a lock of the table that readers do not notice.

use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::Row;
use keylane_core::reconcile::{Key, Mend, Mender, SideError, SideErrorKind, TablePlan, Which};
use tokio_postgres::Client;

use super::super::connect::{ConnectOptions, connect};
use super::side::{failed, from_connect, read_rows};
use super::sql;

/// How long the fence is waited for: writers wait behind it.
const FENCE_WITHIN: Duration = Duration::from_millis(500);
/// The longest a fence is held.
const HELD_MAX: Duration = Duration::from_secs(10);

/// Whether a trigger would do more at a delete than refuse it; the actions of foreign keys are such triggers.
const ACTS: &str = "
SELECT EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
  WHERE t.tgrelid = $1::text::regclass AND t.tgtype & 8 <> 0 AND t.tgenabled::text IN ('A', $2)
    AND p.proname NOT IN ('RI_FKey_noaction_del', 'RI_FKey_restrict_del'))";

/// A replica that is mended.
pub struct PostgresMender {
    url: String,
    trust: bool,
    client: Option<Client>,
}

impl PostgresMender {
    /// With `trust`, foreign keys are not checked and ordinary triggers do not fire (`session_replication_role = replica`), as for what is applied in such a pipeline.
    pub fn new(url: impl Into<String>, trust: bool) -> Self {
        PostgresMender {
            url: url.into(),
            trust,
            client: None,
        }
    }

    async fn client(&mut self) -> Result<&Client, SideError> {
        let ended = self.client.as_ref().is_some_and(Client::is_closed);
        let client = match self.client.take().filter(|_| !ended) {
            Some(client) => client,
            None => {
                let mut options = ConnectOptions {
                    lock_timeout: Some(FENCE_WITHIN),
                    statement_timeout: Some(HELD_MAX),
                    idle_in_transaction_timeout: Some(HELD_MAX),
                    ..ConnectOptions::default()
                };
                if self.trust {
                    let role = ("session_replication_role", "replica".to_owned());
                    options.settings.push(role);
                }
                let client = connect(&self.url, "keylane repair", &options).await;
                client.map_err(|error| from_connect(&error))?
            }
        };
        Ok(self.client.insert(client))
    }

    async fn all_or_none(&mut self, sql: &str) -> Result<Result<(), String>, SideError> {
        let sql = format!("SAVEPOINT row; {sql}; RELEASE row");
        let refused = match self.client().await?.batch_execute(&sql).await {
            Ok(()) => return Ok(Ok(())),
            Err(error) => failed(&self.url, "mending a row", &error),
        };
        if refused.kind == SideErrorKind::Unreachable {
            return Err(refused);
        }
        let back = "ROLLBACK TO row; RELEASE row";
        self.run("going on behind a refused row", back).await?;
        Ok(Err(refused.message))
    }

    async fn run(&mut self, doing: &str, sql: &str) -> Result<(), SideError> {
        let done = self.client().await?.batch_execute(sql).await;
        done.map_err(|error| failed(&self.url, doing, &error))
    }
}

#[async_trait]
impl Mender for PostgresMender {
    async fn fence(&mut self, plan: &TablePlan) -> Result<(), SideError> {
        let table = sql::table(Which::Replica, plan);
        let sql = format!("BEGIN; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
        let fenced = self.run(&format!("fencing {table}"), &sql).await;
        if fenced.is_err() {
            self.give_up().await;
        }
        fenced
    }

    async fn rows(&mut self, plan: &TablePlan, keys: &[Key]) -> Result<Vec<Row>, SideError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = sql::rows(Which::Replica, plan, None, keys);
        let rows = read_rows(self.client().await?, &sql, Which::Replica, plan).await;
        rows.map_err(|error| failed(&self.url, "reading rows that are mended", &error))
    }

    async fn write(
        &mut self,
        plan: &TablePlan,
        write: &Mend,
    ) -> Result<Result<(), String>, SideError> {
        self.all_or_none(&sql::write(plan, write)).await
    }

    async fn replace(
        &mut self,
        plan: &TablePlan,
        rows: &[(Key, Row)],
    ) -> Result<Result<(), String>, SideError> {
        let table = sql::table(Which::Replica, plan);
        let fires = if self.trust { "R" } else { "O" };
        let asked = self
            .client()
            .await?
            .query_one(ACTS, &[&table, &fires])
            .await;
        let acts: Result<bool, _> = asked.and_then(|row| row.try_get(0));
        let doing = "asking what a delete would do";
        if acts.map_err(|error| failed(&self.url, doing, &error))? {
            let why = format!("a delete from {table} would do more than take the row out");
            return Ok(Err(why));
        }
        let deletes = rows.iter().map(|(key, _)| Mend::Delete(key.clone()));
        let inserts = rows.iter().map(|(_, row)| Mend::Insert(row.clone()));
        let all: Vec<String> = deletes
            .chain(inserts)
            .map(|write| sql::write(plan, &write))
            .collect();
        self.all_or_none(&all.join("; ")).await
    }

    async fn commit(&mut self) -> Result<(), SideError> {
        self.run("committing what was mended", "COMMIT").await
    }

    async fn give_up(&mut self) {
        let undone = self.run("undoing what was mended", "ROLLBACK").await;
        if undone.is_err() {
            // With its connection all that it did is gone.
            self.client = None;
        }
    }
}
