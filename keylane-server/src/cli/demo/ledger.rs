//! What the log holds and how far the replica says it is, read when all is over: exact counts that no worker's memory stands behind.

use keylane_core::model::Position;
use keylane_core::publish::{Header, RecordKind};

use crate::exit_code::{Exit, Failure};
use crate::wire_up::Road;

/// How much of a partition is read at a time.
const READ_BYTES: usize = 1 << 20;

/// The log's and the replica's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Changes in the log, each counted once.
    pub published: u64,
    /// Of these, those that the replica's progress says are applied.
    pub applied: u64,
    /// Changes that are in the log a second time.
    pub doubled: u64,
}

/// Reads the log from its beginning to its end.
///
/// # Errors
/// If the log or the replica does not answer.
pub async fn account(road: &Road) -> Result<Account, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Error,
            format!("the log cannot be read for the account: {error}"),
        )
    };
    let mut account = Account::default();
    let progress = road.progress().await.map_err(|error| unreadable(&error))?;
    for partition in progress {
        let bounds = road
            .log
            .bounds(&partition.partition)
            .await
            .map_err(|error| unreadable(&error))?;
        let (mut next, mut reached) = (bounds.start, Position::ZERO);
        while next < bounds.end {
            let records = road
                .log
                .read(&partition.partition, next, READ_BYTES)
                .await
                .map_err(|error| unreadable(&error))?;
            let Some(last) = records.last() else { break };
            next = last.offset.next();
            for record in records {
                let header = record
                    .keylane
                    .as_deref()
                    .and_then(|raw| Header::decode(raw).ok());
                let Some(header) = header.filter(|header| header.kind == RecordKind::Change) else {
                    continue;
                };
                // A partition's changes are in the order of their positions, so one that does not go on is there already.
                if header.position <= reached {
                    account.doubled += 1;
                    continue;
                }
                reached = header.position;
                account.published += 1;
                account.applied += u64::from(record.offset < partition.low);
            }
        }
    }
    Ok(account)
}
