//! What a store of tracks must promise: what was heard is joined in one transaction, and so is what somebody asks for with what is to be told of it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Choreographies, Signal, Track};
use crate::model::Offset;
use crate::saga::port::{Line, StoreError};

/// What is kept of a choreographed saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its id.
    pub id: String,
    /// What was heard of it.
    pub track: Track,
    /// What was asked of it, oldest first.
    pub asked: Vec<Line>,
    /// What its services are told because of that, and whether it has gone out.
    pub told: Vec<(Signal, bool)>,
}

/// A signal that is to go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedSignal {
    /// Its number.
    pub number: i64,
    /// What is told.
    pub signal: Signal,
    /// Where the partition that it goes into ended when it was first tried to be sent: if it went out, it stands behind.
    pub tried_at: Option<(u32, Offset)>,
}

/// Where the tracks of choreographed sagas are kept.
///
/// Every method is atomic, and durable when it returns. Any number of processes may use one store.
#[async_trait]
pub trait TrackStore: Send + Sync {
    /// Joins what was heard of these sagas into what is known of them. Doing it again, or in another order, comes to the same rows.
    async fn join(
        &self,
        heard: &BTreeMap<String, Track>,
        known: &Choreographies,
    ) -> Result<(), StoreError>;

    /// Makes a number of rows anew that were made by other choreographies; how many: 0 when there are no more.
    async fn renew(&self, known: &Choreographies) -> Result<u64, StoreError>;

    /// All that is kept of a saga; `None`: nothing was heard of it, or it is forgotten.
    async fn tracked(&self, id: &str) -> Result<Option<Tracked>, StoreError>;

    /// Notes in a saga's timeline what was asked, and puts what follows from it into the outbox; what went out before goes out again.
    async fn signal(&self, id: &str, asked: &[Line], signals: &[Signal]) -> Result<(), StoreError>;

    /// Signals of sagas in these shards, oldest first, at most `limit`.
    async fn unsent_signals(
        &self,
        shards: &[u16],
        limit: usize,
    ) -> Result<Vec<NotedSignal>, StoreError>;

    /// Notes where a partition ends before a signal is sent into it for the first time.
    async fn try_signal(&self, number: i64, partition: u32, end: Offset) -> Result<(), StoreError>;

    /// A signal stands in its topic: it leaves the outbox.
    async fn signal_sent(&self, number: i64) -> Result<(), StoreError>;
}
