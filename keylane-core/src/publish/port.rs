//! The log: what Kafka and the embedded log both promise.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::{Offset, TopicPartition};

use super::{GroupMember, GroupSettings};

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions.
    pub partitions: u32,
    /// How many copies (Kafka).
    pub replication_factor: i32,
    /// Settings by their Kafka names.
    pub settings: Vec<(String, String)>,
}

/// The setting that says how many copies must hold a record before it counts as written.
const IN_SYNC: &str = "min.insync.replicas";

impl TopicSpec {
    /// Of three copies or more, two must hold a record before it counts as written, unless the settings say otherwise. By a broker's own default one is enough, and
    /// its loss would lose what was acknowledged. With two copies both would have to be there for anything to be written: that is for a person to choose.
    #[must_use]
    pub fn held_twice(mut self) -> Self {
        let is_said = self.settings.iter().any(|(name, _)| name == IN_SYNC);
        if self.replication_factor >= 3 && !is_said {
            self.settings.push((IN_SYNC.to_owned(), "2".to_owned()));
        }
        self
    }
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// What tells it from an earlier topic of that name.
    pub id: Arc<str>,
    /// How many partitions.
    pub partitions: u32,
    /// Whether this call created it.
    pub created: bool,
    /// The largest record that it takes, where it was asked for and told.
    pub record_bytes_max: Option<usize>,
}

/// A record to append.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Where to.
    pub partition: TopicPartition,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers besides Keylane's own.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// Keylane's own header, encoded; empty for a record that is not Keylane's own.
    pub keylane: String,
    /// The time of handing it over, milliseconds since 1970. Retention goes by it, and a broker forgets the producer of records that are a day old: when the change
    /// itself was made is told elsewhere.
    pub timestamp_ms: i64,
}

impl NewRecord {
    /// Memory and wire size, for byte budgets (64 bytes are counted for framing).
    pub fn size_bytes(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        64 + self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + self.keylane.len()
            + headers
    }
}

/// A record as the log holds it.
#[derive(Clone, Debug)]
pub struct RawRecord {
    /// Its place.
    pub offset: Offset,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Keylane's own header, if it has one.
    pub keylane: Option<Bytes>,
    /// All headers, if the log was opened to tell them.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// The log's time of the record, milliseconds since 1970.
    pub timestamp_ms: i64,
}

impl RawRecord {
    /// Memory this record holds, for byte budgets.
    pub fn size_bytes(&self) -> usize {
        let part = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        96 + part(&self.key) + part(&self.value) + part(&self.keylane) + headers
    }
}

/// The offsets a partition holds: from `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The lowest offset still held.
    pub start: Offset,
    /// The next offset to be written.
    pub end: Offset,
}

/// Resolves once every record of an append is durable, with their offsets in the order given.
pub type AppendTicket = Pin<Box<dyn Future<Output = Result<Vec<Offset>, LogError>> + Send>>;

/// What went wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LogError {
    /// What to do about it.
    pub kind: LogErrorKind,
    /// What happened and where, without record contents.
    pub message: String,
}

impl LogError {
    /// An error of a kind.
    pub fn new(kind: LogErrorKind, message: impl Into<String>) -> Self {
        LogError {
            kind,
            message: message.into(),
        }
    }
}

/// What an error of the log asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogErrorKind {
    /// Not reachable now; trying again may help.
    Unreachable,
    /// A send's fate is unknown, or the producer was fenced: this session is over, open a new epoch.
    SessionOver,
    /// Another process has this member's name in the group, or had: trying again takes it back.
    Replaced,
    /// Credentials or rights are wrong.
    Denied,
    /// The topic is not there, or not as it was (re-created, other number of partitions).
    TopicMismatch,
    /// The offset asked for is no longer held.
    OutOfRange,
    /// A record is larger than the log takes.
    TooLarge,
    /// No room left on the device.
    DiskFull,
    /// Something else; the message says what.
    Other,
}

impl LogErrorKind {
    /// Whether trying again may help: the log comes back, or a new session is opened.
    pub fn passes(self) -> bool {
        let anew = matches!(self, LogErrorKind::SessionOver | LogErrorKind::Replaced);
        anew || self.away().is_some()
    }

    /// What is wrong with the log, in words, where waiting for it helps and it is nobody's fault here.
    pub fn away(self) -> Option<&'static str> {
        match self {
            LogErrorKind::Unreachable => Some("the log is not reachable"),
            LogErrorKind::DiskFull => Some("the log has no room"),
            LogErrorKind::SessionOver
            | LogErrorKind::Replaced
            | LogErrorKind::Denied
            | LogErrorKind::TopicMismatch
            | LogErrorKind::OutOfRange
            | LogErrorKind::TooLarge
            | LogErrorKind::Other => None,
        }
    }
}

/// A partitioned, durable log.
///
/// *Order*: records of one `append` and of successive `append` calls land in each partition in the order given. *Duplicates*: none within the life of
/// one `Log` value, also over retries. *Durability*: a ticket resolves `Ok` only when the records survive the loss of the process and, as far as the log is
/// configured to, of a machine. *Cancellation*: dropping a ticket does not withdraw the records.
#[async_trait]
pub trait Log: Send + Sync {
    /// Creates what is missing and verifies what is there.
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<Vec<TopicInfo>, LogError>;

    /// A topic as it is, and the largest record that it takes if it tells; `None` if it is not there.
    async fn describe_topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError>;

    /// Hands records over. Waits while too many bytes are in flight (back-pressure); returns as soon as they are queued.
    async fn append(&self, records: Vec<NewRecord>) -> Result<AppendTicket, LogError>;

    /// The offsets a partition holds.
    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError>;

    /// Reads from an offset: at most about `bytes_max` (at least one record if there is one), nothing when at the end. Offsets may have gaps.
    async fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<RawRecord>, LogError>;

    /// Opens a consumer without partitions. `buffer_bytes` bounds what it holds ahead of what was fetched from it, over all partitions.
    async fn consumer(
        &self,
        group: &str,
        buffer_bytes: usize,
    ) -> Result<Box<dyn LogConsumer>, LogError>;

    /// Becomes a member of a group, to be told which partitions of these topics to read.
    async fn join(
        &self,
        group: &GroupSettings,
        topics: &[Arc<str>],
    ) -> Result<Box<dyn GroupMember>, LogError>;

    /// Lets the log drop records before an offset, where its retention is ours to keep (the embedded log); elsewhere does nothing.
    async fn trim(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError>;
}

/// Reads many partitions for one process.
///
/// *Order*: each partition's records in offset order, no record twice between two `assign`s. *Fairness*: a partition with room is never starved by others.
#[async_trait]
pub trait LogConsumer: Send {
    /// Adds a partition, read from an offset on; an assigned one starts anew there.
    async fn assign(&mut self, partition: &TopicPartition, from: Offset) -> Result<(), LogError>;

    /// Removes a partition.
    async fn unassign(&mut self, partition: &TopicPartition) -> Result<(), LogError>;

    /// Records of partitions for which `room` says bytes, each at most about that many (at least one if it has any). Waits up to `wait` for the first;
    /// then empty. Safe to cancel: nothing fetched is lost.
    async fn fetch(
        &mut self,
        room: &[(TopicPartition, usize)],
        wait: Duration,
    ) -> Result<Vec<(TopicPartition, Vec<RawRecord>)>, LogError>;

    /// The end of each assigned partition, as far as known without asking the log again.
    fn ends(&self) -> Vec<(TopicPartition, Offset)>;
}

#[cfg(test)]
mod tests {
    use super::{IN_SYNC, TopicSpec};

    #[test]
    fn of_three_copies_two_must_hold_a_record_unless_somebody_said_otherwise() {
        let in_sync = |copies, said: &[&str]| {
            let said = said.iter();
            let spec = TopicSpec {
                name: "t".into(),
                partitions: 1,
                replication_factor: copies,
                settings: said
                    .map(|value| (IN_SYNC.to_owned(), (*value).to_owned()))
                    .collect(),
            };
            let settings = spec.held_twice().settings.into_iter();
            settings.map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(in_sync(3, &[]), ["2"]);
        assert_eq!(in_sync(5, &[]), ["2"]);
        assert_eq!(in_sync(3, &["1"]), ["1"]);
        assert_eq!(in_sync(2, &[]), [""; 0]);
        assert_eq!(in_sync(1, &[]), [""; 0]);
    }
}
