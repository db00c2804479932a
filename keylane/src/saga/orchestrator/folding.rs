//! What several events mean for one saga: one decision after another, written as one.

use std::collections::BTreeMap;

use keylane_core::saga::{Command, Decision, Entry, Event, Moment, Plan, Saga, What, decide};

/// A saga and what is decided about it in this turn.
pub(super) struct Folded {
    pub before: Saga,
    pub decision: Decision,
    pub ignored: u64,
}

impl Folded {
    pub(super) fn of(before: Saga) -> Folded {
        Folded {
            decision: Decision {
                saga: before.clone(),
                commands: Vec::new(),
                log: Vec::new(),
            },
            before,
            ignored: 0,
        }
    }

    /// One event more. The lines that were noted, but for those of what changed nothing.
    pub(super) fn take(&mut self, plan: &Plan, event: Event, at: Moment) -> Vec<Entry> {
        let next = decide(plan, self.decision.saga.clone(), event, at);
        let (ignored, noted): (Vec<Entry>, Vec<Entry>) = next
            .log
            .into_iter()
            .partition(|line| line.what == What::Ignored);
        self.ignored += ignored.len() as u64;
        self.decision.saga = next.saga;
        self.decision.commands.extend(next.commands);
        self.decision.log.extend(noted.iter().cloned());
        noted
    }

    /// Whether there is something to write.
    pub(super) fn has_news(&self) -> bool {
        self.decision.saga.revision != self.before.revision || !self.decision.log.is_empty()
    }
}

/// Of several commands to one step only the last counts: the outbox has one place for each.
pub(super) fn last_of_each_step(commands: Vec<Command>) -> Vec<Command> {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (place, command) in commands.iter().enumerate() {
        last.insert(command.step.clone(), place);
    }
    let is_last = |(place, command): &(usize, Command)| last.get(&command.step) == Some(place);
    let numbered = commands.into_iter().enumerate().filter(is_last);
    numbered.map(|(_, command)| command).collect()
}
