//! Records on their way from a log without faults to the lanes: some of one partition at a time, judged as the applier judges them.

use std::collections::BTreeMap;

use keylane_core::apply::{Lanes, PartitionProgress};
use keylane_core::consume::{Intake, RawPayload, Taken};
use keylane_core::model::{Position, TopicPartition};

use super::Written;
use crate::Chance;

pub(crate) struct Feed {
    log: Written,
    fed: BTreeMap<TopicPartition, usize>,
    intakes: BTreeMap<TopicPartition, Intake>,
    /// A partition that holds a change of a transaction is thought to hold all of it; only mutants do.
    pub tells_too_much: bool,
}

impl Feed {
    pub(crate) fn of(log: Written) -> Self {
        Feed {
            log,
            fed: BTreeMap::new(),
            intakes: BTreeMap::new(),
            tells_too_much: false,
        }
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        self.log.keys().cloned().collect()
    }

    /// A partition goes on from where the replica says.
    pub(crate) fn go_on(&mut self, progress: &PartitionProgress) {
        let partition = progress.partition.clone();
        self.intakes
            .insert(partition.clone(), Intake::new(progress.acceptance));
        self.fed.insert(partition, progress.low.0 as usize);
    }

    /// Partitions that hold more.
    fn unfed(&self) -> Vec<TopicPartition> {
        let fed = |of: &TopicPartition| self.fed.get(of).copied().unwrap_or(0);
        let unfed = self.log.iter().filter(|(of, all)| fed(of) < all.len());
        unfed.map(|(of, _)| of.clone()).collect()
    }

    pub(crate) fn holds_more(&self) -> bool {
        !self.unfed().is_empty()
    }

    /// Some records of one partition.
    pub(crate) fn some(&mut self, chance: &mut Chance, lanes: &mut Lanes<RawPayload>) {
        let Some(partition) = chance.pick(&self.unfed()).cloned() else {
            return;
        };
        let at = self.fed.entry(partition.clone()).or_default();
        let intake = self.intakes.entry(partition.clone()).or_default();
        for _ in 0..chance.between(1, 12) {
            let Some(record) = self.log[&partition].get(*at).cloned() else {
                break;
            };
            *at += 1;
            let offset = record.offset;
            let taken = intake.take(record);
            let after = intake.acceptance;
            match taken {
                Taken::Item(item) => {
                    let commit = item.position.commit;
                    lanes.offer(&partition, item, after);
                    if self.tells_too_much {
                        let all = Some(Position::end_of(commit));
                        lanes.passed(&partition, offset, all, after);
                    }
                }
                Taken::Marker(position) => {
                    lanes.passed(&partition, offset, Some(position), after);
                }
                _ => lanes.passed(&partition, offset, None, after),
            }
        }
        lanes.received();
    }
}
