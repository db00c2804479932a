//! Where the trips stand that nobody drives: put together from their events, as they come.

use std::collections::BTreeMap;
use std::path::Path;

use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::participant::SagaEvent;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Log as _, LogError};
use keylane_core::saga::{Choreography, ChoreographyStep, Expected, Patience, State, Track};

use super::service::LOG;
use super::travel::{ORDERS, Service};

/// Bytes that are read of a partition at once.
const READ_BYTES: usize = 1 << 20;
/// Nothing is late in a demo: its end says what did not come.
const PATIENCE: Patience = Patience {
    step_ms: u64::MAX,
    undo_ms: u64::MAX,
    silence_ms: u64::MAX,
};

/// What was heard.
pub struct Heard {
    log: EmbeddedLog,
    choreography: Choreography,
    next: BTreeMap<TopicPartition, Offset>,
    tracks: BTreeMap<String, Track>,
    lines: BTreeMap<String, Vec<Line>>,
}

/// An event of a saga.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// The event's type.
    pub type_name: String,
    /// Who told it.
    pub service: String,
}

impl Heard {
    /// Hears the demo's topics from their beginning.
    ///
    /// # Errors
    /// If the log cannot be used.
    pub async fn open(folder: &Path) -> Result<Self, LogError> {
        let mut options = EmbeddedOptions::at(folder.join(LOG));
        options.with_headers = true;
        let step = |service: Service| ChoreographyStep {
            id: service.name().to_owned(),
            consumes: vec![service.consumes().to_owned()],
            emits: vec![service.emits()],
        };
        Ok(Heard {
            log: EmbeddedLog::open(options).await?,
            choreography: Choreography {
                name: "travel".to_owned(),
                steps: Service::ALL.map(step).to_vec(),
                ..Choreography::default()
            },
            next: BTreeMap::new(),
            tracks: BTreeMap::new(),
            lines: BTreeMap::new(),
        })
    }

    /// Hears what is new. A topic that is not there yet has nothing to be heard.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn look(&mut self) -> Result<(), LogError> {
        let topics = Service::ALL.map(Service::topic).into_iter();
        for topic in topics.chain([ORDERS.to_owned()]) {
            let Some(info) = self.log.describe_topic(&topic).await? else {
                continue;
            };
            for number in 0..info.partitions {
                let partition = TopicPartition::new(topic.as_str(), number);
                self.hear(&partition).await?;
            }
        }
        Ok(())
    }

    async fn hear(&mut self, partition: &TopicPartition) -> Result<(), LogError> {
        let mut from = self.next.get(partition).copied().unwrap_or(Offset(0));
        loop {
            let records = self.log.read(partition, from, READ_BYTES).await?;
            let Some(last) = records.last() else { break };
            from = last.offset.next();
            for record in &records {
                let headers = record.headers.iter();
                let headers = headers.map(|(name, value)| (&**name, value.as_ref()));
                let value = record.value.as_deref().unwrap_or_default();
                let read = SagaEvent::read(headers, value, record.timestamp_ms * 1000);
                if let Ok(Some(event)) = read {
                    let saga = self.tracks.entry(event.saga.clone()).or_default();
                    saga.hear(&event.heard);
                    self.lines.entry(event.saga).or_default().push(Line {
                        at_us: event.heard.at_us,
                        type_name: event.heard.type_name,
                        service: event.heard.service,
                    });
                }
            }
        }
        self.next.insert(partition.clone(), from);
        Ok(())
    }

    /// Where a saga stands.
    pub fn state(&self, saga: &str) -> State {
        let expected = Expected::ByDefinition(&self.choreography);
        let track = self.tracks.get(saga);
        track.map_or(State::Running, |track| track.state(expected, PATIENCE, 0))
    }

    /// Its events, in the order of their times.
    pub fn lines(&self, saga: &str) -> Vec<Line> {
        let mut lines = self.lines.get(saga).cloned().unwrap_or_default();
        lines.sort();
        lines
    }
}
