//! What a step is made of, and what it is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Op, Outcome};
use rusqlite::Connection;
use serde_json::Value;
use tokio_postgres::Client;

use super::error::StepError;

/// What a step is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The saga.
    pub saga: String,
    /// The step's name there.
    pub step: String,
    /// What is asked for.
    pub op: Op,
    /// The command's type.
    pub type_name: String,
    /// The how many-th command to this step it is, from 1: for logs, never for telling repeats.
    pub attempt: u32,
    /// What the action is about.
    pub input: Value,
    /// To an undo: what the action answered. Else null.
    pub reply: Value,
    /// The W3C trace context that it belongs to.
    pub traceparent: Option<String>,
}

impl Call {
    /// Of a command; an undo's reply is the participant's own, not what the command says.
    pub(crate) fn of(command: &CommandMessage) -> Self {
        Call {
            saga: command.saga.clone(),
            step: command.step.clone(),
            op: command.op,
            type_name: command.type_name.clone(),
            attempt: command.attempt,
            input: command.input.clone(),
            reply: Value::Null,
            traceparent: command.traceparent.clone(),
        }
    }

    /// What calls to other systems may use to tell a repeat: the same for every attempt at this operation.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.saga, self.step, self.op.code())
    }
}

/// How a step ends: its answer, or why there is none.
pub type Ends = Result<Value, StepError>;

/// An action or an undo in PostgreSQL. It gets the open transaction, for its statements; it never ends it: who says `COMMIT` or `ROLLBACK` there gets no verdict.
pub type PostgresHandler =
    Arc<dyn for<'t> Fn(&'t Call, &'t Client) -> BoxFuture<'t, Ends> + Send + Sync>;

/// An action or an undo in SQLite. It gets the open transaction, for its statements; it never ends it.
pub type SqliteHandler = Arc<dyn Fn(&Call, &Connection) -> Ends + Send + Sync>;

/// Steps in PostgreSQL.
pub type PostgresSteps = Steps<PostgresHandler>;

/// Steps in SQLite.
pub type SqliteSteps = Steps<SqliteHandler>;

/// A service's steps, by their commands' types.
#[derive(Clone)]
pub struct Steps<H> {
    by_type: BTreeMap<String, Step<H>>,
}

#[derive(Clone)]
struct Step<H> {
    action: Option<H>,
    undo: Option<H>,
}

impl<H> Default for Steps<H> {
    fn default() -> Self {
        Steps {
            by_type: BTreeMap::new(),
        }
    }
}

impl<H> std::fmt::Debug for Steps<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_type.keys()).finish()
    }
}

/// A step that is being made.
pub struct OnType<H> {
    steps: Steps<H>,
    type_name: String,
}

impl<H> Steps<H> {
    /// A step whose action is asked for by commands of this type. A fence has the action's type.
    pub fn on(self, type_name: impl Into<String>) -> OnType<H> {
        OnType {
            steps: self,
            type_name: type_name.into(),
        }
    }

    fn with(mut self, type_name: &str, action: Option<H>, undo: Option<H>) -> Self {
        let step = self.by_type.entry(type_name.to_owned()).or_insert(Step {
            action: None,
            undo: None,
        });
        step.action = action.or(step.action.take());
        step.undo = undo.or(step.undo.take());
        self
    }
}

impl<H: Clone> Steps<H> {
    /// What a command asks to be run, if this service has it. A fence runs nothing.
    pub(crate) fn handler(&self, command: &CommandMessage) -> Result<Option<H>, Outcome> {
        let step = self.by_type.get(&command.type_name);
        let found = step.and_then(|step| match command.op {
            Op::Action => step.action.clone().map(Some),
            Op::Compensate => step.undo.clone().map(Some),
            Op::Fence => Some(None),
        });
        found.ok_or_else(|| {
            let (type_name, op) = (&command.type_name, command.op.code());
            Outcome::Unclear(format!("this participant has no {op} of type {type_name}"))
        })
    }
}

impl OnType<PostgresHandler> {
    /// What it does.
    pub fn action<F>(self, action: F) -> PostgresSteps
    where
        F: for<'t> Fn(&'t Call, &'t Client) -> BoxFuture<'t, Ends> + Send + Sync + 'static,
    {
        self.steps
            .with(&self.type_name, Some(Arc::new(action)), None)
    }
}

impl PostgresSteps {
    /// How the step is undone, asked for by commands of this type. It undoes an action that took effect, and is given what that answered.
    pub fn undo<F>(self, type_name: impl AsRef<str>, undo: F) -> PostgresSteps
    where
        F: for<'t> Fn(&'t Call, &'t Client) -> BoxFuture<'t, Ends> + Send + Sync + 'static,
    {
        self.with(type_name.as_ref(), None, Some(Arc::new(undo)))
    }
}

impl OnType<SqliteHandler> {
    /// What it does.
    pub fn action<F>(self, action: F) -> SqliteSteps
    where
        F: Fn(&Call, &Connection) -> Ends + Send + Sync + 'static,
    {
        self.steps
            .with(&self.type_name, Some(Arc::new(action)), None)
    }
}

impl SqliteSteps {
    /// As [`PostgresSteps::undo`].
    pub fn undo<F>(self, type_name: impl AsRef<str>, undo: F) -> SqliteSteps
    where
        F: Fn(&Call, &Connection) -> Ends + Send + Sync + 'static,
    {
        self.with(type_name.as_ref(), None, Some(Arc::new(undo)))
    }
}
