//! Compares, and prints what it came to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keylane::sqlite::journal::Journal;
use keylane::workers::reconcile::Comparing;
use keylane_core::reconcile::Brakes;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::{Format, block_on, load};
use super::arguments::{CompareArguments, ReconcileArguments, Verb};
use super::show;
use crate::exit_code::{Exit, Failure};
use crate::reconcile::{
    RepairTerms, RunTerms, RunView, Target, from_urls, journal, of_pipelines, resume, run_text,
    start, tell,
};
use crate::shutdown;

/// The state folder where there is no configuration.
const STATE_DIR: &str = ".keylane";

/// Does what was asked for.
pub(in crate::cli) fn run(
    config: &Path,
    arguments: &ReconcileArguments,
    quiet: bool,
) -> Result<Exit, Failure> {
    let state_dir = state_dir(config, arguments)?;
    block_on(async {
        let journal = journal(&state_dir).await?;
        match &arguments.verb {
            Some(Verb::Show {
                run,
                rows,
                table,
                limit,
            }) => {
                let which = (run.as_deref(), table.as_deref());
                let rows = rows.then_some(*limit);
                show::show(&journal, which, rows, arguments.format).await
            }
            Some(Verb::Undo {
                run,
                replica,
                origin,
            }) => {
                let urls = origin.as_deref().zip(replica.as_deref());
                undo(config, &journal, &state_dir, run, urls).await
            }
            Some(Verb::List) => show::list(&journal, arguments.format).await,
            None => compare(config, arguments, &journal, &state_dir, quiet).await,
        }
    })
}

/// Of the flag, of the configuration, or, for databases by their URLs and without a configuration, beside it.
fn state_dir(config: &Path, arguments: &ReconcileArguments) -> Result<PathBuf, Failure> {
    if let Some(folder) = &arguments.state_dir {
        return Ok(folder.clone());
    }
    let needs_none = arguments.compare.origin.is_some() || arguments.verb.is_some();
    match needs_none && !config.exists() {
        true => Ok(config.with_file_name(STATE_DIR)),
        false => Ok(load(config)?.state_dir),
    }
}

async fn compare(
    config: &Path,
    arguments: &ReconcileArguments,
    journal: &Journal,
    state_dir: &Path,
    quiet: bool,
) -> Result<Exit, Failure> {
    let asked = &arguments.compare;
    let targets = targets(config, asked).await?;
    let terms = terms(asked, quiet || arguments.format == Format::Json);
    let stop = CancellationToken::new();
    let signal = shutdown::on_signal(stop.clone())?;
    let mut runs: Vec<RunView> = Vec::new();
    for target in &targets {
        let run = match &asked.resume {
            None => start(journal, state_dir, target, &terms, &stop).await,
            Some(run) => resume(journal, state_dir, target, &terms, run, &stop).await,
        };
        let run = run.map_err(|failure| match failure.exit {
            Exit::Interrupted => Failure::new(signal.exit(), failure.message),
            _ => failure,
        })?;
        if target.pipeline.is_some() && asked.is_told() {
            tell(&load(config)?, journal, &run).await;
        }
        if arguments.format == Format::Text {
            super::super::print(run_text(&run).as_bytes());
        }
        runs.push(run);
    }
    if arguments.format == Format::Json {
        let text = match runs.as_slice() {
            [run] => format!("{:#}\n", json!(run)),
            runs => format!("{:#}\n", json!({"runs": runs})),
        };
        super::super::print(text.as_bytes());
    }
    Ok(worst(runs.iter().map(RunView::exit)))
}

fn terms(asked: &CompareArguments, quiet: bool) -> RunTerms {
    let repair = RepairTerms {
        brakes: Brakes {
            rows_max: asked.max_rows,
            share_max: asked.max_share,
        },
        dry_run: asked.dry_run,
        tables: Vec::new(),
    };
    RunTerms {
        comparing: Comparing {
            load: asked.load,
            method: asked.method.into(),
            look_pause: asked.look_pause,
            ..Comparing::default()
        },
        mark_within: asked.mark_within,
        filter: asked.filter.clone(),
        count_only: asked.count_only,
        repair: asked.repair.then_some(repair),
        scheduled: false,
        quiet,
    }
}

/// Puts a run's repairs back.
async fn undo(
    config: &Path,
    journal: &Journal,
    state_dir: &Path,
    run: &str,
    urls: Option<(&str, &str)>,
) -> Result<Exit, Failure> {
    let known = show::named(journal, Some(run)).await?;
    let tables = &known.begun.tables;
    let target = match (&known.begun.pipeline, urls) {
        (_, Some((origin, replica))) => Some(from_urls(origin, replica, tables)?),
        (Some(pipeline), None) => {
            let pipelines = std::slice::from_ref(pipeline);
            of_pipelines(&load(config)?, pipelines, tables).await?.pop()
        }
        (None, None) => None,
    };
    let same = target.filter(|it| it.replica.place() == known.begun.replica);
    let Some(target) = same else {
        let message = format!(
            "run {run} compared {} with {}: name both with --origin and --replica",
            known.begun.origin, known.begun.replica
        );
        return Err(Failure::new(Exit::Usage, message));
    };
    let terms = RunTerms {
        comparing: Comparing::default(),
        mark_within: Duration::ZERO,
        filter: None,
        count_only: false,
        repair: None,
        scheduled: false,
        quiet: true,
    };
    let mut left = 0;
    for (table, undone, stays) in
        crate::reconcile::undo(journal, state_dir, &target, &terms, run).await?
    {
        let changed = match stays {
            0 => String::new(),
            some => format!("; {some} have changed since and stay as they are"),
        };
        super::super::print(format!("{table}: {undone} rows put back{changed}\n").as_bytes());
        left += stays;
    }
    Ok(if left == 0 { Exit::Ok } else { Exit::Findings })
}

/// An error outweighs a finding, a finding what is equal.
fn worst(exits: impl Iterator<Item = Exit>) -> Exit {
    let weight = |exit: Exit| match exit {
        Exit::Ok => 0,
        Exit::Findings => 1,
        _ => 2,
    };
    let heavier = |one: Exit, other: Exit| match weight(other) > weight(one) {
        true => other,
        false => one,
    };
    exits.fold(Exit::Ok, heavier)
}

async fn targets(config: &Path, asked: &CompareArguments) -> Result<Vec<Target>, Failure> {
    let targets = match (&asked.origin, &asked.replica) {
        (Some(origin), Some(replica)) => vec![from_urls(origin, replica, &asked.tables)?],
        _ => of_pipelines(&load(config)?, &asked.pipelines, &asked.tables).await?,
    };
    if asked.resume.is_some() && targets.len() > 1 {
        let message = "name the pipeline whose run is gone on with";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(targets)
}
