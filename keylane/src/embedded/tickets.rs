//! What an append's caller waits for, and the rule that keeps order over a failure: once an append failed, no later one is taken until every failed
//! one's caller knows. Otherwise a record could land behind one that did not, and a restarted capturer would take the gap for published.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use keylane_core::model::Offset;
use keylane_core::publish::{LogError, LogErrorKind, NewRecord};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

type Answer = Result<Vec<Offset>, LogError>;

/// An append on its way to the writer.
pub(super) struct Pending {
    pub(super) records: Vec<NewRecord>,
    pub(super) size_bytes: usize,
    /// The failed flag shared with the ticket.
    failed: Arc<AtomicBool>,
    reply: oneshot::Sender<Answer>,
    _in_flight: OwnedSemaphorePermit,
}

impl Pending {
    pub(super) fn succeed(self, offsets: Vec<Offset>) {
        // A dropped ticket does not withdraw its records.
        let _ = self.reply.send(Ok(offsets));
    }
}

/// Failures whose callers do not know yet.
#[derive(Default)]
pub(super) struct Unseen {
    state: Mutex<UnseenState>,
}

#[derive(Default)]
struct UnseenState {
    tickets: usize,
    error: Option<LogError>,
}

impl Unseen {
    /// Makes an append and its ticket and hands the append over, unless a failure is not known to all yet.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        records: Vec<NewRecord>,
        size_bytes: usize,
        in_flight: OwnedSemaphorePermit,
        send: impl FnOnce(Pending) -> Result<(), LogError>,
    ) -> Result<Ticket, LogError> {
        let state = self.lock();
        if let Some(error) = state.error.as_ref().filter(|_| state.tickets > 0) {
            return Err(error.clone());
        }
        let failed = Arc::new(AtomicBool::new(false));
        let (reply, answer) = oneshot::channel();
        // Sent under the lock: a failure drains the queue under it, so no append slips in behind.
        send(Pending {
            records,
            size_bytes,
            failed: Arc::clone(&failed),
            reply,
            _in_flight: in_flight,
        })?;
        Ok(Ticket {
            answer,
            failed,
            unseen: Arc::clone(self),
        })
    }

    /// Fails these appends and those that `queued` still gives.
    pub(super) fn fail(
        &self,
        error: &LogError,
        appends: Vec<Pending>,
        queued: impl Iterator<Item = Pending>,
    ) {
        let mut state = self.lock();
        state.error = Some(error.clone());
        for append in appends.into_iter().chain(queued) {
            if !append.reply.is_closed() {
                append.failed.store(true, Ordering::Relaxed);
                state.tickets += 1;
                let _ = append.reply.send(Err(error.clone()));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnseenState> {
        // Nothing under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves once the append's fate is known.
pub(super) struct Ticket {
    answer: oneshot::Receiver<Answer>,
    failed: Arc<AtomicBool>,
    unseen: Arc<Unseen>,
}

impl Future for Ticket {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(LogError::new(
                    LogErrorKind::SessionOver,
                    "the embedded log was closed before this append was known to be durable",
                ))
            })
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.unseen.lock();
        self.answer.close();
        if self.failed.load(Ordering::Relaxed) {
            state.tickets = state.tickets.saturating_sub(1);
        }
    }
}
