//! Many partitions for one process: each in a queue of its own, so that one partition's flood never starves another, and a partition without room is left
//! alone without its records being thrown away.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{LogConsumer, LogError, LogErrorKind, RawRecord};
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use tokio::sync::Notify;

use super::failure::{failed, is_about_the_group, kind_of};
use super::native::last_known_end;
use super::queue::FetchedQueue;
use super::reader::{out_of_range, place_in};
use super::record::raw_record;
use super::settings::KafkaSettings;
use super::watch::Watch;

/// How often the client's own events are looked at while no record comes.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// The smallest share of the buffer that a partition gets.
const SHARE_BYTES_MIN: usize = 128 << 10;
/// The largest: more does not make it faster.
const SHARE_BYTES_MAX: usize = 16 << 20;
/// A queue is full when so much of its partition's share falls to each record. Small ones take 400 bytes in the client beside their own, so a queue of these may take half as much again as its
/// share, and a response on its way more; but a queue that holds less than a producer's batch (librdkafka makes them of 10,000 records) is full as soon as one came, and runs empty while the client
/// waits at other partitions: see [`FETCH_WAIT`].
const BYTES_A_RECORD: usize = 288;
/// Records that a queue may always hold.
const QUEUED_MIN: usize = 100;
/// A queue is full, too, when this part of a share is records' own bytes: with what is beside them and a response on its way, that is a share.
const OWN_PART: usize = 4;
/// What is fetched at once is this part of a share: fetched bytes are compressed, and a queue that has room takes all that they become.
const FETCH_PART: usize = 32;
/// The smallest fetch of a partition.
const FETCH_BYTES_MIN: usize = 16 << 10;
/// How large a partition's records are held to be before the first has come, in bytes.
const LARGEST_AT_FIRST: usize = 1024;
/// How long a broker may hold a fetch back for which it has nothing. There is one fetch at a time to each broker, and it does not ask for a partition whose queue is full: while it waits at
/// the quiet partitions, the busy one's queue runs empty. From one busy partition of eight, 25 ms carry half of what 5 ms do. The price is a quiet member's 200 fetches a second; the
/// configuration's `properties` may name another time.
const FETCH_WAIT: &str = "fetch.wait.max.ms";
const FETCH_WAIT_MS: &str = "5";

/// A consumer of Kafka.
pub(super) struct KafkaConsumer {
    settings: KafkaSettings,
    group: String,
    buffer_bytes: usize,
    client: Option<Client>,
    parts: BTreeMap<TopicPartition, Part>,
    wake: Arc<Notify>,
    /// Whose turn it is to be served first.
    turn: usize,
    /// An error that waits until the records fetched before it were given out.
    failure: Option<LogError>,
}

struct Client {
    consumer: Arc<BaseConsumer<Watch>>,
    /// For how many partitions its queues were sized.
    partitions: usize,
}

struct Part {
    next: Offset,
    /// `None` until the client has been told.
    queue: Option<FetchedQueue>,
    /// Records that came by the client's main queue, before its own queue was split off.
    strays: VecDeque<RawRecord>,
    /// The largest record of those that came together last, in bytes: the next ones may be as large.
    largest: usize,
}

impl KafkaConsumer {
    pub(super) fn new(settings: KafkaSettings, group: &str, buffer_bytes: usize) -> Self {
        KafkaConsumer {
            settings,
            group: group.to_owned(),
            buffer_bytes,
            client: None,
            parts: BTreeMap::new(),
            wake: Arc::new(Notify::new()),
            turn: 0,
            failure: None,
        }
    }

    /// Opens the client, or a new one if many more partitions came than its queues were sized for, and tells it what it does not know.
    fn prepare(&mut self) -> Result<(), LogError> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let outgrown = |client: &Client| self.parts.len() > 2 * client.partitions;
        if self.client.as_ref().is_none_or(outgrown) {
            self.close();
            self.client = Some(self.open()?);
        }
        let new: Vec<TopicPartition> = self
            .parts
            .iter()
            .filter(|(_, part)| part.queue.is_none())
            .map(|(partition, _)| partition.clone())
            .collect();
        let Some(client) = self.client.as_ref().filter(|_| !new.is_empty()) else {
            return Ok(());
        };
        let mut list = TopicPartitionList::new();
        for partition in new {
            let Some(part) = self.parts.get_mut(&partition) else {
                continue;
            };
            let wake = self.wake.clone();
            let wake = move || wake.notify_one();
            let queue = FetchedQueue::split(&client.consumer, &partition, wake);
            part.queue = Some(queue.ok_or_else(|| {
                let message = format!("{partition} cannot be consumed: its name is not valid");
                LogError::new(LogErrorKind::TopicMismatch, message)
            })?);
            place_in(&mut list, &partition, part.next)
                .map_err(|error| failed(&format!("consuming {partition}"), &error, ""))?;
        }
        client
            .consumer
            .incremental_assign(&list)
            .map_err(|error| failed("taking partitions", &error, ""))
    }

    fn open(&self) -> Result<Client, LogError> {
        let share = self.buffer_bytes / self.parts.len().max(1);
        let share = share.clamp(SHARE_BYTES_MIN, SHARE_BYTES_MAX);
        let fetch_bytes = (self.buffer_bytes / 4).clamp(share / OWN_PART, 50 << 20);
        let mut config = self.settings.client();
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set(
                "queued.min.messages",
                (share / BYTES_A_RECORD).max(QUEUED_MIN).to_string(),
            )
            .set(
                "queued.max.messages.kbytes",
                (share / OWN_PART / 1024).to_string(),
            )
            .set(
                "fetch.message.max.bytes",
                (share / FETCH_PART).max(FETCH_BYTES_MIN).to_string(),
            )
            .set(
                "fetch.max.bytes",
                fetch_bytes.max(self.settings.record_bytes_max).to_string(),
            )
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "100");
        if config.get(FETCH_WAIT).is_none() {
            config.set(FETCH_WAIT, FETCH_WAIT_MS);
        }
        let mut consumer = BaseConsumer::from_config_and_context(&config, Watch::default())
            .map_err(|error| failed("opening a Kafka consumer", &error, ""))?;
        let wake = self.wake.clone();
        consumer.set_nonempty_callback(move || wake.notify_one());
        Ok(Client {
            consumer: Arc::new(consumer),
            partitions: self.parts.len(),
        })
    }

    /// Forgets the client, not the places. Closing waits for the cluster, so it is done beside.
    fn close(&mut self) {
        let queues: Vec<_> = self
            .parts
            .values_mut()
            .filter_map(|part| part.queue.take())
            .collect();
        if let Some(client) = self.client.take() {
            std::thread::spawn(move || drop((queues, client)));
        }
    }

    /// Tells the client to stop a partition. What it had fetched of it is thrown away.
    fn release(&mut self, partition: &TopicPartition) -> Result<(), LogError> {
        let told = self.parts.remove(partition).and_then(|part| part.queue);
        let (Some(_queue), Some(client)) = (told, &self.client) else {
            return Ok(());
        };
        let mut list = TopicPartitionList::new();
        place_in(&mut list, partition, Offset(0))
            .and_then(|()| client.consumer.incremental_unassign(&list))
            .map_err(|error| failed(&format!("giving {partition} up"), &error, ""))
    }

    /// The client's own events: errors, and records that came before their queue was split off.
    fn serve_events(&mut self) {
        let Some(client) = &self.client else { return };
        while let Some(event) = client.consumer.poll(Duration::ZERO) {
            match event {
                Ok(message) => {
                    let number = u32::try_from(message.partition()).unwrap_or(u32::MAX);
                    let partition = TopicPartition::new(message.topic(), number);
                    if let Some(part) = self.parts.get_mut(&partition) {
                        let record = raw_record(&message, self.settings.with_headers);
                        part.strays.push_back(record);
                    }
                }
                Err(error) => {
                    let cause = client.consumer.client().context().cause();
                    let what = format!("consuming from Kafka at {}", self.settings.bootstrap);
                    let failure = judge(&what, &error, &cause);
                    self.failure = self.failure.take().or(failure);
                }
            }
        }
    }

    fn take(&mut self, room: &[(TopicPartition, usize)]) -> Vec<(TopicPartition, Vec<RawRecord>)> {
        let mut taken = Vec::new();
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn.checked_rem(room.len()).unwrap_or(0);
        let (later, sooner) = room.split_at(first);
        for (partition, bytes_max) in sooner.iter().chain(later) {
            let Some(part) = self.parts.get_mut(partition) else {
                continue;
            };
            let (records, failure) = part.take(partition, *bytes_max, self.settings.with_headers);
            self.failure = self.failure.take().or(failure);
            if !records.is_empty() {
                taken.push((partition.clone(), records));
            }
        }
        taken
    }
}

impl Part {
    fn from(next: Offset) -> Self {
        Part {
            next,
            queue: None,
            strays: VecDeque::new(),
            largest: LARGEST_AT_FIRST,
        }
    }

    /// Takes about so many bytes: what is too much was in the client's queue, which is bounded.
    fn take(
        &mut self,
        partition: &TopicPartition,
        bytes_max: usize,
        with_headers: bool,
    ) -> (Vec<RawRecord>, Option<LogError>) {
        let mut taken = Taken {
            next: self.next,
            bytes: 0,
            largest: 0,
            records: Vec::new(),
        };
        while taken.bytes < bytes_max
            && let Some(stray) = self.strays.pop_front()
        {
            taken.add(stray);
        }
        let mut failure = None;
        while let Some(queue) = &self.queue
            && taken.bytes < bytes_max
            && failure.is_none()
        {
            let most = (bytes_max - taken.bytes).div_ceil(self.largest);
            taken.largest = 0;
            let came = queue.take(most, with_headers, |came| match came {
                Ok(record) => taken.add(record),
                Err(error) => {
                    failure = failure.take().or_else(|| taken.judge(partition, &error));
                }
            });
            if came == 0 {
                break;
            }
            if taken.largest > 0 {
                self.largest = taken.largest;
            }
        }
        self.next = taken.next;
        (taken.records, failure)
    }
}

/// What was taken of a partition.
struct Taken {
    next: Offset,
    bytes: usize,
    largest: usize,
    records: Vec<RawRecord>,
}

impl Taken {
    fn add(&mut self, record: RawRecord) {
        if record.offset >= self.next {
            self.next = record.offset.next();
            let size_bytes = record.size_bytes();
            self.bytes += size_bytes;
            self.largest = self.largest.max(size_bytes);
            self.records.push(record);
        }
    }

    fn judge(&self, partition: &TopicPartition, error: &KafkaError) -> Option<LogError> {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        match kind_of(code) {
            LogErrorKind::OutOfRange => Some(out_of_range(partition, self.next)),
            _ => judge(&format!("consuming {partition}"), error, ""),
        }
    }
}

/// What the caller must know: a single broker's lost connection is not, since the client finds another; nor what is about the group, of which this client is no member.
fn judge(what: &str, error: &KafkaError, cause: &str) -> Option<LogError> {
    let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
    if is_about_the_group(code) {
        tracing::debug!("{what}: {code}");
        return None;
    }
    let unreachable = kind_of(code) == LogErrorKind::Unreachable;
    (!unreachable || code == Code::AllBrokersDown).then(|| failed(what, error, cause))
}

#[async_trait]
impl LogConsumer for KafkaConsumer {
    async fn assign(&mut self, partition: &TopicPartition, from: Offset) -> Result<(), LogError> {
        self.release(partition)?;
        self.parts.insert(partition.clone(), Part::from(from));
        Ok(())
    }

    async fn unassign(&mut self, partition: &TopicPartition) -> Result<(), LogError> {
        self.release(partition)
    }

    async fn fetch(
        &mut self,
        room: &[(TopicPartition, usize)],
        wait: Duration,
    ) -> Result<Vec<(TopicPartition, Vec<RawRecord>)>, LogError> {
        self.prepare()?;
        let deadline = Instant::now() + wait;
        let wake = self.wake.clone();
        loop {
            // Asked to be woken before looking, so that what comes in between is not missed.
            let woken = wake.notified();
            self.serve_events();
            let taken = self.take(room);
            if !taken.is_empty() {
                return Ok(taken);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(taken);
            }
            // Woken or not, look again.
            let _ = tokio::time::timeout(left.min(HOUSEKEEPING), woken).await;
        }
    }

    fn ends(&self) -> Vec<(TopicPartition, Offset)> {
        let Some(client) = &self.client else {
            return Vec::new();
        };
        let end = |partition: &TopicPartition, part: &Part| {
            let name = CString::new(&*partition.topic).ok()?;
            let number = i32::try_from(partition.partition).ok()?;
            let end = last_known_end(client.consumer.client(), &name, number)?;
            Some((partition.clone(), Offset(end).max(part.next)))
        };
        let parts = self.parts.iter();
        parts
            .filter_map(|(partition, part)| end(partition, part))
            .collect()
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.close();
    }
}
