//! Whose shards are. Time is the machine's: all who use the file share it.

use keylane_core::saga::{Lease, SHARDS};
use rusqlite::{Connection, Row, params};

use super::store::Fault;
use crate::workers::stats::now_us;

/// A process that was not heard of for so long is forgotten.
const GONE_US: i64 = 3_600_000_000;

pub(super) fn lease(open: &Connection, owner: &str, hold_ms: u64) -> Result<Vec<Lease>, Fault> {
    let now_us = now_us();
    let hold_us = i64::try_from(hold_ms).unwrap_or(i64::MAX / 2000) * 1000;
    let until_us = now_us.saturating_add(hold_us);
    open.execute(
        "INSERT INTO saga_member (owner, until_us) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until_us = excluded.until_us",
        params![owner, until_us],
    )?;
    open.execute(
        "DELETE FROM saga_member WHERE until_us < ?1",
        [now_us - GONE_US],
    )?;
    let members: i64 = open.query_row(
        "SELECT count(*) FROM saga_member WHERE until_us >= ?1",
        [now_us],
        |row| row.get(0),
    )?;
    let fair = usize::from(SHARDS).div_ceil(usize::try_from(members).unwrap_or(1).max(1));
    open.execute(
        "UPDATE saga_lease SET until_us = ?2 WHERE owner = ?1",
        params![owner, until_us],
    )?;
    let mut leases = of(open, owner)?;
    if leases.len() > fair {
        for lease in leases.split_off(fair) {
            open.execute(
                "UPDATE saga_lease SET owner = NULL, until_us = 0 WHERE shard = ?1",
                [lease.shard],
            )?;
        }
    } else if leases.len() < fair {
        open.execute(
            "UPDATE saga_lease SET owner = ?1, epoch = epoch + 1, until_us = ?2 WHERE shard IN
             (SELECT shard FROM saga_lease WHERE owner IS NULL OR until_us < ?3 ORDER BY until_us LIMIT ?4)",
            params![owner, until_us, now_us, i64::try_from(fair - leases.len()).unwrap_or(0)],
        )?;
        leases = of(open, owner)?;
    }
    Ok(leases)
}

fn of(open: &Connection, owner: &str) -> Result<Vec<Lease>, Fault> {
    let mut asked =
        open.prepare_cached("SELECT shard, epoch FROM saga_lease WHERE owner = ?1 ORDER BY shard")?;
    let leases = asked.query_map([owner], of_row)?;
    Ok(leases.collect::<Result<_, _>>()?)
}

pub(super) fn release(open: &Connection, owner: &str) -> Result<(), Fault> {
    open.execute(
        "UPDATE saga_lease SET owner = NULL, until_us = 0 WHERE owner = ?1",
        [owner],
    )?;
    open.execute("DELETE FROM saga_member WHERE owner = ?1", [owner])?;
    Ok(())
}

/// Whether a lease is still its holder's.
pub(super) fn is_held(open: &Connection, lease: Lease) -> Result<bool, Fault> {
    let mut asked = open.prepare_cached("SELECT epoch FROM saga_lease WHERE shard = ?1")?;
    let epoch: u64 = asked.query_row([lease.shard], |row| row.get(0))?;
    Ok(epoch == lease.epoch)
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<Lease> {
    Ok(Lease {
        shard: row.get(0)?,
        epoch: row.get(1)?,
    })
}
