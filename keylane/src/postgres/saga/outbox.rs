//! What is to be sent.

use keylane_core::saga::Unsent;

use super::store::{Fault, Session};
use crate::saga::form;

const UNSENT: &str = "
SELECT number, saga_id, step, command FROM keylane.saga_outbox
WHERE shard = ANY($1) AND participant <> ALL($2) ORDER BY number LIMIT $3";
/// By their numbers: one that a later command has taken the place of is not meant.
pub(super) const SENT: &str = "DELETE FROM keylane.saga_outbox WHERE number = ANY($1)";

pub(super) async fn unsent(
    session: &mut Session,
    shards: &[u16],
    but_to: &[String],
    limit: usize,
) -> Result<Vec<Unsent>, Fault> {
    let shards: Vec<i16> = shards.iter().map(|it| *it as i16).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let asked = session.prepared(UNSENT).await?;
    let rows = session
        .client
        .query(&asked, &[&shards, &but_to, &limit])
        .await?;
    let unsent = rows.iter().map(|row| {
        Ok(form::unsent(
            row.get(0),
            row.get(1),
            row.get(2),
            row.get(3),
        )?)
    });
    unsent.collect()
}
