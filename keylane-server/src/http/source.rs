//! Where the answers come from.

use async_trait::async_trait;
use keylane::sqlite::journal::LastCompared;
use keylane_core::apply::Threads;

use crate::notify::ChannelView;
use crate::parked::ParkedView;
use crate::status::PipelineView;
use crate::threads::ThreadsView;

/// An answer, or why there is none (in words without row values and secrets).
pub type Answer<T> = Result<T, String>;

/// What the HTTP service tells of. Each call ends within seconds, whatever is unreachable.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The pipelines, the worst first.
    async fn status(&self) -> Vec<PipelineView>;

    /// The channels that are told, by name; none if nobody is.
    async fn channels(&self) -> Vec<ChannelView>;

    /// Of each table the last comparison of all its rows; none if nothing was compared.
    async fn compared(&self) -> Vec<LastCompared>;

    /// How many threads apply a pipeline, and so many from now on if that is asked for; `None` if there is no such pipeline, or it has no replica.
    async fn threads(&self, pipeline: &str, ask: Option<Threads>) -> Answer<Option<ThreadsView>>;

    /// All parked keys, oldest first.
    async fn parked(&self) -> Answer<Vec<ParkedView>>;
}
