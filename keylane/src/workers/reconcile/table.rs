//! One table's comparison, from its first range to its last proof.

use std::time::Duration;

use async_trait::async_trait;
use keylane_core::reconcile::{
    Figures, Finding, Key, Method, Passage, Side, SideError, TablePlan, Untrue, self_test,
};
use tokio::time::Instant;

use super::confirm::confirm;
use super::scan::Scan;
use super::settle::settle;
use super::suspects::{Suspects, batches};

/// How a table is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparing {
    /// About how long one read of a side takes at most.
    pub read_target: Duration,
    /// Bytes of one read.
    pub read_bytes_max: usize,
    /// Whether rows are read, or added up in the databases where both can.
    pub method: Method,
    /// The part of the time in which the databases are read, above 0 and up to 1; the rest is paused.
    pub load: f64,
    /// Without a log: the pause between the two looks at a difference.
    pub look_pause: Duration,
}

impl Default for Comparing {
    /// Reads of a fifth of a second and 4 MiB, without pauses; two looks a second apart.
    fn default() -> Self {
        Comparing {
            read_target: Duration::from_millis(200),
            read_bytes_max: 4 << 20,
            method: Method::Auto,
            load: 1.0,
            look_pause: Duration::from_secs(1),
        }
    }
}

/// How often it is told how far the comparison is while nothing differs.
const REACHED_EVERY: Duration = Duration::from_secs(1);
/// How long what differs waits for others that are looked at with it.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Why a table's comparison has no end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A side cannot be read.
    #[error("{0}")]
    Side(#[from] SideError),
    /// The comparison does not see what it must.
    #[error("{0}")]
    Untrue(#[from] Untrue),
    /// What was found cannot be kept.
    #[error("{0}")]
    NotKept(String),
}

/// Who is told of a comparison, and keeps it.
#[async_trait]
pub trait Observer: Send {
    /// These are proved. They do not count before [`reached`](Observer::reached) is told: a comparison that goes on behind a crash finds them again.
    ///
    /// # Errors
    /// In words; the comparison ends.
    async fn found(&mut self, findings: Vec<Finding>) -> Result<(), String>;

    /// All rows up to this key are compared, and what was found counts; `None`: the table has no more.
    ///
    /// # Errors
    /// In words; the comparison ends.
    async fn reached(&mut self, figures: &Figures, after: Option<&Key>) -> Result<(), String>;

    /// How far it is, often.
    fn progress(&mut self, figures: &Figures);
}

/// The databases of a comparison and what lies between them.
pub struct Between {
    /// The origin.
    pub origin: Box<dyn Side>,
    /// The replica.
    pub replica: Box<dyn Side>,
    /// With it, differences are proved by the log between two marks; without, by two looks.
    pub passage: Option<Box<dyn Passage>>,
}

/// Compares a table from behind `after` (`None`: from its first row), where the figures of what lies before it are known.
///
/// # Errors
/// [`CompareError`]: what was reached by then holds, and the comparison may go on from there.
pub async fn compare_table(
    comparing: &Comparing,
    plan: &TablePlan,
    between: &mut Between,
    (mut figures, after): (Figures, Option<Key>),
    observer: &mut dyn Observer,
) -> Result<Figures, CompareError> {
    self_test()?;
    let mut scan = Scan::new(comparing, plan, between, after);
    let mut suspects = Suspects::default();
    let mut reached_at = Instant::now();
    loop {
        let range = scan.next(between, &mut figures).await?;
        let ended = range.is_none();
        suspects.extend(range.unwrap_or_default());
        observer.progress(&figures);
        let wait = match suspects.is_empty() {
            true => REACHED_EVERY,
            false => LOOK_EVERY,
        };
        // Who is stopped in a long pause has kept what was compared before it.
        let passes = reached_at.elapsed() + scan.owed();
        if !ended && !suspects.is_full() && passes < wait {
            scan.pause().await;
            continue;
        }
        if !suspects.is_empty() {
            // A look takes as long as the road is behind, and the replica goes on meanwhile: each row that changes until then would be a suspect in the next range, and take a longer look.
            scan.read_again();
        }
        let left = settle(comparing, plan, between, suspects.take(), &mut figures).await?;
        for some in batches(left) {
            let findings = confirm(comparing, plan, between, &some, &mut figures).await?;
            observer.progress(&figures);
            if !findings.is_empty() {
                let kept = observer.found(findings).await;
                kept.map_err(CompareError::NotKept)?;
            }
        }
        let kept = observer.reached(&figures, scan.after().as_ref()).await;
        kept.map_err(CompareError::NotKept)?;
        if ended {
            return Ok(figures);
        }
        scan.pause().await;
        reached_at = Instant::now();
    }
}
