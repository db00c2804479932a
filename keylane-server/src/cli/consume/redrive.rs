//! `keylane consume redrive`: dead letters go back.

use clap::Args;
use keylane::consumer::Redrive;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::runtime;
use super::command::failure;
use super::place::Place;
use crate::cli::arguments::{Format, print};
use crate::exit_code::{Exit, Failure};
use crate::shutdown;

/// The arguments of `keylane consume redrive`.
#[derive(Debug, Args)]
pub(super) struct RedriveArguments {
    #[command(flatten)]
    place: Place,
    /// The topic of dead letters.
    #[arg(long, value_name = "TOPIC")]
    dead_letter: String,
    /// Put them all into this topic. Without, each goes back into the one it came from.
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// So many at most; the next time goes on behind them.
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// The consumer group that remembers what was put back [default: the topic's name with .redrive].
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &RedriveArguments) -> Result<Exit, Failure> {
    let mut redrive = Redrive::new(arguments.place.settings()?, &*arguments.dead_letter);
    if let Some(topic) = &arguments.to {
        redrive = redrive.to(&**topic);
    }
    if let Some(letters) = arguments.max {
        redrive = redrive.max(letters);
    }
    if let Some(group) = &arguments.group {
        redrive = redrive.group(&**group);
    }
    let done = runtime()?.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone())?;
        redrive.run(stop).await.map_err(|error| failure(&error))
    })?;
    let text = match arguments.format {
        Format::Text if done.gone > 0 => format!(
            "{} put back, {} left, {} gone: the retention of {} removed them before they were put back\n",
            done.put_back, done.left, done.gone, arguments.dead_letter
        ),
        Format::Text => format!("{} put back, {} left\n", done.put_back, done.left),
        Format::Json => format!(
            "{}\n",
            json!({"put_back": done.put_back, "left": done.left, "gone": done.gone})
        ),
    };
    print(text.as_bytes());
    Ok(Exit::Ok)
}
