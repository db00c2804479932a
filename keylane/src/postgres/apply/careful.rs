//! A batch applied change by change, to find the one that fails and keep what stands before it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keylane_core::apply::{Applied, ApplyBatch, ApplyError, LaneStep, RowWrite, Work, WorkAction};
use keylane_core::error::Remedy;
use keylane_core::model::Position;
use keylane_core::publish::Header;
use tokio_postgres::Error;

use crate::envelope::DecodeParked;

use super::link::{Call, Failure, Link, Sent, execute, in_one_go};
use super::parked::{self, PARK};
use super::progress::{Step, make_steps};
use super::session::{Failed, commit, count, full_steps, redrive_all};

/// What became of the changes.
struct Tried {
    applied: Applied,
    /// The first that failed.
    failed: Option<(usize, ApplyError)>,
    /// Whether the server saw it fail, so that its savepoint is to be rolled back to.
    at_server: bool,
}

/// What is to be sent: a call for each change up to the first that cannot even be prepared.
struct Prepared<'a> {
    calls: Vec<(usize, Call<'a>)>,
    failed: Option<(usize, ApplyError)>,
}

/// Applies a batch and commits what stands before the first change that fails.
///
/// Deferred constraints are checked at the end; if one is violated, which change did it is not known, and all is done again with constraints that are
/// checked at once.
pub(super) async fn attempt<'a>(
    link: &mut Link,
    decode: &dyn DecodeParked,
    batch: &'a ApplyBatch,
    again: bool,
) -> Result<Applied, Failed<'a>> {
    let writes: Vec<Option<RowWrite>> = batch.work.iter().enumerate().map(write_of).collect();
    // Before the transaction: a statement that cannot be prepared would end it.
    let prepared = prepare_each(link, batch, &writes, again).await?;
    let mut at_once = false;
    loop {
        // The steps as they stand: checks the fence and takes the lanes' locks.
        let stand = |step: &'a LaneStep| Step {
            step,
            next: step.expected,
            position: None,
        };
        let held: Vec<Step<'_>> = batch.steps.iter().map(stand).collect();
        make_steps(&link.client, true, &batch.pipeline, &held).await?;
        let mut applied = Applied::default();
        redrive_all(link, decode, batch, &mut applied).await?;
        if at_once {
            check_constraints(link).await?;
        }
        let tried = try_each(link, &prepared, applied, again).await?;
        if tried.at_server {
            control(link, "ROLLBACK TO SAVEPOINT keylane").await?;
        }
        let steps = match &tried.failed {
            Some((failed, _)) => steps_before(batch, *failed),
            None => full_steps(batch),
        };
        if !at_once && let Err(failure) = check_constraints(link).await {
            if failure.error.kind.remedy() != Remedy::AwaitOrder {
                return Err(failure.into());
            }
            control(link, "ROLLBACK").await?;
            at_once = true;
            continue;
        }
        make_steps(&link.client, false, &batch.pipeline, &steps).await?;
        commit(link, batch, &tried.applied).await?;
        return Ok(Applied {
            failed: tried.failed,
            ..tried.applied
        });
    }
}

async fn check_constraints(link: &Link) -> Result<(), Failure> {
    control(link, "SET CONSTRAINTS ALL IMMEDIATE").await
}

pub(super) async fn control(link: &Link, sql: &str) -> Result<(), Failure> {
    link.client
        .batch_execute(sql)
        .await
        .map_err(|error| Failure::sql(&error, "checking constraints at the replica"))
}

async fn prepare_each<'a>(
    link: &mut Link,
    batch: &'a ApplyBatch,
    writes: &'a [Option<RowWrite>],
    again: bool,
) -> Result<Prepared<'a>, Failure> {
    let mut calls = Vec::with_capacity(writes.len());
    for (index, (work, write)) in batch.work.iter().zip(writes).enumerate() {
        match prepare(link, batch, work, write.as_ref()).await {
            Ok(Some(call)) => calls.push((index, call)),
            Ok(None) => {}
            Err(failure) if is_final(&failure, again) => return Err(failure),
            Err(failure) => {
                return Ok(Prepared {
                    calls,
                    failed: Some((index, failure.error)),
                });
            }
        }
    }
    Ok(Prepared {
        calls,
        failed: None,
    })
}

/// Whether a failure is not the change's own: the connection's, or of knowledge that is to be made fresh.
pub(super) fn is_final(failure: &Failure, again: bool) -> bool {
    failure.error.kind.remedy() == Remedy::RetryForever || (failure.may_be_stale && !again)
}

/// Sends all calls in one go, a savepoint before each.
async fn try_each(
    link: &Link,
    prepared: &Prepared<'_>,
    mut applied: Applied,
    again: bool,
) -> Result<Tried, Failure> {
    let calls = prepared.calls.iter().map(|(_, call)| call);
    let answers = send_each(link, calls).await;
    for ((index, call), answer) in prepared.calls.iter().zip(answers) {
        match answer {
            Ok(hit) => {
                count(call, hit, &mut applied);
            }
            Err(error) => {
                let failure = call.failure(&error);
                if is_final(&failure, again) {
                    return Err(failure);
                }
                return Ok(Tried {
                    applied,
                    failed: Some((*index, failure.error)),
                    at_server: true,
                });
            }
        }
    }
    Ok(Tried {
        applied,
        failed: prepared.failed.clone(),
        at_server: false,
    })
}

fn write_of((index, work): (usize, &Work)) -> Option<RowWrite> {
    match &work.action {
        WorkAction::Apply(change) => Some(keylane_core::apply::single(change, index)),
        WorkAction::Park(_) | WorkAction::Redrive => None,
    }
}

async fn prepare<'a>(
    link: &mut Link,
    batch: &'a ApplyBatch,
    work: &'a Work,
    write: Option<&'a RowWrite>,
) -> Result<Option<Call<'a>>, Failure> {
    if let Some(write) = write {
        let calls = link.calls(std::slice::from_ref(write), false).await?;
        return Ok(calls.into_iter().next());
    }
    match &work.action {
        WorkAction::Park(entry) => {
            let arrays = parked::arrays(&batch.pipeline, &[entry]);
            Ok(Some(link.own_call(PARK, arrays).await?))
        }
        WorkAction::Apply(_) | WorkAction::Redrive => Ok(None),
    }
}

/// A savepoint before each call, all in one go; the last savepoint stays.
pub(super) async fn send_each<'a>(
    link: &'a Link,
    calls: impl Iterator<Item = &'a Call<'a>>,
) -> Vec<Result<u64, Error>> {
    let client = &link.client;
    let mut sent: Vec<Sent<'_, Result<u64, Error>>> = Vec::new();
    for (at, call) in calls.enumerate() {
        let savepoint: Cow<'static, str> = if at == 0 {
            "SAVEPOINT keylane".into()
        } else {
            "RELEASE SAVEPOINT keylane; SAVEPOINT keylane".into()
        };
        sent.push(Box::pin(async move {
            client.batch_execute(&savepoint).await.map(|()| 0)
        }));
        sent.push(Box::pin(execute(client, &call.statement, &call.arrays)));
    }
    // A savepoint is refused only behind a call that failed.
    let answers = in_one_go(sent).await;
    answers.into_iter().skip(1).step_by(2).collect()
}

/// How far each lane is when everything before the work at `failed` is done. Lanes of which nothing was done stay where they are.
fn steps_before(batch: &ApplyBatch, failed: usize) -> Vec<Step<'_>> {
    let mut reached: BTreeMap<usize, (keylane_core::model::Offset, Option<Position>)> =
        BTreeMap::new();
    for work in batch.work.iter().take(failed) {
        let position = match &work.action {
            WorkAction::Apply(change) => Some(change.position),
            // Another tool's record: its position is not known here, and the offset alone holds.
            WorkAction::Park(entry) => entry
                .header
                .as_ref()
                .and_then(|header| Header::decode(header.as_bytes()).ok())
                .map(|header| header.position),
            WorkAction::Redrive => continue,
        };
        let place = reached
            .entry(work.step)
            .or_insert((work.offset.next(), None));
        place.0 = place.0.max(work.offset.next());
        place.1 = place.1.max(position);
    }
    reached
        .into_iter()
        .filter_map(|(index, (next, position))| {
            Some(Step {
                step: batch.steps.get(index)?,
                next,
                position,
            })
        })
        .collect()
}
