//! One run at a time on each table.

use std::path::Path;
use std::time::{Duration, Instant};

use keylane::sqlite::journal::Claim;
use keylane_core::model::TableName;
use keylane_core::reconcile::Side;

use super::run::Trouble;
use super::target::Target;
use crate::exit_code::Exit;

/// As long as a server may take to notice that a connection has ended.
const SHORTLY: Duration = Duration::from_secs(5);
/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a table that another run has is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Some seconds: a person wants to know.
    Shortly,
    /// However long it takes.
    UntilFree,
}

/// The table for one run, for as long as the answer and `replica` live: on this machine by a file, among all machines by the replica.
pub(super) async fn claim(
    state_dir: &Path,
    target: &Target,
    table: &TableName,
    replica: &mut dyn Side,
    wait: Wait,
) -> Result<Claim, Trouble> {
    let Target {
        origin,
        replica: at,
        ..
    } = target;
    let claimed = format!("{}\n{}\n{table}", origin.place(), at.place());
    let until = Instant::now() + SHORTLY;
    loop {
        let here = Claim::take(state_dir, &claimed);
        let here = here.map_err(|error| Trouble::NotKept(error.to_string()))?;
        if let Some(here) = here
            && replica.claim(&at.replica_table(table)).await?
        {
            return Ok(here);
        }
        if wait == Wait::Shortly && Instant::now() >= until {
            let why = format!("another run compares table {table} now");
            return Err(Trouble::Table(Exit::Error, why));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
