//! Asks every part of a pipeline whether it is ready for `keylane run`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keylane::kafka;
use keylane::postgres;
use keylane::postgres::connect::{ConnectOptions, connect};
use keylane::preflight::Finding;
use keylane::sqlite;
use keylane::workers::capture::OriginHints;
use keylane_core::model::{TableName, TableSchema};
use keylane_core::outbox::fault_of;

use super::outbox::{is_made_here, outbox_tables};
use super::roads::{Logs, capture, kafka_settings, order_keys, replica, sqlite_origin};
use super::writers::{of_others, writes};
use crate::check::{Fitting, Writes, fits};
use crate::config::{self, Config, ForeignKeys, Pipeline, PipelineName, TablePattern};

/// The longest that one part may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// All checks of one pipeline: origin, log, replica, and whether the tables of both sides fit; and what it writes. A part that cannot be reached is a failed check,
/// and keeps only what needs it from being looked at.
pub async fn checks(
    config: &Config,
    name: &PipelineName,
    pipeline: &Pipeline,
) -> (Vec<Finding>, Option<Writes>) {
    let mut all = Vec::new();
    if let Some(origin) = &pipeline.origin {
        all.extend(origin_checks(origin, pipeline).await);
    }
    let (mut schemas, missing) = match origin_tables(config, name, pipeline).await {
        Ok(schemas) => (schemas, None),
        Err(check) => (Vec::new(), check),
    };
    all.extend(outbox_shapes(pipeline, &mut schemas));
    all.extend(log_checks(config, name, pipeline, &schemas).await);
    all.extend(missing);
    let writes = writes(name, pipeline, &schemas);
    if let (Some(target), Some(writes)) = (&pipeline.replica, &writes) {
        let replica = replica_checks(target, pipeline, &schemas).await;
        if !replica.iter().any(|check| check.id == "replica.reachable") {
            all.extend(of_others(config, pipeline, writes).await);
        }
        all.extend(replica);
        all.extend(fit_checks(target, pipeline, &schemas).await);
    }
    for check in &mut all {
        check.subject = format!("{name}: {}", check.subject);
    }
    (all, writes)
}

async fn origin_tables(
    config: &Config,
    name: &PipelineName,
    pipeline: &Pipeline,
) -> Result<Vec<Arc<TableSchema>>, Option<Finding>> {
    if let Some(config::Origin::Sqlite { path }) = &pipeline.origin
        && is_made_here(path, pipeline)
    {
        return Err(None);
    }
    let logs = Logs::unopened(&config.log);
    let Some((source, _)) = capture(&name.as_str().into(), pipeline, &logs) else {
        return Err(None);
    };
    let tables = async { source.origin(OriginHints::default()).await?.tables().await };
    tables.await.map_err(|error| {
        let fix = "mend what the message names; the checks above say how where they can";
        Some(Finding::failed(
            "origin.tables",
            "origin tables",
            error.to_string(),
            fix,
        ))
    })
}

async fn origin_checks(origin: &config::Origin, pipeline: &Pipeline) -> Vec<Finding> {
    match origin {
        config::Origin::Sqlite { path } if is_made_here(path, pipeline) => {
            let made = "is not there yet; it is made at the start";
            vec![Finding::passed(
                "origin.open",
                path.display().to_string(),
                made,
            )]
        }
        config::Origin::Sqlite { path } => {
            let (path, pipeline) = (path.clone(), pipeline.clone());
            let look = move || {
                let options = sqlite_origin(&path, &pipeline);
                // A file that cannot be read: the look says so.
                let every = |_| sqlite::capture::SqliteOriginOptions::at(&path);
                let mut found = sqlite::capture::preflight(&options.unwrap_or_else(every));
                if let Ok(there) = sqlite::capture::plain_tables(&path) {
                    let named = |name: &String| TableName::new("main", name.as_str());
                    let there: Vec<TableName> = there.iter().map(named).collect();
                    found.extend(unmatched(&pipeline, &there));
                }
                found
            };
            let found = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            of("origin", found)
        }
        config::Origin::Postgres(origin) => match postgres_origin_checks(origin, pipeline).await {
            Ok(checks) => checks,
            Err(found) => {
                let fix = "start the server, or correct origin.postgres.url (host, user, password, database)";
                vec![Finding::failed(
                    "origin.reachable",
                    origin.url.to_string(),
                    found,
                    fix,
                )]
            }
        },
    }
}

async fn postgres_origin_checks(
    origin: &config::PostgresOrigin,
    pipeline: &Pipeline,
) -> Result<Vec<Finding>, String> {
    let options = ConnectOptions::within(ANSWER_MAX);
    let client = connect(origin.url.expose(), "keylane check", &options)
        .await
        .map_err(|error| error.to_string())?;
    let mut config = postgres::capture::PostgresOriginConfig::new(
        origin.url.expose(),
        &origin.slot,
        &origin.publication,
    );
    let mut adapter = postgres::capture::PostgresOrigin::new(config.clone());
    let all = adapter
        .plain_tables()
        .await
        .map_err(|error| error.to_string())?;
    let unmatched = unmatched(pipeline, &all);
    let carries = |table: &TableName| pipeline.carries(Some(&table.schema), &table.name);
    config.tables = all.into_iter().filter(carries).collect();
    config.order_keys = order_keys(pipeline, &config.tables);
    let outbox = pipeline.outbox.iter();
    let whole = config::Origin::Postgres(origin.clone());
    let outboxes: Vec<TableName> = outbox.flat_map(|it| outbox_tables(it, &whole)).collect();
    config.tables.extend(outboxes.iter().cloned());
    let mut found = postgres::capture::preflight(&client, &config)
        .await
        .map_err(|error| error.to_string())?;
    found.extend(unmatched);
    let looked = postgres::capture::outbox_preflight(&client, &outboxes).await;
    found.extend(looked.map_err(|error| error.to_string())?);
    Ok(of("origin", found))
}

/// Whether tables whose rows are events can be outboxes. They leave the list of those that are carried.
fn outbox_shapes(pipeline: &Pipeline, schemas: &mut Vec<Arc<TableSchema>>) -> Vec<Finding> {
    let (Some(outbox), Some(origin)) = (&pipeline.outbox, &pipeline.origin) else {
        return Vec::new();
    };
    let tables = outbox_tables(outbox, origin);
    let holds = |schema: &Arc<TableSchema>| tables.contains(&schema.table);
    let outboxes: Vec<_> = schemas.iter().filter(|it| holds(it)).cloned().collect();
    schemas.retain(|schema| !holds(schema));
    let look = |schema: &Arc<TableSchema>| {
        let fault = fault_of(schema);
        let found = fault
            .clone()
            .unwrap_or_else(|| "it is an outbox".to_owned());
        Finding::passed("origin.outbox.columns", schema.table.to_string(), found)
            .unless(fault.is_none(), "make it as docs/guides/outbox.md shows")
    };
    outboxes.iter().map(look).collect()
}

/// Patterns under `tables` that mean no table: most often a name is misspelt.
fn unmatched(pipeline: &Pipeline, there: &[TableName]) -> Vec<Finding> {
    let means = |pattern: &TablePattern| {
        there
            .iter()
            .any(|table| pattern.matches(Some(&table.schema), &table.name))
    };
    let unmatched = pipeline.tables.iter().filter(|pattern| !means(pattern));
    let finding = |pattern: &TablePattern| {
        let fix = "create the table, or correct its name under `tables`; until then nothing is carried for it";
        Finding::failed(
            "pattern",
            format!("tables: {pattern}"),
            "means no table of the origin",
            fix,
        )
        .warning()
    };
    unmatched.map(finding).collect()
}

async fn log_checks(
    config: &Config,
    name: &PipelineName,
    pipeline: &Pipeline,
    schemas: &[Arc<TableSchema>],
) -> Vec<Finding> {
    match &config.log {
        config::Log::Embedded(log) => vec![embedded_check(&log.path)],
        config::Log::Kafka(log) => {
            let mut settings = kafka_settings(log);
            settings.answer_timeout = ANSWER_MAX;
            let wanted = kafka::Wanted {
                prefix: pipeline.topics.prefix.clone(),
                events: pipeline
                    .outbox
                    .as_ref()
                    .map_or_else(Vec::new, |outbox| outbox.topics.clone()),
                partitions: pipeline.topics.partitions,
                partitions_of: partitions_of(config, name, pipeline, schemas),
                replication_factor: i32::from(pipeline.topics.replication_factor),
                foreign: pipeline
                    .from_topics
                    .as_ref()
                    .map_or_else(Vec::new, |topics| topics.debezium.clone()),
                group: pipeline
                    .apply
                    .group
                    .name
                    .clone()
                    .unwrap_or_else(|| format!("keylane-{name}-")),
            };
            of("log", kafka::preflight(&settings, &wanted).await)
        }
    }
}

/// The partitions of each table's topic, as they are to be.
fn partitions_of(
    config: &Config,
    name: &PipelineName,
    pipeline: &Pipeline,
    schemas: &[Arc<TableSchema>],
) -> BTreeMap<Arc<str>, u32> {
    let logs = Logs::unopened(&config.log);
    let Some((_, settings)) = capture(&name.as_str().into(), pipeline, &logs) else {
        return BTreeMap::new();
    };
    let specs = schemas
        .iter()
        .map(|schema| settings.topic_spec(&schema.table));
    specs.map(|spec| (spec.name, spec.partitions)).collect()
}

fn embedded_check(path: &Path) -> Finding {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let subject = format!("embedded log {}", path.display());
    let made = std::fs::create_dir_all(folder).and_then(|()| tempfile_in(folder));
    match made {
        Ok(()) => Finding::passed("log.writable", subject, "its folder can be written"),
        Err(error) => Finding::failed(
            "log.writable",
            subject,
            error.to_string(),
            format!("make {} writable for this user", folder.display()),
        ),
    }
}

/// Writes a file of a few bytes and removes it.
fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".keylane-check-{}", std::process::id()));
    std::fs::write(&probe, b"check")?;
    std::fs::remove_file(probe)
}

async fn replica_checks(
    target: &config::Replica,
    pipeline: &Pipeline,
    schemas: &[Arc<TableSchema>],
) -> Vec<Finding> {
    match target {
        config::Replica::Sqlite { path } => {
            let path = path.clone();
            let found = tokio::task::spawn_blocking(move || sqlite::apply::preflight(&path))
                .await
                .unwrap_or_default();
            of("replica", found)
        }
        config::Replica::Postgres { url } => {
            let schemas: Vec<TableSchema> =
                schemas.iter().map(|schema| (**schema).clone()).collect();
            let apply = &pipeline.apply;
            let enforces = apply.foreign_keys == ForeignKeys::Enforce;
            match postgres::apply::preflight(url.expose(), &schemas, apply.create_tables, enforces)
                .await
            {
                Ok(found) => of("replica", found),
                Err(error) => {
                    let fix = "start the server, or correct replica.postgres.url (host, user, password, database)";
                    vec![Finding::failed(
                        "replica.reachable",
                        url.to_string(),
                        error.to_string(),
                        fix,
                    )]
                }
            }
        }
    }
}

/// Whether the tables of both sides fit. A replica that does not answer was told about already; a file that is not there is not created here.
async fn fit_checks(
    target: &config::Replica,
    pipeline: &Pipeline,
    schemas: &[Arc<TableSchema>],
) -> Vec<Finding> {
    let same_kind = matches!(
        (&pipeline.origin, target),
        (
            Some(config::Origin::Postgres(_)),
            config::Replica::Postgres { .. }
        )
    );
    let fitting = Fitting {
        creates: pipeline.apply.create_tables,
        same_kind,
    };
    let mut all = Vec::new();
    let is_there = match target {
        config::Replica::Sqlite { path } => path.exists(),
        config::Replica::Postgres { .. } => true,
    };
    let schemas_met = Arc::default();
    let replica = match is_there {
        true => match replica(pipeline, &schemas_met).await {
            Ok(replica) => replica,
            Err(_) => return all,
        },
        false => None,
    };
    for schema in schemas {
        let there = match &replica {
            Some(replica) => replica.describe(&schema.table).await,
            None => Ok(None),
        };
        let Ok(there) = there else {
            return all;
        };
        all.extend(fits(fitting, schema, there.as_ref()));
    }
    all
}

fn of(part: &str, findings: Vec<Finding>) -> Vec<Finding> {
    let all = findings.into_iter();
    all.map(|finding| finding.of(part)).collect()
}
