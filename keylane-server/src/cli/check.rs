//! `keylane check`: everything that must be right before `run`, each with what mends it.

use std::io::IsTerminal as _;

use clap::Args;
use keylane::preflight::Finding;
use serde_json::json;

use super::{Color, Format, block_on, print};
use crate::check::{any_failed, one_writer, tick_list, wire};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::wire_up::checks;

/// The arguments of `keylane check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Check the configuration only; ask no database and no broker.
    #[arg(long)]
    offline: bool,
    /// How the list is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Looks at everything; 3 if a check failed.
pub(super) fn run(
    config: &Config,
    arguments: &CheckArguments,
    color: Color,
) -> Result<Exit, Failure> {
    let all = if arguments.offline {
        Vec::new()
    } else {
        live(config)?
    };
    let text = match arguments.format {
        Format::Json => format!("{}\n", json!({ "checks": wire(&all) })),
        Format::Text if arguments.offline => {
            "the configuration is right; nothing else was looked at\n".to_owned()
        }
        Format::Text => tick_list(&all, color.is_on(std::io::stdout().is_terminal())),
    };
    print(text.as_bytes());
    Ok(if any_failed(&all) {
        Exit::Findings
    } else {
        Exit::Ok
    })
}

fn live(config: &Config) -> Result<Vec<Finding>, Failure> {
    block_on(async {
        let (mut all, mut written) = (Vec::new(), Vec::new());
        for (name, pipeline) in &config.pipelines {
            let (checks, writes) = checks(config, name, pipeline).await;
            all.extend(checks);
            written.extend(writes);
        }
        all.extend(one_writer(&written));
        Ok(all)
    })
}
