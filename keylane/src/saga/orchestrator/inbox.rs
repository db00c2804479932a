//! What has come in and is not decided: bounded in number and in bytes. Who brings more waits.

use std::sync::Arc;

use keylane_core::saga::{Operation, Outcome, ParkedAnswer, Plan, Reply, Start};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::event::{Asked, Begun, Incoming, NotAsked, NotBegun};

/// What may wait to be decided.
const WAITING_MAX: usize = 4_096;
/// What may wait to be decided, in KiB.
const WAITING_KIB_MAX: u32 = 64 << 10;
/// What goes into one batch, in KiB.
pub(super) const BATCH_KIB_MAX: u32 = 16 << 10;

/// Something that came in, with the room that it takes.
pub(super) struct Waiting {
    pub incoming: Incoming,
    pub kib: u32,
    _room: OwnedSemaphorePermit,
}

/// Where everything comes in.
#[derive(Clone)]
pub struct Door {
    into: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// A door and what has come in by it.
pub(super) fn inbox() -> (Door, mpsc::Receiver<Waiting>) {
    let (into, waiting) = mpsc::channel(WAITING_MAX);
    let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
    (Door { into, room }, waiting)
}

impl Door {
    /// Begins a saga. `request` is a number for all that it is asked to be: one with the same key and another number is refused.
    ///
    /// # Errors
    /// [`NotBegun`]. After `Store` and `Stopping` it may have been begun: with a key, ask again.
    pub async fn begin(
        &self,
        plan: Arc<Plan>,
        start: Start,
        request: u64,
    ) -> Result<Begun, NotBegun> {
        let bytes = start.data.to_string().len();
        let (incoming, answer) = Incoming::begin(plan, start, request);
        self.put(incoming, bytes)
            .await
            .map_err(|()| NotBegun::Stopping)?;
        answer.await.unwrap_or(Err(NotBegun::Stopping))
    }

    /// Asks something of a saga.
    ///
    /// # Errors
    /// [`NotAsked`].
    pub async fn ask(
        &self,
        saga: String,
        operation: Operation,
        actor: String,
        reason: String,
    ) -> Result<Asked, NotAsked> {
        let bytes = match &operation {
            Operation::Complete { reply, .. } => reply.to_string().len(),
            _ => 0,
        };
        let (incoming, answer) = Incoming::ask(saga, operation, actor, reason);
        self.put(incoming, bytes)
            .await
            .map_err(|()| NotAsked::Stopping)?;
        answer.await.unwrap_or(Err(NotAsked::Stopping))
    }

    /// Hands in an answer that came by itself; returns once it is decided upon and stored, or parked because its saga is not known. One that is late or repeated changes nothing.
    ///
    /// # Errors
    /// [`NotAsked`]: `Store` or `Stopping`; it must be brought again.
    pub async fn hear(&self, answer: ParkedAnswer) -> Result<(), NotAsked> {
        let (done, heard) = oneshot::channel();
        let bytes = bytes_of(&answer.reply);
        let incoming = Incoming::Heard { answer, done };
        self.put(incoming, bytes)
            .await
            .map_err(|()| NotAsked::Stopping)?;
        heard.await.unwrap_or(Err(NotAsked::Stopping))
    }

    /// What an attempt at sending came to.
    pub(super) async fn sent(&self, saga: String, reply: Option<Reply>, number: i64) {
        let bytes = reply.as_ref().map_or(0, bytes_of);
        let incoming = Incoming::Sent {
            saga,
            reply,
            number,
        };
        // At the end of the process nobody decides any more: the command is sent again.
        let _ = self.put(incoming, bytes).await;
    }

    async fn put(&self, incoming: Incoming, bytes: usize) -> Result<(), ()> {
        let kib = u32::try_from(bytes >> 10).unwrap_or(WAITING_KIB_MAX);
        let kib = (kib + 1).min(WAITING_KIB_MAX);
        let room = self.room.clone().acquire_many_owned(kib).await;
        let waiting = Waiting {
            incoming,
            kib,
            _room: room.map_err(drop)?,
        };
        self.into.send(waiting).await.map_err(drop)
    }
}

fn bytes_of(reply: &Reply) -> usize {
    match &reply.outcome {
        Outcome::Ok(body) | Outcome::Done(body) => body.to_string().len(),
        Outcome::Rejected(why) | Outcome::Unclear(why) => why.len(),
        Outcome::Fenced | Outcome::Noop | Outcome::Working => 0,
    }
}
