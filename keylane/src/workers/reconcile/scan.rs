//! A table's ranges of the key, one after another: by rows or by checksums, whichever is chosen.

use std::time::Duration;

use keylane_core::reconcile::{
    Choice, ChunkSize, Figures, How, Key, Method, Range, SideError, TablePlan,
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::by_checksums::by_checksums;
use super::by_rows::ByRows;
use super::suspects::Seen;
use super::table::{Between, Comparing};

/// A table that is compared from its first range to its last.
pub(super) struct Scan<'a> {
    comparing: &'a Comparing,
    plan: &'a TablePlan,
    rows: ByRows<'a>,
    choice: Choice,
    /// Rows that are added up at once.
    added: ChunkSize,
    /// See [`Scan::owed`].
    owed: Duration,
}

impl<'a> Scan<'a> {
    pub fn new(
        comparing: &'a Comparing,
        plan: &'a TablePlan,
        between: &Between,
        after: Option<Key>,
    ) -> Self {
        let has_checksums = between.origin.has_checksum(plan) && between.replica.has_checksum(plan);
        if comparing.method == Method::Checksums && !has_checksums {
            warn!(table = %plan.origin, "read row by row: these two tables cannot be added up in their databases");
        }
        let range = Range { after, up_to: None };
        Scan {
            comparing,
            plan,
            rows: ByRows::new(comparing, plan, range),
            choice: Choice::new(comparing.method, has_checksums),
            added: ChunkSize::new(comparing.read_target),
            owed: Duration::ZERO,
        }
    }

    /// The key up to which everything was compared; `None` before the first and behind the last.
    pub fn after(&self) -> Option<Key> {
        self.rows.rest()?.after
    }

    /// Compares the next range; what differs in it, or `None` if there is none.
    pub async fn next(
        &mut self,
        between: &mut Between,
        figures: &mut Figures,
    ) -> Result<Option<Vec<Seen>>, SideError> {
        let Some(rest) = self.rows.rest() else {
            return Ok(None);
        };
        let began = Instant::now();
        let before = figures.rows_origin;
        // What was read ahead is not thrown away.
        let how = match self.rows.is_ahead() {
            true => How::Rows,
            false => self.choice.how(),
        };
        let seen = match how {
            How::Rows => {
                let reads_ahead = self.choice.how() == How::Rows;
                self.rows.next(between, figures, reads_ahead).await?
            }
            How::Checksums => {
                let size = self.added.rows();
                let summed =
                    by_checksums(self.comparing, self.plan, between, &rest, size, figures).await?;
                let rows = usize::try_from(summed.rows).unwrap_or(usize::MAX);
                self.added.took((rows, rows), usize::MAX, summed.took);
                self.rows.pass(summed.up_to);
                summed.seen
            }
        };
        let worked = began.elapsed();
        let rows = figures.rows_origin - before;
        if let Some(changed) = self.choice.took(how, rows, worked) {
            let (by_checksums, by_rows) = (changed.checksums_per_second, changed.rows_per_second);
            let words = match changed.to {
                How::Checksums => {
                    "from here on rows are added up in the databases, since that is faster"
                }
                How::Rows => "from here on rows are read, since that is not slower",
            };
            info!(table = %self.plan.origin, "{words}: {by_checksums:.0} rows/s by checksums, {by_rows:.0} by reading them");
        }
        let load = self.comparing.load.clamp(0.01, 1.0);
        self.owed = worked.mul_f64((1.0 - load) / load);
        Ok(Some(seen))
    }

    /// See [`ByRows::read_again`].
    pub fn read_again(&mut self) {
        self.rows.read_again();
    }

    /// How long the databases are to be left alone after what was read last.
    pub fn owed(&self) -> Duration {
        self.owed
    }

    /// Leaves them alone for so long.
    pub async fn pause(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if !owed.is_zero() {
            tokio::time::sleep(owed).await;
        }
    }
}
