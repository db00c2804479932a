//! Mends what a run proved, and puts it back.

use std::collections::BTreeSet;

use async_trait::async_trait;
use keylane::sqlite::journal::{Journal, Noted, Repair};
use keylane::workers::reconcile::{
    Between, Comparing, HowMended, MENDED_AT_ONCE, Mended, Noting, ToMend, look_again, mend_rows,
};
use keylane_core::apply::ParkedFilter;
use keylane_core::model::TableName;
use keylane_core::reconcile::{Brakes, Key, Mender, TablePlan};

use super::planned::Planned;
use super::run::{Trouble, not_kept_table};
use super::target::{Target, named_in_config};
use super::view::TableView;
use crate::config::TablePattern;
use crate::exit_code::Exit;

/// What a repair may do.
#[derive(Clone, Debug, PartialEq)]
pub struct RepairTerms {
    /// Its bounds.
    pub brakes: Brakes,
    /// Nothing is written.
    pub dry_run: bool,
    /// These tables only; empty: all.
    pub tables: Vec<TablePattern>,
}

impl RepairTerms {
    fn is_for(&self, table: &TableName) -> bool {
        let name = named_in_config(table);
        let mut tables = self.tables.iter();
        self.tables.is_empty() || tables.any(|pattern| pattern.matches_name(&name))
    }
}

/// Rows of the journal that are read at once.
const PAGE: usize = 500;
/// Parked keys that are known at most.
const PARKED_MAX: u32 = 100_000;

/// One table whose rows are mended.
pub(super) struct Mending<'a> {
    pub journal: &'a Journal,
    pub run: &'a str,
    pub plan: &'a TablePlan,
    pub target: &'a Target,
}

impl Mending<'_> {
    /// Mends a compared table within the brakes, looks at what was written again, and tells it in the view.
    pub(super) async fn repair(
        &self,
        comparing: &Comparing,
        terms: &RepairTerms,
        between: &mut Between,
        view: &mut TableView,
    ) -> Result<(), Trouble> {
        let proved = view.missing + view.extra + view.different;
        if proved == 0 || !terms.is_for(&self.plan.origin) {
            return Ok(());
        }
        if view.unproved > 0 {
            view.not_repaired = Some("the road stands still: nothing is repaired".to_owned());
            return Ok(());
        }
        let rows = (view.rows_origin, view.rows_replica);
        if let Err(refused) = terms.brakes.check((proved, view.extra), rows) {
            view.not_repaired = Some(refused.to_string());
            return Ok(());
        }
        let parked = self.parked().await?;
        let skipped = |noted: &Noted| parked.contains(&self.plan.identity(&noted.key));
        let (held, open) = self.open(&skipped).await?;
        if terms.dry_run {
            let planned = Planned::of(self.plan, &open);
            view.would_repair = planned.total();
            view.would = Some(planned);
            view.parked = held.len() as u64;
            return Ok(());
        }
        let mut mender = self.target.mender();
        self.mend_all(between, &mut *mender, &open).await?;
        self.verify(comparing, between).await?;
        self.tell(view, &skipped).await
    }

    /// Puts the rows of a run back as they were before it mended them; how many, and how many have changed since.
    pub(super) async fn undo(&self, between: &mut Between) -> Result<(u64, u64), Trouble> {
        let all = self.noted().await?;
        let done: Vec<Noted> = all
            .into_iter()
            .filter(|noted| noted.repair == Repair::Repaired)
            .collect();
        let mut mender = self.target.mender();
        let (mut undone, mut stays) = (0, 0);
        for some in done.chunks(MENDED_AT_ONCE) {
            let rows: Vec<ToMend> = some.iter().map(back).collect();
            let mut noting = Undone(self.journal, some);
            let mended = mend_rows(self.plan, between, &mut *mender, &rows, &mut noting).await?;
            let written = mended
                .iter()
                .filter(|it| it.how == HowMended::Written)
                .count();
            undone += written as u64;
            stays += (mended.len() - written) as u64;
        }
        Ok((undone, stays))
    }

    async fn mend_all(
        &self,
        between: &mut Between,
        mender: &mut dyn Mender,
        open: &[Noted],
    ) -> Result<(), Trouble> {
        for some in open.chunks(MENDED_AT_ONCE) {
            let rows: Vec<ToMend> = some.iter().map(forth).collect();
            let mut noting = Kept(self.journal, some);
            mend_rows(self.plan, between, mender, &rows, &mut noting).await?;
        }
        Ok(())
    }

    /// What was written is looked at again, as any difference is.
    async fn verify(&self, comparing: &Comparing, between: &mut Between) -> Result<(), Trouble> {
        let all = self.noted().await?;
        let written: Vec<&Noted> = all
            .iter()
            .filter(|noted| noted.repair == Repair::Repaired)
            .collect();
        for some in written.chunks(PAGE) {
            let keys: Vec<Key> = some.iter().map(|noted| noted.key.clone()).collect();
            let wrong = look_again(comparing, self.plan, between, keys).await?;
            let wrong: BTreeSet<_> = wrong
                .iter()
                .map(|finding| self.plan.identity(&finding.key))
                .collect();
            let notes: Vec<Noted> = some
                .iter()
                .filter(|noted| wrong.contains(&self.plan.identity(&noted.key)))
                .map(|noted| Noted {
                    repair: Repair::Failed("it differs again after it was written".to_owned()),
                    ..(*noted).clone()
                })
                .collect();
            self.journal.repairs(notes).await.map_err(not_kept_table)?;
        }
        Ok(())
    }

    async fn tell(
        &self,
        view: &mut TableView,
        skipped: &impl Fn(&Noted) -> bool,
    ) -> Result<(), Trouble> {
        (view.repaired, view.settled_by_itself, view.parked) = (0, 0, 0);
        (view.repair_failed, view.not_repaired) = (0, None);
        for noted in self.noted().await? {
            match &noted.repair {
                Repair::Repaired => view.repaired += 1,
                Repair::NotNeeded => view.settled_by_itself += 1,
                Repair::Failed(why) => {
                    view.repair_failed += 1;
                    view.not_repaired.get_or_insert_with(|| why.clone());
                }
                Repair::None if skipped(&noted) => view.parked += 1,
                Repair::None | Repair::Undone => {}
            }
        }
        let proved = view.missing + view.extra + view.different;
        if view.repaired + view.settled_by_itself == proved && view.hot == 0 {
            view.verdict = "equal".to_owned();
        }
        Ok(())
    }

    /// Rows that are not mended yet: those that a redrive mends, and those that are to be mended.
    async fn open(
        &self,
        skipped: &impl Fn(&Noted) -> bool,
    ) -> Result<(Vec<Noted>, Vec<Noted>), Trouble> {
        let mut all = self.noted().await?;
        all.retain(|noted| matches!(noted.repair, Repair::None | Repair::Failed(_)));
        Ok(all.into_iter().partition(|noted| skipped(noted)))
    }

    async fn noted(&self) -> Result<Vec<Noted>, Trouble> {
        let table = self.plan.origin.to_string();
        let (mut all, mut behind) = (Vec::new(), 0);
        loop {
            let page = self.journal.findings(self.run, &table, behind, PAGE).await;
            let page = page.map_err(not_kept_table)?;
            let Some(last) = page.last() else {
                return Ok(all);
            };
            behind = last.number;
            all.extend(page);
        }
    }

    /// Keys whose changes are parked: they are mended by a redrive, in their order. Without an answer nothing is mended.
    async fn parked(&self) -> Result<BTreeSet<bytes::Bytes>, Trouble> {
        let road = self.target.road.as_ref();
        let Some((road, replica)) = road.and_then(|it| Some((it, it.replica.as_ref()?))) else {
            return Ok(BTreeSet::new());
        };
        let filter = ParkedFilter {
            id: None,
            table: Some(self.plan.origin.to_string()),
        };
        let parked = replica.parked(&road.name, &filter, PARKED_MAX).await;
        let parked = parked.map_err(|error| {
            let why = format!("it is not known which keys are parked: {error}");
            Trouble::Table(Exit::Unreachable, why)
        })?;
        let keys = parked.iter();
        let keys = keys.filter_map(|parked| self.plan.identity_of_text(&parked.key));
        Ok(keys.collect())
    }
}

/// The row as the origin has it.
fn forth(noted: &Noted) -> ToMend {
    ToMend {
        number: noted.number,
        key: noted.key.clone(),
        may_delete: noted.kind == "extra",
        back: None,
    }
}

/// The row as it was before it was mended.
fn back(noted: &Noted) -> ToMend {
    ToMend {
        may_delete: true,
        back: Some((noted.before_image.clone(), noted.after_image.clone())),
        ..forth(noted)
    }
}

/// Keeps what is mended.
struct Kept<'a>(&'a Journal, &'a [Noted]);

/// Keeps what is put back.
struct Undone<'a>(&'a Journal, &'a [Noted]);

fn noted_as(all: &[Noted], mended: &Mended, repair: Repair) -> Option<Noted> {
    let noted = all.iter().find(|noted| noted.number == mended.number)?;
    Some(Noted {
        repair,
        before_image: mended.before.clone(),
        after_image: mended.after.clone(),
        ..noted.clone()
    })
}

#[async_trait]
impl Noting for Kept<'_> {
    async fn note(&mut self, rows: &[Mended], committed: Option<bool>) -> Result<(), String> {
        if committed == Some(true) {
            return Ok(());
        }
        let notes = rows.iter().filter_map(|row| {
            let repair = match (&row.how, committed) {
                (HowMended::Written, Some(false)) => Repair::Failed("the commit failed".to_owned()),
                (HowMended::Written, _) => Repair::Repaired,
                (HowMended::NotNeeded, _) => Repair::NotNeeded,
                (HowMended::Refused(why), _) => Repair::Failed(why.clone()),
            };
            noted_as(self.1, row, repair)
        });
        let kept = self.0.repairs(notes.collect()).await;
        kept.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Noting for Undone<'_> {
    async fn note(&mut self, rows: &[Mended], committed: Option<bool>) -> Result<(), String> {
        if committed != Some(true) {
            return Ok(());
        }
        let undone = rows.iter().filter(|row| row.how == HowMended::Written);
        let notes = undone.filter_map(|row| {
            // The images of the repair stay.
            let noted = self.1.iter().find(|noted| noted.number == row.number)?;
            Some(Noted {
                repair: Repair::Undone,
                ..noted.clone()
            })
        });
        let kept = self.0.repairs(notes.collect()).await;
        kept.map_err(|error| error.to_string())
    }
}
