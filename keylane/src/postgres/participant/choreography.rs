//! A service of choreographed sagas: its steps' transactions hold the barrier, the effect and the event that tells of it.

use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{COMMAND_LIFE_US, Op, Outcome, Part, StepKind, reaction};

use super::database::Database;
use crate::outbox::{Outbox, OutboxEvent};
use crate::participant::{Reaction, SagaEvent};

/// A service whose steps are set going, and undone, by events.
pub struct PostgresChoreography {
    database: Database,
    source: String,
    outbox: Outbox,
    reactions: Vec<Reaction>,
}

impl PostgresChoreography {
    /// A service in the database of `url` that tells its events as `source`. Connects when it first hears something.
    pub fn new(
        url: impl Into<String>,
        source: impl Into<String>,
        reactions: Vec<Reaction>,
    ) -> Self {
        PostgresChoreography {
            database: Database::new(url.into()),
            source: source.into(),
            outbox: Outbox::default(),
            reactions,
        }
    }

    /// Makes the tables of the barrier and of the outbox if they are not there.
    ///
    /// # Errors
    /// In words, if the database does not answer or does not allow it.
    pub async fn create_tables(&self) -> Result<(), String> {
        self.database.make(super::carry::TABLE).await?;
        self.database.make(&self.outbox.postgres_sql()).await
    }

    /// Does what an event asks of each step; what it tells of that is in the outbox, in the same transaction. Hearing it again changes nothing.
    ///
    /// # Errors
    /// In words, if something failed: hear it again. Steps that were carried out stay so.
    pub async fn hear(&self, event: &SagaEvent) -> Result<(), String> {
        for own in &self.reactions {
            let part = Part {
                step: &own.step,
                consumes: &own.consumes,
                can_be_undone: own.undo.is_some(),
            };
            let Some(op) = reaction(part, &event.heard) else {
                continue;
            };
            let handler = match op {
                Op::Action => own.action.as_ref(),
                Op::Compensate => own.undo.as_ref(),
                Op::Fence => None,
            };
            let tell = |outcome: &Outcome| -> Option<OutboxEvent> {
                let told = own.event(event, op, outcome)?;
                Some(told.source(self.source.as_str()))
            };
            let told = super::barrier::Telling {
                outbox: &self.outbox,
                tell: &tell,
            };
            let command = asking(own, event, op);
            let outcome = self.database.carry(&command, handler, Some(&told)).await;
            if let Outcome::Unclear(why) = outcome {
                return Err(format!("step {} of saga {}: {why}", own.step, event.saga));
            }
        }
        Ok(())
    }
}

/// What an event asks a step's barrier for.
fn asking(own: &Reaction, event: &SagaEvent, op: Op) -> CommandMessage {
    CommandMessage {
        saga: event.saga.clone(),
        definition: "choreographed".to_owned(),
        version: 1,
        step: own.step.clone(),
        op,
        kind: match own.undo {
            Some(_) => StepKind::Compensatable,
            None => StepKind::Pivot,
        },
        attempt: 1,
        type_name: event.heard.type_name.clone(),
        source: event.heard.service.clone(),
        input: event.body.clone(),
        reply: None,
        reply_to: None,
        expires_us: event.heard.at_us.saturating_add(COMMAND_LIFE_US),
        traceparent: event.traceparent.clone(),
    }
}
