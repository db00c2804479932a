//! A range added up in both databases; where the sums differ it is divided, and what is small enough is read.

use std::time::Duration;

use keylane_core::reconcile::{Checksum, Figures, Key, Range, SideError, TablePlan};
use tokio::time::Instant;

use super::by_rows::ByRows;
use super::patient;
use super::suspects::Seen;
use super::table::{Between, Comparing};

/// A range whose sums differ is divided into so many.
const PARTS: u64 = 16;
/// Rows of a range that is read rather than divided.
const READ_MAX: u64 = 256;

/// What a range came to.
pub(super) struct Summed {
    /// What differs in it.
    pub seen: Vec<Seen>,
    /// Its last key; `None`: there is nothing behind it.
    pub up_to: Option<Key>,
    /// The origin's rows, and how long adding them up took.
    pub rows: u64,
    pub took: Duration,
}

/// Compares the first so many rows of a range.
pub(super) async fn by_checksums(
    comparing: &Comparing,
    plan: &TablePlan,
    between: &mut Between,
    rest: &Range,
    rows: usize,
    figures: &mut Figures,
) -> Result<Summed, SideError> {
    let up_to = patient::key_at(&mut *between.origin, plan, rest, rows).await?;
    let whole = Range {
        after: rest.after.clone(),
        up_to: up_to.clone().or_else(|| rest.up_to.clone()),
    };
    let began = Instant::now();
    let sums = both(plan, between, &whole).await?;
    let mut summed = Summed {
        seen: Vec::new(),
        up_to,
        rows: sums.0.rows,
        took: began.elapsed(),
    };
    let mut open = vec![(whole, sums)];
    while let Some((range, (ours, theirs))) = open.pop() {
        if ours == theirs {
            figures.chunks += 1;
            figures.rows_origin += ours.rows;
            figures.rows_replica += theirs.rows;
            figures.summed += ours.rows;
        } else if ours.rows <= READ_MAX {
            let mut read = ByRows::new(comparing, plan, range);
            while read.rest().is_some() {
                summed.seen.extend(read.next(between, figures, true).await?);
            }
        } else {
            for part in parts(plan, between, range, ours.rows.div_ceil(PARTS)).await? {
                let sums = both(plan, between, &part).await?;
                open.push((part, sums));
            }
        }
    }
    Ok(summed)
}

/// Divides a range into such of about so many of the origin's rows.
async fn parts(
    plan: &TablePlan,
    between: &mut Between,
    mut range: Range,
    rows: u64,
) -> Result<Vec<Range>, SideError> {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    while let Some(key) = patient::key_at(&mut *between.origin, plan, &range, rows).await? {
        if Some(&key) == range.up_to.as_ref() {
            break;
        }
        let behind = Range {
            after: Some(key.clone()),
            up_to: range.up_to.take(),
        };
        range.up_to = Some(key);
        parts.push(std::mem::replace(&mut range, behind));
    }
    parts.push(range);
    Ok(parts)
}

/// Both sides' sums over a range.
async fn both(
    plan: &TablePlan,
    between: &mut Between,
    range: &Range,
) -> Result<(Checksum, Checksum), SideError> {
    let ours = patient::checksum(&mut *between.origin, plan, range);
    let theirs = patient::checksum(&mut *between.replica, plan, range);
    let (ours, theirs) = tokio::join!(ours, theirs);
    Ok((ours?, theirs?))
}
