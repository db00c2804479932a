//! The arguments, and what is made of them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use keylane::consumer::{Consumer, ConsumerError, ConsumerStats, Health, OnGap, StartAt};
use keylane_core::consume::KeepOrder;
use keylane_core::publish::GroupProtocol;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::super::runtime;
use super::place::Place;
use super::{exec, http, redrive};
use crate::exit_code::{Exit, Failure};
use crate::http::serve_consumer;
use crate::shutdown;

/// How often it is told how far it is, while there is news.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// The arguments of `keylane consume`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ConsumeArguments {
    #[command(subcommand)]
    instead: Option<Instead>,
    #[command(flatten)]
    handling: Option<Handling>,
}

/// What else there is to do with records.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Put dead letters back into the topics they came from, remember which, and end.
    Redrive(redrive::RedriveArguments),
}

/// Records to be handled.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("handler").required(true))]
// With arguments of another struct inside, what tells that these were given has to be named.
#[group(args = ["topics"])]
struct Handling {
    #[command(flatten)]
    place: Place,
    /// A topic; may be given more than once.
    #[arg(long = "topic", required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// The consumer group: it keeps how far it is, and processes of one group share a cluster's partitions.
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// What keeps its order.
    #[arg(long, value_enum, default_value_t)]
    order: OrderArgument,
    /// Records handled at once, at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    concurrency: u32,
    /// Run this shell command for each record: its value on stdin, the rest in KEYLANE_… variables. Exit status 0: done.
    #[arg(long, group = "handler", value_name = "COMMAND")]
    exec: Option<String>,
    /// POST each record's value there. Status 2xx: done.
    #[arg(long, group = "handler", value_name = "URL")]
    http: Option<String>,
    /// How often a record is tried again after a failure; without, for ever. Its key waits meanwhile.
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// After the last attempt, put the record into this topic and go on. In an embedded log it is made if it is not there.
    #[arg(
        long,
        value_name = "TOPIC",
        requires = "retries",
        conflicts_with = "skip"
    )]
    dead_letter: Option<String>,
    /// After the last attempt, log the record's id and go on. Without this and --dead-letter, consuming ends.
    #[arg(long, requires = "retries")]
    skip: bool,
    /// How long one attempt may take.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// A new group begins behind the newest record instead of at the oldest.
    #[arg(long)]
    from_latest: bool,
    /// If retention took records that the group has not done, say so and go on at the oldest.
    #[arg(long)]
    skip_gap: bool,
    /// Let the broker assign partitions (KIP-848, Kafka 4.0 and later).
    #[arg(long, conflicts_with = "log")]
    broker_assigns: bool,
    /// Records begun in a second, at most; after a pause a tenth of a second's worth at once.
    #[arg(long, value_name = "RECORDS", value_parser = rate)]
    rate: Option<f64>,
    /// Serve /healthz, /readyz and /metrics there. An address that others can reach is refused unless the environment variable KEYLANE_AUTH_TOKEN has a token.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
}

/// What keeps its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OrderArgument {
    /// Records of one key of one partition.
    #[default]
    Key,
    /// Records of one partition.
    Partition,
    /// Nothing.
    Unordered,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number of records a second")?;
    match rate.is_finite() && rate > 0.0 {
        true => Ok(rate),
        false => Err("more than none".to_owned()),
    }
}

/// Consumes until told to stop, or does what is asked for instead.
pub(in crate::cli) fn run(arguments: &ConsumeArguments) -> Result<Exit, Failure> {
    match (&arguments.instead, &arguments.handling) {
        (Some(Instead::Redrive(redrive)), _) => redrive::run(redrive),
        (None, Some(handling)) => handle(handling),
        (None, None) => Err(Failure::new(Exit::Usage, "--exec or --http?")),
    }
}

fn handle(arguments: &Handling) -> Result<Exit, Failure> {
    let consumer = consumer(arguments)?;
    let stats = consumer.stats();
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone())?;
        let serving = match arguments.listen {
            Some(address) => {
                Some(serve_consumer(address, stats.clone(), &arguments.group, &stop).await?)
            }
            None => None,
        };
        let told = tell(&stats);
        let consuming = async {
            let stop = stop.clone();
            match (&arguments.exec, &arguments.http) {
                (Some(command), _) => {
                    let command = exec::Exec::new(command);
                    consumer
                        .run(stop, async |record| command.handle(record).await)
                        .await
                }
                (None, Some(url)) => {
                    let endpoint =
                        http::Endpoint::new(url).map_err(|why| Failure::new(Exit::Usage, why))?;
                    consumer
                        .run(stop, async |record| endpoint.handle(record).await)
                        .await
                }
                (None, None) => return Err(Failure::new(Exit::Usage, "--exec or --http?")),
            }
            .map_err(|error| failure(&error))
        };
        let ended = tokio::select! {
            ended = consuming => ended,
            never = told => never,
        };
        info!("{}", words(&stats));
        stop.cancel();
        if let Some(serving) = serving {
            serving.await.ok();
        }
        ended.map(|()| Exit::Ok)
    })
}

fn consumer(arguments: &Handling) -> Result<Consumer, Failure> {
    let mut consumer = Consumer::new(arguments.place.settings()?, &*arguments.group)
        .order(match arguments.order {
            OrderArgument::Key => KeepOrder::Key,
            OrderArgument::Partition => KeepOrder::Partition,
            OrderArgument::Unordered => KeepOrder::Unordered,
        })
        .concurrency(usize::try_from(arguments.concurrency).unwrap_or(1))
        .attempt_timeout(arguments.timeout);
    for topic in &arguments.topics {
        consumer = consumer.topic(&**topic);
    }
    if let Some(retries) = arguments.retries {
        consumer = consumer.attempts(retries.saturating_add(1));
    }
    if let Some(topic) = &arguments.dead_letter {
        consumer = consumer.dead_letter(&**topic);
    }
    if let Some(rate) = arguments.rate {
        consumer = consumer.rate(rate, (rate / 10.0).ceil() as u32);
    }
    if arguments.skip {
        consumer = consumer.skip();
    }
    if arguments.from_latest {
        consumer = consumer.start_at(StartAt::Latest);
    }
    if arguments.skip_gap {
        consumer = consumer.on_gap(OnGap::GoOn);
    }
    if arguments.broker_assigns {
        consumer = consumer.protocol(GroupProtocol::Consumer);
    }
    Ok(consumer)
}

pub(super) fn failure(error: &ConsumerError) -> Failure {
    let exit = match error {
        ConsumerError::Log(log) if log.kind.away().is_some() => Exit::Unreachable,
        _ => Exit::Error,
    };
    Failure::new(exit, error.to_string())
}

/// Tells now and then how far it is, if there is news.
async fn tell(stats: &ConsumerStats) -> Result<(), Failure> {
    let mut told = String::new();
    loop {
        tokio::time::sleep(TELL_INTERVAL).await;
        let now = words(stats);
        if now != told {
            info!("{now}");
            told = now;
        }
    }
}

fn words(stats: &ConsumerStats) -> String {
    let mut words = format!("{} handled", stats.handled.get());
    for (count, what) in [
        (stats.failed.get(), "attempts failed"),
        (stats.dead_lettered.get(), "to the dead letters"),
        (stats.skipped.get(), "passed over"),
        (stats.held.get(), "waiting or in work"),
    ] {
        if count > 0 {
            words.push_str(&format!(", {count} {what}"));
        }
    }
    if let Health::Troubled(why) = stats.health() {
        words.push_str("; ");
        words.push_str(&why);
    }
    words
}
