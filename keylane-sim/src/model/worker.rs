//! What the apply worker does between the lanes and the replica: a batch becomes a transaction, its result an outcome.

use std::sync::Arc;

use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, Batch, Disposition, Mode, MustHit, Outcome, ParkedEntry, Work,
    WorkAction,
};
use keylane_core::consume::{Item, RawPayload};
use keylane_core::model::{Change, Offset};

/// A batch as one transaction's work.
pub fn transaction(
    batch: &Batch<RawPayload>,
    mode: Mode,
    decode: &dyn Fn(&[u8]) -> Arc<Change>,
) -> ApplyBatch {
    let mut work = Vec::new();
    for (step, lane) in batch.lanes.iter().enumerate() {
        for key in &lane.redrives {
            work.push(Work {
                step,
                offset: Offset(0),
                key: key.clone(),
                action: WorkAction::Redrive,
            });
        }
    }
    for item in &batch.items {
        let step = &batch.lanes[item.lane].step;
        let action = match &item.disposition {
            Disposition::Apply => WorkAction::Apply(decode(&item.item.payload.value)),
            Disposition::Park {
                code,
                error,
                attempts,
            } => parked(&item.item, step, code, error, *attempts),
            Disposition::ParkBehind => parked(&item.item, step, "KL-APPLY-011", "behind", 0),
        };
        work.push(Work {
            step: item.lane,
            offset: item.item.offset,
            key: item.item.key.clone(),
            action,
        });
    }
    ApplyBatch {
        pipeline: "sim".into(),
        steps: batch.lanes.iter().map(|lane| lane.step.clone()).collect(),
        work,
        mode,
        must_hit: MustHit::Nowhere,
        turn: None,
    }
}

/// What the lanes are told of a transaction's result.
pub fn outcome(result: Result<Applied, ApplyError>) -> Outcome {
    match result {
        Ok(Applied {
            failed: Some((done, error)),
            ..
        }) => Outcome::Partly(done, error),
        Ok(_) => Outcome::Committed,
        Err(error) => Outcome::RolledBack(error),
    }
}

fn parked(
    item: &Item<RawPayload>,
    step: &keylane_core::apply::LaneStep,
    code: &str,
    error: &str,
    attempts: u32,
) -> WorkAction {
    WorkAction::Park(Box::new(ParkedEntry {
        table: None,
        partition: step.partition.clone(),
        offset: item.offset,
        lane: step.lane,
        key: item.key.clone(),
        value: item.payload.value.clone(),
        header: None,
        code: code.to_owned(),
        error: error.to_owned(),
        attempts,
    }))
}
