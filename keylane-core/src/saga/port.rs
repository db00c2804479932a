//! What a store of sagas must promise: the rows, the outbox and the timeline change in one transaction, or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::decide::Decision;
use super::event::Operation;
use super::message::{Command, Reply};
use super::plan::Plan;
use super::state::{Saga, State, StepRow};
use crate::model::fingerprint;

/// Sagas are shared out among processes by so many shards.
pub const SHARDS: u16 = 16;
/// The most changes of one transaction, and the most sagas of one question.
pub const BATCH_MAX: usize = 500;
/// Answers to sagas that are not known that are kept at most.
pub const PARKED_MAX: u64 = 100_000;

/// Which shard a saga is in.
pub fn shard_of(id: &str) -> u16 {
    u16::try_from(fingerprint(id) % u64::from(SHARDS)).unwrap_or_default()
}

/// A definition as it is kept: never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDefinition {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its hash.
    pub hash: u64,
    /// Its canonical form.
    pub body: String,
}

/// The right to drive a shard's sagas. Whoever takes a shard raises its epoch; what is written under an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// The shard.
    pub shard: u16,
    /// The how many-th owner it is.
    pub epoch: u64,
}

/// A decision to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The saga's plan: its steps' names and participants stand in the tables too.
    pub plan: Arc<Plan>,
    /// The rows that it was made from; `None`: the saga is new.
    pub before: Option<Saga>,
    /// What was decided.
    pub decision: Decision,
    /// Of a new saga, a number for all that it was asked to be: tells whether a repeat asks for the same.
    pub request: u64,
    /// Under which lease; `None`: somebody asked for it, who holds none. The revision stands guard over both.
    pub lease: Option<Lease>,
}

/// What became of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written; its commands are in the outbox under these numbers, in their order.
    Done(Vec<i64>),
    /// The saga has changed since it was read, or has ended: decide again.
    Stale,
    /// Another process has the shard. Nothing was written.
    Fenced,
    /// The key was used before, for this saga, which was asked for by this request.
    Taken {
        /// The saga.
        id: String,
        /// The request that it was started by.
        request: u64,
    },
}

/// An answer to a saga that is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedAnswer {
    /// The saga that it names.
    pub saga: String,
    /// What it says.
    pub reply: Reply,
    /// When it came first, microseconds since 1970.
    pub at_us: i64,
}

/// What is written in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Decisions, of different sagas; at most [`BATCH_MAX`].
    pub changes: Vec<Change>,
    /// Answers to be kept until their saga is known. One that is kept already, of the same saga, step and operation, is replaced.
    pub park: Vec<ParkedAnswer>,
    /// Sagas whose parked answers were decided upon: they go.
    pub unpark: Vec<String>,
    /// Commands that have gone out: they leave the outbox, before anything takes their place.
    pub sent: Vec<i64>,
}

/// Which sagas are asked for. Each part adds to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These.
    pub ids: BTreeSet<String>,
    /// Of these shards, what follows.
    pub shards: Vec<u16>,
    /// Those that something is due of, the longest due first.
    pub due_us: Option<i64>,
    /// Those of which one of these participants was sent something more than once without a verdict.
    pub waiting_for: Vec<String>,
    /// Also parked answers of sagas that are known by now.
    pub parked: bool,
    /// So many by each part, at most.
    pub limit: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The sagas that have not ended.
    pub sagas: Vec<Saga>,
    /// Of the ids asked for, those of sagas that ended.
    pub ended: BTreeSet<String>,
    /// Parked answers of sagas that are known by now.
    pub parked: Vec<ParkedAnswer>,
}

/// A command in the outbox. A later command to the same step has taken the place of an earlier one.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsent {
    /// Its number.
    pub number: i64,
    /// The name of its saga's definition.
    pub definition: String,
    /// The version of its saga's definition.
    pub version: u32,
    /// The hash of its saga's definition.
    pub hash: u64,
    /// What is to be sent.
    pub command: Command,
}

impl KeptDefinition {
    /// That its name and version are another definition's.
    pub fn is_taken(&self) -> StoreError {
        StoreError {
            kind: StoreErrorKind::Refused,
            message: format!(
                "saga {} version {} is kept with another content: what runs goes by it. Give what has changed a new version",
                self.name, self.version
            ),
        }
    }
}

/// Why a store did not do it. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What to do about it.
    pub kind: StoreErrorKind,
    /// What happened and where, without any saga's data.
    pub message: String,
}

/// What to do about a store that did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// It is away, full or busy: wait and try again.
    Away,
    /// Others were in the way: try again.
    Conflict,
    /// It will not do it before somebody mends something.
    Refused,
}

/// Where sagas are kept, as who drives them sees it.
///
/// A command that went out leaves the outbox by its number: a later one that took its place has another.
///
/// Every method is atomic, and durable when it returns. Any number of processes may use one store; none relies on another's clock: leases go by the store's.
#[async_trait]
pub trait SagaStore: Send + Sync {
    /// Keeps a definition; `Refused` if its name and version are taken by another one.
    async fn register(&self, definition: &KeptDefinition) -> Result<(), StoreError>;

    /// All definitions, by name and version.
    async fn definitions(&self) -> Result<Vec<KeptDefinition>, StoreError>;

    /// Says that `owner` is there for `hold_ms` more; prolongs what it has, takes what is free up to its fair share, gives up what is more. A shard in which the former owner
    /// is just writing is not free yet. Its leases from now on.
    async fn lease(&self, owner: &str, hold_ms: u64) -> Result<Vec<Lease>, StoreError>;

    /// Gives up everything at once.
    async fn release(&self, owner: &str) -> Result<(), StoreError>;

    /// Reads sagas.
    async fn read(&self, wanted: &Wanted) -> Result<Found, StoreError>;

    /// Writes a batch. What became of each change, in their order. A saga that ended leaves the tables of the living; its key, its end and its timeline are kept.
    async fn commit(&self, batch: &Batch) -> Result<Vec<Written>, StoreError>;

    /// Commands of these shards, oldest first, at most `limit`; none to these participants.
    async fn unsent(
        &self,
        shards: &[u16],
        but_to: &[String],
        limit: usize,
    ) -> Result<Vec<Unsent>, StoreError>;
}

/// Which sagas are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; none: in any that is not an end.
    pub states: Vec<State>,
    /// Of this definition.
    pub definition: Option<String>,
    /// Of which this step is out; of a choreographed one: that it waits for.
    pub step: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// Started before, microseconds since 1970.
    pub started_before_us: Option<i64>,
    /// Behind this one in the order of the list.
    pub behind: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    /// The states that are meant.
    pub fn states(&self) -> Vec<State> {
        match self.states.is_empty() {
            true => vec![State::Running, State::Compensating, State::Stuck],
            false => self.states.clone(),
        }
    }
}

impl State {
    /// Whether nothing follows.
    pub fn is_end(self) -> bool {
        matches!(self, State::Completed | State::Compensated)
    }
}

/// Who moves a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Style {
    /// An orchestrator, by commands.
    Orchestration,
    /// Nobody: services react to each other's events.
    Choreography,
}

impl Style {
    /// Its name.
    pub fn code(self) -> &'static str {
        match self {
            Style::Orchestration => "orchestration",
            Style::Choreography => "choreography",
        }
    }
}

/// A saga in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Who moves it.
    pub style: Style,
    /// Its business key; of a choreographed one, what its first event is about.
    pub key: Option<String>,
    /// The name of its definition; `None`: a choreographed one that belongs to none that is known.
    pub definition: Option<String>,
    /// The version of its definition, where that has one.
    pub version: Option<u32>,
    /// Where it stands.
    pub state: State,
    /// The step that it stands at: one that needs help, else the first that is out.
    pub step: Option<String>,
    /// Commands that were sent to that step.
    pub attempts: u32,
    /// What went wrong there last, or why it went back.
    pub why: Option<String>,
    /// When it was started, microseconds since 1970.
    pub started_us: i64,
    /// When it changed last.
    pub updated_us: i64,
}

/// A line of a stored timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// [`What::code`](super::What::code).
    pub what: String,
    /// The step.
    pub step: Option<String>,
    /// The attempt.
    pub attempt: Option<u32>,
    /// Who asked for it.
    pub actor: Option<String>,
    /// Why, or what was said.
    pub reason: Option<String>,
}

/// All that is known of a saga.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its rows, also of one that ended.
    pub saga: Saga,
    /// Its timeline, oldest first; of a long one the first and the last lines.
    pub timeline: Vec<Line>,
    /// Lines that were left out in between.
    pub left_out: u64,
}

/// Figures of the sagas of one definition in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Who moves them.
    pub style: Style,
    /// The definition, if one is known.
    pub definition: Option<String>,
    /// The state.
    pub state: State,
    /// How many.
    pub sagas: u64,
    /// When the oldest of them was changed last, microseconds since 1970.
    pub oldest_us: i64,
}

/// Figures of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Of those that have not ended, by definition and state.
    pub counts: Vec<Count>,
    /// Commands that wait in the outbox.
    pub unsent: u64,
    /// Answers to sagas that are not known.
    pub parked: u64,
}

/// Where sagas of both styles are kept, as people see it.
#[async_trait]
pub trait SagaDesk: Send + Sync {
    /// Those of a filter, the youngest first.
    async fn list(&self, filter: &Filter) -> Result<Vec<Listed>, StoreError>;

    /// All of one that is driven; `None`: there is none, or it ended and is forgotten.
    async fn show(&self, id: &str) -> Result<Option<Shown>, StoreError>;

    /// How many there are.
    async fn figures(&self) -> Result<Figures, StoreError>;

    /// Forgets a number of sagas that ended before, with their keys and timelines, and of answers that were parked before; how many sagas.
    async fn forget(&self, ended_before_us: i64, parked_before_us: i64) -> Result<u64, StoreError>;
}

impl Saga {
    /// The place of the step that it stands at: one that needs help, else the first that is out.
    pub fn stands_at(&self) -> Option<usize> {
        let steps = || self.steps.iter();
        let needs_help = steps().position(|row| row.stuck);
        needs_help.or_else(|| steps().position(|row| row.status.op().is_some()))
    }

    /// As it stands in a list.
    pub fn listed(&self, plan: &Plan) -> Listed {
        let place = self.stands_at();
        let row = place.and_then(|place| self.steps.get(place));
        let step = place.and_then(|place| plan.step(place));
        Listed {
            id: self.id.clone(),
            style: Style::Orchestration,
            key: self.key.clone(),
            definition: Some(self.definition.clone()),
            version: Some(self.version),
            state: self.state(),
            step: step.map(|step| step.id.clone()),
            attempts: row.map_or(0, |row| row.attempts),
            why: row
                .and_then(|row: &StepRow| row.error.clone())
                .or_else(|| self.reason.clone()),
            started_us: self.started_us,
            updated_us: self.updated_us,
        }
    }
}

impl Operation {
    /// What people may ask for, by its name.
    pub const VERBS: [&'static str; 7] = [
        "retry",
        "cancel",
        "skip",
        "complete",
        "fail",
        "compensate",
        "mark-compensated",
    ];

    /// What somebody asks for by one of [`Operation::VERBS`]. `reply` is what a step that was done by hand would have answered.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn asked(
        verb: &str,
        step: Option<&str>,
        reply: serde_json::Value,
    ) -> Result<Operation, String> {
        let needed = || {
            step.map(str::to_owned)
                .ok_or_else(|| format!("{verb} needs a step"))
        };
        match (verb, step) {
            ("retry", step) => Ok(Operation::Retry {
                step: step.map(str::to_owned),
            }),
            ("cancel", None) | ("compensate", _) => Ok(Operation::RollBack),
            ("cancel", Some(_)) => Err("cancel is of the whole saga: name no step".to_owned()),
            ("fail", _) => needed().map(|_| Operation::RollBack),
            ("skip", _) => Ok(Operation::Skip { step: needed()? }),
            ("complete", _) => Ok(Operation::Complete {
                step: needed()?,
                reply,
            }),
            ("mark-compensated", _) => Ok(Operation::MarkCompensated { step: needed()? }),
            _ => Err(format!(
                "{verb} is nothing that can be asked for; there are {}",
                Operation::VERBS.join(", ")
            )),
        }
    }
}
