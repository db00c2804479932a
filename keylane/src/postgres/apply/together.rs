//! What is left of one transaction of the origin, in whatever order the replica's constraints allow; constraints that can be deferred are checked at the commit.

use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, Reordering, Turn, WorkAction, in_transaction,
};
use keylane_core::error::{ApplyErrorKind, Remedy};

use super::careful::{control, is_final, send_each};
use super::link::{Call, Failure, Link};
use super::parked::{self, PARK};
use super::progress::make_steps;
use super::session::{commit, count, entry_of, full_steps, send_one};

/// All or nothing.
pub(super) async fn attempt(
    link: &mut Link,
    batch: &ApplyBatch,
    again: bool,
) -> Result<Applied, Failure> {
    let schemas = batch.work.iter().filter_map(|work| match &work.action {
        WorkAction::Apply(change) => Some(&*change.schema),
        WorkAction::Park(_) | WorkAction::Redrive => None,
    });
    link.load_plans(schemas).await?;
    let writes = in_transaction(&batch.work, |table| link.is_taker(table));
    let mut order = Reordering::new(&writes, &batch.work, |table| link.is_taker(table));
    let mut calls = Vec::with_capacity(writes.len());
    for write in &writes {
        // Before the transaction: a statement that cannot be prepared would end it.
        let made = link
            .calls_as_told(std::slice::from_ref(write), false)
            .await?;
        calls.extend(made);
    }
    let parked: Vec<_> = batch.work.iter().filter_map(entry_of).collect();
    make_steps(&link.client, true, &batch.pipeline, &full_steps(batch)).await?;
    control(link, "SET CONSTRAINTS ALL DEFERRED").await?;
    if !parked.is_empty() {
        let call = link
            .own_call(PARK, parked::arrays(&batch.pipeline, &parked))
            .await?;
        send_one(link, &call).await?;
    }
    let mut applied = Applied::default();
    let mut last = ApplyError::new(ApplyErrorKind::Constraint, "nothing could be tried");
    loop {
        match order.turn() {
            Turn::Done => break,
            Turn::Stuck => return Err(Failure::from(last)),
            Turn::Try(run) => {
                let (gone, violation) = try_run(link, &calls, &run, again, &mut applied).await?;
                order.went(gone, violation.is_some());
                last = violation.unwrap_or(last);
            }
        }
    }
    if writes
        .iter()
        .any(|write| link.is_taker(&write.schema.table))
    {
        // What a parent took with it is missed by its own delete.
        applied.missing.clear();
    }
    commit(link, batch, &applied).await?;
    Ok(applied)
}

/// Tries calls one after another up to the first that violates a constraint. Returns how many have gone, and the violation.
async fn try_run(
    link: &Link,
    calls: &[Call<'_>],
    run: &[usize],
    again: bool,
    applied: &mut Applied,
) -> Result<(usize, Option<ApplyError>), Failure> {
    let calls: Vec<&Call<'_>> = run.iter().filter_map(|index| calls.get(*index)).collect();
    let answers = send_each(link, calls.iter().copied()).await;
    for (gone, (call, answer)) in calls.iter().zip(answers).enumerate() {
        match answer {
            Ok(hit) => {
                count(call, hit, applied);
            }
            Err(error) => {
                let failure = call.failure(&error);
                let violates = failure.error.kind.remedy() == Remedy::AwaitOrder;
                if !violates || is_final(&failure, again) {
                    return Err(failure);
                }
                control(
                    link,
                    "ROLLBACK TO SAVEPOINT keylane; RELEASE SAVEPOINT keylane",
                )
                .await?;
                return Ok((gone, Some(failure.error)));
            }
        }
    }
    control(link, "RELEASE SAVEPOINT keylane").await?;
    Ok((calls.len(), None))
}
