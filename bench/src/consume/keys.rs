//! Which keys the records have, and what bounds the handling of records in their keys' order.

use std::sync::OnceLock;

/// How the records' keys are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keys {
    /// One key: all of them one after another.
    One,
    /// A thousand keys in turn.
    Thousand,
    /// [`ZIPF_KEYS`] possible keys, the n-th of which is drawn with a chance of 1/n of the first one's.
    Zipf,
    /// Each record has a key of its own.
    Distinct,
}

/// Possible keys of [`Keys::Zipf`]. Its exponent is 1, so the first key's share is 1 / H(1,000,000) = 6.95 %.
pub(crate) const ZIPF_KEYS: u64 = 1_000_000;
const THOUSAND: u64 = 1_000;

impl Keys {
    pub(crate) const ALL: [Keys; 4] = [Keys::One, Keys::Thousand, Keys::Zipf, Keys::Distinct];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Keys::One => "one",
            Keys::Thousand => "thousand",
            Keys::Zipf => "zipf",
            Keys::Distinct => "distinct",
        }
    }

    /// How many keys `records` records may have.
    pub(crate) fn most(self, records: u64) -> u64 {
        match self {
            Keys::One => 1,
            Keys::Thousand => THOUSAND,
            Keys::Zipf => ZIPF_KEYS,
            Keys::Distinct => records.max(1),
        }
    }

    /// The most frequent key's share of many records.
    pub(crate) fn top_share(self) -> f64 {
        match self {
            Keys::One => 1.0,
            Keys::Thousand => 1.0 / THOUSAND as f64,
            Keys::Zipf => 1.0 / zipf().last().copied().unwrap_or(1.0),
            Keys::Distinct => 0.0,
        }
    }
}

/// How many handlers can be in progress all the time, at most: the records of the most frequent key go one after another, so of `concurrency` no more than 1 / its share. The rate that cannot be beaten
/// is this over the length of the work.
pub(crate) fn at_once(concurrency: u64, top_share: f64) -> f64 {
    let concurrency = concurrency as f64;
    match top_share > 0.0 {
        true => concurrency.min(1.0 / top_share),
        false => concurrency,
    }
}

/// The same keys every time.
pub(crate) struct Sequence {
    keys: Keys,
    record: u64,
    /// How many records each key has had; of distinct ones nothing is kept.
    had: Vec<u64>,
    random: u64,
}

impl Sequence {
    pub(crate) fn new(keys: Keys) -> Self {
        let kept = match keys {
            Keys::Distinct => 0,
            of => of.most(0),
        };
        Sequence {
            keys,
            record: 0,
            had: vec![0; usize::try_from(kept).unwrap_or(usize::MAX)],
            random: 7,
        }
    }

    /// The next record's key, and the record's number among those of its key.
    pub(crate) fn next(&mut self) -> (u64, u64) {
        let key = match self.keys {
            Keys::One => 0,
            Keys::Thousand => self.record % THOUSAND,
            Keys::Distinct => self.record,
            Keys::Zipf => {
                let sums = zipf();
                let whole = sums.last().copied().unwrap_or(1.0);
                let at = self.fraction() * whole;
                sums.partition_point(|sum| *sum <= at) as u64
            }
        };
        self.record += 1;
        let had = usize::try_from(key)
            .ok()
            .and_then(|it| self.had.get_mut(it));
        let number = had.map_or(0, |had| std::mem::replace(had, *had + 1));
        (key, number)
    }

    /// The most frequent key's share of what came.
    pub(crate) fn top_share(&self) -> f64 {
        let most = self.had.iter().max().copied().unwrap_or(1);
        most as f64 / self.record.max(1) as f64
    }

    /// From 0 to 1, by SplitMix64.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Sums of 1/n.
fn zipf() -> &'static [f64] {
    static SUMS: OnceLock<Vec<f64>> = OnceLock::new();
    SUMS.get_or_init(|| {
        let parts = (1..=ZIPF_KEYS).map(|n| 1.0 / n as f64);
        let sum = |sum: &mut f64, part| {
            *sum += part;
            Some(*sum)
        };
        parts.scan(0.0, sum).collect()
    })
}
