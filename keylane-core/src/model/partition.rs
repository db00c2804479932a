//! Where in the log a change goes: topic, partition, and the lane inside the partition.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// A partition from its parts.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The hash of an order key's canonical bytes: Kafka's murmur2, so that any Java producer picks the same partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderHash(pub u32);

/// The unit of order inside a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u16);

/// How many lanes each partition of a pipeline has; stored with the progress, fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneCount(pub u16);

impl OrderHash {
    /// Of an order key's canonical bytes.
    pub fn of(key: &[u8]) -> Self {
        OrderHash(murmur2(key))
    }

    /// The partition, as Kafka's default partitioner picks it for a keyed record.
    pub fn partition(self, partitions: u32) -> u32 {
        (self.0 & 0x7fff_ffff) % partitions.max(1)
    }

    /// The lane inside the partition. The hash is mixed again: its low bits already chose the partition.
    pub fn lane(self, lanes: LaneCount) -> Lane {
        let mut mixed = u64::from(self.0).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        Lane((mixed % u64::from(lanes.0.max(1))) as u16)
    }
}

/// Kafka's murmur2 (org.apache.kafka.common.utils.Utils.murmur2), as unsigned bits.
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash: u32 = 0x9747_b28c ^ (data.len() as u32);
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = chunk
            .iter()
            .rev()
            .fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash ^= rest
            .iter()
            .rev()
            .fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_the_java_client() {
        // Expected values of Apache Kafka's own UtilsTest.
        for (text, expect) in [
            ("21", -973_932_308i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, expect, "{text}");
        }
        assert_eq!(murmur2(b"abc") as i32, 479_470_107);
    }

    #[test]
    fn lanes_of_one_partition_are_all_used() {
        let lanes = LaneCount(64);
        let mut used = std::collections::BTreeSet::new();
        for key in 0..20_000u32 {
            let hash = OrderHash::of(format!("{{\"id\":{key}}}").as_bytes());
            if hash.partition(8) == 3 {
                used.insert(hash.lane(lanes));
            }
        }
        assert_eq!(used.len(), 64);
    }
}
