//! Records out: in order, without a gap, each append's fate told once.
//!
//! **Invariant:** after a record whose fate is unknown nothing more is sent: a later record behind a lost one would make the partition's tail claim that the lost
//! one was published. librdkafka's gapless guarantee holds that inside the client; the session that is over holds it for every later append.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use keylane_core::model::Offset;
use keylane_core::publish::{AppendTicket, HEADER_NAME, LogError, LogErrorKind, NewRecord};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::failure::{failed, failed_with};
use super::settings::KafkaSettings;
use super::watch::Watch;

/// How long the delivery thread waits before it looks whether it should end.
const POLL: Duration = Duration::from_millis(20);

/// One session's producer.
pub(super) struct Producer {
    client: Arc<BaseProducer<Session>>,
    stop: Arc<AtomicBool>,
    /// Bytes that may still be handed over.
    room: Arc<Semaphore>,
    /// One append at a time, so that two do not mix in a partition.
    turn: tokio::sync::Mutex<()>,
    room_bytes: usize,
    record_bytes_max: usize,
}

impl Producer {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        let mut config = settings.client();
        let on = |yes: bool| if yes { "true" } else { "false" };
        config
            .set("acks", "all")
            .set("enable.idempotence", on(settings.idempotence))
            .set("enable.gapless.guarantee", on(settings.idempotence))
            .set("max.in.flight.requests.per.connection", "5")
            .set("compression.codec", &settings.compression)
            .set("linger.ms", settings.linger_ms.to_string())
            .set("message.max.bytes", settings.record_bytes_max.to_string())
            .set(
                "message.timeout.ms",
                settings.delivery_timeout.as_millis().to_string(),
            )
            // Our own count of bytes in flight is the bound; librdkafka's must not be hit before it.
            .set("queue.buffering.max.messages", "0")
            .set(
                "queue.buffering.max.kbytes",
                (settings.in_flight_bytes_max / 1024 * 2 + 65_536).to_string(),
            );
        let room = Arc::new(Semaphore::new(settings.in_flight_bytes_max));
        let session = Session {
            watch: Watch::default(),
            over: OnceLock::new(),
            room: room.clone(),
        };
        let client = BaseProducer::from_config_and_context(&config, session)
            .map_err(|error| failed("opening a Kafka producer", &error, ""))?;
        let (client, stop) = (Arc::new(client), Arc::new(AtomicBool::new(false)));
        let (serving, ending) = (client.clone(), stop.clone());
        std::thread::Builder::new()
            .name("kafka-delivery".to_owned())
            .spawn(move || serve(&serving, &ending))
            .map_err(|error| {
                let message = format!("starting the delivery thread: {error}");
                LogError::new(LogErrorKind::Other, message)
            })?;
        Ok(Producer {
            client,
            stop,
            room,
            turn: tokio::sync::Mutex::new(()),
            room_bytes: settings.in_flight_bytes_max,
            record_bytes_max: settings.record_bytes_max,
        })
    }

    /// See `Log::append`.
    pub(super) async fn append(&self, records: Vec<NewRecord>) -> Result<AppendTicket, LogError> {
        if records.is_empty() {
            return Ok(Box::pin(async { Ok(Vec::new()) }));
        }
        let size = self.checked_size(&records)?;
        let _turn = self.turn.lock().await;
        // An append larger than all the room goes when nothing else is in flight.
        let permits = u32::try_from(size.min(self.room_bytes)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(permits).await;
        let room = room.map_err(|_| self.over())?;
        let (told, ticket) = oneshot::channel();
        let append = Arc::new(Append {
            offsets: records.iter().map(|_| AtomicU64::new(0)).collect(),
            left: AtomicUsize::new(records.len()),
            failure: OnceLock::new(),
            told: Mutex::new(Some((told, room))),
        });
        for (index, record) in records.iter().enumerate() {
            self.send(record, &append, index).await?;
        }
        Ok(Box::pin(async move {
            ticket.await.unwrap_or_else(|_| Err(dropped()))
        }))
    }

    /// Nothing is sent of an append that holds a record too large, so that the session can go on.
    fn checked_size(&self, records: &[NewRecord]) -> Result<usize, LogError> {
        let too_large = records
            .iter()
            .find(|record| record.size_bytes() > self.record_bytes_max);
        if let Some(record) = too_large {
            let message = format!(
                "a record for {} has {} bytes, {} is the largest allowed: raise the topic's max.message.bytes and the record limit",
                record.partition,
                record.size_bytes(),
                self.record_bytes_max
            );
            return Err(LogError::new(LogErrorKind::TooLarge, message));
        }
        Ok(records.iter().map(NewRecord::size_bytes).sum())
    }

    async fn send(
        &self,
        record: &NewRecord,
        append: &Arc<Append>,
        index: usize,
    ) -> Result<(), LogError> {
        let slot = Box::new(Slot {
            append: append.clone(),
            index,
        });
        let mut wanted = wire_record(record, slot);
        loop {
            if self.client.context().over.get().is_some() {
                return Err(self.over());
            }
            let Err((error, back)) = self.client.send(wanted) else {
                return Ok(());
            };
            if error.rdkafka_error_code() != Some(Code::QueueFull) {
                let cause = self.client.context().watch.cause();
                let what = format!("sending to {}", record.partition);
                // Records before it in this append may be on their way: the session cannot say what it sent.
                self.client.context().end(failed(&what, &error, &cause));
                return Err(self.over());
            }
            wanted = back;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn over(&self) -> LogError {
        let why = self.client.context().over.get();
        why.cloned().map_or_else(dropped, |why| {
            let kind = match why.kind {
                LogErrorKind::Denied => LogErrorKind::Denied,
                _ => LogErrorKind::SessionOver,
            };
            LogError::new(kind, why.message)
        })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.client.context().end(dropped());
        self.client.purge(PurgeConfig::default().queue().inflight());
        self.stop.store(true, Ordering::Release);
    }
}

fn wire_record(record: &NewRecord, slot: Box<Slot>) -> BaseRecord<'_, [u8], [u8], Box<Slot>> {
    let mut headers = OwnedHeaders::new_with_capacity(1 + record.headers.len());
    if !record.keylane.is_empty() {
        headers = headers.insert(Header {
            key: HEADER_NAME,
            value: Some(&record.keylane),
        });
    }
    for (name, value) in &record.headers {
        headers = headers.insert(Header {
            key: name,
            value: Some(&value[..]),
        });
    }
    let partition = i32::try_from(record.partition.partition).unwrap_or(i32::MAX);
    let mut wire = BaseRecord::with_opaque_to(&record.partition.topic, slot)
        .partition(partition)
        .timestamp(record.timestamp_ms)
        .headers(headers);
    wire.key = record.key.as_deref();
    wire.payload = record.value.as_deref();
    wire
}

/// Takes delivery reports until told to end, and stops what is queued as soon as the session is over.
fn serve(client: &BaseProducer<Session>, stop: &AtomicBool) {
    let mut purged = false;
    while !stop.load(Ordering::Acquire) {
        client.poll(POLL);
        if !purged && client.context().over.get().is_some() {
            purged = true;
            client.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

fn dropped() -> LogError {
    LogError::new(
        LogErrorKind::SessionOver,
        "the session was closed with records still on their way",
    )
}

/// What a session knows of itself.
struct Session {
    watch: Watch,
    over: OnceLock<LogError>,
    room: Arc<Semaphore>,
}

impl Session {
    /// Ends the session; the first reason stays. Whoever waits for room is woken.
    fn end(&self, why: LogError) {
        let _ = self.over.set(why);
        self.room.close();
    }
}

impl ClientContext for Session {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(Code::Fatal) => {
                let message = format!("the producer cannot go on: {reason}");
                self.end(LogError::new(LogErrorKind::SessionOver, message));
            }
            // Asked for at the start, and granted to whoever may write to some topic.
            Some(Code::ClusterAuthorizationFailed) => {
                let message = format!(
                    "this user may not write: {reason}; allow it to Write to the pipeline's topics"
                );
                self.end(LogError::new(LogErrorKind::Denied, message));
            }
            _ => {}
        }
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Session {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        match result {
            Ok(message) => slot.written(u64::try_from(message.offset()).unwrap_or(0)),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                let what = format!("writing to {}/{}", message.topic(), message.partition());
                let mut failure = failed_with(&what, code, &self.watch.cause());
                if let Some(why) = self.over.get().filter(|_| code == Code::PurgeQueue) {
                    // Purged because of it.
                    failure = why.clone();
                }
                if matches!(
                    failure.kind,
                    LogErrorKind::Unreachable | LogErrorKind::Other
                ) {
                    failure.kind = LogErrorKind::SessionOver;
                }
                self.end(failure.clone());
                slot.lost(failure);
            }
        }
    }
}

/// A record's place in its append.
struct Slot {
    append: Arc<Append>,
    index: usize,
}

/// An append on its way.
struct Append {
    offsets: Vec<AtomicU64>,
    left: AtomicUsize,
    failure: OnceLock<LogError>,
    #[expect(
        clippy::type_complexity,
        reason = "the answer and the room it holds go together, once"
    )]
    told: Mutex<
        Option<(
            oneshot::Sender<Result<Vec<Offset>, LogError>>,
            OwnedSemaphorePermit,
        )>,
    >,
}

impl Slot {
    fn written(&self, offset: u64) {
        if let Some(place) = self.append.offsets.get(self.index) {
            place.store(offset, Ordering::Relaxed);
        }
        self.settled();
    }

    fn lost(&self, failure: LogError) {
        let _ = self.append.failure.set(failure);
        self.settled();
    }

    fn settled(&self) {
        if self.append.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut told = self
            .append
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some((told, room)) = told.take() else {
            return;
        };
        drop(room);
        let offsets = self.append.offsets.iter();
        let answer = match self.append.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => Ok(offsets
                .map(|offset| Offset(offset.load(Ordering::Relaxed)))
                .collect()),
        };
        // Nobody may be waiting any more: the records are written all the same.
        let _ = told.send(answer);
    }
}
