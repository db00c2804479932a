//! Chunks of a table, read beside the stream: a task with two connections of its own, and the mark at which a chunk's rows belong into the stream.

use std::sync::Arc;

use keylane_core::capture::{ChunkRequest, OriginError};
use keylane_core::model::{Row, TableName, TableSchema, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::PostgresOriginConfig;
use super::chunk_read::Reader;
use super::error::{code, refused, unreachable};
use super::visibility::Delivered;

/// Some of a chunk's rows.
#[derive(Debug)]
pub(super) struct Part {
    pub schema: Arc<TableSchema>,
    pub rows: Vec<Row>,
    /// As in `OriginEvent::Chunk`.
    pub next_after: Option<Vec<Value>>,
    /// Whether it is the chunk's last.
    pub last: bool,
}

/// A chunk to read.
pub(super) struct Job {
    pub request: ChunkRequest,
    /// The content of the message that marks its place.
    pub mark: String,
    /// What it must see.
    pub delivered: Delivered,
    pub parts: mpsc::Sender<Result<Part, OriginError>>,
}

/// The reading task of a session; ends with this value.
pub(super) struct ChunkTask {
    jobs: mpsc::Sender<Job>,
    task: JoinHandle<()>,
}

impl Drop for ChunkTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ChunkTask {
    /// Starts it; it connects at the first request.
    pub fn start(config: PostgresOriginConfig, captured: Vec<TableName>) -> Self {
        let (jobs, mut incoming) = mpsc::channel::<Job>(1);
        let task = tokio::spawn(async move {
            let mut reader = Reader::new(config, captured.into_iter().collect());
            while let Some(job) = incoming.recv().await {
                if let Err(error) = reader.read(&job).await {
                    reader.disconnect();
                    // Nobody waits any more if this fails: the session is gone.
                    let _ = job.parts.send(Err(error)).await;
                }
            }
        });
        ChunkTask { jobs, task }
    }

    /// Hands a chunk to the task.
    pub fn ask(
        &self,
        request: ChunkRequest,
        session: &str,
        delivered: Delivered,
    ) -> Result<PendingChunk, OriginError> {
        // One part waits while the next is read: that is all of a chunk that is in memory.
        let (parts, receiver) = mpsc::channel(1);
        let mark = format!("chunk:{session}:{}", request.id);
        let pending = PendingChunk {
            id: request.id,
            mark: mark.clone(),
            parts: receiver,
            first: None,
            pouring: false,
        };
        self.jobs
            .try_send(Job {
                request,
                mark,
                delivered,
                parts,
            })
            .map_err(|_| {
                refused(
                    code::CONFIGURATION,
                    "a chunk was asked for while another was still being read",
                )
            })?;
        Ok(pending)
    }
}

/// A chunk that was asked for and is not wholly delivered.
pub(super) struct PendingChunk {
    pub id: u64,
    /// The content of the message that marks its place.
    pub mark: String,
    parts: mpsc::Receiver<Result<Part, OriginError>>,
    first: Option<Part>,
    /// Its place in the stream is reached.
    pub pouring: bool,
}

impl PendingChunk {
    /// Whether its first rows, or its failure, are still awaited.
    pub fn awaits_first(&self) -> bool {
        self.first.is_none()
    }

    /// Waits for the first rows, so that a failed read is noticed before its mark. May be dropped.
    pub async fn fetch_first(&mut self) -> Result<(), OriginError> {
        let part = self.receive().await?;
        self.first = Some(part);
        Ok(())
    }

    /// The next rows. May be dropped.
    pub async fn next(&mut self) -> Result<Part, OriginError> {
        match self.first.take() {
            Some(part) => Ok(part),
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Result<Part, OriginError> {
        self.parts
            .recv()
            .await
            .unwrap_or_else(|| Err(unreachable("the reading of a table's rows ended early")))
    }
}
