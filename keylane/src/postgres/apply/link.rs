//! A session's connection and what it remembers: plans of tables and prepared statements, both bounded and forgotten when the replica's tables changed.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use keylane_core::apply::{ApplyError, RowWrite, WriteKind};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{SchemaId, TableName, TableSchema};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Statement};

use super::catalog::{self, References};
use super::group::{Array, Count, Group, groups};
use super::plan::{Form, TablePlan};
use crate::postgres::error::{apply_error, may_be_stale};

/// Statements kept prepared at a time.
const STATEMENTS_MAX: usize = 256;
/// Plans kept at a time; tables have few schemas each.
const PLANS_MAX: usize = 4096;

/// Why a transaction failed, before it is put in words.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words.
    pub error: ApplyError,
    /// Whether one more try with a fresh view of the replica's tables is worth it.
    pub may_be_stale: bool,
}

impl Failure {
    /// The driver's or the server's error, while `doing`.
    pub fn sql(error: &Error, doing: &str) -> Self {
        Failure {
            error: apply_error(error, doing),
            may_be_stale: may_be_stale(error),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let may_be_stale = error.kind == ApplyErrorKind::MissingObject;
        Failure {
            error,
            may_be_stale,
        }
    }
}

/// A statement to execute.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Prepared.
    pub statement: Statement,
    /// Its parameters, all arrays of text.
    pub arrays: Vec<Array<'a>>,
    /// Of which table; `None`: one of Keylane's own.
    pub table: Option<TableName>,
    /// What the number of rows says.
    pub count: Count,
    /// How many rows it is to hit.
    pub rows: u64,
    /// What else can be prepared for the same parameters: the insertion of missing rows.
    absent: Option<(Arc<TablePlan>, SchemaId, Form)>,
    truncates: bool,
}

impl Call<'_> {
    /// Why it failed.
    pub fn failure(&self, error: &Error) -> Failure {
        let doing = match &self.table {
            Some(table) => format!("writing to the replica's table {table}"),
            None => "writing to the replica's table keylane.parked".to_owned(),
        };
        let mut failure = Failure::sql(error, &doing);
        if self.truncates && error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) {
            // A foreign key refers to the table.
            failure.error.kind = ApplyErrorKind::Constraint;
        }
        failure
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    /// The driver's.
    pub client: Client,
    plans: HashMap<SchemaId, Arc<TablePlan>>,
    references: Option<Arc<References>>,
    statements: HashMap<SchemaId, HashMap<Form, (Statement, u64)>>,
    own: HashMap<&'static str, Statement>,
    kept: usize,
    used: u64,
}

impl Link {
    /// Over a fresh connection.
    pub fn new(client: Client) -> Self {
        Link {
            client,
            plans: HashMap::new(),
            references: None,
            statements: HashMap::new(),
            own: HashMap::new(),
            kept: 0,
            used: 0,
        }
    }

    /// Forgets what it knew of the replica's tables.
    pub fn forget(&mut self) {
        self.plans.clear();
        self.references = None;
        self.statements.clear();
        self.own.clear();
        self.kept = 0;
    }

    /// The run's writes as calls, in the order to execute them.
    pub async fn calls<'a>(
        &mut self,
        run: &'a [RowWrite],
        together: bool,
    ) -> Result<Vec<Call<'a>>, Failure> {
        self.load_plans(run.iter().map(|write| &*write.schema))
            .await?;
        if let Some(write) = run.iter().find(|write| self.takes_others(write)) {
            // At the origin it may have taken other rows than it would here and now.
            return Err(Failure::from(ApplyError::new(
                ApplyErrorKind::Constraint,
                format!(
                    "a delete from the replica's table {} takes rows of other tables with it (a foreign key with an action): it goes with its whole transaction",
                    write.schema.table
                ),
            )));
        }
        self.calls_as_told(run, together).await
    }

    /// Whether a write may take rows of other tables with it.
    fn takes_others(&self, write: &RowWrite) -> bool {
        matches!(write.kind, WriteKind::Delete { .. }) && self.is_taker(&write.schema.table)
    }

    /// Whether deletes from this table may take rows of other tables with them, as far as plans are loaded.
    pub fn is_taker(&self, table: &TableName) -> bool {
        let known = self.references.as_ref();
        known.is_some_and(|references| references.takes_others(table))
    }

    /// Loads the plans of these schemas.
    pub async fn load_plans(
        &mut self,
        schemas: impl Iterator<Item = &TableSchema>,
    ) -> Result<(), Failure> {
        for schema in schemas {
            self.load_plan(schema).await?;
        }
        Ok(())
    }

    /// The same as [`Link::calls`], whatever the writes take with them.
    pub async fn calls_as_told<'a>(
        &mut self,
        run: &'a [RowWrite],
        together: bool,
    ) -> Result<Vec<Call<'a>>, Failure> {
        if self.plans.len() >= PLANS_MAX {
            self.forget();
        }
        self.load_plans(run.iter().map(|write| &*write.schema))
            .await?;
        let groups = groups(run, |schema| self.plans.get(&schema).cloned(), together);
        let mut calls = Vec::with_capacity(groups.len());
        for group in groups {
            let statement = self
                .statement(&group.plan, group.schema, &group.form)
                .await?;
            calls.push(self.call(group, statement, run));
        }
        Ok(calls)
    }

    fn call<'a>(&self, group: Group, statement: Statement, run: &'a [RowWrite]) -> Call<'a> {
        let arrays = group.arrays(run);
        let absent = match (&group.count, &group.form) {
            (Count::HitsElseInsert, Form::Update(columns)) => Some((
                group.plan.clone(),
                group.schema,
                Form::InsertAbsent(columns.clone()),
            )),
            _ => None,
        };
        Call {
            statement,
            arrays,
            table: Some(group.plan.table.clone()),
            count: group.count,
            rows: group.rows.len() as u64,
            absent,
            truncates: group.form == Form::Truncate,
        }
    }

    /// A call of one of Keylane's own statements, with `arrays` text arrays.
    pub async fn own_call<'a>(
        &mut self,
        sql: &'static str,
        arrays: Vec<Array<'a>>,
    ) -> Result<Call<'a>, Failure> {
        let statement = match self.own.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let types = vec![Type::TEXT_ARRAY; arrays.len()];
                let prepared = self.client.prepare_typed(sql, &types).await;
                let statement =
                    prepared.map_err(|error| Failure::sql(&error, "preparing a statement"))?;
                self.own.insert(sql, statement.clone());
                statement
            }
        };
        Ok(Call {
            statement,
            rows: arrays.first().map_or(0, |array| array.len() as u64),
            arrays,
            table: None,
            count: Count::Rows,
            absent: None,
            truncates: false,
        })
    }

    /// Inserts the rows that a call of [`Count::HitsElseInsert`] did not hit.
    pub async fn insert_absent(&mut self, call: &Call<'_>) -> Result<(), Failure> {
        let Some((plan, schema, form)) = &call.absent else {
            return Ok(());
        };
        let statement = self.statement(plan, *schema, form).await?;
        let sent = execute(&self.client, &statement, &call.arrays).await;
        sent.map_err(|error| call.failure(&error))?;
        Ok(())
    }

    async fn load_plan(&mut self, schema: &TableSchema) -> Result<(), Failure> {
        if self.plans.contains_key(&schema.id) {
            return Ok(());
        }
        let looking = |error: Error| {
            let doing = format!("looking at the replica's table {}", schema.table);
            Failure::sql(&error, &doing)
        };
        let references = match &self.references {
            Some(known) => known.clone(),
            None => {
                let read = catalog::references(&self.client).await.map_err(looking)?;
                self.references.insert(Arc::new(read)).clone()
            }
        };
        let found = catalog::table(&self.client, &schema.table)
            .await
            .map_err(looking)?;
        let Some(found) = found else {
            return Err(Failure::from(ApplyError::new(
                ApplyErrorKind::MissingObject,
                format!("the replica has no table {}", schema.table),
            )));
        };
        let plan = TablePlan::new(schema, &found, &references)?;
        self.plans.insert(schema.id, Arc::new(plan));
        Ok(())
    }

    async fn statement(
        &mut self,
        plan: &TablePlan,
        schema: SchemaId,
        form: &Form,
    ) -> Result<Statement, Failure> {
        self.used += 1;
        let found = self
            .statements
            .get_mut(&schema)
            .and_then(|forms| forms.get_mut(form));
        if let Some((statement, used)) = found {
            *used = self.used;
            return Ok(statement.clone());
        }
        let (sql, arrays) = plan.statement(form);
        let types = vec![Type::TEXT_ARRAY; arrays];
        let prepared = self.client.prepare_typed(&sql, &types).await;
        let statement = prepared.map_err(|error| {
            Failure::sql(
                &error,
                &format!("preparing to write to the replica's table {}", plan.table),
            )
        })?;
        if self.kept >= STATEMENTS_MAX {
            self.drop_least_used();
        }
        let kept = (statement.clone(), self.used);
        self.statements
            .entry(schema)
            .or_default()
            .insert(form.clone(), kept);
        self.kept += 1;
        Ok(statement)
    }

    fn drop_least_used(&mut self) {
        let all = self.statements.iter().flat_map(|(schema, forms)| {
            forms
                .iter()
                .map(move |(form, (_, used))| (*used, *schema, form.clone()))
        });
        if let Some((_, schema, form)) = all.min()
            && let Some(forms) = self.statements.get_mut(&schema)
        {
            forms.remove(&form);
            self.kept -= 1;
        }
    }
}

/// Sends a statement at its first poll; resolves to the number of rows it hit.
pub(super) async fn execute(
    client: &Client,
    statement: &Statement,
    arrays: &[Array<'_>],
) -> Result<u64, Error> {
    let parameters: Vec<&(dyn ToSql + Sync)> = arrays
        .iter()
        .map(|array| array as &(dyn ToSql + Sync))
        .collect();
    client.execute(statement, &parameters).await
}

/// A future that is on its way.
pub(super) type Sent<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Polls all futures once, in order, so that the driver sends all before the first answer is waited for; then resolves them in order.
///
/// The driver answers a session's statements in order, so the first error is the one that matters: what follows it in a transaction fails because of it.
pub(super) async fn in_one_go<T>(mut sent: Vec<Sent<'_, T>>) -> Vec<T> {
    let mut early: Vec<Option<T>> = Vec::with_capacity(sent.len());
    std::future::poll_fn(|context| {
        for future in &mut sent {
            early.push(match future.as_mut().poll(context) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            });
        }
        Poll::Ready(())
    })
    .await;
    let mut done = Vec::with_capacity(sent.len());
    for (future, early) in sent.into_iter().zip(early) {
        done.push(match early {
            Some(value) => value,
            None => future.await,
        });
    }
    done
}
