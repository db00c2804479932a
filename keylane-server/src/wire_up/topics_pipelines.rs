//! A configuration's pipelines as the rules of `keylane_core::topics::lint` look at them.

use std::collections::BTreeMap;
use std::time::Duration;

use keylane::postgres;
use keylane::postgres::connect::{ConnectOptions, connect};
use keylane_core::publish::GroupProtocol;
use keylane_core::topics::lint::{Pipeline as Facts, Planned};
use keylane_core::topics::{Table, plan};

use super::roads::{Logs, capture};
use super::topics_cluster::brokers;
use super::topics_origin::{inputs_of, origin_tables};
use crate::config::{self, Config, Pipeline, PipelineName};

/// The longest that a replica may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const HOUR_S: f64 = 3600.0;

/// The pipelines, or the one that is named. With `offline` neither origin nor replica is asked, and what needs them is not known.
pub async fn pipelines(config: &Config, named: Option<&str>, offline: bool) -> Vec<Facts> {
    let brokers = match offline {
        true => None,
        false => brokers(&config.log).await,
    };
    let wanted = |name: &PipelineName| named.is_none_or(|named| named == name.as_str());
    let mut all = Vec::new();
    for (name, pipeline) in config.pipelines.iter().filter(|(name, _)| wanted(name)) {
        let mut facts = configured(config, name, pipeline);
        if !offline {
            if let Some(replica) = &pipeline.replica {
                facts.connections = connections(replica).await;
            }
            match origin_tables(pipeline, Duration::ZERO).await {
                Ok(tables) => add_tables(&mut facts, &tables, config, (name, pipeline), brokers),
                Err(error) => eprintln!("note: {name}: {error}"),
            }
        }
        all.push(facts);
    }
    all
}

fn configured(config: &Config, name: &PipelineName, pipeline: &Pipeline) -> Facts {
    let (group, topics) = (&pipeline.apply.group, &pipeline.topics);
    let retention_ms = topics.properties.get("retention.ms");
    let of_topics = retention_ms.and_then(|text| text.parse::<f64>().ok());
    let of_topics = of_topics.filter(|ms| *ms >= 0.0);
    let (over_kafka, retention_hours) = match &config.log {
        config::Log::Kafka(_) => (true, of_topics.map(|ms| ms / 1000.0 / HOUR_S)),
        config::Log::Embedded(log) => (false, Some(log.retention.as_secs_f64() / HOUR_S)),
    };
    let millis = group.session_timeout.as_millis();
    Facts {
        name: name.as_str().to_owned(),
        topics: BTreeMap::new(),
        copies: u32::from(topics.replication_factor),
        settings: topics.properties.clone(),
        over_kafka,
        retention_hours,
        threads_max: pipeline.apply.threads_max,
        batch_rows: pipeline.apply.batch_rows,
        consumer_protocol: group.protocol == GroupProtocol::Consumer,
        is_static: group.instance_id.is_some(),
        session_timeout_ms: u64::try_from(millis).unwrap_or(u64::MAX),
        connections: None,
        planned: None,
    }
}

fn add_tables(
    facts: &mut Facts,
    tables: &[Table],
    config: &Config,
    (name, pipeline): (&PipelineName, &Pipeline),
    brokers: Option<u32>,
) {
    let logs = Logs::unopened(&config.log);
    let Some((_, settings)) = capture(&name.as_str().into(), pipeline, &logs) else {
        return;
    };
    let mut configured = BTreeMap::new();
    for table in tables {
        let spec = settings.topic_spec(&table.name);
        facts.topics.insert(spec.name.to_string(), spec.partitions);
        let schema = Some(&*table.name.schema);
        let own = pipeline.topics.order_key_of(schema, &table.name.name);
        let by = match own {
            Some(columns) => columns.to_vec(),
            None => table.key.iter().map(ToString::to_string).collect(),
        };
        configured.insert(table.name.to_string(), (spec.name.to_string(), by));
    }
    let inputs = inputs_of(config, pipeline, brokers);
    facts.planned = Some(Planned {
        plan: plan(tables, &inputs),
        configured,
    });
}

async fn connections(replica: &config::Replica) -> Option<(u64, u64)> {
    let config::Replica::Postgres { url } = replica else {
        return None;
    };
    let options = ConnectOptions::within(ANSWER_MAX);
    let client = connect(url.expose(), "keylane topics", &options)
        .await
        .ok()?;
    let (most, used) = postgres::connections(&client).await.ok()?;
    Some((u64::try_from(most).ok()?, u64::try_from(used).ok()?))
}
