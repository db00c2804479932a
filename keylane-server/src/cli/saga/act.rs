//! `keylane saga retry|cancel|skip|complete|fail|compensate|mark-compensated`: what people ask of sagas. Who and why is noted, also where it is refused.

use std::os::unix::fs::MetadataExt as _;

use clap::Args;
use keylane::saga::orchestrator::{Desk, NotAsked};
use keylane_core::saga::{Listed, Operation, REASON_CHARACTERS_MAX};
use serde_json::{Value, json};

use super::list::Which;
use super::show::Any;
use super::start;
use crate::cli::{Format, block_on, print};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::saga::{LIST_MAX, list_text, listed_wire, tracked_listed};
use crate::wire_up::{Sagas, sagas, store_failure};

/// The arguments of what can be asked of sagas.
#[derive(Debug, Args)]
pub struct ActArguments {
    /// The saga.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    id: Option<String>,
    /// All that the filter means: --state, --definition, --key, --older, --at.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// With --all: of which this step is out.
    #[arg(long, requires = "all", value_name = "STEP")]
    at: Option<String>,
    /// The step.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Why: it stands in the timeline.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who asks for it; without, the user of this machine.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Of `complete`: what the step would have answered, in JSON, or @FILE.
    #[arg(long, value_name = "JSON|@FILE", default_value = "null")]
    reply: String,
    /// Only tell of which sagas it would be asked.
    #[arg(long)]
    dry_run: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Asks it.
pub(super) fn run(config: &Config, verb: &str, arguments: &ActArguments) -> Result<Exit, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, why);
    let reply = start::data(&arguments.reply)?;
    let operation = Operation::asked(verb, arguments.step.as_deref(), reply).map_err(usage)?;
    let reason = arguments.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARACTERS_MAX {
        return Err(usage(format!(
            "--reason has 1 to {REASON_CHARACTERS_MAX} characters"
        )));
    }
    if !arguments.all && arguments.which.is_said() {
        return Err(usage("a filter goes with --all".to_owned()));
    }
    let actor = arguments.actor.clone().unwrap_or_else(user);
    block_on(async {
        let sagas = sagas(config).await?;
        let desk = Desk::new(sagas.store.clone(), sagas.plans.clone());
        if arguments.dry_run {
            return dry_run(&sagas, arguments).await;
        }
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        let mut batch = meant(&sagas, arguments, None).await?;
        while let Some(last) = batch.last().cloned() {
            for id in batch {
                let asked = desk.ask(
                    id.clone(),
                    operation.clone(),
                    actor.clone(),
                    reason.to_owned(),
                );
                let asked = match asked.await {
                    Err(NotAsked::Unknown(id)) => {
                        let desk = &sagas.tracks.desk;
                        desk.ask(&id, &operation, &actor, reason).await
                    }
                    asked => asked,
                };
                match asked {
                    Ok(asked) => done.push((id, asked)),
                    Err(NotAsked::Store(error)) => return Err(store_failure(&error)),
                    Err(why) => refused.push((id, why)),
                }
            }
            batch = match arguments.all {
                true => meant(&sagas, arguments, Some(last)).await?,
                false => Vec::new(),
            };
        }
        let exit = if refused.is_empty() {
            Exit::Ok
        } else {
            Exit::Error
        };
        tell(arguments, &done, &refused);
        Ok(exit)
    })
}

/// The sagas that are meant, behind one of them.
async fn meant(
    sagas: &Sagas,
    arguments: &ActArguments,
    behind: Option<String>,
) -> Result<Vec<String>, Failure> {
    match &arguments.id {
        Some(id) => Ok(vec![id.clone()]),
        None => {
            let listed = listed(sagas, arguments, behind).await?;
            Ok(listed.into_iter().map(|it| it.id).collect())
        }
    }
}

async fn listed(
    sagas: &Sagas,
    arguments: &ActArguments,
    behind: Option<String>,
) -> Result<Vec<Listed>, Failure> {
    let mut filter = arguments.which.filter(arguments.at.as_deref(), LIST_MAX);
    filter.behind = behind;
    let listed = sagas.desk.list(&filter).await;
    listed.map_err(|error| store_failure(&error))
}

async fn dry_run(sagas: &Sagas, arguments: &ActArguments) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    match &arguments.id {
        Some(id) => {
            all.push(match super::show::any(sagas, id).await? {
                Any::Driven(shown, plan) => shown.saga.listed(&plan),
                Any::Tracked(it) => tracked_listed(&it, &sagas.tracks.known),
            });
        }
        None => loop {
            let behind = all.last().map(|it: &Listed| it.id.clone());
            let more = listed(sagas, arguments, behind).await?;
            if more.is_empty() {
                break;
            }
            all.extend(more);
        },
    }
    match arguments.format {
        Format::Json => {
            let wires: Vec<Value> = all.iter().map(listed_wire).collect();
            print(format!("{:#}\n", json!({"dry_run": true, "sagas": wires})).as_bytes());
        }
        Format::Text => {
            print(list_text(&all).as_bytes());
            eprintln!("{} sagas are meant; nothing was asked of them", all.len());
        }
    }
    Ok(Exit::Ok)
}

fn tell(
    arguments: &ActArguments,
    done: &[(String, keylane::saga::orchestrator::Asked)],
    refused: &[(String, NotAsked)],
) {
    if arguments.format == Format::Json {
        let done: Vec<Value> = done
            .iter()
            .map(|(id, asked)| json!({"id": id, "state": asked.state.code(), "noted": asked.noted}))
            .collect();
        let refused: Vec<Value> = refused
            .iter()
            .map(|(id, why)| json!({"id": id, "why": why.to_string()}))
            .collect();
        let wire = json!({"asked": done, "refused": refused});
        print(format!("{wire:#}\n").as_bytes());
        return;
    }
    for (id, asked) in done {
        print(
            format!(
                "{id}: {} ({})\n",
                asked.state.code(),
                asked.noted.join(", ")
            )
            .as_bytes(),
        );
    }
    for (id, why) in refused {
        eprintln!("{id}: KL-SAGA-205: {why}");
    }
    if arguments.all && done.is_empty() && refused.is_empty() {
        eprintln!("no saga is meant");
    }
}

/// The user of this machine, by the user id's name.
fn user() -> String {
    let uid = std::fs::metadata("/proc/self").map(|it| it.uid()).ok();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?);
        (Some(id) == uid).then(|| name.to_owned())
    });
    let by_id = || uid.map_or("unknown".to_owned(), |uid| format!("uid {uid}"));
    named.unwrap_or_else(by_id)
}
