//! The writer's thread: takes what is queued and commits it together, in the order in which it was queued.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use keylane_core::publish::LogError;
use tokio::sync::watch;

use super::commit::{Committer, NotCommitted};
use super::tickets::{Pending, Unseen};

/// How often a full log is tried again.
const FULL_RETRY: Duration = Duration::from_millis(50);

/// What the writer's thread works with.
pub(super) struct Writer {
    pub(super) committer: Committer,
    pub(super) queue: mpsc::Receiver<Pending>,
    pub(super) unseen: Arc<Unseen>,
    /// Counts commits, so that readers of this process need not poll.
    pub(super) commits: watch::Sender<u64>,
    pub(super) batch_bytes_max: usize,
    pub(super) full_wait_max: Duration,
}

impl Writer {
    /// Until the log is dropped and the queue is empty.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let batch = self.gather(first);
            match self.commit(&batch) {
                Ok(offsets) => {
                    for (append, offsets) in batch.into_iter().zip(offsets) {
                        append.succeed(offsets);
                    }
                    self.commits.send_modify(|count| *count += 1);
                }
                Err(error) => {
                    tracing::error!(kind = ?error.kind, "publish: {error}");
                    self.unseen.fail(&error, batch, self.queue.try_iter());
                }
            }
        }
    }

    fn gather(&self, first: Pending) -> Vec<Pending> {
        let mut bytes = first.size_bytes;
        let mut batch = vec![first];
        while bytes < self.batch_bytes_max {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            bytes += next.size_bytes;
            batch.push(next);
        }
        batch
    }

    /// Commits, waiting for room for as long as is allowed.
    fn commit(
        &mut self,
        batch: &[Pending],
    ) -> Result<Vec<Vec<keylane_core::model::Offset>>, LogError> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            let error = match self.committer.commit(batch) {
                Ok(offsets) => return Ok(offsets),
                Err(NotCommitted::Failed(error)) => return Err(error),
                Err(NotCommitted::Full(error) | NotCommitted::Busy(error)) => error,
            };
            if begun.elapsed() >= self.full_wait_max {
                return Err(error);
            }
            if !told {
                tracing::warn!("publish: waiting: {error}");
                told = true;
            }
            thread::sleep(FULL_RETRY);
        }
    }
}
