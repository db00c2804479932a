//! `keylane saga show`: all of one saga.

use std::sync::Arc;

use clap::Args;
use keylane_core::saga::{Plan, Shown, Tracked};

use crate::cli::{Format, block_on, print};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::saga::{show_text, shown_wire, tracked_text, tracked_wire};
use crate::wire_up::{Sagas, sagas, store_failure};

/// The arguments of `keylane saga show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The saga.
    #[arg(value_name = "ID")]
    id: String,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints it.
pub(super) fn run(config: &Config, arguments: &ShowArguments) -> Result<Exit, Failure> {
    block_on(async {
        let sagas = sagas(config).await?;
        let known = &sagas.tracks.known;
        let text = match (any(&sagas, &arguments.id).await?, arguments.format) {
            (Any::Driven(shown, plan), Format::Json) => {
                format!("{:#}\n", shown_wire(&shown, &plan))
            }
            (Any::Driven(shown, plan), Format::Text) => show_text(&shown, &plan),
            (Any::Tracked(it), Format::Json) => format!("{:#}\n", tracked_wire(&it, known)),
            (Any::Tracked(it), Format::Text) => tracked_text(&it, known),
        };
        print(text.as_bytes());
        Ok(Exit::Ok)
    })
}

/// A saga of either style.
pub(super) enum Any {
    /// One that is driven, and its plan.
    Driven(Box<Shown>, Arc<Plan>),
    /// One that nobody drives.
    Tracked(Box<Tracked>),
}

/// All of a saga.
pub(super) async fn any(sagas: &Sagas, id: &str) -> Result<Any, Failure> {
    let tracked = async { sagas.tracks.store.tracked(id).await };
    let shown = sagas.desk.show(id).await;
    if shown.map_err(|error| store_failure(&error))?.is_none()
        && let Some(tracked) = tracked.await.map_err(|error| store_failure(&error))?
    {
        return Ok(Any::Tracked(Box::new(tracked)));
    }
    let (shown, plan) = found(sagas, id).await?;
    Ok(Any::Driven(Box::new(shown), plan))
}

/// All of a saga that is driven, and its plan.
pub(super) async fn found(sagas: &Sagas, id: &str) -> Result<(Shown, Arc<Plan>), Failure> {
    let shown = sagas.desk.show(id).await;
    let shown = shown
        .map_err(|error| store_failure(&error))?
        .ok_or_else(|| {
            Failure::new(
                Exit::Error,
                format!("there is no saga {id}, or it ended and is forgotten"),
            )
        })?;
    let plan = sagas.plans.of_hash(shown.saga.hash).ok_or_else(|| {
        Failure::new(
            Exit::Error,
            "KL-SAGA-203: the saga's definition is not kept",
        )
    })?;
    Ok((shown, plan))
}
