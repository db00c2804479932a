//! `keylane settle`: returns once everything committed at the origin before the call is applied at the replica.

use std::time::{Duration, Instant};

use clap::Args;
use keylane::workers::control::control_topic;
use keylane_core::apply::PartitionProgress;
use serde_json::{Value, json};

use super::{Format, block_on};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::status::{ProcessStatus, read_all};
use crate::wire_up::{Road, roads};

/// How often the replica is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// What a log is given to say that it is there.
const LOG_ANSWER_MAX: Duration = Duration::from_secs(2);
/// What a part is given to answer when there is no time left.
const ANSWER_MIN: Duration = Duration::from_millis(500);

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
    block_on(async {
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
    // What keeps marks from being written is told at once.
    mark(road, until).await?;
    loop {
        while !is_copied(road, until).await {
            if left(until).is_zero() {
                let state = state(config, road);
                if !log_answers(road).await {
                    let message = format!("{}: the log did not answer in time; {state}", road.name);
                    return Err(Failure::new(Exit::Unreachable, message));
                }
                let why = format!("the initial copy is not complete; {state}");
                return Ok(Outcome::Held {
                    partition: None,
                    why,
                });
            }
            tokio::time::sleep(LOOK_INTERVAL.min(left(until))).await;
        }
        let place = mark(road, until).await?;
        if let Some(held) = passes(config, road, place, until).await? {
            return Ok(held);
        }
        // A table that came meanwhile is copied behind the mark.
        if is_copied(road, until).await {
            return Ok(Outcome::Settled(began.elapsed()));
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Marks the origin; where.
async fn mark(road: &Road, until: Instant) -> Result<u64, Failure> {
    match tokio::time::timeout(left(until), road.marker().mark()).await {
        Ok(place) => place,
        Err(_) => {
            let message = format!("{}: the origin took no marker in time", road.name);
            Err(Failure::new(Exit::Unreachable, message))
        }
    }
}

/// Waits until the mark has passed through; what holds it, if it has not in time.
async fn passes(
    config: &Config,
    road: &Road,
    place: u64,
    until: Instant,
) -> Result<Option<Outcome>, Failure> {
    if road.replica.is_none() {
        return published(config, road, place, until).await;
    }
    loop {
        let looked = tokio::time::timeout(left(until).max(LOOK_INTERVAL), road.progress());
        let progress = match looked.await {
            Ok(Ok(progress)) => Ok(progress),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer in time".to_owned()),
        };
        if let Ok(progress) = &progress
            && !progress.is_empty()
            && lowest_below(progress, place).is_none()
        {
            return Ok(None);
        }
        if left(until).is_zero() {
            return match progress {
                Ok(progress) => Ok(Some(Outcome::Held {
                    partition: lowest_below(&progress, place)
                        .map(|partition| partition.partition.to_string()),
                    why: state(config, road),
                })),
                Err(why) => Err(Failure::new(
                    Exit::Unreachable,
                    format!("{}: the replica cannot be asked: {why}", road.name),
                )),
            };
        }
        tokio::time::sleep(LOOK_INTERVAL.min(left(until))).await;
    }
}

/// Waits until the mark is behind what the log holds, where nothing is applied; what holds it, if it is not in time.
async fn published(
    config: &Config,
    road: &Road,
    place: u64,
    until: Instant,
) -> Result<Option<Outcome>, Failure> {
    loop {
        if road.has_applied(place).await? {
            return Ok(None);
        }
        if left(until).is_zero() {
            return Ok(Some(Outcome::Held {
                partition: None,
                why: state(config, road),
            }));
        }
        tokio::time::sleep(LOOK_INTERVAL.min(left(until))).await;
    }
}

/// Whether the initial copy is complete. A log that does not answer in time has not said so.
async fn is_copied(road: &Road, until: Instant) -> bool {
    let looked = tokio::time::timeout(left(until).max(ANSWER_MIN), road.is_copied());
    looked.await.unwrap_or(false)
}

/// Whether the log is there, once it has not said in time that the copy is complete.
async fn log_answers(road: &Road) -> bool {
    let control = control_topic(&road.prefix);
    let asked = tokio::time::timeout(LOG_ANSWER_MAX, road.log.describe_topic(&control));
    matches!(asked.await, Ok(Ok(_)))
}

/// The partition that is furthest behind, if one is. Parked keys count as passed.
fn lowest_below(progress: &[PartitionProgress], place: u64) -> Option<&PartitionProgress> {
    progress
        .iter()
        .filter(|partition| partition.low_position.commit < place)
        .min_by_key(|partition| partition.low_position)
}

/// What both halves of the road are doing, as far as this machine knows.
fn state(config: &Config, road: &Road) -> String {
    let processes: Vec<ProcessStatus> = read_all(&config.state_dir)
        .into_iter()
        .filter(|process| *process.pipeline == *road.name && process.is_alive())
        .collect();
    let applying = processes.iter().find_map(|process| process.apply.as_ref());
    let capturing = processes
        .iter()
        .find_map(|process| process.capture.as_ref());
    match (capturing, applying) {
        (None, None) => "neither half of it runs on this machine; start `keylane run`".to_owned(),
        (Some(capturing), None) if road.replica.is_none() => {
            format!("capture is {}: {}", capturing.state, capturing.why)
        }
        (Some(_), None) => "no applier runs on this machine; start `keylane run`".to_owned(),
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
    }
}
