//! The origin in a task of its own: it reads ahead by a few batches, and nothing that happens at the log interrupts it.

use keylane_core::capture::{
    ChunkRequest, Origin, OriginError, OriginErrorKind, OriginEvent, OutboxRow, RefusedRow,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Batches that are read ahead of what was taken.
const BATCHES_AHEAD: usize = 2;
/// Requests on their way to the origin.
const REQUESTS_MAX: usize = 16;

/// What the origin is asked.
enum Request {
    Confirm(u64),
    Chunk(ChunkRequest),
    Park(Vec<RefusedRow>),
    Purge(Vec<OutboxRow>),
}

/// The origin, read by a task that ends with this value.
pub(super) struct Reader {
    events: mpsc::Receiver<Result<Vec<OriginEvent>, OriginError>>,
    requests: mpsc::Sender<Request>,
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    /// Starts reading, batches of about `batch_bytes`.
    pub(super) fn start(mut origin: Box<dyn Origin>, batch_bytes: usize) -> Self {
        let (told, events) = mpsc::channel(BATCHES_AHEAD);
        let (requests, mut asked) = mpsc::channel(REQUESTS_MAX);
        let task = tokio::spawn(async move {
            loop {
                // Room first: an event that was read is never dropped.
                let permit = tokio::select! {
                    permit = told.reserve() => permit,
                    request = asked.recv() => {
                        let Some(request) = request else { return };
                        if let Err(error) = answer(origin.as_mut(), request).await {
                            let _ = told.send(Err(error)).await;
                            return;
                        }
                        continue;
                    }
                };
                let Ok(permit) = permit else { return };
                let read = tokio::select! {
                    read = origin.next(batch_bytes) => read,
                    request = asked.recv() => {
                        let Some(request) = request else { return };
                        match answer(origin.as_mut(), request).await {
                            Ok(()) => continue,
                            Err(error) => Err(error),
                        }
                    }
                };
                let over = read.is_err();
                permit.send(read);
                if over {
                    return;
                }
            }
        });
        Reader {
            events,
            requests,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The next events. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Vec<OriginEvent>, OriginError> {
        self.events.recv().await.unwrap_or_else(|| Err(gone()))
    }

    /// Lets the origin forget everything up to this place, after all that was asked for before is done.
    pub(super) async fn confirm(&self, up_to: u64) -> Result<(), OriginError> {
        self.ask(Request::Confirm(up_to)).await
    }

    /// Asks for a piece of a table.
    pub(super) async fn request_chunk(&self, request: ChunkRequest) -> Result<(), OriginError> {
        self.ask(Request::Chunk(request)).await
    }

    /// Writes rows that are not published back into their outbox. A failure ends the session, before anything that was asked for later is done.
    pub(super) async fn park(&self, rows: Vec<RefusedRow>) -> Result<(), OriginError> {
        self.ask(Request::Park(rows)).await
    }

    /// Deletes rows that are published. A failure ends the session, before anything that was asked for later is done.
    pub(super) async fn purge(&self, rows: Vec<OutboxRow>) -> Result<(), OriginError> {
        self.ask(Request::Purge(rows)).await
    }

    async fn ask(&self, request: Request) -> Result<(), OriginError> {
        self.requests.send(request).await.map_err(|_| gone())
    }
}

async fn answer(origin: &mut dyn Origin, request: Request) -> Result<(), OriginError> {
    match request {
        Request::Confirm(up_to) => origin.confirm(up_to).await,
        Request::Chunk(request) => origin.request_chunk(request).await,
        Request::Park(rows) => origin.park_events(&rows).await,
        Request::Purge(rows) => origin.purge_events(&rows).await,
    }
}

/// The task has told its error already, or is being ended.
fn gone() -> OriginError {
    OriginError {
        kind: OriginErrorKind::Unreachable,
        code: "KL-CAPTURE-101",
        message: "the origin's session has ended".to_owned(),
    }
}
