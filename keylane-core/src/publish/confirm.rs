//! How far the origin may forget: only past commits whose every record the log holds durably.

use std::collections::VecDeque;

/// Tracks appended batches in order, and the commit up to which each completes the origin's log.
///
/// **Invariant:** [`ConfirmTracker::confirmed`] never passes a commit of which a record is not yet durable.
#[derive(Debug, Default)]
pub struct ConfirmTracker {
    open: VecDeque<(u64, Option<u64>)>,
    next_batch: u64,
    confirmed: u64,
}

impl ConfirmTracker {
    /// Starts where the origin's log already stands.
    pub fn starting_at(confirmed: u64) -> Self {
        ConfirmTracker {
            open: VecDeque::new(),
            next_batch: 0,
            confirmed,
        }
    }

    /// A batch goes out. `completes` is the last commit all of whose records are in this batch or in earlier ones.
    pub fn sent(&mut self, completes: Option<u64>) -> u64 {
        let batch = self.next_batch;
        self.next_batch += 1;
        self.open.push_back((batch, completes));
        batch
    }

    /// All records of the batch are durable. Batches may come back in any order.
    pub fn durable(&mut self, batch: u64) {
        let Some(front) = self.open.front().map(|(number, _)| *number) else {
            return;
        };
        if batch > front {
            // Held back until its elders are durable: remembered by making it an elder's completion.
            if let Some(index) = self.open.iter().position(|(number, _)| *number == batch)
                && let Some((_, completes)) = self.open.remove(index)
                && let Some((_, elder)) = self.open.get_mut(index - 1)
            {
                *elder = completes.or(*elder);
            }
            return;
        }
        if batch == front
            && let Some((_, Some(commit))) = self.open.pop_front()
        {
            self.confirmed = self.confirmed.max(commit);
        }
    }

    /// The commit up to which the origin may forget.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Batches that are not durable yet.
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::ConfirmTracker;

    #[test]
    fn a_commit_is_confirmed_only_when_every_batch_before_it_is_durable() {
        let mut tracker = ConfirmTracker::starting_at(5);
        let first = tracker.sent(Some(10));
        let second = tracker.sent(None);
        let third = tracker.sent(Some(30));
        tracker.durable(third);
        assert_eq!(tracker.confirmed(), 5);
        tracker.durable(first);
        assert_eq!(tracker.confirmed(), 10);
        tracker.durable(second);
        assert_eq!(tracker.confirmed(), 30);
        assert_eq!(tracker.in_flight(), 0);
    }
}
