//! A batch of decisions, column by column, as one statement takes them.

use keylane_core::saga::{Change, shard_of};
use tokio_postgres::types::ToSql;

use crate::saga::form;

/// Of each saga.
#[derive(Default)]
pub(super) struct Sagas {
    pub id: Vec<String>,
    /// The revision that was read; 0 of a new one.
    pub read: Vec<i64>,
    pub shard: Vec<i16>,
    pub definition: Vec<String>,
    pub version: Vec<i32>,
    pub hash: Vec<i64>,
    pub key: Vec<Option<String>>,
    pub request: Vec<i64>,
    pub phase: Vec<&'static str>,
    pub state: Vec<&'static str>,
    pub revision: Vec<i64>,
    /// Of a new one only: it never changes.
    pub data: Vec<Option<String>>,
    pub reason: Vec<Option<String>>,
    pub started_us: Vec<i64>,
    pub updated_us: Vec<i64>,
    pub ended_us: Vec<Option<i64>>,
    pub deadline_us: Vec<Option<i64>>,
    pub next_us: Vec<Option<i64>>,
    pub step: Vec<Option<String>>,
    pub attempts: Vec<i32>,
    pub why: Vec<Option<String>>,
    /// Of one that ended only.
    pub body: Vec<Option<String>>,
}

/// Of each step that changed.
#[derive(Default)]
pub(super) struct Steps {
    pub saga: Vec<String>,
    pub place: Vec<i32>,
    pub step: Vec<String>,
    pub participant: Vec<String>,
    pub status: Vec<&'static str>,
    pub is_out: Vec<bool>,
    pub attempts: Vec<i32>,
    pub tries: Vec<i32>,
    pub since_us: Vec<Option<i64>>,
    pub next_us: Vec<Option<i64>>,
    pub stuck: Vec<bool>,
    pub by_hand: Vec<bool>,
    pub reply: Vec<Option<String>>,
    pub error: Vec<Option<String>>,
}

/// Of each line of the timelines.
#[derive(Default)]
pub(super) struct Lines {
    pub saga: Vec<String>,
    pub at_us: Vec<i64>,
    pub what: Vec<&'static str>,
    pub step: Vec<Option<String>>,
    pub attempt: Vec<Option<i32>>,
    pub actor: Vec<Option<String>>,
    pub reason: Vec<Option<String>>,
}

/// Of each command.
#[derive(Default)]
pub(super) struct Commands {
    pub saga: Vec<String>,
    pub step: Vec<String>,
    pub shard: Vec<i16>,
    pub participant: Vec<String>,
    pub at_us: Vec<i64>,
    pub command: Vec<String>,
}

/// All of a batch.
#[derive(Default)]
pub(super) struct Columns {
    pub sagas: Sagas,
    pub steps: Steps,
    pub lines: Lines,
    pub commands: Commands,
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Columns {
    pub(super) fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Columns {
        let mut columns = Columns::default();
        for change in changes {
            columns.sagas.add(change);
            columns.steps.add(change);
            columns.lines.add(change);
            columns.commands.add(change);
        }
        columns
    }

    /// In the order of the statement.
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 49] {
        let (c, p, l, q) = (&self.sagas, &self.steps, &self.lines, &self.commands);
        [
            &c.id,
            &c.read,
            &c.shard,
            &c.definition,
            &c.version,
            &c.hash,
            &c.key,
            &c.request,
            &c.phase,
            &c.state,
            &c.revision,
            &c.data,
            &c.reason,
            &c.started_us,
            &c.updated_us,
            &c.ended_us,
            &c.deadline_us,
            &c.next_us,
            &c.step,
            &c.attempts,
            &c.why,
            &c.body,
            &p.saga,
            &p.place,
            &p.step,
            &p.participant,
            &p.status,
            &p.is_out,
            &p.attempts,
            &p.tries,
            &p.since_us,
            &p.next_us,
            &p.stuck,
            &p.by_hand,
            &p.reply,
            &p.error,
            &l.saga,
            &l.at_us,
            &l.what,
            &l.step,
            &l.attempt,
            &l.actor,
            &l.reason,
            &q.saga,
            &q.step,
            &q.shard,
            &q.participant,
            &q.at_us,
            &q.command,
        ]
    }
}

impl Sagas {
    fn add(&mut self, change: &Change) {
        let saga = &change.decision.saga;
        let listed = saga.listed(&change.plan);
        let is_new = change.before.is_none();
        self.id.push(saga.id.clone());
        self.read
            .push(change.before.as_ref().map_or(0, |it| it.revision as i64));
        self.shard.push(shard_of(&saga.id) as i16);
        self.definition.push(saga.definition.clone());
        self.version.push(saga.version as i32);
        self.hash.push(saga.hash as i64);
        self.key.push(saga.key.clone());
        self.request.push(change.request as i64);
        self.phase.push(saga.phase.code());
        self.state.push(listed.state.code());
        self.revision.push(saga.revision as i64);
        self.data.push(is_new.then(|| saga.data.to_string()));
        self.reason.push(saga.reason.as_deref().map(form::plain));
        self.started_us.push(saga.started_us);
        self.updated_us.push(saga.updated_us);
        self.ended_us.push(saga.ended_us);
        self.deadline_us.push(saga.deadline_us);
        self.next_us.push(saga.next_us());
        self.step.push(listed.step);
        self.attempts.push(int(listed.attempts));
        self.why.push(listed.why.as_deref().map(form::plain));
        self.body
            .push(saga.has_ended().then(|| form::saga_text(saga)));
    }
}

impl Steps {
    fn add(&mut self, change: &Change) {
        let saga = &change.decision.saga;
        if saga.has_ended() {
            return;
        }
        for (place, row) in saga.steps.iter().enumerate() {
            let before = change.before.as_ref().and_then(|it| it.steps.get(place));
            let Some(step) = change.plan.step(place).filter(|_| before != Some(row)) else {
                continue;
            };
            self.saga.push(saga.id.clone());
            self.place.push(i32::try_from(place).unwrap_or(i32::MAX));
            self.step.push(step.id.clone());
            self.participant.push(step.participant.name().to_owned());
            self.status.push(row.status.code());
            self.is_out.push(row.status.op().is_some());
            self.attempts.push(int(row.attempts));
            self.tries.push(int(row.tries));
            self.since_us.push(row.since_us);
            self.next_us.push(row.next_us);
            self.stuck.push(row.stuck);
            self.by_hand.push(row.by_hand);
            self.reply.push(row.reply.as_ref().map(ToString::to_string));
            self.error.push(row.error.as_deref().map(form::plain));
        }
    }
}

impl Lines {
    fn add(&mut self, change: &Change) {
        for entry in &change.decision.log {
            self.saga.push(change.decision.saga.id.clone());
            self.at_us.push(entry.at_us);
            self.what.push(entry.what.code());
            self.step.push(entry.step.clone());
            self.attempt.push(entry.attempt.map(int));
            self.actor.push(entry.actor.as_deref().map(form::plain));
            self.reason.push(form::reason_of(entry));
        }
    }
}

impl Commands {
    fn add(&mut self, change: &Change) {
        let saga = &change.decision.saga;
        for command in &change.decision.commands {
            self.saga.push(saga.id.clone());
            self.step.push(command.step.clone());
            self.shard.push(shard_of(&saga.id) as i16);
            self.participant.push(command.participant.name().to_owned());
            self.at_us.push(saga.updated_us);
            self.command.push(form::command_text(saga, command));
        }
    }
}
