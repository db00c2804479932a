//! Reads of a side that may be away for a while.

use std::time::Duration;

use keylane_core::model::Row;
use keylane_core::reconcile::{
    Checksum, Key, Range, Scanned, Side, SideError, SideErrorKind, TablePlan,
};

/// The pauses between attempts while a side is away.
const AWAY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often a side that is away is tried in a row: for about a minute and a half.
const ATTEMPTS_MAX: u32 = 12;

/// An answer of a side, asked for again while it is away.
macro_rules! patiently {
    ($answer:expr) => {{
        let mut patience = Patience::default();
        loop {
            match $answer.await {
                Err(error) if patience.is_left(&error) => patience.wait(&error).await,
                answer => return answer,
            }
        }
    }};
}

/// [`Side::scan`], patiently.
pub(super) async fn scan(
    side: &mut dyn Side,
    plan: &TablePlan,
    range: &Range,
    most: (usize, usize),
) -> Result<Scanned, SideError> {
    patiently!(side.scan(plan, range, most))
}

/// [`Side::rows`], patiently.
pub(super) async fn rows(
    side: &mut dyn Side,
    plan: &TablePlan,
    keys: &[Key],
) -> Result<Vec<Row>, SideError> {
    patiently!(side.rows(plan, keys))
}

/// [`Side::key_at`], patiently.
pub(super) async fn key_at(
    side: &mut dyn Side,
    plan: &TablePlan,
    range: &Range,
    rows: usize,
) -> Result<Option<Key>, SideError> {
    patiently!(side.key_at(plan, range, rows))
}

/// [`Side::checksum`], patiently.
pub(super) async fn checksum(
    side: &mut dyn Side,
    plan: &TablePlan,
    range: &Range,
) -> Result<Checksum, SideError> {
    patiently!(side.checksum(plan, range))
}

#[derive(Default)]
struct Patience {
    attempts: u32,
}

impl Patience {
    fn is_left(&self, error: &SideError) -> bool {
        let passes = match error.kind {
            SideErrorKind::Unreachable | SideErrorKind::Busy => true,
            SideErrorKind::Denied | SideErrorKind::Table | SideErrorKind::Other => false,
        };
        passes && self.attempts + 1 < ATTEMPTS_MAX
    }

    async fn wait(&mut self, error: &SideError) {
        tracing::warn!("reading is tried again: {error}");
        let (first, longest) = AWAY;
        let pause = first.saturating_mul(2_u32.saturating_pow(self.attempts));
        self.attempts += 1;
        tokio::time::sleep(pause.min(longest)).await;
    }
}
