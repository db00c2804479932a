//! One-off reads: from an offset to the partition's end or a number of bytes, without waiting at the end.
//!
//! Clients are kept for the next read; one that stands where the next read begins goes on without asking anew, so that a tail is read at full speed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{LogError, LogErrorKind, RawRecord};
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::failure::{failed, is_about_the_group, kind_of};
use super::record::raw_record;
use super::settings::KafkaSettings;
use super::watch::Watch;

/// Clients kept for later reads.
const IDLE_MAX: usize = 2;
/// After this long nothing that a reader asked of its client is still under way.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// The readers of a log.
pub(super) struct Readers {
    settings: KafkaSettings,
    idle: Mutex<Vec<Reader>>,
}

struct Reader {
    client: BaseConsumer<Watch>,
    /// Where it goes on by itself; `None` if it must be placed first.
    stands_at: Option<(TopicPartition, Offset)>,
}

impl Readers {
    pub(super) fn new(settings: &KafkaSettings) -> Self {
        Readers {
            settings: settings.clone(),
            idle: Mutex::default(),
        }
    }

    /// See `Log::read`. Blocks.
    pub(super) fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<RawRecord>, LogError> {
        let mut reader = self.take(partition, from)?;
        let records = match reader.read(partition, from, bytes_max, &self.settings) {
            Ok(records) => records,
            Err(error) => {
                retire(reader);
                return Err(error);
            }
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(reader);
        }
        Ok(records)
    }

    fn take(&self, partition: &TopicPartition, from: Offset) -> Result<Reader, LogError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |reader: &Reader| {
            let place = reader.stands_at.as_ref();
            place.is_some_and(|(stands, at)| stands == partition && *at == from)
        };
        let place = idle.iter().position(fits);
        let place = place.or_else(|| idle.len().checked_sub(1));
        if let Some(place) = place {
            return Ok(idle.swap_remove(place));
        }
        drop(idle);
        let mut config = self.settings.client();
        config
            // Never joined: only named, because the client asks for one.
            .set("group.id", "keylane-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.error.backoff.ms", "50")
            // By default a client whose queue was full looks again after a second: by then the queue is long empty.
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", "4096");
        let client = BaseConsumer::from_config_and_context(&config, Watch::default())
            .map_err(|error| failed("opening a Kafka reader", &error, ""))?;
        Ok(Reader {
            client,
            stands_at: None,
        })
    }
}

impl Reader {
    fn read(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
        settings: &KafkaSettings,
    ) -> Result<Vec<RawRecord>, LogError> {
        let timeout = settings.answer_timeout;
        let stands = self.stands_at.take();
        if stands.is_none_or(|(stands, at)| stands != *partition || at != from) {
            self.place(partition, from)?;
        }
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, from);
        let mut deadline = Instant::now() + timeout;
        while bytes < bytes_max {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(polled) = self.client.poll(left) else {
                if Instant::now() < deadline {
                    continue;
                }
                let cause = self.client.client().context().cause();
                let message = format!("reading {partition}: no answer within {timeout:?}{cause}");
                return Err(LogError::new(LogErrorKind::Unreachable, message));
            };
            match polled {
                Ok(message) => {
                    let record = raw_record(&message, settings.with_headers);
                    if record.offset >= next {
                        next = record.offset.next();
                        bytes += record.size_bytes();
                        records.push(record);
                    }
                    deadline = Instant::now() + timeout;
                }
                // It tells the end once only: the next read here must be placed anew.
                Err(KafkaError::PartitionEOF(_)) => return Ok(records),
                Err(error) => self.judge(partition, from, &error)?,
            }
        }
        self.stands_at = Some((partition.clone(), next));
        Ok(records)
    }

    fn place(&self, partition: &TopicPartition, from: Offset) -> Result<(), LogError> {
        let what = format!("reading {partition}");
        let mut list = TopicPartitionList::new();
        let placed = place_in(&mut list, partition, from);
        placed
            .and_then(|()| self.client.assign(&list))
            .map_err(|error| failed(&what, &error, ""))
    }

    /// A lost connection is tried again until the deadline; anything else ends the read.
    fn judge(
        &self,
        partition: &TopicPartition,
        from: Offset,
        error: &KafkaError,
    ) -> Result<(), LogError> {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        match kind_of(code) {
            LogErrorKind::Unreachable => Ok(()),
            _ if is_about_the_group(code) => Ok(()),
            LogErrorKind::OutOfRange => Err(out_of_range(partition, from)),
            _ => {
                let cause = self.client.client().context().cause();
                Err(failed(&format!("reading {partition}"), error, &cause))
            }
        }
    }
}

/// Ends a reader that failed. Not at once: librdkafka aborts the process when a partition that it is still taking away from its last place is to be stopped again.
fn retire(reader: Reader) {
    let ending = move || {
        std::thread::sleep(SETTLED_AFTER);
        drop(reader);
    };
    // Without a thread for it, it is left alone.
    let _ = std::thread::Builder::new()
        .name("kafka-reader-end".to_owned())
        .spawn(ending);
}

/// Adds a partition at an offset.
pub(super) fn place_in(
    list: &mut TopicPartitionList,
    partition: &TopicPartition,
    from: Offset,
) -> Result<(), KafkaError> {
    let number = i32::try_from(partition.partition).unwrap_or(i32::MAX);
    let offset = rdkafka::Offset::Offset(i64::try_from(from.0).unwrap_or(i64::MAX));
    list.add_partition_offset(&partition.topic, number, offset)
}

pub(super) fn out_of_range(partition: &TopicPartition, from: Offset) -> LogError {
    LogError::new(
        LogErrorKind::OutOfRange,
        format!(
            "{partition} does not hold offset {}: retention took it, or the topic is another one",
            from.0
        ),
    )
}
