//! What runs found.

use keylane::sqlite::journal::{Journal, Noted, Run};
use serde_json::json;

use super::super::{Format, print};
use crate::exit_code::{Exit, Failure};
use crate::reconcile::{RunView, finding_view, not_kept, rows_text, run_text};

/// Runs that are listed.
const LISTED: usize = 50;

/// One run; with `rows`, so many of each table's at most.
pub(super) async fn show(
    journal: &Journal,
    (run, table): (Option<&str>, Option<&str>),
    rows: Option<usize>,
    format: Format,
) -> Result<Exit, Failure> {
    let run = named(journal, run).await?;
    let view = RunView::of_known(&run);
    let mut text = run_text(&view);
    let mut found = Vec::new();
    for known in &run.tables {
        let is_asked = table
            .is_none_or(|name| known.name == name || known.name.ends_with(&format!(".{name}")));
        let Some(most) = rows.filter(|_| is_asked) else {
            continue;
        };
        let noted = journal.findings(&run.begun.run, &known.name, 0, most).await;
        let noted: Vec<Noted> = noted.map_err(not_kept)?;
        for one in &noted {
            text.push_str(&rows_text(&known.columns, known.key, one));
            found.push(finding_view(&known.columns, one, true));
        }
        let figures = &known.figures;
        if figures.proved() > noted.len() as u64 && noted.len() == most {
            let more = figures.proved() - noted.len() as u64;
            text.push_str(&format!(
                "{}: {more} more; see them with --limit\n",
                known.name
            ));
        }
    }
    let told = match (format, rows) {
        (Format::Text, _) => text,
        (Format::Json, None) => format!("{:#}\n", json!(view)),
        (Format::Json, Some(_)) => format!("{:#}\n", json!({"run": view, "rows": found})),
    };
    print(told.as_bytes());
    Ok(Exit::Ok)
}

/// The run of this name, or the latest.
pub(super) async fn named(journal: &Journal, run: Option<&str>) -> Result<Run, Failure> {
    let name = match run {
        Some(name) => name.to_owned(),
        None => {
            let latest = journal.latest(1).await.map_err(not_kept)?.pop();
            latest.ok_or_else(|| {
                Failure::new(
                    Exit::Usage,
                    "no run is kept yet; compare with `keylane reconcile`",
                )
            })?
        }
    };
    let known = journal.known(&name).await.map_err(not_kept)?;
    known.ok_or_else(|| {
        let message = format!("no run {name} is kept; see them with `keylane reconcile list`");
        Failure::new(Exit::Usage, message)
    })
}

/// The last runs.
pub(super) async fn list(journal: &Journal, format: Format) -> Result<Exit, Failure> {
    let mut runs = Vec::new();
    for name in journal.latest(LISTED).await.map_err(not_kept)? {
        if let Some(run) = journal.known(&name).await.map_err(not_kept)? {
            runs.push(run);
        }
    }
    let told = match format {
        Format::Json => {
            let all: Vec<_> = runs.iter().map(|run| json!({"run": run.begun.run, "pipeline": run.begun.pipeline, "state": run.state.word(), "begun_us": run.begun_us, "ended_us": run.ended_us, "why": run.why})).collect();
            format!("{:#}\n", json!({"runs": all}))
        }
        Format::Text => runs.iter().map(line).collect(),
    };
    print(told.as_bytes());
    Ok(Exit::Ok)
}

fn line(run: &Run) -> String {
    let what = match &run.begun.pipeline {
        Some(pipeline) => pipeline.clone(),
        None => format!("{} → {}", run.begun.origin, run.begun.replica),
    };
    let view = RunView::of_known(run);
    let verdicts: Vec<String> = view
        .tables
        .iter()
        .map(|table| format!("{} {}", table.table, table.verdict))
        .collect();
    let (run, state) = (&run.begun.run, run.state.word());
    format!("{run}  {what}  {state}  {}\n", verdicts.join(", "))
}
