//! An origin's tables and their rates, and what the configuration says of a pipeline's means: what a plan of topics is made from.

use std::path::Path;
use std::time::{Duration, Instant};

use keylane::postgres;
use keylane::postgres::connect::{ConnectErrorKind, ConnectOptions, connect};
use keylane::sqlite;
use keylane_core::apply::Threads;
use keylane_core::model::TableName;
use keylane_core::topics::{Input, Inputs, Rate, Said, Table};

use super::topics_cluster::brokers;
use crate::config::{self, Config, Pipeline, PipelineName, Secret};
use crate::exit_code::{Exit, Failure};
use crate::topics::FileRate;

/// The longest that an origin may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What a plan of one pipeline is made from.
#[derive(Clone, Debug)]
pub struct TopicsOrigin {
    /// The pipeline's name, or the database's.
    pub name: String,
    /// The topics' prefix.
    pub prefix: String,
    /// The tables that are carried.
    pub tables: Vec<Table>,
    /// What is known besides.
    pub inputs: Inputs,
    /// The topics block of the configuration, if it is a pipeline's origin.
    pub configured: Option<config::Topics>,
}

impl TopicsOrigin {
    /// Takes a rate that was measured elsewhere; whether there is such a table.
    pub fn take_rate(&mut self, name: &str, rate: FileRate) -> bool {
        let is_meant =
            |table: &&mut Table| table.name.to_string() == name || *table.name.name == *name;
        let mut found = false;
        for table in self.tables.iter_mut().filter(is_meant) {
            let measured = table.rate.and_then(|rate| rate.bytes_per_change);
            table.rate = Some(Rate {
                changes_per_s: rate.changes_per_s,
                bytes_per_change: rate.bytes_per_change.or(measured),
            });
            found = true;
        }
        found
    }
}

/// The tables behind a URL.
///
/// # Errors
/// If it is no URL of a database, or the origin cannot be asked.
pub async fn topics_origin(url: &Secret, sample: Duration) -> Result<TopicsOrigin, Failure> {
    let text = url.expose();
    let stem = text.split('?').next().unwrap_or_default();
    let last = stem.rsplit(['/', ':']).next().unwrap_or_default();
    let name = last.split('.').next().filter(|name| !name.is_empty());
    let name = name.and_then(PipelineName::new);
    let name = name.map_or_else(|| "main".to_owned(), |name| name.as_str().to_owned());
    let tables = match text.strip_prefix("sqlite:") {
        Some(path) => sqlite_tables(Path::new(path.strip_prefix("//").unwrap_or(path))).await?,
        None => postgres_tables(text, sample).await?,
    };
    Ok(TopicsOrigin {
        prefix: name.clone(),
        name,
        tables,
        inputs: Inputs::default(),
        configured: None,
    })
}

/// The tables that the pipelines of a configuration carry, or one of them.
///
/// # Errors
/// If there is no such pipeline, or an origin cannot be asked.
pub async fn topics_origins(
    config: &Config,
    named: Option<&str>,
    sample: Duration,
) -> Result<Vec<TopicsOrigin>, Failure> {
    let wanted = |name: &PipelineName| named.is_none_or(|named| named == name.as_str());
    let brokers = brokers(&config.log).await;
    let mut all = Vec::new();
    for (name, pipeline) in config.pipelines.iter().filter(|(name, _)| wanted(name)) {
        if pipeline.origin.is_none() {
            continue;
        }
        let tables = origin_tables(pipeline, sample).await?;
        all.push(TopicsOrigin {
            name: name.as_str().to_owned(),
            prefix: pipeline.topics.prefix.clone(),
            tables,
            inputs: inputs_of(config, pipeline, brokers),
            configured: Some(pipeline.topics.clone()),
        });
    }
    match (all.is_empty(), named) {
        (false, _) => Ok(all),
        (true, Some(named)) => {
            let message = format!("the configuration has no pipeline {named} with an origin");
            Err(Failure::new(Exit::Usage, message))
        }
        (true, None) => {
            let message = "no pipeline of the configuration has an origin; name one with --origin";
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// The tables of a pipeline's origin that it carries; none where it has no origin.
pub(super) async fn origin_tables(
    pipeline: &Pipeline,
    sample: Duration,
) -> Result<Vec<Table>, Failure> {
    let mut tables = match &pipeline.origin {
        None => Vec::new(),
        Some(config::Origin::Sqlite { path }) => sqlite_tables(path).await?,
        Some(config::Origin::Postgres(origin)) => {
            postgres_tables(origin.url.expose(), sample).await?
        }
    };
    tables.retain(|table| pipeline.carries(Some(&table.name.schema), &table.name.name));
    Ok(tables)
}

/// What a configuration says of the means of a pipeline.
pub(super) fn inputs_of(config: &Config, pipeline: &Pipeline, brokers: Option<u32>) -> Inputs {
    let mut inputs = Inputs::default();
    let mut set = |input: Input, value: f64, said: Said| {
        // What is out of range keeps its assumption.
        let _ = inputs.set(input, value, said);
    };
    let threads = match pipeline.apply.threads {
        Threads::Number(threads) => threads,
        Threads::Auto => pipeline.apply.threads_max,
    };
    set(Input::Threads, f64::from(threads), Said::Configured);
    set(
        Input::BufferBytes,
        pipeline.apply.buffer_bytes as f64,
        Said::Configured,
    );
    match &config.log {
        config::Log::Embedded(_) => {
            for input in [Input::Brokers, Input::ReplicationFactor, Input::Instances] {
                set(input, 1.0, Said::Configured);
            }
        }
        config::Log::Kafka(_) => {
            if let Some(brokers) = brokers {
                set(Input::Brokers, f64::from(brokers), Said::Measured);
            }
            let copies = pipeline.topics.replication_factor;
            if copies > 1 {
                set(
                    Input::ReplicationFactor,
                    f64::from(copies),
                    Said::Configured,
                );
            }
        }
    }
    inputs
}

fn unread(exit: Exit, what: impl std::fmt::Display) -> Failure {
    Failure::new(exit, format!("KL-TOPICS-001: {what}"))
}

async fn sqlite_tables(path: &Path) -> Result<Vec<Table>, Failure> {
    let asked = path.to_owned();
    let read = tokio::task::spawn_blocking(move || sqlite::describe(&asked)).await;
    let unreachable = |error: &dyn std::fmt::Display| {
        let shown = path.display();
        unread(
            Exit::Unreachable,
            format!("the origin {shown} cannot be read: {error}"),
        )
    };
    read.map_err(|error| unreachable(&error))?
        .map_err(|error| unreachable(&error))
}

async fn postgres_tables(url: &str, sample: Duration) -> Result<Vec<Table>, Failure> {
    let options = ConnectOptions::within(ANSWER_MAX);
    let client = connect(url, "keylane topics", &options).await;
    let client = client.map_err(|error| {
        let exit = match error.kind {
            ConnectErrorKind::BadUrl => Exit::Usage,
            _ => Exit::Unreachable,
        };
        unread(exit, error)
    })?;
    let failed = |error: tokio_postgres::Error| {
        unread(
            Exit::Error,
            format!("the origin's tables cannot be read: {error}"),
        )
    };
    let seen = postgres::describe(&client).await.map_err(failed)?;
    let began = Instant::now();
    let first = postgres::counts(&client).await.map_err(failed)?;
    let second = match sample.is_zero() {
        true => None,
        false => {
            tokio::time::sleep(sample).await;
            Some(postgres::counts(&client).await.map_err(failed)?)
        }
    };
    let elapsed_s = began.elapsed().as_secs_f64();
    let count = |counts: &postgres::Counts, name: &TableName| {
        counts.changes.get(name).copied().unwrap_or(0) as f64
    };
    let rated = |seen: postgres::SeenTable| {
        let name = &seen.table.name;
        let rate = match &second {
            Some(second) => (count(second, name) - count(&first, name)).max(0.0) / elapsed_s,
            None => count(&first, name) / first.since_s.max(1.0),
        };
        Table {
            rate: Some(Rate {
                changes_per_s: rate,
                bytes_per_change: seen.row_bytes.map(record_bytes),
            }),
            ..seen.table
        }
    };
    Ok(seen.into_iter().map(rated).collect())
}

/// An estimate: the row as JSON before and after, and the envelope's own words around it.
fn record_bytes(row_bytes: f64) -> f64 {
    const ENVELOPE_BYTES: f64 = 300.0;
    2.0 * row_bytes + ENVELOPE_BYTES
}
