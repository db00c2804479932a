//! What stands behind: databases and copies. L15, L16, L17.

use super::facts::Facts;
use super::report::Judged;
use super::sizing::subject;
use super::{CLUSTER, NEEDS_CLUSTER};
use crate::topics::Input;
use crate::topics::figures::amount;

/// L15: a batch above what a poll brings, or above the database's limit on parameters.
pub(super) fn batches_that_do_not_fit(facts: &Facts, judged: &mut Judged) {
    /// PostgreSQL's: a 16-bit count in its protocol.
    const PARAMETERS_MAX: f64 = 65_535.0;
    for _ in &facts.pipelines {
        // An applier binds one array for each column, whatever the rows.
        judged.look();
    }
    let rows = facts.inputs.known(Input::BatchRows);
    let Some(rows) = rows else {
        if facts.pipelines.is_empty() || facts.clients.iter().any(|it| it.consumes()) {
            judged.need("how many rows a write has: --given batch_rows=…");
        }
        return;
    };
    for client in facts.clients.iter().filter(|client| client.consumes()) {
        let records = client.number("max.poll.records");
        let java = client.library() == Some(super::Library::Java);
        let Some(records) = records.or(java.then_some(500.0)) else {
            continue;
        };
        judged.look();
        if rows > records {
            let evidence = format!(
                "batches of {} rows, one poll brings {} at most",
                amount(rows),
                amount(records)
            );
            let fix = "raise max.poll.records, or gather over several polls (and commit only what is written)";
            judged.find(format!("client {}", client.name), evidence, fix);
        }
    }
    let Some(columns) = facts.inputs.known(Input::Columns) else {
        return judged.need("how many columns a row has: --given columns=…");
    };
    judged.look();
    if rows * columns > PARAMETERS_MAX {
        let evidence = format!(
            "{} rows × {} columns = {} parameters, PostgreSQL takes {}",
            amount(rows),
            amount(columns),
            amount(rows * columns),
            amount(PARAMETERS_MAX)
        );
        let fix = "smaller batches, or one array for each column (unnest)";
        judged.find("writes to the database", evidence, fix);
    }
}

/// L16: less connections than work side by side, or more than the database takes.
pub(super) fn few_connections(facts: &Facts, judged: &mut Judged) {
    /// An applier's own, beside those of its threads.
    const BESIDE: u64 = 4;
    for pipeline in &facts.pipelines {
        let Some((most, used)) = pipeline.connections else {
            judged.need("the replica: a PostgreSQL that answers");
            continue;
        };
        judged.look();
        let wanted = u64::from(pipeline.threads_max) + BESIDE;
        if wanted > most {
            let evidence = format!(
                "apply.threads_max {} wants {wanted} connections, the replica takes {most} ({used} are open)",
                pipeline.threads_max
            );
            let fix = "raise max_connections at the replica, or lower apply.threads_max";
            judged.find(format!("pipeline {}", pipeline.name), evidence, fix);
        }
    }
    let (pool, threads) = (
        facts.inputs.known(Input::Pool),
        facts.inputs.known(Input::Threads),
    );
    let (instances, most) = (
        facts.inputs.known(Input::Instances).unwrap_or(1.0),
        facts.inputs.known(Input::ConnectionsMax),
    );
    if let (Some(pool), Some(threads)) = (pool, threads) {
        judged.look();
        if pool < threads {
            let evidence = format!(
                "{} connections for {} at once",
                amount(pool),
                amount(threads)
            );
            let fix = "as many connections as are worked on side by side, or fewer threads";
            judged.find("the pool", evidence, fix);
        }
    }
    if let (Some(each), Some(most)) = (pool.or(threads), most) {
        judged.look();
        if each * instances > most {
            let evidence = format!(
                "{} processes × {} connections = {}, the database takes {}",
                amount(instances),
                amount(each),
                amount(each * instances),
                amount(most)
            );
            let fix = "fewer connections for each process, a pooler in between, or a higher max_connections";
            judged.find("the database", evidence, fix);
        }
    }
    if facts.pipelines.is_empty() && (pool.is_none() || threads.is_none()) && most.is_none() {
        judged.need("the means of a process and its database: --given pool=…,threads=…,instances=…,connections_max=…");
    }
}

/// L17: fewer than three copies, or one in sync being enough.
pub(super) fn few_copies(facts: &Facts, judged: &mut Judged) {
    const COPIES_MIN: u32 = 3;
    for pipeline in facts.pipelines.iter().filter(|it| it.over_kafka) {
        judged.look();
        if pipeline.copies < COPIES_MIN {
            let evidence = format!("topics.replication_factor is {}", pipeline.copies);
            let fix = "topics.replication_factor: 3 and topics.properties: { min.insync.replicas: \"2\" }, before the topics are created";
            judged.find(format!("pipeline {}", pipeline.name), evidence, fix);
        }
    }
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    let few = |copies: u32| copies < COPIES_MIN;
    let thin: Vec<_> = cluster
        .topics
        .iter()
        .filter(|it| few(it.copies_min))
        .collect();
    for topic in &cluster.topics {
        judged.look();
        let Some(in_sync) = topic.number("min.insync.replicas") else {
            judged.need("topics' settings: the right to DescribeConfigs");
            continue;
        };
        if in_sync < 2 && !few(topic.copies_min) {
            let evidence = format!("{} copies, min.insync.replicas={in_sync}", topic.copies_min);
            let fix = format!(
                "run: kafka-configs --alter --topic {} --add-config min.insync.replicas=2 (`keylane topics apply` does it for a pipeline's)",
                topic.name
            );
            judged.find(subject(topic), evidence, fix);
        }
    }
    if cluster.topics.is_empty() {
        judged.look();
    }
    // One finding for a cluster that cannot do better.
    if cluster.replicas.len() < COPIES_MIN as usize && !thin.is_empty() {
        let evidence = format!(
            "{} brokers: {} topics have fewer than three copies",
            cluster.replicas.len(),
            thin.len()
        );
        judged.find(
            CLUSTER,
            evidence,
            "three brokers or more, then kafka-reassign-partitions",
        );
        return;
    }
    for topic in thin {
        let evidence = format!("{} copies", topic.copies_min);
        let fix = "run: kafka-reassign-partitions with three copies for each partition, then min.insync.replicas=2";
        judged.find(subject(topic), evidence, fix);
    }
}
