//! A run: each table planned, compared, given its verdict.

use std::path::Path;
use std::time::{Duration, Instant};

use keylane::sqlite::journal::{
    Claim, Journal, JournalError, KnownTable, LastCompared, NewRun, Run, RunState, TableState,
};
use keylane::workers::reconcile::{Between, CompareError, Comparing, MendError, compare_table};
use keylane::workers::stats::now_us;
use keylane_core::model::TableName;
use keylane_core::reconcile::{
    Figures, Outcome, Passage, Side, SideError, SideErrorKind, TablePlan, plan,
};
use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use super::claim::{Wait, claim};
use super::keeper::Keeper;
use super::repair::{Mending, RepairTerms};
use super::target::Target;
use super::view::{RunView, TableView};
use super::watch::Watch;
use crate::exit_code::{Exit, Failure};
use crate::wire_up::RoadPassage;

/// The journal's file in the state folder.
const JOURNAL: &str = "reconcile.db";

/// How a run is done.
#[derive(Clone, Debug)]
pub struct RunTerms {
    /// How tables are compared.
    pub comparing: Comparing,
    /// How long a mark is waited for.
    pub mark_within: Duration,
    /// Rows for which it is not true do not count, in SQL that both databases read.
    pub filter: Option<String>,
    /// Rows are counted, not compared.
    pub count_only: bool,
    /// What is proved is repaired, within these terms.
    pub repair: Option<RepairTerms>,
    /// Nobody asked for it but the configuration.
    pub scheduled: bool,
    /// Nothing is shown while it runs.
    pub quiet: bool,
}

/// Rounds of repairs over all tables: a row that refers to another table's waits until that is repaired.
const REPAIR_ROUNDS_MAX: u32 = 3;

/// Compares a target's tables, one after another; what is found is kept in the journal. With `stop`, the run ends where it is and can be gone on with.
///
/// # Errors
/// If the journal cannot be used, or the run was stopped. Tables that cannot be compared are told in the view.
pub async fn start(
    journal: &Journal,
    state_dir: &Path,
    target: &Target,
    terms: &RunTerms,
    stop: &CancellationToken,
) -> Result<RunView, Failure> {
    let run = name_of_run();
    let new = NewRun {
        run: run.clone(),
        pipeline: target.pipeline.as_deref().map(str::to_owned),
        origin: target.origin.place(),
        replica: target.replica.place(),
        filter: terms.filter.clone(),
        scheduled: terms.scheduled,
        tables: target.tables.iter().map(ToString::to_string).collect(),
    };
    journal.begin(new).await.map_err(not_kept)?;
    resume(journal, state_dir, target, terms, &run, stop).await
}

/// As [`start`], a run that was begun before: tables with a verdict keep it, the others go on where they were.
///
/// # Errors
/// As [`start`], and if no run of that name is kept.
pub async fn resume(
    journal: &Journal,
    state_dir: &Path,
    target: &Target,
    terms: &RunTerms,
    run: &str,
    stop: &CancellationToken,
) -> Result<RunView, Failure> {
    let known = kept(journal, state_dir, target, run).await?;
    journal.goes_on(run).await.map_err(not_kept)?;
    // Of the same rows as before.
    let terms = &RunTerms {
        filter: known.begun.filter.clone(),
        ..terms.clone()
    };
    let compared = |table| Compared {
        journal,
        state_dir,
        target,
        terms,
        run,
        table,
    };
    let mut all = Vec::new();
    tokio::select! {
        () = stop.cancelled() => {
            let message = format!("stopped; go on with `keylane reconcile --resume {run}`");
            return Err(Failure::new(Exit::Interrupted, message));
        }
        done = whole(&compared, target, terms, &known.tables, &mut all) => done?,
    }
    let failed = all.iter().find_map(|table| table.failed.clone());
    let (state, why) = match &failed {
        None => (RunState::Done, ""),
        Some(why) => (RunState::Failed, why.as_str()),
    };
    journal.end(run, state, why).await.map_err(not_kept)?;
    Ok(RunView {
        run: run.to_owned(),
        pipeline: target.pipeline.as_deref().map(str::to_owned),
        origin: target.origin.place(),
        replica: target.replica.place(),
        tables: all,
    })
}

/// A run of these two databases.
async fn kept(
    journal: &Journal,
    state_dir: &Path,
    target: &Target,
    run: &str,
) -> Result<Run, Failure> {
    let known = journal.known(run).await.map_err(not_kept)?;
    let known = known.ok_or_else(|| {
        let message = format!("no run {run} is kept in {}", state_dir.display());
        Failure::new(Exit::Usage, message)
    })?;
    let of_run = (known.begun.origin.as_str(), known.begun.replica.as_str());
    if of_run != (&*target.origin.place(), &*target.replica.place()) {
        let message = format!(
            "run {run} compared {} with {}: name the same two, by --origin and --replica or by their pipeline",
            of_run.0, of_run.1
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(known)
}

/// All tables of a run compared, and then mended as far as is asked for.
async fn whole<'a>(
    compared: &impl Fn(&'a TableName) -> Compared<'a>,
    target: &'a Target,
    terms: &RunTerms,
    known: &[KnownTable],
    all: &mut Vec<TableView>,
) -> Result<(), Failure> {
    let mut tables = Vec::new();
    for table in &target.tables {
        let name = table.to_string();
        let Some(of_table) = known.iter().find(|it| it.name == name) else {
            continue;
        };
        all.push(match of_table.state {
            TableState::Done(_) => TableView::of_known(of_table),
            TableState::Open(_) | TableState::Failed(_) => {
                compared(table).compare(of_table).await?
            }
        });
        tables.push(table);
    }
    let Some(repair) = &terms.repair else {
        return Ok(());
    };
    let mut failed_before = u64::MAX;
    for _ in 0..REPAIR_ROUNDS_MAX {
        for (table, view) in tables.iter().copied().zip(all.iter_mut()) {
            compared(table).repair(repair, view).await?;
        }
        let failed = all.iter().map(|view| view.repair_failed).sum();
        if failed == 0 || failed >= failed_before {
            break;
        }
        failed_before = failed;
    }
    Ok(())
}

/// The time it begins, and what tells it from others of that second.
fn name_of_run() -> String {
    let since = Duration::from_micros(u64::try_from(now_us()).unwrap_or(0));
    let time = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string();
    let digits = time.replace(['-', ':', 'Z'], "").replace('T', "-");
    format!("{digits}-{:04x}", rand::rng().random::<u16>())
}

/// Of each table the last comparison of all its rows. Nothing if none was ever made, or the journal cannot be read.
pub async fn last_compared(state_dir: &Path) -> Vec<LastCompared> {
    if !state_dir.join(JOURNAL).exists() {
        return Vec::new();
    }
    match journal(state_dir).await {
        Ok(journal) => journal.last_tables().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// The journal of a state folder.
///
/// # Errors
/// KL-RECONCILE-001 if it cannot be used.
pub async fn journal(state_dir: &Path) -> Result<Journal, Failure> {
    let opened = Journal::open(&state_dir.join(JOURNAL)).await;
    opened.map_err(not_kept)
}

/// What a person is told of a journal that cannot be used.
pub fn not_kept(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Error, format!("KL-RECONCILE-001: {error}"))
}

pub(super) fn not_kept_table(error: JournalError) -> Trouble {
    Trouble::NotKept(error.to_string())
}

/// One table of a run.
struct Compared<'a> {
    journal: &'a Journal,
    state_dir: &'a Path,
    target: &'a Target,
    terms: &'a RunTerms,
    run: &'a str,
    table: &'a TableName,
}

impl Compared<'_> {
    async fn compare(&self, known: &KnownTable) -> Result<TableView, Failure> {
        let began = Instant::now();
        let name = self.table.to_string();
        let mut view = match self.compared(known).await {
            Ok(view) => view,
            Err(Trouble::NotKept(why)) => return Err(not_kept(why)),
            Err(Trouble::Table(exit, why)) => TableView::failed(&name, exit, why),
        };
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        view.ms = took_ms + known.took_ms;
        let outcome = match &view.failed {
            Some(why) => Err(why.as_str()),
            None if self.terms.count_only => Ok("counted"),
            None => Ok(view.verdict.as_str()),
        };
        let kept = self.journal.ended(self.run, &name, outcome, took_ms).await;
        kept.map_err(not_kept)?;
        Ok(view)
    }

    /// Mends what was proved in it, and says so in its view.
    async fn repair(&self, repair: &RepairTerms, view: &mut TableView) -> Result<(), Failure> {
        if view.verdict != "diverged" {
            return Ok(());
        }
        match self.repaired(repair, view).await {
            Ok(()) => {}
            Err(Trouble::NotKept(why)) => return Err(not_kept(why)),
            Err(Trouble::Table(exit, why)) => {
                view.exit = Some(exit);
                view.not_repaired = Some(why);
            }
        }
        let name = self.table.to_string();
        let kept = self.journal.ended(self.run, &name, Ok(&view.verdict), 0);
        kept.await.map_err(not_kept)
    }

    async fn repaired(&self, repair: &RepairTerms, view: &mut TableView) -> Result<(), Trouble> {
        let (_claim, plan, mut between) = self.open().await?;
        let mending = Mending {
            journal: self.journal,
            run: self.run,
            plan: &plan,
            target: self.target,
        };
        let comparing = &self.terms.comparing;
        mending.repair(comparing, repair, &mut between, view).await
    }

    /// The table's sides and what lies between them, to write by. Without the filter: a row that it leaves out at the origin is there all the same, and must not be deleted.
    async fn open(&self) -> Result<(Claim, TablePlan, Between), Trouble> {
        let mut origin = self.target.origin.origin(None);
        let mut replica = self.target.replica.replica(None);
        let claim = self.claim(&mut *replica).await?;
        let plan = self.plan(&mut *origin, &mut *replica).await?.compared?;
        let passage = self.passage();
        let between = Between {
            origin,
            replica,
            passage,
        };
        Ok((claim, plan, between))
    }

    async fn claim(&self, replica: &mut dyn Side) -> Result<Claim, Trouble> {
        let wait = match self.terms.scheduled {
            true => Wait::UntilFree,
            false => Wait::Shortly,
        };
        claim(self.state_dir, self.target, self.table, replica, wait).await
    }

    async fn compared(&self, known: &KnownTable) -> Result<TableView, Trouble> {
        let name = self.table.to_string();
        let filter = || self.terms.filter.clone();
        let mut origin = self.target.origin.origin(filter());
        let mut replica = self.target.replica.replica(filter());
        let _claim = self.claim(&mut *replica).await?;
        let plan = self.plan(&mut *origin, &mut *replica).await?;
        if self.terms.count_only {
            let counts = tokio::join!(origin.count(&plan.origin), replica.count(&plan.replica));
            return Ok(TableView::counted(&name, (counts.0?, counts.1?)));
        }
        let plan = plan.compared?;
        // A table that failed begins anew.
        let (before, after) = match &known.state {
            TableState::Open(after @ Some(_)) => (known.figures.clone(), after.clone()),
            TableState::Open(None) | TableState::Done(_) | TableState::Failed(_) => {
                (Figures::default(), None)
            }
        };
        let anew = after.is_none();
        let kept = self.journal.compares(self.run, &plan, anew).await;
        kept.map_err(|error| Trouble::NotKept(error.to_string()))?;
        let estimate = origin.estimate(&plan.origin).await.unwrap_or_default();
        let watch = Watch::new(&name, &before, estimate, self.terms.quiet);
        let mut keeper = Keeper {
            journal: self.journal,
            run: self.run,
            plan: &plan,
            watch,
        };
        let mut between = Between {
            origin,
            replica,
            passage: self.passage(),
        };
        let known = (before, after);
        let comparing = &self.terms.comparing;
        let figures = compare_table(comparing, &plan, &mut between, known, &mut keeper).await;
        keeper.watch.end();
        Ok(TableView::compared(&plan, &figures?))
    }

    fn passage(&self) -> Option<Box<dyn Passage>> {
        let road = self.target.road.clone()?;
        let passage = RoadPassage::new(road, self.table.clone(), self.terms.mark_within);
        Some(Box::new(passage))
    }

    async fn plan(
        &self,
        origin: &mut dyn Side,
        replica: &mut dyn Side,
    ) -> Result<Planned, Trouble> {
        let Target {
            origin: of_origin,
            replica: of_replica,
            ..
        } = self.target;
        let at_replica = of_replica.replica_table(self.table);
        let there = tokio::join!(origin.table(self.table), replica.table(&at_replica));
        let missing = |table: &TableName, place: String| {
            Trouble::Table(Exit::Error, format!("there is no table {table} in {place}"))
        };
        let one = there
            .0?
            .ok_or_else(|| missing(self.table, of_origin.place()))?;
        let other = there
            .1?
            .ok_or_else(|| missing(&at_replica, of_replica.place()))?;
        let engines = (of_origin.engine(), of_replica.engine());
        let compared = plan(engines, &one, &other);
        Ok(Planned {
            origin: one.name,
            replica: other.name,
            compared: compared.map_err(|refusal| Trouble::Table(Exit::Error, refusal.to_string())),
        })
    }
}

struct Planned {
    origin: TableName,
    replica: TableName,
    compared: Result<TablePlan, Trouble>,
}

/// Why a table has no verdict.
pub(super) enum Trouble {
    /// The journal cannot be used: the run is over.
    NotKept(String),
    /// The table cannot be compared; others may.
    Table(Exit, String),
}

impl From<SideError> for Trouble {
    fn from(error: SideError) -> Self {
        let exit = match error.kind {
            SideErrorKind::Unreachable => Exit::Unreachable,
            SideErrorKind::Busy
            | SideErrorKind::Denied
            | SideErrorKind::Table
            | SideErrorKind::Other => Exit::Error,
        };
        Trouble::Table(exit, error.message)
    }
}

impl From<MendError> for Trouble {
    fn from(error: MendError) -> Self {
        match error {
            MendError::Side(error) => error.into(),
            MendError::NotKept(why) => Trouble::NotKept(why),
        }
    }
}

impl From<CompareError> for Trouble {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Side(error) => error.into(),
            CompareError::Untrue(error) => Trouble::Table(Exit::Error, error.to_string()),
            CompareError::NotKept(why) => Trouble::NotKept(why),
        }
    }
}

/// The word for what counts come to: without a proof, two counts that differ are no difference.
pub(super) fn counted((origin, replica): (u64, u64)) -> &'static str {
    match origin == replica {
        true => Outcome::Equal.word(),
        false => Outcome::Unproved.word(),
    }
}

/// Puts the rows that a run repaired back as they were; of each table how many, and how many have changed since.
///
/// # Errors
/// If a table cannot be read or written, or the journal not be used.
pub async fn undo(
    journal: &Journal,
    state_dir: &Path,
    target: &Target,
    terms: &RunTerms,
    run: &str,
) -> Result<Vec<(String, u64, u64)>, Failure> {
    let compared = |table| Compared {
        journal,
        state_dir,
        target,
        terms,
        run,
        table,
    };
    let mut all = Vec::new();
    for table in &target.tables {
        let compared = compared(table);
        let undone = async {
            let (_claim, plan, mut between) = compared.open().await?;
            let mending = Mending {
                journal,
                run,
                plan: &plan,
                target,
            };
            mending.undo(&mut between).await
        };
        match undone.await {
            Ok((undone, stays)) => all.push((table.to_string(), undone, stays)),
            Err(Trouble::NotKept(why)) => return Err(not_kept(why)),
            Err(Trouble::Table(exit, why)) => return Err(Failure::new(exit, why)),
        }
    }
    Ok(all)
}
