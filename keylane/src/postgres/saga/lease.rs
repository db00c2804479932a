//! Whose shards are. Time is the server's.

use keylane_core::saga::{Lease, SHARDS};

use super::store::{Fault, Session};

const HERE: &str = "
INSERT INTO keylane.saga_member AS m (owner, until) VALUES ($1, clock_timestamp() + $2 * interval '1 ms')
ON CONFLICT (owner) DO UPDATE SET until = excluded.until";
const GONE: &str =
    "DELETE FROM keylane.saga_member WHERE until < clock_timestamp() - interval '1 hour'";
const MEMBERS: &str = "SELECT count(*) FROM keylane.saga_member WHERE until >= clock_timestamp()";
const PROLONG: &str = "
UPDATE keylane.saga_lease SET until = clock_timestamp() + $2 * interval '1 ms' WHERE owner = $1 RETURNING shard, epoch";
/// A shard in which its former owner is just writing is locked by that, and passed over.
const TAKE: &str = "
UPDATE keylane.saga_lease SET owner = $1, epoch = epoch + 1, until = clock_timestamp() + $2 * interval '1 ms'
WHERE shard IN (SELECT shard FROM keylane.saga_lease WHERE owner IS NULL OR until < clock_timestamp()
                ORDER BY until LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING shard, epoch";
const GIVE_UP: &str = "UPDATE keylane.saga_lease SET owner = NULL, until = '-infinity' WHERE owner = $1 AND shard = ANY($2)";
const GIVE_ALL: &str =
    "UPDATE keylane.saga_lease SET owner = NULL, until = '-infinity' WHERE owner = $1";
const LEAVE: &str = "DELETE FROM keylane.saga_member WHERE owner = $1";
/// The leases of these shards as they are, kept so until the transaction ends: whoever takes a shard waits for that.
pub(super) const HELD: &str =
    "SELECT shard, epoch FROM keylane.saga_lease WHERE shard = ANY($1) ORDER BY shard FOR SHARE";

pub(super) async fn lease(
    session: &mut Session,
    owner: &str,
    hold_ms: u64,
) -> Result<Vec<Lease>, Fault> {
    let hold = hold_ms as f64;
    let open = session.client.transaction().await?;
    open.execute(HERE, &[&owner, &hold]).await?;
    open.execute(GONE, &[]).await?;
    let members: i64 = open.query_one(MEMBERS, &[]).await?.get(0);
    let fair = usize::from(SHARDS).div_ceil(usize::try_from(members).unwrap_or(1).max(1));
    let rows = open.query(PROLONG, &[&owner, &hold]).await?;
    let mut leases: Vec<Lease> = rows.iter().map(of_row).collect();
    leases.sort_unstable();
    if leases.len() > fair {
        let more: Vec<i16> = leases
            .split_off(fair)
            .iter()
            .map(|it| it.shard as i16)
            .collect();
        open.execute(GIVE_UP, &[&owner, &more]).await?;
    } else if leases.len() < fair {
        let missing = i64::try_from(fair - leases.len()).unwrap_or(i64::MAX);
        let taken = open.query(TAKE, &[&owner, &hold, &missing]).await?;
        leases.extend(taken.iter().map(of_row));
    }
    open.commit().await?;
    Ok(leases)
}

pub(super) async fn release(session: &mut Session, owner: &str) -> Result<(), Fault> {
    let open = session.client.transaction().await?;
    open.execute(GIVE_ALL, &[&owner]).await?;
    open.execute(LEAVE, &[&owner]).await?;
    open.commit().await?;
    Ok(())
}

pub(super) fn of_row(row: &tokio_postgres::Row) -> Lease {
    Lease {
        shard: row.get::<_, i16>(0) as u16,
        epoch: row.get::<_, i64>(1) as u64,
    }
}
