//! Debezium on the same bed: its own slot, its own topics, its own database at the replica.

use crate::bed::{Bed, DATABASE, PATIENCE, PEER_DATABASE};
use crate::report::{Report, Result};
use crate::topic::Topics;
use keylane_parts::{Debezium, DebeziumOptions, Usage, usage_of};

const PREFIX: &str = "peer";

/// Which connectors run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connectors {
    Source,
    Sink,
    Both,
}

/// As shipped, or with the settings that made it fastest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuning {
    Shipped,
    Fast,
}

/// What it is told to copy.
pub(crate) fn options(
    bed: &Bed,
    tables: &[&str],
    connectors: Connectors,
    tuning: Tuning,
    report: &mut Report,
) -> Result<DebeziumOptions> {
    let mut options = DebeziumOptions::new(&bed.kafka.bootstrap(), PREFIX, tables);
    if connectors != Connectors::Sink {
        options = options.capture(&bed.origin.url(DATABASE))?;
        // The base rows are there already; a deletion is one record, as with Keylane.
        options = options
            .set_source("snapshot.mode", "no_data")
            .set_source("tombstones.on.delete", "false");
    }
    if connectors != Connectors::Source {
        options = options.apply(&bed.replica.url(PEER_DATABASE))?;
    }
    if tuning == Tuning::Fast {
        options = options
            .tasks_max(8)
            .set_sink("batch.size", "2000")
            .set_sink("use.reduction.buffer", "true");
    }
    let told = match tuning {
        Tuning::Shipped => "3.4.0, Connect standalone -Xmx2g, 1 sink task, defaults",
        Tuning::Fast => {
            "3.4.0, Connect standalone -Xmx2g, 8 sink tasks, batch.size=2000, use.reduction.buffer"
        }
    };
    report.condition("debezium", told);
    Ok(options)
}

/// Starts it, has it make its topics by way of `primer` (which makes `records` changes), and returns when they are written.
pub(crate) fn start_primed(
    bed: &Bed,
    options: DebeziumOptions,
    primer: &str,
    records: u64,
) -> Result<(Debezium, Topics)> {
    let debezium = Debezium::start(options)?;
    bed.load(primer)?;
    let begun = std::time::Instant::now();
    loop {
        let topics = Topics::of(&bed.kafka.bootstrap(), PREFIX)?;
        if topics.records()? >= records {
            return Ok((debezium, topics));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!(
                "Debezium has not written the first records\n{}",
                debezium.log_tail()
            )
            .into());
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

/// What Connect uses.
pub(crate) fn usage(debezium: &Debezium) -> Usage {
    debezium.pid().and_then(usage_of).unwrap_or_default()
}
