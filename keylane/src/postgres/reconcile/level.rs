//! When the origin's readers see what its log tells.
//!
//! PostgreSQL writes a commit into its log, may wait for a synchronous standby then, and only afterwards takes the transaction off the list of those that are running: until that moment the log tells of
//! rows that no reader sees. A transaction keeps its locks beyond that moment, and everybody may see who holds which: so whoever wrote the table and is done with it has made its rows visible.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use keylane_core::model::TableName;
use tokio_postgres::{Client, Error};

/// Who wrote the table, or its partitions, and has not ended.
const WRITERS: &str = "
SELECT DISTINCT l.virtualtransaction AS writer FROM pg_locks l
WHERE l.locktype = 'relation' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND l.relation IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
                     UNION SELECT t.relid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_partition_tree(c.oid) t
                     WHERE n.nspname = $1 AND c.relname = $2)";

/// Whose commit is in the log needs no more than to be scheduled; whoever takes longer is at work, and commits later.
const SCHEDULED_WITHIN: Duration = Duration::from_millis(500);
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Returns once readers see what was committed to this table before a mark that was committed before the call, and waited for standbys as long as anybody does.
///
/// # Errors
/// The server's.
pub async fn writers_end(client: &Client, table: &TableName) -> Result<(), Error> {
    let until = Instant::now() + SCHEDULED_WITHIN;
    let mut open: Option<HashSet<String>> = None;
    loop {
        let names = [&&*table.schema as _, &&*table.name as _];
        let rows = client.query(WRITERS, &names).await?;
        let now: Result<HashSet<String>, Error> =
            rows.iter().map(|row| row.try_get("writer")).collect();
        let now = now?;
        // Who came since commits behind the mark.
        let left = match open {
            None => now,
            Some(before) => before.intersection(&now).cloned().collect(),
        };
        if left.is_empty() || Instant::now() >= until {
            return Ok(());
        }
        open = Some(left);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
