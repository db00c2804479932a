//! A Kafka to use but not to kill: the caller's own, or one started for this process and shared by its tests.

use super::server::Kafka;
use crate::error::Result;
use std::sync::Mutex;

const ENVIRONMENT: &str = "KEYLANE_TEST_KAFKA";

/// A running Kafka that several tests may use at once.
#[derive(Debug)]
pub struct KafkaHandle {
    bootstrap: String,
    // Ours when the environment named none.
    _own: Option<Kafka>,
}

impl KafkaHandle {
    /// The Kafka named by `KEYLANE_TEST_KAFKA` (`HOST:PORT,…`), else a fresh one that ends with this value.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn from_env_or_start() -> Result<Self> {
        if let Ok(bootstrap) = std::env::var(ENVIRONMENT) {
            return Ok(Self {
                bootstrap,
                _own: None,
            });
        }
        let own = Kafka::start()?;
        Ok(Self {
            bootstrap: own.bootstrap(),
            _own: Some(own),
        })
    }

    /// One for all tests of this process, started by whoever asks first. Name topics and groups so that tests do not meet.
    ///
    /// # Errors
    /// As [`Kafka::start`]; the next caller tries again.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: Mutex<Option<&'static KafkaHandle>> = Mutex::new(None);
        let mut shared = SHARED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(handle) = *shared {
            return Ok(handle);
        }
        // Never dropped: the guard ends it with the process.
        let handle: &'static Self = Box::leak(Box::new(Self::from_env_or_start()?));
        *shared = Some(handle);
        Ok(handle)
    }

    /// What clients connect to.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}
