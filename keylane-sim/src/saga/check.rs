//! What must hold of a saga and its effects, at every moment. It shares nothing with how they came about.

use keylane_core::saga::{Phase, Saga, StepStatus};

use super::participant::Participant;
use crate::verdict::{Checker, Failure};

/// Looks at a saga and the effects of its steps.
pub(super) fn effects<'a>(
    saga: &Saga,
    participants: impl Iterator<Item = &'a Participant>,
) -> Result<(), Failure> {
    for (place, (row, participant)) in saga.steps.iter().zip(participants).enumerate() {
        let (acted, undone) = (participant.acted, participant.undone);
        let seen = format!(
            "{}: step {place} ({}) was done {acted} times and undone {undone} times",
            saga.id,
            row.status.code()
        );
        if acted > 1 || undone > 1 {
            return Err(Failure::new(Checker::NoDoubleEffect, seen));
        }
        if undone > acted {
            return Err(Failure::new(Checker::AllOrNothing, seen));
        }
        let is_right = match saga.phase {
            Phase::Running | Phase::Compensating => true,
            Phase::Compensated => acted == undone,
            Phase::Completed => {
                let has_effect = row.status == StepStatus::Ok && !row.by_hand;
                (acted, undone) == (u8::from(has_effect), 0)
            }
        };
        if !is_right {
            let phase = saga.phase.code();
            let seen = format!("it is {phase}, but {seen}");
            return Err(Failure::new(Checker::AllOrNothing, seen));
        }
    }
    Ok(())
}

/// A saga that has not ended is looked at again, and one that ended is not.
pub(super) fn is_found_again(saga: &Saga) -> Result<(), Failure> {
    match (saga.has_ended(), saga.next_us()) {
        (false, None) => Err(Failure::new(
            Checker::Progress,
            format!("{} has not ended, and nothing of it is ever due", saga.id),
        )),
        (true, Some(_)) => Err(Failure::new(
            Checker::Contract,
            format!("{} has ended, and something of it is due", saga.id),
        )),
        _ => Ok(()),
    }
}
