//! Runs and rows as scripts see them.

use keylane::sqlite::journal::{KnownTable, Noted, Run, TableState};
use keylane_core::model::{Row, Value};
use keylane_core::reconcile::{Figures, TablePlan};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::planned::Planned;
use super::run::counted;
use crate::exit_code::Exit;

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// Its name.
    pub run: String,
    /// Its pipeline; null outside any.
    pub pipeline: Option<String>,
    /// The origin, without secrets.
    pub origin: String,
    /// The replica, without secrets.
    pub replica: String,
    /// Its tables.
    pub tables: Vec<TableView>,
}

/// A table of a run. Counts are rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableView {
    /// Its name.
    pub table: String,
    /// `equal`, `diverged`, `hot`, `unproved`; `failed` if it could not be compared, `open` if it is not compared to its end.
    pub verdict: String,
    /// Read at the origin.
    pub rows_origin: u64,
    /// Read at the replica.
    pub rows_replica: u64,
    /// Ranges of the key.
    pub chunks: u64,
    /// Of the origin's rows, those that were compared by checksums in the databases, without being read.
    pub rows_by_checksum: u64,
    /// The replica lacks them.
    pub missing: u64,
    /// Only the replica has them.
    pub extra: u64,
    /// They differ.
    pub different: u64,
    /// They differed only while changes were on their way, or in their spelling.
    pub settling: u64,
    /// They changed too fast to be proved.
    pub hot: u64,
    /// The road stood still, so that they could not be proved.
    pub unproved: u64,
    /// Columns of which the replica cannot hold all.
    pub lossy: usize,
    /// Their names.
    pub lossy_columns: Vec<String>,
    /// Columns that differ, with in how many rows, most first.
    pub columns: Vec<(String, u64)>,
    /// Written as the origin has them, and verified.
    pub repaired: u64,
    /// They could not be written.
    pub repair_failed: u64,
    /// They were equal when they were to be written.
    pub settled_by_itself: u64,
    /// Their changes are parked: they are mended by a redrive.
    pub parked: u64,
    /// A dry run's: they would be written.
    pub would_repair: u64,
    /// What a dry run's would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Planned>,
    /// Why nothing, or not all, was repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_repaired: Option<String>,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// Why it could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// How a command ends for it.
    #[serde(skip)]
    pub exit: Option<Exit>,
}

impl TableView {
    pub(super) fn compared(plan: &TablePlan, figures: &Figures) -> TableView {
        let names = |counts| Figures::named(plan, counts);
        let mut lossy: Vec<String> = plan.lacking.iter().map(ToString::to_string).collect();
        for counts in [&figures.lossy, &figures.unrepresentable] {
            lossy.extend(names(counts).into_iter().map(|(name, _)| name.to_string()));
        }
        lossy.sort();
        lossy.dedup();
        let columns = names(&figures.columns).into_iter();
        TableView {
            table: plan.origin.to_string(),
            verdict: figures.outcome().word().to_owned(),
            lossy: lossy.len(),
            lossy_columns: lossy,
            columns: columns
                .map(|(name, rows)| (name.to_string(), rows))
                .collect(),
            ..TableView::default()
        }
        .with(figures)
    }

    /// As it is kept.
    pub fn of_known(known: &KnownTable) -> TableView {
        let name = |place: &usize| known.columns.get(*place).cloned();
        let figures = &known.figures;
        let lossy = figures.lossy.keys().chain(figures.unrepresentable.keys());
        let mut lossy: Vec<String> = lossy.filter_map(name).collect();
        lossy.sort();
        lossy.dedup();
        let columns = figures.columns.iter();
        let mut columns: Vec<(String, u64)> = columns
            .filter_map(|(place, rows)| Some((name(place)?, *rows)))
            .collect();
        columns.sort_by(|(one, rows), (other, more)| more.cmp(rows).then(one.cmp(other)));
        let (verdict, failed) = match &known.state {
            TableState::Done(verdict) => (verdict.clone(), None),
            TableState::Failed(why) => ("failed".to_owned(), Some(why.clone())),
            TableState::Open(_) => ("open".to_owned(), None),
        };
        TableView {
            table: known.name.clone(),
            verdict,
            lossy: lossy.len(),
            lossy_columns: lossy,
            columns,
            ms: known.took_ms,
            repaired: known.repaired.0,
            repair_failed: known.repaired.1,
            exit: failed.is_some().then_some(Exit::Error),
            failed,
            ..TableView::default()
        }
        .with(figures)
    }

    fn with(self, figures: &Figures) -> TableView {
        TableView {
            rows_origin: figures.rows_origin,
            rows_replica: figures.rows_replica,
            chunks: figures.chunks,
            rows_by_checksum: figures.summed,
            missing: figures.missing,
            extra: figures.extra,
            different: figures.different,
            settling: figures.settling,
            hot: figures.hot,
            unproved: figures.unproved,
            ..self
        }
    }

    pub(super) fn counted(table: &str, counts: (u64, u64)) -> TableView {
        TableView {
            table: table.to_owned(),
            verdict: counted(counts).to_owned(),
            rows_origin: counts.0,
            rows_replica: counts.1,
            ..TableView::default()
        }
    }

    pub(super) fn failed(table: &str, exit: Exit, why: String) -> TableView {
        TableView {
            table: table.to_owned(),
            verdict: "failed".to_owned(),
            failed: Some(why),
            exit: Some(exit),
            ..TableView::default()
        }
    }
}

impl RunView {
    /// As it is kept.
    pub fn of_known(run: &Run) -> RunView {
        RunView {
            run: run.begun.run.clone(),
            pipeline: run.begun.pipeline.clone(),
            origin: run.begun.origin.clone(),
            replica: run.begun.replica.clone(),
            tables: run.tables.iter().map(TableView::of_known).collect(),
        }
    }

    /// How a command ends: an error outweighs a finding, a finding what is equal.
    pub fn exit(&self) -> Exit {
        if let Some(exit) = self.tables.iter().find_map(|table| table.exit) {
            return exit;
        }
        match self.tables.iter().all(|table| table.verdict == "equal") {
            true => Exit::Ok,
            false => Exit::Findings,
        }
    }
}

/// A row that differs, in these columns; values only where they are asked for.
pub fn finding_view(columns: &[String], noted: &Noted, values: bool) -> Json {
    let named = |row: &Option<Row>| {
        row.as_ref().filter(|_| values).map(|row| {
            let cells = columns.iter().zip(row);
            let cells = cells.map(|(name, value)| (name.clone(), text_of(value)));
            Json::Object(cells.collect())
        })
    };
    let key: Vec<Json> = noted.key.iter().map(text_of).collect();
    json!({
        "table": noted.table,
        "key": key,
        "kind": noted.kind,
        "columns": noted.columns,
        "origin": named(&noted.origin),
        "replica": named(&noted.replica),
        "first_seen_us": noted.first_seen_us,
        "proved_us": noted.proved_us,
        "proof": noted.proof,
        "repair": noted.repair.word(),
    })
}

pub(super) fn text_of(value: &Value) -> Json {
    match value {
        Value::Bool(truth) => json!(truth),
        other => json!(other.as_sql_text()),
    }
}
