//! What a client says about its connections while nobody asks: kept, so that an error can tell the cause and not only the time-out.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// Remembers the last thing a client complained of.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Mutex<Option<String>>,
}

impl Watch {
    /// The last complaint, in brackets, to stand behind an error's own text.
    pub(super) fn cause(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref()
            .map_or_else(String::new, |last| format!(" ({last})"))
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ConsumerContext for Watch {}
