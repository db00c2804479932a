//! An orchestrator: reads, decides, writes, publishes, deletes; between any two of these it may die, or hang until another has taken over.

use keylane_core::saga::{Decision, Event, Operation, Participant, Saga, Start, StepStatus, start};

use super::store::{Epochs, Store};
use super::story::SERVICES;
use super::variants::rolls_back;
use super::world::World;
use crate::Chance;
use crate::verdict::{Checker, Failure};

/// What it holds between two steps.
#[derive(Clone, Debug, Default)]
enum Work {
    #[default]
    Nothing,
    /// Decided, from this revision, not written.
    Decided(Box<Decision>, Option<u64>),
    /// Written, not sent: the outbox's numbers.
    Written(Vec<u64>),
    /// Sent, not deleted.
    Sent(Vec<u64>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Orchestrator {
    epochs: Epochs,
    work: Work,
}

impl Orchestrator {
    pub fn is_idle(&self) -> bool {
        matches!(self.work, Work::Nothing)
    }

    pub fn crash(&mut self) {
        self.work = Work::Nothing;
    }

    /// Takes a lease from whoever has it, who does not hear of it.
    pub fn takes_over(&mut self, store: &mut Store, chance: &mut Chance) {
        let lease = chance.below(self.epochs.len());
        store.epochs[lease] += 1;
        self.epochs[lease] = store.epochs[lease];
    }

    /// The next step.
    pub fn tick(&mut self, world: &mut World) -> Result<(), Failure> {
        match std::mem::take(&mut self.work) {
            Work::Nothing => self.work = self.read(world)?,
            Work::Decided(decision, read) => {
                if world.rules.publishes_first {
                    decision
                        .commands
                        .iter()
                        .try_for_each(|it| world.publish(it))?;
                }
                let written = world.store.commit(&decision, read, self.epochs);
                if let Some(numbers) = written {
                    world
                        .seen
                        .extend(decision.log.iter().map(|it| it.what.code()));
                    self.work = Work::Written(numbers);
                    world.look_at(&decision.saga.id)?;
                } else {
                    // It looks which leases are whose, and takes up what is not done again.
                    self.epochs = world.store.epochs;
                }
            }
            Work::Written(numbers) => {
                for number in &numbers {
                    let command = world.store.outbox.get(number).cloned();
                    command.map(|it| world.publish(&it)).transpose()?;
                }
                self.work = Work::Sent(numbers);
            }
            Work::Sent(numbers) => {
                for number in numbers {
                    world.store.outbox.remove(&number);
                }
            }
        }
        Ok(())
    }

    /// Takes something up, reads the rows that it is about, and decides.
    fn read(&self, world: &mut World) -> Result<Work, Failure> {
        match world.chance.below(10) {
            0 if !world.store.outbox.is_empty() => {
                // What somebody died over.
                return Ok(Work::Written(world.store.outbox.keys().copied().collect()));
            }
            1 => return start_one(world),
            _ => {}
        }
        let Some((id, event)) = what_happens(world) else {
            return Ok(Work::Nothing);
        };
        let Some(saga) = world.store.saga(&id).cloned() else {
            return Ok(Work::Nothing);
        };
        let revision = saga.revision;
        let orchestrator = world.rules.orchestrator;
        let at = world.moment();
        let decision = orchestrator.decide(&world.plan, saga.clone(), event, at);
        if decision.saga.revision == revision {
            return match decision.saga == saga && decision.commands.is_empty() {
                true => Ok(Work::Nothing),
                false => Err(Failure::new(
                    Checker::Contract,
                    format!("{id} changed without a revision"),
                )),
            };
        }
        Ok(Work::Decided(Box::new(decision), Some(revision)))
    }
}

fn start_one(world: &mut World) -> Result<Work, Failure> {
    let Some(id) = world.chance.pick(&world.wanted).cloned() else {
        return Ok(Work::Nothing);
    };
    let wanted = Start {
        key: Some(id.clone()),
        data: world.data(&id),
        id,
    };
    let at = world.moment();
    let begun = start(&world.plan, wanted, at);
    let begun = begun.map_err(|why| Failure::new(Checker::Contract, why.to_string()))?;
    Ok(Work::Decided(Box::new(begun), None))
}

/// Something that happened, and to which saga.
fn what_happens(world: &mut World) -> Option<(String, Event)> {
    if !world.replies.is_empty() && world.chance.percent(60) {
        let place = world.chance.below(world.replies.len());
        let (id, reply) = world.replies[place].clone();
        // An answer may come again; one that was taken up by someone who dies then is lost: the command is sent again.
        if !world.fault(15) {
            world.replies.swap_remove(place);
        }
        return Some((id, Event::Reply(reply)));
    }
    let sagas: Vec<&Saga> = world.store.sagas().filter(|it| !it.has_ended()).collect();
    let saga = world.chance.pick(&sagas)?;
    let id = saga.id.clone();
    let by_hand = |(place, row): (usize, &keylane_core::saga::StepRow)| {
        (row.by_hand && row.status == StepStatus::Compensating).then_some(place)
    };
    // Before what is due: else nobody gets round to it where something always is.
    if let Some(place) = saga.steps.iter().enumerate().find_map(by_hand) {
        let step = world.plan.step(place)?.id.clone();
        return Some((id, asked(Operation::MarkCompensated { step })));
    }
    if saga.next_us().is_some_and(|at| at <= world.now_us) {
        return Some((id, Event::Due));
    }
    let count = saga.steps.len();
    match world.chance.below(100) {
        0..2 => world.fault(50).then(|| (id, rolls_back("cancelled"))),
        2..4 => {
            let step = world.plan.step(world.chance.below(count))?.id.clone();
            let reply = serde_json::Value::Null;
            let operation = match world.chance.below(3) {
                0 => Operation::Skip { step },
                1 => Operation::Complete { step, reply },
                _ => Operation::Retry { step: Some(step) },
            };
            world.fault(50).then(|| (id, asked(operation)))
        }
        4..8 => {
            let service = world.chance.pick(&SERVICES)?;
            Some((id, Event::Back(Participant::Named((*service).to_owned()))))
        }
        _ => None,
    }
}

fn asked(operation: Operation) -> Event {
    Event::Operation {
        operation,
        actor: "somebody".into(),
        reason: "it may happen".into(),
    }
}
