//! `keylane saga start`: begins a saga, and waits for its end if asked to.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use keylane::saga::orchestrator::{Desk, NotBegun, SagaRequest};
use keylane_core::saga::State;
use serde_json::{Value, json};

use super::show;
use crate::cli::{Format, block_on, print};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::saga::{named, show_text, shown_wire};
use crate::wire_up::{Sagas, sagas, store_failure};

/// How often it is looked whether it has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The arguments of `keylane saga start`.
#[derive(Debug, Args)]
pub struct StartArguments {
    /// The definition: its name, or NAME@VERSION; without a version the newest.
    #[arg(value_name = "DEFINITION", value_parser = named)]
    definition: (String, Option<u32>),
    /// The saga's data in JSON, or @FILE; @- is stdin.
    #[arg(long, value_name = "JSON|@FILE", default_value = "null")]
    data: String,
    /// A business key: it starts one saga; a repeat with the same data is told that one.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Wait until it has ended, or needs help.
    #[arg(long)]
    wait: bool,
    /// With --wait: how long.
    #[arg(
        long,
        default_value = "60s",
        value_parser = humantime::parse_duration,
        value_name = "TIME"
    )]
    timeout: Duration,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Begins it, straight at the store: whoever drives sagas goes on with it.
pub(super) fn run(config: &Config, arguments: &StartArguments) -> Result<Exit, Failure> {
    let data = data(&arguments.data)?;
    block_on(async {
        let sagas = sagas(config).await?;
        let request = SagaRequest {
            definition: arguments.definition.0.clone(),
            version: arguments.definition.1,
            key: arguments.key.clone(),
            data,
        };
        let plan = request.plan(&sagas.plans);
        let plan = plan.map_err(|why| Failure::new(Exit::Usage, format!("KL-SAGA-203: {why}")))?;
        let (number, definition) = (request.number(), request.definition.clone());
        let desk = Desk::new(sagas.store.clone(), sagas.plans.clone());
        let begun = desk.begin(plan, request.start(), number).await;
        let begun = begun.map_err(|why| failure(&why))?;
        if arguments.wait {
            return ended(&sagas, &begun.id, arguments).await;
        }
        match arguments.format {
            Format::Json => {
                let wire =
                    json!({"id": begun.id, "definition": definition, "repeat": begun.is_repeat});
                print(format!("{wire:#}\n").as_bytes());
            }
            Format::Text => print(format!("{}\n", begun.id).as_bytes()),
        }
        Ok(Exit::Ok)
    })
}

fn failure(why: &NotBegun) -> Failure {
    match why {
        NotBegun::Store(error) => store_failure(error),
        NotBegun::OtherContent { .. } => Failure::new(Exit::Error, format!("KL-SAGA-204: {why}")),
        NotBegun::Unfit(_) => Failure::new(Exit::Usage, why.to_string()),
        NotBegun::Stopping => Failure::new(Exit::Error, why.to_string()),
    }
}

/// JSON as it stands, or of a file.
pub(super) fn data(text: &str) -> Result<Value, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, why);
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| usage(format!("stdin: {error}")))?;
            text
        }
        Some(path) => {
            let read = std::fs::read_to_string(Path::new(path));
            read.map_err(|error| usage(format!("{path}: {error}")))?
        }
    };
    serde_json::from_str(&text).map_err(|error| usage(format!("the data is no JSON: {error}")))
}

/// Waits for the end and prints it: 0 if it is completed, else 1.
async fn ended(sagas: &Sagas, id: &str, arguments: &StartArguments) -> Result<Exit, Failure> {
    let until = Instant::now() + arguments.timeout;
    let (shown, plan) = loop {
        let (shown, plan) = show::found(sagas, id).await?;
        let state = shown.saga.state();
        let is_over = state.is_end() || state == State::Stuck;
        if is_over || Instant::now() >= until {
            break (shown, plan);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    match arguments.format {
        Format::Json => print(format!("{:#}\n", shown_wire(&shown, &plan)).as_bytes()),
        Format::Text => print(show_text(&shown, &plan).as_bytes()),
    }
    Ok(match shown.saga.state() {
        State::Completed => Exit::Ok,
        State::Compensated | State::Stuck => Exit::Error,
        State::Running | State::Compensating => {
            let waited = humantime::format_duration(arguments.timeout);
            eprintln!("not ended after {waited}; it goes on: keylane saga show {id}");
            Exit::Error
        }
    })
}
