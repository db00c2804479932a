//! Ranges compared row by row: while the replica tells its rows of one, the origin tells those of the next.

use std::time::Duration;

use keylane_core::model::Value;
use keylane_core::reconcile::{
    ChunkSize, EncodedRow, Figures, Key, Range, Scanned, Side, SideError, SideErrorKind, TablePlan,
    compare,
};
use tokio::time::Instant;

use super::super::stats::now_us;
use super::patient;
use super::suspects::Seen;
use super::table::{Between, Comparing};

/// A reader of both sides.
pub(super) struct ByRows<'a> {
    comparing: &'a Comparing,
    plan: &'a TablePlan,
    size: ChunkSize,
    after: Option<Key>,
    /// The last key of all; `None`: the table's last.
    last: Option<Key>,
    /// The origin's rows behind `after`, read ahead.
    ahead: Option<Scanned>,
    ended: bool,
    /// Ranges in a row that came to nothing.
    in_vain: u32,
}

/// As often as that a range may come to nothing.
const IN_VAIN_MAX: u32 = 20;

impl<'a> ByRows<'a> {
    /// All rows of a range.
    pub fn new(comparing: &'a Comparing, plan: &'a TablePlan, range: Range) -> Self {
        ByRows {
            comparing,
            plan,
            size: ChunkSize::new(comparing.read_target),
            after: range.after,
            last: range.up_to,
            ahead: None,
            ended: false,
            in_vain: 0,
        }
    }

    /// What is not compared yet; `None` if there is nothing left.
    pub fn rest(&self) -> Option<Range> {
        (!self.ended).then(|| self.behind(self.after.clone()))
    }

    /// Whether rows of the next range are there already.
    pub fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// What was read ahead is read anew: by now the replica may hold what came after it.
    pub fn read_again(&mut self) {
        self.ahead = None;
    }

    /// Everything up to this key was compared otherwise; `None`: to the last.
    pub fn pass(&mut self, up_to: Option<Key>) {
        self.ended = up_to.is_none();
        self.after = up_to;
        self.ahead = None;
    }

    /// Compares the next range; what differs in it. With `reads_ahead` the origin tells its rows of the one behind it meanwhile.
    pub async fn next(
        &mut self,
        between: &mut Between,
        figures: &mut Figures,
        reads_ahead: bool,
    ) -> Result<Vec<Seen>, SideError> {
        let (origin, replica) = (&mut *between.origin, &mut *between.replica);
        let mut ours = match self.ahead.take() {
            Some(ours) => ours,
            None => self.read(origin, self.behind(self.after.clone())).await?,
        };
        let mut is_last = !ours.cut;
        let mut up_to = self.end_of(&ours)?;
        let theirs_max = (
            ours.rows.len() * 2 + 1024,
            self.comparing.read_bytes_max * 2,
        );
        let range = Range {
            after: self.after.clone(),
            up_to: up_to.clone(),
        };
        let next = (reads_ahead && !is_last).then(|| self.behind(up_to.clone()));
        let plan = self.plan;
        let theirs = patient::scan(replica, plan, &range, theirs_max);
        let ahead = async {
            match next {
                Some(range) => self.read_timed(origin, range).await.map(Some),
                None => Ok(None),
            }
        };
        let (theirs, ahead) = tokio::join!(theirs, ahead);
        let (theirs, ahead) = (theirs?, ahead?);
        if theirs.cut {
            // The replica has many rows there that the origin has not: as many as were read are compared now.
            is_last = false;
            up_to = self.end_of(&theirs)?;
            let range = Range {
                after: self.after.clone(),
                up_to: up_to.clone(),
            };
            let most = (
                ours.rows.len().max(1) * 2,
                self.comparing.read_bytes_max * 2,
            );
            ours = patient::scan(origin, plan, &range, most).await?;
            if ours.cut {
                // It has got as many meanwhile: once more, with what is there now.
                self.in_vain += 1;
                return match self.in_vain < IN_VAIN_MAX {
                    true => Ok(Vec::new()),
                    false => Err(changed(plan)),
                };
            }
        } else if let Some((scanned, took)) = ahead {
            let bytes = scanned.rows.iter().map(EncodedRow::size_bytes).sum();
            let read = (scanned.rows.len(), bytes);
            self.size.took(read, self.comparing.read_bytes_max, took);
            self.ahead = Some(scanned);
        }
        let seen = self.compared(&ours, &theirs, figures)?;
        self.in_vain = 0;
        self.ended = is_last;
        self.after = up_to;
        Ok(seen)
    }

    fn compared(
        &self,
        ours: &Scanned,
        theirs: &Scanned,
        figures: &mut Figures,
    ) -> Result<Vec<Seen>, SideError> {
        figures.chunks += 1;
        figures.rows_origin += ours.rows.len() as u64;
        figures.rows_replica += theirs.rows.len() as u64;
        let at_us = now_us();
        let found = compare(&ours.rows, &theirs.rows, self.plan.key);
        let seen = found.suspects.into_iter().map(|suspect| {
            let key = self.key_of(&suspect.key)?;
            Ok(Seen {
                key,
                at_us,
                bytes: suspect.origin_bytes + suspect.replica_bytes,
            })
        });
        seen.collect()
    }

    fn behind(&self, after: Option<Key>) -> Range {
        Range {
            after,
            up_to: self.last.clone(),
        }
    }

    async fn read(&self, side: &mut dyn Side, range: Range) -> Result<Scanned, SideError> {
        let most = (self.size.rows(), self.comparing.read_bytes_max);
        patient::scan(side, self.plan, &range, most).await
    }

    async fn read_timed(
        &self,
        side: &mut dyn Side,
        range: Range,
    ) -> Result<(Scanned, Duration), SideError> {
        let began = Instant::now();
        let scanned = self.read(side, range).await?;
        Ok((scanned, began.elapsed()))
    }

    /// The last key of what was cut short, else that of all.
    fn end_of(&self, scanned: &Scanned) -> Result<Option<Key>, SideError> {
        match scanned.rows.last().filter(|_| scanned.cut) {
            None => Ok(self.last.clone()),
            Some(last) => self.key_of(last).map(Some),
        }
    }

    /// A key by which its row can be found again.
    fn key_of(&self, row: &EncodedRow) -> Result<Key, SideError> {
        let key = self.plan.key_of(row);
        let key = key.ok_or_else(|| cannot(self.plan, "a key cannot be read"))?;
        match key.contains(&Value::Null) {
            true => Err(cannot(
                self.plan,
                "a row's key holds NULL, which nothing is equal to; give the key's columns NOT NULL",
            )),
            false => Ok(key),
        }
    }
}

fn cannot(plan: &TablePlan, why: &str) -> SideError {
    SideError {
        kind: SideErrorKind::Table,
        message: format!("table {} cannot be compared row by row: {why}", plan.origin),
    }
}

fn changed(plan: &TablePlan) -> SideError {
    SideError {
        kind: SideErrorKind::Busy,
        message: format!(
            "table {} gets rows faster than they are read; compare it when less is written",
            plan.origin
        ),
    }
}
