//! What takes events that come over HTTP: which pipeline's outbox, by the topic.

use std::sync::Arc;

use keylane::sqlite::accept::Acceptor;
use keylane_core::outbox::Rules;
use tokio::sync::OnceCell;

use super::outbox::{acceptor, event_rules};
use crate::config::{Config, Origin, Pipeline};

/// The outboxes that take events over HTTP, opened when one is first needed.
#[derive(Clone, Debug, Default)]
pub struct EventIntake {
    intakes: Arc<Vec<Intake>>,
}

#[derive(Debug)]
struct Intake {
    pipeline: Pipeline,
    rules: Rules,
    acceptor: OnceCell<Acceptor>,
}

impl EventIntake {
    /// Those of a configuration. Opens nothing.
    pub fn of(config: &Config) -> Self {
        let intake = |pipeline: &Pipeline| {
            let outbox = pipeline.outbox.as_ref().filter(|it| it.accept.is_some())?;
            Some(Intake {
                rules: event_rules(outbox),
                pipeline: pipeline.clone(),
                acceptor: OnceCell::new(),
            })
        };
        EventIntake {
            intakes: Arc::new(config.pipelines.values().filter_map(intake).collect()),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.intakes.is_empty()
    }

    /// What takes events for this topic; `None` if nothing does.
    ///
    /// # Errors
    /// If its file cannot be opened, in words.
    pub async fn of_topic(&self, topic: &str) -> Result<Option<&Acceptor>, String> {
        let mut intakes = self.intakes.iter();
        let Some(intake) = intakes.find(|intake| intake.rules.allow(topic).is_ok()) else {
            return Ok(None);
        };
        let open = || async {
            let pipeline = intake.pipeline.clone();
            let opened = tokio::task::spawn_blocking(move || match &pipeline.origin {
                Some(Origin::Sqlite { path }) => {
                    acceptor(path, &pipeline).map_err(|error| error.message)
                }
                _ => Err("its origin is no SQLite file".to_owned()),
            });
            opened
                .await
                .map_err(|_| "the program is ending".to_owned())?
        };
        intake.acceptor.get_or_try_init(open).await.map(Some)
    }
}
