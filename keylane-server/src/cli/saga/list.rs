//! `keylane saga list`: which sagas there are and where they stand.

use std::time::Duration;

use clap::Args;
use keylane_core::saga::{Filter, State};

use crate::cli::{Format, block_on, print};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::saga::{LIST_MAX, before_us, list_text, list_wire, states};
use crate::wire_up::{sagas, store_failure};

/// Which sagas are meant.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// In one of these states: running, compensating, stuck, completed, compensated; open (those that have not ended, and what is meant without), ended, all.
    #[arg(long, value_name = "STATE,…", value_parser = states_argument)]
    state: Option<States>,
    /// Of this definition.
    #[arg(long, value_name = "NAME")]
    definition: Option<String>,
    /// With this key; of a choreographed one: about this subject.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Started longer ago than this.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older: Option<Duration>,
}

#[derive(Clone, Debug)]
struct States(Vec<State>);

fn states_argument(text: &str) -> Result<States, String> {
    states(text).map(States)
}

impl Which {
    /// The filter that says so.
    pub(super) fn filter(&self, step: Option<&str>, limit: usize) -> Filter {
        Filter {
            states: self.state.as_ref().map_or(Vec::new(), |it| it.0.clone()),
            definition: self.definition.clone(),
            step: step.map(str::to_owned),
            key: self.key.clone(),
            started_before_us: self.older.map(before_us),
            behind: None,
            limit,
        }
    }

    /// Whether it says anything.
    pub(super) fn is_said(&self) -> bool {
        self.state.is_some()
            || self.definition.is_some()
            || self.key.is_some()
            || self.older.is_some()
    }
}

/// The arguments of `keylane saga list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    which: Which,
    /// Of which this step is out; of a choreographed one: that waits for this step.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=LIST_MAX as u64))]
    limit: u64,
    /// Those that follow this one in the list.
    #[arg(long, value_name = "ID")]
    behind: Option<String>,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Prints them, the youngest first.
pub(super) fn run(config: &Config, arguments: &ListArguments) -> Result<Exit, Failure> {
    block_on(async {
        let sagas = sagas(config).await?;
        let limit = usize::try_from(arguments.limit).unwrap_or(LIST_MAX);
        let mut filter = arguments.which.filter(arguments.step.as_deref(), limit);
        filter.behind.clone_from(&arguments.behind);
        let listed = sagas.desk.list(&filter).await;
        let listed = listed.map_err(|error| store_failure(&error))?;
        match arguments.format {
            Format::Json => {
                let wire = list_wire(&*sagas.desk, &*sagas.tracks.store, &listed).await;
                let wire = wire.map_err(|error| store_failure(&error))?;
                print(format!("{wire:#}\n").as_bytes());
            }
            Format::Text if listed.is_empty() && !arguments.which.is_said() => {
                print(b"no saga is open; those that have ended: --state all\n");
            }
            Format::Text => print(list_text(&listed).as_bytes()),
        }
        Ok(Exit::Ok)
    })
}
