//! Keeps what a comparison finds, and shows how far it is.

use async_trait::async_trait;
use keylane::sqlite::journal::Journal;
use keylane::workers::reconcile::Observer;
use keylane_core::reconcile::{Figures, Finding, Key, TablePlan};

use super::watch::Watch;

pub(super) struct Keeper<'a> {
    pub journal: &'a Journal,
    pub run: &'a str,
    pub plan: &'a TablePlan,
    pub watch: Watch,
}

#[async_trait]
impl Observer for Keeper<'_> {
    async fn found(&mut self, findings: Vec<Finding>) -> Result<(), String> {
        let kept = self.journal.found(self.run, self.plan, findings).await;
        kept.map_err(|error| error.to_string())
    }

    async fn reached(&mut self, figures: &Figures, after: Option<&Key>) -> Result<(), String> {
        let table = self.plan.origin.to_string();
        let kept = self.journal.reached(self.run, &table, figures, after).await;
        kept.map_err(|error| error.to_string())
    }

    fn progress(&mut self, figures: &Figures) {
        self.watch.show(figures);
    }
}
