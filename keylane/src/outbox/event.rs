//! An event, as a service writes it.

use bytes::Bytes;
use keylane_core::outbox::{EVENT_BYTES_MAX, Event, Refusal, RefusalCode};
use serde_json::Value;

use super::error::OutboxError;

/// The type of the event that begins a saga.
pub const SAGA_START: &str = "saga.start";

/// An event to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The topic. The pipeline's configuration says which are allowed.
    pub topic: String,
    /// Its CloudEvents type: `order.placed.v1`.
    pub type_name: String,
    /// The record's key: the aggregate, whose events keep their order.
    pub key: Option<String>,
    /// Tells it from others; made by the database if absent.
    pub id: Option<String>,
    /// Who tells it; the pipeline's own if absent.
    pub source: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// What the payload is; JSON unless said otherwise.
    pub content_type: Option<String>,
    /// Further headers of the record, as they are: `traceparent`, or CloudEvents extensions as `ce_NAME`.
    pub headers: Vec<(String, String)>,
    /// What it carries; without it the record is a tombstone.
    pub payload: Option<Bytes>,
}

impl OutboxEvent {
    /// An event of a type for a topic, that carries nothing yet.
    pub fn new(topic: impl Into<String>, type_name: impl Into<String>) -> Self {
        OutboxEvent {
            topic: topic.into(),
            type_name: type_name.into(),
            key: None,
            id: None,
            source: None,
            subject: None,
            content_type: None,
            headers: Vec::new(),
            payload: None,
        }
    }

    /// An event that begins a saga of a definition, for the topic that the orchestrator reads them from (`saga.starts.topic`). The business key begins one saga of the definition, however often it comes.
    pub fn saga_start(
        topic: impl Into<String>,
        definition: impl Into<String>,
        key: impl Into<String>,
        data: &Value,
    ) -> Self {
        let key = key.into();
        OutboxEvent::new(topic, SAGA_START)
            .key(key.as_str())
            .subject(key)
            .header("ce_sagadef", definition)
            .json(data)
    }

    /// With this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this id, which no other event of its source may have.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Told by this source.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// About this.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Carrying JSON.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.payload("application/json", value.to_string())
    }

    /// Carrying bytes of a content type.
    #[must_use]
    pub fn payload(mut self, content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.content_type = Some(content_type.into());
        self.payload = Some(bytes.into());
        self
    }

    /// The headers as the table holds them. Of two of one name the later counts.
    pub(super) fn headers_json(&self) -> String {
        let own = self.headers.iter();
        let object: serde_json::Map<String, Value> = own
            .map(|(name, text)| (name.clone(), text.as_str().into()))
            .collect();
        Value::Object(object).to_string()
    }

    /// Whether it can be published, as far as that is known here: the topic's own limits are not.
    pub(super) fn check(&self) -> Result<(), OutboxError> {
        let event = Event {
            topic: self.topic.as_str().into(),
            key: self.key.clone(),
            id: self.id.clone().unwrap_or_else(|| "made".to_owned()),
            type_name: self.type_name.clone(),
            source: self.source.clone().unwrap_or_else(|| "made".to_owned()),
            subject: self.subject.clone(),
            time: None,
            content_type: self.content_type.clone(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
        };
        event.check().map_err(OutboxError::Refused)?;
        let size = event.size_bytes();
        if size > EVENT_BYTES_MAX {
            let why =
                format!("the event has {size} bytes, at most {EVENT_BYTES_MAX} are published");
            return Err(OutboxError::Refused(Refusal::new(
                RefusalCode::TooLarge,
                why,
            )));
        }
        Ok(())
    }
}
