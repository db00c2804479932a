//! The group: which of several processes reads which partitions.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{Offset, TopicPartition};

use super::LogError;

/// What a group tells one of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupNews {
    /// These partitions are this member's from now on.
    Take(Vec<TopicPartition>),
    /// These are to be given up. Nobody else gets them before [`GroupMember::answer`].
    GiveUp(Vec<TopicPartition>),
    /// These may be another's already: the group took this member for dead, or it could not be reached for too long.
    Lost(Vec<TopicPartition>),
}

/// Whether the group counts a process as its member, by its own word and at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It does.
    Member,
    /// It does not any more.
    Outsider,
}

/// How a process is a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// The group's name.
    pub name: String,
    /// How members and the log agree.
    pub protocol: GroupProtocol,
    /// After how long without a sign of life a member counts as dead, in milliseconds. With [`GroupProtocol::Consumer`] the log's own setting counts.
    pub session_timeout_ms: u32,
    /// A name that stays over restarts: who comes back under it before the session is over gets its partitions back, and nothing moves. Such a member does not
    /// tell when it leaves. No two live processes may have the same.
    pub instance_id: Option<String>,
}

/// How the members of a group and the log agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The members agree among themselves, cooperatively: only what moves is given up. Every Kafka can do it.
    #[default]
    Classic,
    /// The broker decides (KIP-848, Kafka 4.0 and later).
    Consumer,
}

/// How far a group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Which.
    pub partition: TopicPartition,
    /// The next offset to be read.
    pub offset: Offset,
    /// Words that go with it; the log bounds their length.
    pub metadata: String,
}

/// An answer that is waited for while other news may come.
pub type GroupAnswer<T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send>>;

/// A process's membership. It ends when dropped; [`GroupMember::leave`] waits for it.
///
/// *Exclusion is not promised*: a member that hangs, or cannot be reached, may believe that a partition is its own while it is another's already. What must be
/// written once is fenced where it is written.
#[async_trait]
pub trait GroupMember: Send {
    /// Whether partitions move between processes here. If not, who joined last has all of them; who had them before loses them once it has asked how far the group is, and else only notices by
    /// its own fence.
    fn shares(&self) -> bool;

    /// The next news. Safe to cancel; news is given once.
    async fn news(&mut self) -> Result<GroupNews, LogError>;

    /// Says that what the last news asked for is done. The next news may come only then.
    async fn answer(&mut self) -> Result<(), LogError>;

    /// Reads these topics from now on.
    async fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), LogError>;

    /// What the group keeps of these partitions. Where partitions do not move, a member takes the group over by asking first: from then on the group keeps nothing that an earlier member says.
    fn committed(&self, partitions: Vec<TopicPartition>) -> GroupAnswer<Vec<Committed>>;

    /// Keeps how far this process is, once it has heard how far the group was, in the order of the calls, whichever answer is waited for first. An outsider's word is not kept: so this also tells, if
    /// of at least one partition, whether the group counts this process as its member.
    fn commit(&self, progress: Vec<Committed>) -> GroupAnswer<Membership>;

    /// Leaves, so that others need not wait for the session to end. Bounded in time.
    async fn leave(self: Box<Self>);
}
