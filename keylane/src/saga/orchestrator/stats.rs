//! Figures that the orchestrator keeps. Cheap to write, read at any moment.

use std::sync::{Mutex, PoisonError};

use keylane_core::saga::{Decision, What};

use crate::workers::stats::Counter;

/// What an orchestrator did since it started.
#[derive(Debug, Default)]
pub struct OrchestratorStats {
    /// Sagas begun.
    pub begun: Counter,
    /// Sagas that ended with all effects.
    pub completed: Counter,
    /// Sagas that ended with none.
    pub compensated: Counter,
    /// Steps that needed help.
    pub stuck: Counter,
    /// Commands that went out.
    pub sent: Counter,
    /// Attempts that came to nothing.
    pub unclear: Counter,
    /// Commands that went out for something that had been tried before.
    pub resent: Counter,
    /// Answers that changed nothing: late, repeated or meant for another.
    pub ignored: Counter,
    /// Decisions that were made again because the saga had changed meanwhile.
    pub stale: Counter,
    /// Decisions and answers that were dropped because another process has the shard.
    pub fenced: Counter,
    /// Answers to sagas that are not known.
    pub parked: Counter,
    /// Transactions of decisions.
    pub batches: Counter,
    /// Decisions in them.
    pub decisions: Counter,
    /// What they took, in microseconds.
    pub commit_us: Counter,
    /// Shards that this process drives.
    pub shards: Counter,
    /// Commands on their way.
    pub in_flight: Counter,
    trouble: Mutex<Option<String>>,
}

/// Figures of one participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantFigures {
    /// What definitions call it.
    pub name: String,
    /// Commands that wait for their turn in memory.
    pub waiting: usize,
    /// Commands on their way.
    pub running: usize,
    /// Whether it is left in peace because it does not answer.
    pub is_open: bool,
}

impl OrchestratorStats {
    /// Why it does not go on, if it does not.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }

    pub(super) fn set_trouble(&self, why: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn committed(&self, decisions: u64, took_us: i64) {
        self.batches.add(1);
        self.decisions.add(decisions);
        self.commit_us.add(u64::try_from(took_us).unwrap_or(0));
    }

    /// What was written of a decision. Not every repeat stands in the timeline.
    pub(super) fn noted(&self, decision: &Decision) {
        let mut firsts = 0;
        for line in &decision.log {
            match line.what {
                What::Started => self.begun.add(1),
                What::Completed => self.completed.add(1),
                What::Compensated => self.compensated.add(1),
                What::Stuck => self.stuck.add(1),
                What::Sent(_) => firsts += 1,
                _ => {}
            }
        }
        let commands = decision.commands.len() as u64;
        self.resent.add(commands.saturating_sub(firsts));
    }
}
