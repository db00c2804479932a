//! Which keys most changes are of: what no number of threads can make faster.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use keylane_core::consume::HotKeys;
use keylane_core::model::{Offset, TopicPartition};

use crate::workers::stats::{ApplyStats, HotKeyBound};

/// How many are told.
const TOLD_MAX: usize = 5;
/// A smaller share than this is none to speak of, and near what the counters can tell.
const SHARE_MIN: f64 = 2.0 / HotKeys::KEPT as f64;
/// One record in so many is counted.
const ONE_IN: u64 = 8;

/// Counts a part of the records.
#[derive(Debug, Default)]
pub(super) struct Hot(Mutex<HotKeys>);

impl Hot {
    /// A change of this key came.
    pub(super) fn note(&self, partition: &TopicPartition, offset: Offset, key: &[u8]) {
        // By a mixed offset (Fibonacci hashing): a writer's rhythm is not told apart from chance.
        let mixed = offset.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if !mixed.is_multiple_of(ONE_IN) {
            return;
        }
        let named = [partition.topic.as_bytes(), b" ", key].concat();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(&Bytes::from(named));
    }

    /// Brings what is told up to date.
    pub(super) fn tell(&self, stats: &ApplyStats, batch_rows: usize) {
        let top = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let top = top.top(TOLD_MAX).into_iter();
        let transaction_us = stats.transaction_us.get();
        let bound = |share: f64| batch_rows as f64 * 1e6 / (transaction_us as f64 * share);
        let told = top.filter(|hot| hot.share >= SHARE_MIN).map(|hot| {
            let named = String::from_utf8_lossy(&hot.key);
            let (topic, key) = named.split_once(' ').unwrap_or(("", &named));
            HotKeyBound {
                topic: topic.to_owned(),
                key: key.to_owned(),
                share: hot.share,
                changes_per_second_max: (transaction_us > 0).then(|| bound(hot.share)),
            }
        });
        let mut cell = stats
            .hot_keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *cell = told.collect();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_hot_key_is_told_with_the_bound_that_it_sets() {
        let (hot, stats) = (Hot::default(), ApplyStats::default());
        let partition = TopicPartition::new("shop.public.counters", 0);
        for number in 0..100_000_u64 {
            let key = if number % 4 == 0 { 0 } else { number };
            let key = format!("{{\"id\": {key}}}");
            hot.note(&partition, Offset(number), key.as_bytes());
        }
        let told = || stats.hot_keys.lock().expect("whole").clone();
        hot.tell(&stats, 1000);
        assert_eq!(told()[0].changes_per_second_max, None);
        stats.transaction_took(Duration::from_millis(10));
        hot.tell(&stats, 1000);
        let hottest = told().remove(0);
        assert_eq!(
            (&*hottest.topic, &*hottest.key),
            ("shop.public.counters", "{\"id\": 0}")
        );
        // 1,000 a transaction of 10 ms are 100,000 a second, a quarter of all.
        assert!((0.22..0.3).contains(&hottest.share), "{hottest:?}");
        let most = hottest.changes_per_second_max.expect("known");
        assert!((330_000.0..460_000.0).contains(&most), "{most}");
    }
}
