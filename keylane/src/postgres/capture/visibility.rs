//! Which transactions a snapshot sees. A transaction can be delivered by the stream and still be invisible to a snapshot taken then, because its commit is in
//! the log a moment before it is taken off the list of running ones (and seconds before, with a slow synchronous standby).

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use keylane_core::capture::OriginError;
use tokio_postgres::Client;

use super::error::{code, from_sql, refused, unreachable};

/// Of how many transactions the ids are kept; as many could be delivered while one stays invisible.
const KEPT: usize = 16_384;

/// The ids of transactions delivered of late, as the log tells them (without their upper half).
#[derive(Clone, Debug, Default)]
pub(super) struct Delivered {
    ids: VecDeque<u32>,
}

impl Delivered {
    /// A transaction was delivered.
    pub fn add(&mut self, id: u32) {
        if self.ids.len() == KEPT {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
    }
}

/// What `pg_current_snapshot()` told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The first id not yet given when it was taken.
    xmax: u64,
    /// Running then.
    running: BTreeSet<u64>,
}

/// How long a transaction that the log told of may stay unseen before the origin counts as away: as long as its standby is.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Returns once readers see a transaction that the log told of: until then the catalog is that of before it.
pub(super) async fn seen(client: &Client, id: u32) -> Result<(), OriginError> {
    let until = Instant::now() + SEEN_WITHIN;
    while !Snapshot::now(client, "reading the catalog").await?.sees(id) {
        if Instant::now() >= until {
            return Err(unreachable(
                "the origin's log tells of a commit that its readers do not see: is its synchronous standby away?",
            ));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

impl Snapshot {
    /// That of the transaction, or of the statement outside of any.
    pub async fn now(client: &Client, doing: &str) -> Result<Self, OriginError> {
        let row = client
            .query_one("SELECT pg_current_snapshot()::text", &[])
            .await
            .map_err(|error| from_sql(doing, &error))?;
        let text: String = row.try_get(0).map_err(|error| from_sql(doing, &error))?;
        Snapshot::parse(&text).ok_or_else(|| {
            refused(
                code::MALFORMED,
                "the origin told a snapshot that cannot be read",
            )
        })
    }

    /// From `xmin:xmax:id,id,…`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let _xmin: u64 = parts.next()?.parse().ok()?;
        let xmax = parts.next()?.parse().ok()?;
        let running = parts
            .next()?
            .split(',')
            .filter(|id| !id.is_empty())
            .map(|id| id.parse().ok())
            .collect::<Option<_>>()?;
        Some(Snapshot { xmax, running })
    }

    /// Whether it sees everything that was delivered.
    pub fn sees_all(&self, delivered: &Delivered) -> bool {
        delivered.ids.iter().all(|id| self.sees(*id))
    }

    /// Whether it sees this one.
    fn sees(&self, id: u32) -> bool {
        let whole = self.whole(id);
        whole < self.xmax && !self.running.contains(&whole)
    }

    /// The id with its upper half: the one nearest to this snapshot's end.
    fn whole(&self, id: u32) -> u64 {
        const ROUND: u64 = 1 << 32;
        let near = (self.xmax & !(ROUND - 1)) | u64::from(id);
        if near > self.xmax + ROUND / 2 {
            near.saturating_sub(ROUND)
        } else if near + ROUND / 2 < self.xmax {
            near + ROUND
        } else {
            near
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(snapshot: &str, ids: &[u32], expect: bool) {
        let mut delivered = Delivered::default();
        for id in ids {
            delivered.add(*id);
        }
        let parsed = Snapshot::parse(snapshot).expect("a snapshot");
        assert_eq!(parsed.sees_all(&delivered), expect, "{snapshot} {ids:?}");
    }

    #[test]
    fn a_snapshot_sees_what_ended_before_it_and_nothing_else() {
        check("10:20:", &[], true);
        check("10:20:", &[10, 19], true);
        check("10:20:10,15", &[11, 16], true);
        check("10:20:10,15", &[15], false);
        check("10:20:10,15", &[20], false);
    }

    #[test]
    fn ids_that_have_gone_round_are_told_apart() {
        // 2^32 = 4294967296
        check("4294967290:4294967300:", &[4_294_967_295, 2], true);
        check("4294967290:4294967300:4294967298", &[2], false);
        check("4294967290:4294967300:", &[5], false);
    }

    #[test]
    fn a_text_that_is_no_snapshot_is_none() {
        for bad in ["", "1", "1:2", "a:2:", "1:2:x"] {
            assert_eq!(Snapshot::parse(bad), None, "{bad}");
        }
    }
}
