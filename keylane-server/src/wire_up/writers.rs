//! Which pipelines write to one replica, and what.

use std::sync::Arc;

use keylane::postgres;
use keylane::preflight::Finding;
use keylane_core::model::TableSchema;

use crate::check::{Writes, no_other_writer};
use crate::config::{self, Config, Pipeline, PipelineName};

/// What a pipeline writes, by the tables of its origin; nothing without a replica.
pub(super) fn writes(
    name: &PipelineName,
    pipeline: &Pipeline,
    schemas: &[Arc<TableSchema>],
) -> Option<Writes> {
    let target = pipeline.replica.as_ref()?;
    let replica = match target {
        config::Replica::Postgres { url } => {
            format!("{}:{}/{}", url.host(), url.port(), url.database())
        }
        config::Replica::Sqlite { path } => {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            path.display().to_string()
        }
    };
    let mut writes = Writes::new(name.as_str(), &replica);
    match &pipeline.from_topics {
        Some(topics) => topics.debezium.iter().for_each(|it| writes.add_topic(it)),
        None => schemas.iter().for_each(|it| writes.add_table(&it.table)),
    }
    Some(match target {
        config::Replica::Postgres { .. } => writes,
        config::Replica::Sqlite { .. } => writes.in_one_schema(),
    })
}

/// Whether pipelines of other configurations have applied something to the same tables, as far as the replica tells.
pub(super) async fn of_others(
    config: &Config,
    pipeline: &Pipeline,
    writes: &Writes,
) -> Vec<Finding> {
    let Some(config::Replica::Postgres { url }) = &pipeline.replica else {
        return Vec::new();
    };
    let known: Vec<&str> = config.pipelines.keys().map(PipelineName::as_str).collect();
    let others = postgres::apply::applied_by_others(url.expose(), &known).await;
    no_other_writer(writes, &others.unwrap_or_default())
}
