//! `keylane saga show`: all of one saga.

use std::sync::Arc;

use clap::Args;
use keylane_core::saga::{Plan, Shown};

use crate::cli::{Format, block_on, print};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::saga::{show_text, shown_wire};
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
        let (shown, plan) = found(&sagas, &arguments.id).await?;
        match arguments.format {
            Format::Json => print(format!("{:#}\n", shown_wire(&shown, &plan)).as_bytes()),
            Format::Text => print(show_text(&shown, &plan).as_bytes()),
        }
        Ok(Exit::Ok)
    })
}

/// All of a saga, and its plan.
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
