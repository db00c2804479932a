//! `keylane settle`: returns once everything committed at the origin before the call is applied at the replica.

use std::time::{Duration, Instant};

use clap::Args;
use keylane_core::apply::PartitionProgress;
use serde_json::{Value, json};

use super::{Format, runtime};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::status::{ProcessStatus, read_all};
use crate::wire_up::{Road, roads};

/// How often the replica is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The arguments of `keylane settle`.
#[derive(Debug, Args)]
pub struct SettleArguments {
    /// These pipelines only.
    #[arg(value_name = "PIPELINE")]
    pipelines: Vec<String>,
    /// How long to wait, such as 500ms, 60s or 5m.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How a pipeline's wait ended.
enum Outcome {
    Settled(Duration),
    /// Who holds it: the partition that is furthest behind, and why.
    Held {
        partition: Option<String>,
        why: String,
    },
}

/// Marks each origin, then waits until the marks have passed through.
pub(super) fn run(config: &Config, arguments: &SettleArguments) -> Result<Exit, Failure> {
    let until = Instant::now() + arguments.timeout;
    runtime()?.block_on(async {
        let roads = roads(config, &arguments.pipelines).await?;
        let waits = roads.iter().map(|road| settle(config, road, until));
        let mut ends = Vec::new();
        for (road, end) in roads
            .iter()
            .zip(futures_util::future::join_all(waits).await)
        {
            ends.push((road.name.to_string(), end?));
        }
        let settled = ends
            .iter()
            .all(|(_, end)| matches!(end, Outcome::Settled(_)));
        match arguments.format {
            Format::Json => {
                let pipelines: Vec<Value> =
                    ends.iter().map(|(name, end)| wire(name, end)).collect();
                let all = json!({"settled": settled, "pipelines": pipelines});
                super::print(format!("{all:#}\n").as_bytes());
            }
            Format::Text => ends.iter().for_each(|(name, end)| tell(name, end)),
        }
        Ok(if settled { Exit::Ok } else { Exit::Error })
    })
}

fn wire(name: &str, end: &Outcome) -> Value {
    match end {
        Outcome::Settled(took) => {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            json!({"name": name, "settled": true, "took_ms": ms, "held_by": null})
        }
        Outcome::Held { partition, why } => json!({
            "name": name, "settled": false, "took_ms": null,
            "held_by": {"partition": partition, "why": why},
        }),
    }
}

fn tell(name: &str, end: &Outcome) {
    match end {
        Outcome::Settled(took) => eprintln!("{name}: settled after {} ms", took.as_millis()),
        Outcome::Held { partition, why } => {
            let place = partition
                .as_ref()
                .map(|partition| format!(" at {partition}"))
                .unwrap_or_default();
            eprintln!("{name}: not settled in time; held{place}: {why}");
        }
    }
}

async fn settle(config: &Config, road: &Road, until: Instant) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let left = || until.saturating_duration_since(Instant::now());
    let place = match tokio::time::timeout(left(), road.marker()).await {
        Ok(place) => place?,
        Err(_) => {
            let message = format!("{}: the origin took no marker in time", road.name);
            return Err(Failure::new(Exit::Unreachable, message));
        }
    };
    loop {
        let looked =
            tokio::time::timeout(left().max(LOOK_INTERVAL), road.replica.progress(&road.name));
        let progress = match looked.await {
            Ok(Ok(progress)) => Ok(progress),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer in time".to_owned()),
        };
        if let Ok(progress) = &progress
            && !progress.is_empty()
            && lowest_below(progress, place).is_none()
        {
            return Ok(Outcome::Settled(began.elapsed()));
        }
        if left().is_zero() {
            return match progress {
                Ok(progress) => Ok(held(config, road, &progress, place)),
                Err(why) => Err(Failure::new(
                    Exit::Unreachable,
                    format!("{}: the replica cannot be asked: {why}", road.name),
                )),
            };
        }
        tokio::time::sleep(LOOK_INTERVAL.min(left())).await;
    }
}

/// The partition that is furthest behind, if one is. Parked keys count as passed.
fn lowest_below(progress: &[PartitionProgress], place: u64) -> Option<&PartitionProgress> {
    progress
        .iter()
        .filter(|partition| partition.low_position.commit < place)
        .min_by_key(|partition| partition.low_position)
}

fn held(config: &Config, road: &Road, progress: &[PartitionProgress], place: u64) -> Outcome {
    let processes: Vec<ProcessStatus> = read_all(&config.state_dir)
        .into_iter()
        .filter(|process| *process.pipeline == *road.name && process.is_alive())
        .collect();
    let applying = processes.iter().find_map(|process| process.apply.as_ref());
    let capturing = processes
        .iter()
        .find_map(|process| process.capture.as_ref());
    let why = match (capturing, applying) {
        (_, None) => "no applier runs on this machine; start `keylane run`".to_owned(),
        (None, Some(_)) => "no capturer runs on this machine; start `keylane run`".to_owned(),
        (Some(capturing), Some(applying)) => {
            let word = |role: &str, state: &str, why: &str| match why {
                "" => format!("{role} is {state}"),
                why => format!("{role} is {state}: {why}"),
            };
            format!(
                "{}; {}",
                word("capture", &capturing.state, &capturing.why),
                word("apply", &applying.state, &applying.why)
            )
        }
    };
    let lowest = lowest_below(progress, place);
    Outcome::Held {
        partition: lowest.map(|partition| partition.partition.to_string()),
        why,
    }
}
