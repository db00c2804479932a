//! Puts dead letters back where they came from, and remembers which.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use keylane_core::model::{Offset, OrderHash, TopicPartition};
use keylane_core::publish::{
    Committed, GroupMember, GroupNews, GroupProtocol, GroupSettings, Log, LogError, LogErrorKind,
    Membership, NewRecord, RawRecord,
};
use tokio_util::sync::CancellationToken;

use super::dead_letter::{DEAD, DEAD_ID, DEAD_PARTITION, DEAD_TOPIC};
use super::error::ConsumerError;
use crate::log_settings::LogSettings;
use crate::workers::stats::now_us;

/// Read, put back and committed at a time, in bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// How long the group is waited for.
const JOIN_MAX: Duration = Duration::from_secs(60);
/// The header that tells a repeat.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Dead letters to be put back.
#[derive(Clone, Debug)]
pub struct Redrive {
    log: LogSettings,
    dead_letter: Arc<str>,
    to: Option<Arc<str>>,
    max: u64,
    group: String,
}

/// What a redrive did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Letters put back.
    pub put_back: u64,
    /// Offsets that were there at the beginning and are left: letters beyond the most that were asked for, in partitions that this process had.
    pub left: u64,
    /// Offsets that no redrive of this group had put back and that are not in the topic any more: its retention removed them.
    pub gone: u64,
}

/// A partition of letters, from where it goes on to where it ended at the beginning.
struct Part {
    partition: TopicPartition,
    next: Offset,
    end: Offset,
    /// Offsets before `next` that are lost.
    gone: u64,
}

impl Redrive {
    /// Of the letters in this topic, those that no redrive of its group has put back.
    pub fn new(log: impl Into<LogSettings>, dead_letter: impl Into<Arc<str>>) -> Self {
        let dead_letter = dead_letter.into();
        Redrive {
            log: log.into(),
            to: None,
            max: u64::MAX,
            group: format!("{dead_letter}.redrive"),
            dead_letter,
        }
    }

    /// All of them into this topic; without it, each into the one it came from.
    #[must_use]
    pub fn to(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.to = Some(topic.into());
        self
    }

    /// So many at most.
    #[must_use]
    pub fn max(mut self, letters: u64) -> Self {
        self.max = letters;
        self
    }

    /// The group that remembers what was put back; by default the topic's name with `.redrive`.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Puts them back: in the order of their partition, with their key, value and headers (but what told of their death), and with an `Idempotency-Key` that is the id under which they failed, so that
    /// a handler tells what it did before. A letter goes to the partition that it came from, if its topic is the same, else by its key as Kafka's own partitioner does.
    ///
    /// What is there when it begins is put back; letters that come meanwhile are for the next time. After a crash, letters that were put back and not yet remembered are put back again, under the same
    /// `Idempotency-Key`: at least once.
    ///
    /// # Errors
    /// If the log fails, a topic is not there (KL-CONSUME-002), or a record is no dead letter and nothing says where it is to go (KL-CONSUME-007). What was put back before that is remembered.
    pub async fn run(self, stop: CancellationToken) -> Result<Redriven, ConsumerError> {
        if self.to.as_ref() == Some(&self.dead_letter) {
            let words = "letters are not put back into the topic of dead letters itself";
            return Err(ConsumerError::Misused(words.to_owned()));
        }
        let log = self.log.clone().with_headers().open().await?;
        partitions_of(&*log, &self.dead_letter).await?;
        let group = GroupSettings {
            name: self.group.clone(),
            protocol: GroupProtocol::Classic,
            session_timeout_ms: 10_000,
            instance_id: None,
        };
        let mut member = log
            .join(&group, std::slice::from_ref(&self.dead_letter))
            .await?;
        let done = self.put_back(&*log, &mut *member, &stop).await;
        member.leave().await;
        done
    }

    async fn put_back(
        &self,
        log: &dyn Log,
        member: &mut dyn GroupMember,
        stop: &CancellationToken,
    ) -> Result<Redriven, ConsumerError> {
        let first = tokio::select! {
            () = stop.cancelled() => return Ok(Redriven::default()),
            news = tokio::time::timeout(JOIN_MAX, member.news()) => news,
        };
        let silent = |_| LogError::new(LogErrorKind::Unreachable, "the group does not answer");
        let mut parts = VecDeque::new();
        hear(log, member, first.map_err(silent)??, &mut parts).await?;
        let mut done = Redriven::default();
        let mut topics = BTreeMap::new();
        while let Some(mut part) = parts.pop_front() {
            done.gone += std::mem::take(&mut part.gone);
            if part.next >= part.end {
                continue;
            }
            if stop.is_cancelled() || done.put_back >= self.max {
                done.left += part.end.0 - part.next.0;
                continue;
            }
            let chunk = log.read(&part.partition, part.next, CHUNK_BYTES).await?;
            let most = usize::try_from(self.max - done.put_back).unwrap_or(usize::MAX);
            let chunk: Vec<RawRecord> = chunk
                .into_iter()
                .filter(|record| record.offset < part.end)
                .take(most)
                .collect();
            part.next = chunk.last().map_or(part.end, |last| last.offset.next());
            let mut back = Vec::with_capacity(chunk.len());
            for record in chunk {
                back.push(self.back(log, &mut topics, &part.partition, record).await?);
            }
            let count = back.len() as u64;
            if count > 0 {
                log.append(back).await?.await?;
            }
            let committed = Committed {
                partition: part.partition.clone(),
                offset: part.next,
                metadata: String::new(),
            };
            done.put_back += count;
            if member.commit(vec![committed]).await? == Membership::Outsider {
                let words = "another redrive of this group has taken over: what this one put back last may be put back again";
                return Err(ConsumerError::Misused(words.to_owned()));
            }
            parts.push_front(part);
            if let Some(news) = member.news().now_or_never() {
                hear(log, member, news?, &mut parts).await?;
            }
        }
        Ok(done)
    }

    /// A letter as it goes back.
    async fn back(
        &self,
        log: &dyn Log,
        topics: &mut BTreeMap<Arc<str>, u32>,
        from: &TopicPartition,
        record: RawRecord,
    ) -> Result<NewRecord, ConsumerError> {
        let header = |name: &str| {
            let found = record.headers.iter().find(|(own, _)| &**own == name);
            found.and_then(|(_, value)| std::str::from_utf8(value).ok())
        };
        let origin = header(DEAD_TOPIC);
        let Some(topic) = self.to.clone().or_else(|| origin.map(Arc::from)) else {
            return Err(ConsumerError::Misused(format!(
                "{from} at offset {} is no dead letter, since no header {DEAD_TOPIC} says where it came from: say where it is to go (--to)",
                record.offset.0
            )));
        };
        let count = match topics.get(&topic) {
            Some(count) => *count,
            None => {
                let count = partitions_of(log, &topic).await?;
                topics.insert(topic.clone(), count);
                count
            }
        };
        let number = header(DEAD_PARTITION).and_then(|number| number.parse::<u32>().ok());
        let same_topic = origin == Some(&*topic);
        let number = match (number, &record.key) {
            (Some(number), _) if same_topic && number < count => number,
            (_, Some(key)) => OrderHash::of(key).partition(count),
            (number, None) => number.unwrap_or(from.partition) % count.max(1),
        };
        let id = header(DEAD_ID).map(str::to_owned);
        let known = |name: &str| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY);
        let mut headers = record.headers;
        headers.retain(|(name, _)| !name.starts_with(DEAD) || &**name == DEAD_ID);
        if let Some(id) = id
            && !headers.iter().any(|(name, _)| known(name))
        {
            headers.push((IDEMPOTENCY_KEY.into(), Bytes::from(id)));
        }
        Ok(NewRecord {
            partition: TopicPartition::new(topic, number),
            key: record.key,
            value: record.value,
            headers,
            keylane: String::new(),
            timestamp_ms: now_us() / 1000,
        })
    }
}

async fn partitions_of(log: &dyn Log, topic: &Arc<str>) -> Result<u32, LogError> {
    let info = log.describe_topic(topic).await?;
    info.map(|info| info.partitions).ok_or_else(|| {
        let message = format!("topic {topic} is not there");
        LogError::new(LogErrorKind::TopicMismatch, message)
    })
}

/// What the group says: partitions to be read, from where it remembers, or none any more.
async fn hear(
    log: &dyn Log,
    member: &mut dyn GroupMember,
    news: GroupNews,
    parts: &mut VecDeque<Part>,
) -> Result<(), LogError> {
    match news {
        GroupNews::Take(partitions) => {
            let committed = member.committed(partitions.clone()).await?;
            for partition in partitions {
                let bounds = log.bounds(&partition).await?;
                let found = committed.iter().find(|it| it.partition == partition);
                let stood = found.map_or(Offset(0), |found| found.offset);
                parts.push_back(Part {
                    partition,
                    next: stood.max(bounds.start),
                    end: bounds.end,
                    gone: bounds.start.0.saturating_sub(stood.0),
                });
            }
        }
        GroupNews::GiveUp(partitions) | GroupNews::Lost(partitions) => {
            parts.retain(|part| !partitions.contains(&part.partition));
        }
    }
    member.answer().await
}
