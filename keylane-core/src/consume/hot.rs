//! Which keys most records are of, in bounded memory: they bound what any number of handlers can do, because records of one key go one after another.

use std::collections::HashMap;

use bytes::Bytes;

/// A key and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// The key.
    pub key: Bytes,
    /// Its share of the records of late, from 0 to 1; too high by at most a [`HotKeys::KEPT`]th.
    pub share: f64,
}

/// Counts keys by the Space-Saving algorithm (Metwally, Agrawal, El Abbadi 2005): a fixed number of counters, the lowest of which goes to whoever is new. Any key
/// whose share is above one [`HotKeys::KEPT`]th is among them. Counters are halved now and then, so that they tell of late and not of ever. After the first records
/// one in [`HotKeys::SAMPLED`] stands for all, by chance: among many keys, each new one has to find the lowest counter.
#[derive(Clone, Debug, Default)]
pub struct HotKeys {
    counts: HashMap<Bytes, u64>,
    total: u64,
    seen: u64,
}

impl HotKeys {
    /// How many keys are counted. Longer ones than [`HotKeys::KEY_BYTES_MAX`] are not.
    pub const KEPT: usize = 64;
    /// The longest key that is counted, in bytes: what is kept is bounded.
    pub const KEY_BYTES_MAX: usize = 1024;
    /// Records after which counters are halved.
    const HALVED_AFTER: u64 = 1 << 16;

    /// All of so many records count at first.
    const COUNTED_FIRST: u64 = 1 << 12;
    /// Of how many records one counts then.
    const SAMPLED: u64 = 16;

    /// A record of this key came.
    pub fn note(&mut self, key: &Bytes) {
        self.seen += 1;
        if self.seen <= Self::COUNTED_FIRST {
            self.add(key, 1);
        } else if scattered(self.seen).is_multiple_of(Self::SAMPLED) {
            self.add(key, Self::SAMPLED);
        }
    }

    fn add(&mut self, key: &Bytes, weight: u64) {
        self.total += weight;
        if self.total >= Self::HALVED_AFTER {
            self.total /= 2;
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        if let Some(count) = self.counts.get_mut(key) {
            *count += weight;
            return;
        }
        if key.len() > Self::KEY_BYTES_MAX {
            return;
        }
        let mut least = 0;
        if self.counts.len() >= Self::KEPT {
            let lowest = self.counts.iter().min_by_key(|(_, count)| **count);
            let Some((lowest, count)) = lowest.map(|(key, count)| (key.clone(), *count)) else {
                return;
            };
            self.counts.remove(&lowest);
            least = count;
        }
        // A copy: a slice of a fetched record would keep all of it.
        self.counts
            .insert(Bytes::copy_from_slice(key), least + weight);
    }

    /// The keys with the largest shares, largest first.
    pub fn top(&self, most: usize) -> Vec<HotKey> {
        let total = self.total.max(1) as f64;
        let mut all: Vec<(&Bytes, &u64)> = self.counts.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let hot = |(key, count): (&Bytes, &u64)| HotKey {
            key: key.clone(),
            share: *count as f64 / total,
        };
        all.into_iter().take(most).map(hot).collect()
    }
}

/// A number in no step with those beside it (SplitMix64: Steele, Lea, Flood 2014): a key that is every eighth record's is sampled as all others are.
fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consume::chance::numbers;

    fn key(number: u64) -> Bytes {
        Bytes::from(number.to_string())
    }

    #[test]
    fn a_hot_key_is_found_among_many_others_and_its_share_is_nearly_right() {
        let (mut keys, mut random) = (HotKeys::default(), numbers(3));
        for _ in 0..50_000 {
            let number = match random(10) {
                0 | 1 => 0,
                2 => 1,
                _ => 2 + random(100_000),
            };
            keys.note(&key(number));
        }
        let top = keys.top(2);
        assert_eq!((&top[0].key, &top[1].key), (&key(0), &key(1)));
        for (hot, share) in top.iter().zip([0.2, 0.1]) {
            assert!(
                (share - 0.01..share + 1.0 / 64.0 + 0.01).contains(&hot.share),
                "{hot:?}"
            );
        }
        assert!(keys.counts.len() <= HotKeys::KEPT);
    }

    #[test]
    fn a_key_that_comes_at_an_even_pace_is_counted_as_any_other() {
        let mut keys = HotKeys::default();
        for number in 0..100_000_u64 {
            keys.note(&key(if number % 8 == 0 { 0 } else { number }));
        }
        let top = keys.top(1);
        assert!((0.11..0.16).contains(&top[0].share), "{top:?}");
    }

    #[test]
    fn what_was_hot_long_ago_is_not_hot_any_more() {
        let mut keys = HotKeys::default();
        for number in 0..400_000_u64 {
            keys.note(&key(if number < 100_000 { 0 } else { 1 + number % 3 }));
        }
        let hottest = keys.top(4);
        assert!(
            hottest[0].key != key(0) && hottest[0].share < 0.4,
            "{hottest:?}"
        );
    }
}
