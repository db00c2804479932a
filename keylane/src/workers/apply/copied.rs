//! Of which tables the copy is applied to its last row, so that a row that an update or delete does not find there is truly missing.
//!
//! While a table is copied, changes come before their rows. The control topic tells when the last row is in the log; once everything that the log held then is
//! applied, the table counts. How far in the control topic that is so is kept at the replica, as the progress of the control topic's partition under a name of
//! its own: a restart in the middle of a copy's changes must not take them for misses, and one after a miss must not take the miss for a copy's change.

use std::collections::{BTreeMap, BTreeSet};

use keylane_core::apply::{Held, PartitionLow, PartitionSpec};
use keylane_core::capture::TablePhase;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{LaneCount, Offset, Position, TableName, TopicPartition};
use keylane_core::publish::{Acceptance, LogError, LogErrorKind};

use super::road::Road;
use super::run::ApplyFailure;
use crate::workers::control::{ControlReader, ControlState, control_topic};

/// What is known of copies.
pub(super) struct Copied {
    /// The name under which it is kept; no pipeline's name has a slash.
    kept_as: String,
    control: TopicPartition,
    owner_epoch: u64,
    reader: ControlReader,
    awaited: Option<Awaited>,
}

/// Tables whose copies are in the log.
struct Awaited {
    tables: BTreeSet<TableName>,
    /// The control topic tells it below here.
    told_below: Offset,
    /// The copies lie below here.
    ends: BTreeMap<TopicPartition, Offset>,
}

impl Copied {
    /// Takes over what is kept, and makes it known to the road.
    ///
    /// # Errors
    /// If the log or the replica cannot be asked.
    pub(super) async fn open(road: &Road) -> Result<Self, ApplyFailure> {
        let topic = control_topic(&road.settings.prefix);
        let Some(info) = road.log.describe_topic(&topic).await? else {
            let message = format!("the control topic {topic} is not there any more");
            return Err(LogError::new(LogErrorKind::TopicMismatch, message).into());
        };
        let spec = PartitionSpec {
            partition: TopicPartition::new(topic, 0),
            topic_id: info.id,
            partitions: info.partitions,
            lanes: LaneCount(1),
        };
        let kept_as = format!("{}/copied", road.settings.pipeline);
        let kept = road
            .replica
            .fence(&kept_as, std::slice::from_ref(&spec))
            .await?;
        let (owner_epoch, low) = kept.first().map_or((0, Offset(0)), |progress| {
            (progress.owner_epoch, progress.low)
        });
        let mut reader = ControlReader::new(&road.settings.prefix, road.tables.schemas.clone());
        reader.poll(road.log.as_ref(), Some(low)).await?;
        road.tables.add_copied(done(reader.state()));
        Ok(Copied {
            kept_as,
            control: spec.partition,
            owner_epoch,
            reader,
            awaited: None,
        })
    }

    /// Looks what is new.
    ///
    /// # Errors
    /// If the log or the replica cannot be asked: the next look does it.
    pub(super) async fn look(&mut self, road: &Road) -> Result<(), ApplyFailure> {
        if self.awaited.is_none() {
            self.awaited = self.news(road).await?;
        }
        let Some(awaited) = &self.awaited else {
            return Ok(());
        };
        // Other processes may have some of them.
        let mut lows = road.lows();
        for stored in road.replica.lows(&road.settings.pipeline).await? {
            lows.entry(stored.partition).or_insert(stored.low);
        }
        let applied = |(partition, end): (&TopicPartition, &Offset)| {
            lows.get(partition).is_some_and(|low| low >= end)
        };
        if !awaited.ends.iter().all(applied) {
            return Ok(());
        }
        let low = PartitionLow {
            partition: self.control.clone(),
            owner_epoch: self.owner_epoch,
            low: awaited.told_below,
            low_position: Position::ZERO,
            acceptance: Acceptance::default(),
            held: Held::default(),
        };
        let mut session = road.replica.session().await?;
        match session.save_low(&self.kept_as, &[low]).await {
            Ok(()) => {}
            // Another process keeps it now; what it has kept is read, and it is taken over in turn.
            Err(error) if error.kind == ApplyErrorKind::Fenced => {
                *self = Copied::open(road).await?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(awaited) = self.awaited.take() {
            road.tables.add_copied(awaited.tables);
        }
        Ok(())
    }

    /// Copies that were not known to be in the log, and where the log ends now.
    async fn news(&mut self, road: &Road) -> Result<Option<Awaited>, LogError> {
        let told_below = road.log.bounds(&self.control).await?.end;
        self.reader
            .poll(road.log.as_ref(), Some(told_below))
            .await?;
        let state = self.reader.state();
        let known = road.tables.copied();
        let tables: BTreeSet<TableName> = done(state).difference(&known).cloned().collect();
        if tables.is_empty() {
            return Ok(None);
        }
        let mut ends = BTreeMap::new();
        for topic in &state.topics {
            if !tables.contains(&TableName::new(topic.schema.as_str(), topic.table.as_str())) {
                continue;
            }
            for number in 0..topic.partitions {
                let partition = TopicPartition::new(topic.topic.as_str(), number);
                let end = road.log.bounds(&partition).await?.end;
                ends.insert(partition, end);
            }
        }
        Ok(Some(Awaited {
            tables,
            told_below,
            ends,
        }))
    }
}

/// The tables whose copy is in the log, as the control topic tells it.
fn done(state: &ControlState) -> BTreeSet<TableName> {
    let done = state
        .tables
        .iter()
        .filter(|progress| matches!(progress.phase, TablePhase::Done { .. }));
    done.map(|progress| progress.table.clone()).collect()
}
