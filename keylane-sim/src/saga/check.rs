//! What must hold of a saga and its effects, at every moment. It shares nothing with how they came about.

use keylane_core::saga::{Phase, Plan, Saga, StepStatus};

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

/// No step has begun before all that it waits for had passed, and none is undone before all that waited for it is back.
pub(super) fn order(plan: &Plan, saga: &Saga) -> Result<(), Failure> {
    for (place, row) in saga.steps.iter().enumerate() {
        let status_of = |it: &usize| saga.steps[*it].status;
        let is_undone = matches!(
            row.status,
            StepStatus::Compensating | StepStatus::Compensated | StepStatus::Noop
        );
        let too_early = match row.status {
            StepStatus::Pending | StepStatus::Skipped | StepStatus::Failed => None,
            _ if is_undone => plan.behind(place).iter().find(|it| !is_back(status_of(it))),
            _ => plan
                .before(place)
                .iter()
                .find(|it| !has_passed(status_of(it))),
        };
        if let Some(other) = too_early {
            let (is, other_is) = (row.status.code(), status_of(other).code());
            let seen = format!(
                "{}: step {place} is {is}, but step {other} is {other_is}",
                saga.id
            );
            return Err(Failure::new(Checker::Order, seen));
        }
    }
    Ok(())
}

fn has_passed(status: StepStatus) -> bool {
    matches!(status, StepStatus::Ok | StepStatus::Skipped)
}

fn is_back(status: StepStatus) -> bool {
    matches!(
        status,
        StepStatus::Pending
            | StepStatus::Skipped
            | StepStatus::Failed
            | StepStatus::Compensated
            | StepStatus::Noop
    )
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
