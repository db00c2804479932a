//! Forgetting what was confirmed: in bounded transactions, so that the origin's own writers hardly wait.

use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};

/// Changes forgotten in one transaction.
const ROWS_MAX: u64 = 2000;
/// Transactions in one go; then whoever asks is heard first.
const STEPS_MAX: u32 = 16;
/// A confirmed change is forgotten after this long at the latest, if the stream goes on or rests.
const DELAY_MAX: Duration = Duration::from_millis(500);

/// What is confirmed, and what of it is forgotten already.
pub(super) struct Cleaner {
    confirmed: u64,
    cleaned: u64,
    last: Instant,
}

impl Cleaner {
    pub(super) fn new(confirmed: u64) -> Self {
        Cleaner {
            confirmed,
            // What an earlier session confirmed may not be forgotten yet.
            cleaned: 0,
            last: Instant::now(),
        }
    }

    pub(super) fn confirm(&mut self, up_to: u64) {
        self.confirmed = self.confirmed.max(up_to);
    }

    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Whether there is enough to forget, or it has waited long enough.
    pub(super) fn is_due(&self) -> bool {
        let behind = self.confirmed.saturating_sub(self.cleaned);
        behind >= ROWS_MAX || (behind > 0 && self.last.elapsed() >= DELAY_MAX)
    }

    /// Forgets a bounded part.
    pub(super) fn clean(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        self.last = Instant::now();
        for _ in 0..STEPS_MAX {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let lowest: Option<u64> =
                transaction
                    .query_row("SELECT min(seq) FROM keylane_change", [], |row| row.get(0))?;
            let upper = lowest.map_or(self.confirmed, |lowest| {
                self.confirmed.min(lowest.saturating_add(ROWS_MAX - 1))
            });
            transaction
                .prepare_cached("DELETE FROM keylane_change WHERE seq <= ?1")?
                .execute([upper])?;
            transaction
                .prepare_cached(
                    "UPDATE keylane_capture SET confirmed = max(confirmed, ?1) WHERE id = 1",
                )?
                .execute(params![self.confirmed])?;
            transaction.commit()?;
            self.cleaned = upper;
            if self.cleaned >= self.confirmed {
                break;
            }
        }
        Ok(())
    }
}
