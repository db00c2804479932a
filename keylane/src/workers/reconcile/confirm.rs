//! What differed is looked at again: between two ends of the log around a mark, or, without a log, twice.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use keylane_core::model::Row;
use keylane_core::reconcile::{
    Figures, Finding, Found, Judged, Key, Look, PassageError, Side, SideError, TablePlan, Touched,
    cause, difference, judge,
};

use super::super::stats::now_us;
use super::patient;
use super::suspects::Seen;
use super::table::{Between, Comparing};

/// Rows that are asked for together.
pub(super) const ROWS_AT_ONCE: usize = 500;

pub(super) type Rows = HashMap<Bytes, Row>;

/// Looks until each of these is equal, proved or hot; counts them, and gives those that are proved.
pub(super) async fn confirm(
    comparing: &Comparing,
    plan: &TablePlan,
    between: &mut Between,
    seen: &[Seen],
    figures: &mut Figures,
) -> Result<Vec<Finding>, SideError> {
    let mut open: Vec<(Bytes, &Seen)> = seen
        .iter()
        .map(|seen| (plan.identity(&seen.key), seen))
        .collect();
    let mut findings = Vec::new();
    let mut tries = 0;
    while !open.is_empty() {
        tries += 1;
        let looked = match between.passage.is_some() {
            true => around_a_mark(plan, between, &open).await?,
            false => twice(comparing, plan, between, &open).await?,
        };
        let looked = match looked {
            Ok(looked) => looked,
            Err(error) => {
                tracing::warn!(table = %plan.origin, "differences cannot be proved: {error}");
                figures.unproved += open.len() as u64;
                return Ok(findings);
            }
        };
        let mut again = Vec::new();
        let proved_before = findings.len();
        for (identity, seen) in open {
            let (origin, replica) = (looked.origin.get(&identity), looked.replica.get(&identity));
            let found = difference(plan, origin, replica);
            count_bounds(figures, &found);
            let touched = looked.touched(&identity);
            match judge(&Look { found, touched }, tries) {
                Judged::Equal => figures.settling += 1,
                Judged::Hot => figures.hot += 1,
                Judged::Again => again.push((identity, seen)),
                Judged::Proved(difference) => {
                    figures.add(&difference);
                    findings.push(Finding {
                        key: seen.key.clone(),
                        difference,
                        origin: origin.cloned(),
                        replica: replica.cloned(),
                        first_seen_us: seen.at_us,
                        proved_us: now_us(),
                        proof: looked.position.clone(),
                    });
                }
            }
        }
        let proved_now = findings.get_mut(proved_before..).unwrap_or_default();
        name_causes(plan, between, proved_now).await;
        open = again;
    }
    Ok(findings)
}

/// Says with each proof of this look what the log had told of the row by then, if it tells anything of it still.
async fn name_causes(plan: &TablePlan, between: &mut Between, findings: &mut [Finding]) {
    let Some(passage) = &mut between.passage else {
        return;
    };
    let identities = findings.iter().map(|it| plan.identity(&it.key));
    let among: HashSet<Bytes> = identities.collect();
    if among.is_empty() {
        return;
    }
    let told = match passage.told(plan, &among).await {
        Ok(told) => told,
        Err(error) => {
            tracing::warn!(table = %plan.origin, "the log does not say why rows differ: {error}");
            return;
        }
    };
    for finding in findings {
        if let Some(told) = told.get(&plan.identity(&finding.key)) {
            let cause = cause(plan, finding.origin.as_ref(), told.as_ref());
            finding.proof = format!("{}; {}", finding.proof, cause.words());
        }
    }
}

/// Looks at these rows as at any that differ; those that are proved to.
///
/// # Errors
/// A side's.
pub async fn look_again(
    comparing: &Comparing,
    plan: &TablePlan,
    between: &mut Between,
    keys: Vec<Key>,
) -> Result<Vec<Finding>, SideError> {
    let at_us = now_us();
    let seen = |key| Seen {
        key,
        at_us,
        bytes: 0,
    };
    let seen: Vec<Seen> = keys.into_iter().map(seen).collect();
    let mut figures = Figures::default();
    confirm(comparing, plan, between, &seen, &mut figures).await
}

pub(super) fn count_bounds(figures: &mut Figures, found: &Found) {
    for place in &found.lossy {
        *figures.lossy.entry(*place).or_default() += 1;
    }
    for place in &found.unrepresentable {
        *figures.unrepresentable.entry(*place).or_default() += 1;
    }
}

/// What one look saw.
struct Looked {
    origin: Rows,
    replica: Rows,
    touched: Touched,
    position: String,
}

impl Looked {
    fn touched(&self, identity: &Bytes) -> bool {
        match &self.touched {
            Touched::Any => true,
            Touched::Keys(keys) => keys.contains(identity),
        }
    }
}

async fn around_a_mark(
    plan: &TablePlan,
    between: &mut Between,
    open: &[(Bytes, &Seen)],
) -> Result<Result<Looked, PassageError>, SideError> {
    let Between {
        origin,
        replica,
        passage,
    } = between;
    let Some(passage) = passage else {
        let none = PassageError::Unreachable("there is no road between them".to_owned());
        return Ok(Err(none));
    };
    if let Err(error) = passage.begin().await {
        return Ok(Err(error));
    }
    if let Err(error) = passage.level().await {
        return Ok(Err(error));
    }
    let origin = rows(plan, &mut **origin, open).await?;
    if let Err(error) = passage.pass().await {
        return Ok(Err(error));
    }
    let replica = rows(plan, &mut **replica, open).await?;
    let among: HashSet<Bytes> = open.iter().map(|(identity, _)| identity.clone()).collect();
    let touched = passage.touched(plan, &among).await;
    Ok(touched.map(|touched| Looked {
        origin,
        replica,
        touched,
        position: passage.position(),
    }))
}

/// What is the same in both looks was not touched.
async fn twice(
    comparing: &Comparing,
    plan: &TablePlan,
    between: &mut Between,
    open: &[(Bytes, &Seen)],
) -> Result<Result<Looked, PassageError>, SideError> {
    let (first_origin, first_replica) = both(plan, between, open).await?;
    tokio::time::sleep(comparing.look_pause).await;
    let (origin, replica) = both(plan, between, open).await?;
    let changed = |identity: &Bytes| {
        origin.get(identity) != first_origin.get(identity)
            || replica.get(identity) != first_replica.get(identity)
    };
    let identities = open.iter().map(|(identity, _)| identity);
    let touched = identities.filter(|it| changed(it)).cloned().collect();
    let position = format!("seen twice unchanged, {:?} apart", comparing.look_pause);
    Ok(Ok(Looked {
        origin,
        replica,
        touched: Touched::Keys(touched),
        position,
    }))
}

/// Both sides' rows, read side by side: without a log their order says nothing.
pub(super) async fn both(
    plan: &TablePlan,
    between: &mut Between,
    open: &[(Bytes, &Seen)],
) -> Result<(Rows, Rows), SideError> {
    let origin = rows(plan, &mut *between.origin, open);
    let replica = rows(plan, &mut *between.replica, open);
    let (origin, replica) = tokio::join!(origin, replica);
    Ok((origin?, replica?))
}

async fn rows(
    plan: &TablePlan,
    side: &mut dyn Side,
    open: &[(Bytes, &Seen)],
) -> Result<Rows, SideError> {
    let mut found = Rows::new();
    for some in open.chunks(ROWS_AT_ONCE) {
        let keys: Vec<_> = some.iter().map(|(_, seen)| seen.key.clone()).collect();
        for row in patient::rows(side, plan, &keys).await? {
            let key = row.get(..plan.key).unwrap_or_default();
            found.insert(plan.identity(key), row);
        }
    }
    Ok(found)
}
