//! Mends proved rows: the fence, then the origin's row, then what is written, then the commit; all of it seen again afterwards.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use keylane_core::model::Row;
use keylane_core::reconcile::{
    Key, Mend, Mender, SideError, SideErrorKind, TablePlan, mend, unmend,
};

use super::table::Between;

/// Rows that are mended under one fence.
pub const MENDED_AT_ONCE: usize = 100;
/// How often a fence is tried for.
const FENCES_MAX: u32 = 30;
/// The pause between.
const FENCE_PAUSE: Duration = Duration::from_millis(300);

/// A row to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToMend {
    /// Its number with who keeps it.
    pub number: i64,
    /// Its key.
    pub key: Key,
    /// Whether it may be deleted: it was proved that only the replica has it. A row that the origin lost since is deleted by the road, if that is what happened, and not on the word of an origin that
    /// may have lost all its rows.
    pub may_delete: bool,
    /// Put it back as it was, from these images of before and after a repair, instead of as the origin has it.
    pub back: Option<(Option<Row>, Option<Row>)>,
}

/// What is done about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Its number.
    pub number: i64,
    /// The replica's row before.
    pub before: Option<Row>,
    /// And after.
    pub after: Option<Row>,
    /// How it ended.
    pub how: HowMended,
}

/// How a row's mending ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HowMended {
    /// It is written, with the commit.
    Written,
    /// There was nothing to write.
    NotNeeded,
    /// The database refused it, in words.
    Refused(String),
}

/// Who keeps what is done.
#[async_trait]
pub trait Noting: Send {
    /// Told of all rows of one fence *before* they are committed, with their images, so that a crash leaves no write that nobody knows of; `committed` says afterwards whether they were.
    ///
    /// # Errors
    /// In words; nothing of it is committed.
    async fn note(&mut self, rows: &[Mended], committed: Option<bool>) -> Result<(), String>;
}

/// Why mending ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MendError {
    /// A database.
    #[error("{0}")]
    Side(#[from] SideError),
    /// What was done cannot be kept.
    #[error("{0}")]
    NotKept(String),
}

/// Mends up to [`MENDED_AT_ONCE`] rows under one fence. Rows that are refused are tried once more behind the others, whose writes may have been what they waited for.
///
/// # Errors
/// [`MendError`]; nothing of these rows is written.
pub async fn mend_rows(
    plan: &TablePlan,
    between: &mut Between,
    mender: &mut dyn Mender,
    rows: &[ToMend],
    noting: &mut dyn Noting,
) -> Result<Vec<Mended>, MendError> {
    fence(plan, mender).await?;
    let done = under_fence(plan, between, mender, rows).await;
    let done = match done {
        Ok(done) => done,
        Err(error) => {
            mender.give_up().await;
            return Err(error.into());
        }
    };
    if let Err(why) = noting.note(&done, None).await {
        mender.give_up().await;
        return Err(MendError::NotKept(why));
    }
    let committed = mender.commit().await;
    let noted = noting.note(&done, Some(committed.is_ok())).await;
    committed?;
    noted.map_err(MendError::NotKept)?;
    Ok(done)
}

async fn fence(plan: &TablePlan, mender: &mut dyn Mender) -> Result<(), SideError> {
    for _ in 1..FENCES_MAX {
        match mender.fence(plan).await {
            Err(error) if error.kind == SideErrorKind::Busy => {}
            done => return done,
        }
        tokio::time::sleep(FENCE_PAUSE).await;
    }
    mender.fence(plan).await
}

async fn under_fence(
    plan: &TablePlan,
    between: &mut Between,
    mender: &mut dyn Mender,
    rows: &[ToMend],
) -> Result<Vec<Mended>, SideError> {
    let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
    let needs_origin = rows.iter().any(|row| row.back.is_none());
    let ours = match needs_origin {
        // Once: writers wait behind the fence.
        true => origin_rows(plan, between, &keys).await?,
        false => Vec::new(),
    };
    let (ours, theirs) = (
        by_key(plan, ours),
        by_key(plan, mender.rows(plan, &keys).await?),
    );
    let mut writes = Vec::new();
    let mut done = Vec::new();
    for row in rows {
        let identity = plan.identity(&row.key);
        let now = theirs.get(&identity);
        let write = match &row.back {
            None => mend(plan, ours.get(&identity), now),
            Some((before, after)) => unmend(plan, (before.as_ref(), after.as_ref()), now),
        };
        let mended = Mended {
            number: row.number,
            before: now.cloned(),
            after: write
                .as_ref()
                .map_or_else(|| now.cloned(), |it| it.after(now)),
            how: HowMended::NotNeeded,
        };
        match write {
            Some(Mend::Delete(_)) if !row.may_delete => done.push(Mended {
                after: mended.before.clone(),
                ..mended
            }),
            Some(write) => writes.push((write, mended)),
            None => done.push(mended),
        }
    }
    writes.sort_by_key(|(write, _)| write.rank());
    let (written, refused) = try_all(plan, mender, writes).await?;
    done.extend(written);
    let again = refused
        .into_iter()
        .map(|(write, mended, _)| (write, mended));
    let (written, refused) = try_all(plan, mender, again.collect()).await?;
    done.extend(written);
    let (written, refused) = exchanged(plan, mender, refused).await?;
    done.extend(written);
    done.extend(refused.into_iter().map(|(_, mended, why)| Mended {
        how: HowMended::Refused(why),
        after: mended.before.clone(),
        ..mended
    }));
    Ok(done)
}

/// The origin's rows, none older than what the replica has of it behind the fence.
async fn origin_rows(
    plan: &TablePlan,
    between: &mut Between,
    keys: &[Key],
) -> Result<Vec<Row>, SideError> {
    if let Some(passage) = &mut between.passage {
        let level = passage.level().await;
        level.map_err(|error| SideError {
            kind: SideErrorKind::Unreachable,
            message: format!("table {} is not mended: {error}", plan.origin),
        })?;
    }
    between.origin.rows(plan, keys).await
}

/// A write that was refused, and why.
type Refused = (Mend, Mended, String);
type Tried = (Vec<Mended>, Vec<Refused>);

async fn try_all(
    plan: &TablePlan,
    mender: &mut dyn Mender,
    writes: Vec<(Mend, Mended)>,
) -> Result<Tried, SideError> {
    let (mut written, mut refused) = (Vec::new(), Vec::new());
    for (write, mended) in writes {
        match mender.write(plan, &write).await? {
            Ok(()) => written.push(Mended {
                how: HowMended::Written,
                ..mended
            }),
            Err(why) => refused.push((write, mended, why)),
        }
    }
    Ok((written, refused))
}

/// Rows that hold each other's unique values: all of them go, and come back as they should be, or all stay.
async fn exchanged(
    plan: &TablePlan,
    mender: &mut dyn Mender,
    refused: Vec<Refused>,
) -> Result<Tried, SideError> {
    let (updates, mut others): (Vec<Refused>, Vec<Refused>) = refused
        .into_iter()
        .partition(|(write, _, _)| matches!(write, Mend::Update { .. }));
    let rows = updates.iter().filter_map(|(write, mended, _)| match write {
        Mend::Update { key, .. } => Some((key.clone(), mended.after.clone()?)),
        Mend::Delete(_) | Mend::Insert(_) => None,
    });
    let rows: Vec<(Key, Row)> = rows.collect();
    if rows.len() < 2 {
        others.extend(updates);
        return Ok((Vec::new(), others));
    }
    match mender.replace(plan, &rows).await? {
        Ok(()) => {
            let written = updates.into_iter().map(|(_, mended, _)| Mended {
                how: HowMended::Written,
                ..mended
            });
            Ok((written.collect(), others))
        }
        Err(_) => {
            others.extend(updates);
            Ok((Vec::new(), others))
        }
    }
}

fn by_key(plan: &TablePlan, rows: Vec<Row>) -> HashMap<Bytes, Row> {
    let keyed = rows.into_iter().map(|row| {
        let key = row.get(..plan.key).unwrap_or_default();
        (plan.identity(key), row)
    });
    keyed.collect()
}
