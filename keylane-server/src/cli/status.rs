//! `keylane status`: every pipeline in a line, the worst first; from another process and also while nothing runs.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::time::Duration;

use clap::Args;

use super::{Color, Format, block_on};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::notify;
use crate::status::{Observer, table, told};

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of `keylane status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// These pipelines only.
    #[arg(value_name = "PIPELINE")]
    pipelines: Vec<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Again every second, until interrupted; as JSON: one object a line.
    #[arg(long)]
    watch: bool,
}

/// Prints the state once, or again and again.
pub(super) fn run(
    config: &Config,
    arguments: &StatusArguments,
    color: Color,
) -> Result<Exit, Failure> {
    let on_terminal = std::io::stdout().is_terminal();
    let colored = color.is_on(on_terminal);
    let observer = Observer::new(config, &arguments.pipelines, &[])?;
    block_on(async {
        loop {
            let (views, channels) = tokio::join!(observer.views(), observer.channels());
            let mut text = match arguments.format {
                Format::Json if arguments.watch => format!("{}\n", told(&views, &channels)),
                Format::Json => format!("{:#}\n", told(&views, &channels)),
                Format::Text => table(&views, colored) + &notify::table(&channels),
            };
            if arguments.watch && on_terminal && arguments.format == Format::Text {
                text.insert_str(0, "\u{1b}[H\u{1b}[2J");
            }
            let mut stdout = std::io::stdout();
            // A reader that has gone away ends the watch.
            let told = stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush());
            if !arguments.watch || told.is_err() {
                return Ok(Exit::Ok);
            }
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
            }
        }
    })
}
