//! The orchestrators' database: rows and outbox, written in one transaction that a revision and a lease stand guard over.

use std::collections::{BTreeMap, BTreeSet};

use keylane_core::saga::{Command, Decision, Op, Saga};

/// Sagas are shared out among so many leases.
const LEASES: usize = 2;

/// What an orchestrator believes to be the numbers of its leases.
pub(super) type Epochs = [u64; LEASES];

#[derive(Debug, Default)]
pub(super) struct Store {
    sagas: BTreeMap<String, Saga>,
    /// Commands that are written and may not have gone out yet, by number.
    pub outbox: BTreeMap<u64, Command>,
    next_number: u64,
    /// Every operation that any row ever knew of.
    known: BTreeSet<(String, String, Op)>,
    /// The numbers of the leases.
    pub epochs: Epochs,
    /// Whether the leases are looked at: what is right must not hang on them.
    pub looks_at_leases: bool,
    /// Nothing is looked at.
    pub overwrites: bool,
}

impl Store {
    pub fn saga(&self, id: &str) -> Option<&Saga> {
        self.sagas.get(id)
    }

    pub fn sagas(&self) -> impl Iterator<Item = &Saga> {
        self.sagas.values()
    }

    /// Writes a decision; `read` is the revision that it was made from. The numbers of its commands, or `None` if it came too late.
    pub fn commit(
        &mut self,
        decision: &Decision,
        read: Option<u64>,
        epochs: Epochs,
    ) -> Option<Vec<u64>> {
        let saga = &decision.saga;
        let is_as_read = self.sagas.get(&saga.id).map(|it| it.revision) == read;
        let lease = saga.id.len() % LEASES;
        let is_held = !self.looks_at_leases || self.epochs[lease] == epochs[lease];
        let may = self.overwrites || (is_as_read && is_held);
        if !may {
            return None;
        }
        let mut numbers = Vec::new();
        for command in &decision.commands {
            self.known
                .insert((command.saga.clone(), command.step.clone(), command.op));
            self.outbox.insert(self.next_number, command.clone());
            numbers.push(self.next_number);
            self.next_number += 1;
        }
        self.sagas.insert(saga.id.clone(), saga.clone());
        Some(numbers)
    }

    pub fn knows(&self, command: &Command) -> bool {
        let key = (command.saga.clone(), command.step.clone(), command.op);
        self.known.contains(&key)
    }
}
