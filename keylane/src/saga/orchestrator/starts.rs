//! Sagas that events begin: a service puts `saga.start` into its own outbox, in the transaction of what the saga is about, and either there are both or neither.

use std::time::Duration;

use keylane_core::saga::wire::{Attributes, WireError};
use keylane_core::saga::{SagaStore, StoreErrorKind};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::event::NotBegun;
use super::inbox::Door;
use super::plans::Plans;
use super::request::SagaRequest;
use crate::consumer::{Consumer, ConsumerError, Record};
use crate::log_settings::LogSettings;
use crate::outbox::SAGA_START;

/// Events that are taken in at a time.
const AT_ONCE: usize = 500;
/// The pauses while the store does not begin sagas.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a shutdown waits for those that are being begun.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Where events that begin sagas come in.
#[derive(Clone, Debug)]
pub struct StartsWay {
    /// The log.
    pub log: LogSettings,
    /// The topic.
    pub topic: String,
    /// The topic of those that begin none.
    pub dead_letter: String,
    /// The group that reads it: that of all processes that share the sagas.
    pub group: String,
}

/// Begins sagas until `stop`; ends with an error that only a person can help with. An event counts as read once its saga is stored, or once it is in the topic of those that begin none.
pub(super) async fn starts(
    way: &StartsWay,
    door: &Door,
    (plans, store): (&Plans, &dyn SagaStore),
    stop: CancellationToken,
) -> Result<(), ConsumerError> {
    let consumer = Consumer::new(way.log.clone(), &*way.group)
        .topic(&*way.topic)
        .concurrency(AT_ONCE)
        .attempts(1)
        .dead_letter(&*way.dead_letter)
        .drain_timeout(DRAIN_MAX);
    let handler = async |record: Record| {
        let began = begin(&record, door, plans, store).await;
        began.map_err(|why| format!("KL-SAGA-209: this event begins no saga: {why}"))
    };
    consumer.run(stop, handler).await
}

/// Begins the saga that an event asks for; a repeat begins none.
///
/// # Errors
/// In words, what is wrong with the event. What passes is waited for.
async fn begin(
    record: &Record,
    door: &Door,
    plans: &Plans,
    store: &dyn SagaStore,
) -> Result<(), String> {
    let request = read(record)?;
    let mut pause = AGAIN.0;
    loop {
        let passes = match attempt(&request, door, plans, store).await {
            Ok(()) => return Ok(()),
            // Nobody decides any more: the next process reads it again.
            Err(NotBegun::Stopping) => std::future::pending().await,
            Err(NotBegun::Store(error)) if error.kind != StoreErrorKind::Refused => error,
            Err(why) => return Err(why.to_string()),
        };
        tracing::warn!("KL-SAGA-201: a saga that an event asks for does not begin yet: {passes}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}

async fn attempt(
    request: &SagaRequest,
    door: &Door,
    plans: &Plans,
    store: &dyn SagaStore,
) -> Result<(), NotBegun> {
    let plan = match request.plan(plans) {
        Ok(plan) => plan,
        Err(_) => {
            // Another process may have brought it.
            plans.refresh(store).await?;
            request.plan(plans).map_err(NotBegun::Unfit)?
        }
    };
    let number = request.number();
    let begun = door.begin(plan, request.clone().start(), number).await;
    begun.map(drop)
}

/// What an event asks for.
fn read(record: &Record) -> Result<SagaRequest, String> {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| (&**name, &**value));
    let attributes =
        Attributes::from_kafka(headers).map_err(|error: WireError| error.to_string())?;
    let text = |name: &str| attributes.get(name).filter(|text| !text.is_empty());
    match text("type") {
        Some(SAGA_START) => {}
        Some(other) => return Err(format!("its type is {other}, not {SAGA_START}")),
        None => return Err(format!("it has no ce_type; {SAGA_START} begins sagas")),
    }
    let definition = text("sagadef").ok_or("ce_sagadef does not name a definition")?;
    let version = text("sagaver").map(str::parse).transpose();
    let version = version.map_err(|_| "ce_sagaver is no version")?;
    let key = text("subject").or(text("id"));
    let key = key.ok_or("it has neither ce_subject nor ce_id, one of which is the saga's key")?;
    let data = match record.value.as_deref().unwrap_or_default() {
        [] => Value::Null,
        body => serde_json::from_slice(body)
            .map_err(|error| format!("what it carries is no JSON: {error}"))?,
    };
    Ok(SagaRequest {
        definition: definition.to_owned(),
        version,
        key: Some(key.to_owned()),
        data,
    })
}
