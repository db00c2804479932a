//! What a channel must promise, and the outbox.

use std::sync::Arc;

use async_trait::async_trait;

use super::attempt::Answer;
use super::digest::DailyAt;
use super::message::{Message, PipelineLine};
use super::state::State;
use super::step::{Observation, Quiet};
use super::subject::Subject;
use super::terms::AllTerms;

/// A message on its way to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the outbox.
    pub number: i64,
    /// A name of the message that is the same at every attempt and in every channel, and no other message's: by it a receiver knows a repeat.
    pub id: String,
    /// The message.
    pub message: Message,
    /// Attempts, this one included.
    pub attempts: u32,
    /// Whether an earlier attempt may have been taken: it was begun, and nobody knows what came of it.
    pub may_have_come: bool,
}

/// Where messages go.
#[async_trait]
pub trait Channel: Send + Sync {
    /// One attempt. Ends within [`Channel::attempt_max_ms`], whatever the receiver does. Dropped before its end, the message may have come.
    async fn send(&self, entry: &Entry) -> Answer;

    /// How long an attempt takes at most.
    fn attempt_max_ms(&self) -> u64;

    /// The pause after a message that was taken, so that the receiver's rate is kept to.
    fn pace_ms(&self) -> u64;
}

/// Why the outbox did not do it. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("KL-NOTIFY-003: {0}")]
pub struct OutboxError(pub String);

/// What an observation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Of what.
    pub subject: Subject,
    /// The messages that are in the outbox now, or would be if the pipeline had a channel.
    pub messages: Vec<Message>,
    /// Why there is none.
    pub quiet: Option<Quiet>,
    /// The state that was told last.
    pub state: State,
}

/// What is to be done for a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this; its attempt is noted already, so that a death in the middle is known.
    Send(Box<Entry>),
    /// Nothing before this time, microseconds since 1970.
    Wait(i64),
    /// Nothing is there.
    Idle,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The entry's number.
    pub number: i64,
    /// What was answered.
    pub answer: Answer,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// The jitter of the pause, from 0 up to 1.
    pub chance: f64,
    /// The pause after a message that was taken or refused.
    pub pace_ms: u64,
}

/// How a channel does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelFigures {
    /// Its name.
    pub channel: String,
    /// Messages that wait to be sent.
    pub waiting: u64,
    /// When the oldest of them was made, microseconds since 1970.
    pub oldest_us: Option<i64>,
    /// Messages that were refused and are kept.
    pub refused: u64,
    /// Messages that were taken, ever.
    pub taken: u64,
    /// Messages that were folded into others, ever.
    pub folded: u64,
    /// What is in the way now, with its code; empty if nothing is.
    pub why: String,
}

/// A message in the outbox, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// For which channel.
    pub channel: String,
    /// The entry; its attempts are those that were made.
    pub entry: Entry,
    /// Whether it was refused; else it waits.
    pub is_refused: bool,
    /// What was answered last.
    pub why: String,
}

/// A digest to be made if it is due.
#[derive(Clone, Debug, PartialEq)]
pub struct DigestOrder {
    /// When, each day.
    pub at: DailyAt,
    /// The pipelines now.
    pub pipelines: Vec<PipelineLine>,
    /// The channels that are told.
    pub channels: Vec<Arc<str>>,
}

/// Where subjects' standings and messages are kept until they are told.
///
/// Durable: what a call says is done survives a crash. A standing and the messages that follow from it change together or not at all, so that no change is
/// told twice and none is lost. Several processes may use one outbox at once; one at a time sends (who holds its lock). Bounded: too many messages of a channel,
/// and too old ones, are folded into one that says so.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes observations in, in this order, and puts the messages that follow into the outbox; subjects that have rested are told of too. The same run of
    /// the same table again changes nothing: who does not know whether a call came through calls again.
    async fn observe(
        &self,
        observations: Vec<Observation>,
        terms: Arc<AllTerms>,
        now_us: i64,
    ) -> Result<Vec<Taken>, OutboxError>;

    /// Puts the digest in if it is due, once for all processes. Says whether it was.
    async fn digest(
        &self,
        order: DigestOrder,
        terms: Arc<AllTerms>,
        now_us: i64,
    ) -> Result<bool, OutboxError>;

    /// What to do for a channel: messages in their order, of which one that fails again and again only holds up others of its own subject. Only for who holds
    /// the lock.
    async fn next(&self, channel: &str, now_us: i64) -> Result<Next, OutboxError>;

    /// Notes what came of an attempt, and when the next one is.
    async fn answered(&self, channel: &str, answered: Answered) -> Result<(), OutboxError>;

    /// How the channels do that anything is known of, by name.
    async fn figures(&self) -> Result<Vec<ChannelFigures>, OutboxError>;

    /// What is in the outbox, oldest first.
    async fn kept(&self) -> Result<Vec<Kept>, OutboxError>;

    /// Refused messages of a channel, or of all: to be sent again, or dropped. How many there were.
    async fn resolve_refused(
        &self,
        channel: Option<&str>,
        discard: bool,
    ) -> Result<u64, OutboxError>;
}
