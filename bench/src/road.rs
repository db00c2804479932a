//! The whole road: a backlog at the origin until the replica holds it, in one process.

use crate::Sizes;
use crate::bed::{Bed, DATABASE, PEER_DATABASE};
use crate::load;
use crate::peer::{self, Connectors, Tuning};
use crate::report::{Report, Result, float, per};
use crate::running::{Half, Road, RoadOptions};
use keylane_parts::{Debezium, Usage};
use std::path::Path;

/// What a drain came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drained {
    pub(crate) changes_per_s: f64,
    pub(crate) usage: Usage,
}

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let changes = sizes.changes.unwrap_or(200_000);
    report.condition("changes", changes);
    report.condition("threads", sizes.threads);
    report.condition("consistency", sizes.consistency.to_string());
    report.condition(
        "mix",
        "30 % inserts, 50 % updates, 20 % deletes; 8 partitions",
    );
    let bed = Bed::start(report)?;
    bed.everywhere(&load::base(load::base_rows(changes)))?;
    bed.replica.psql(DATABASE, "truncate orders")?;
    let road = prepared(keylane, RoadOptions::of(sizes), &bed)?;
    let debezium = match sizes.peer {
        Some(_) => Some(prepared_peer(&bed, report)?),
        None => None,
    };
    bed.load(&load::inserts_updates_deletes(
        load::base_rows(changes),
        changes,
        10,
    ))?;
    let keylane = drain(&bed, &road, changes)?;
    let us = |usage: Usage| 1e3 * float(usage.cpu_ms) / float(changes);
    report.figure("keylane_changes_per_s", keylane.changes_per_s);
    report.figure("keylane_cpu_us_per_change", us(keylane.usage));
    let megabytes = |usage: Usage| float(usage.resident_bytes_peak) / 1e6;
    report.figure("keylane_resident_peak_mb", megabytes(keylane.usage));
    if let Some(mut debezium) = debezium {
        let since_us = bed.now_us()?;
        debezium.restart()?;
        bed.await_equal(PEER_DATABASE)?;
        let usage = peer::usage(&debezium);
        let per_s = float(changes) / bed.seconds_of_commits(PEER_DATABASE, since_us)?;
        report.figure("debezium_changes_per_s", per_s);
        report.figure("debezium_cpu_us_per_change", us(usage));
        report.figure("debezium_resident_peak_mb", megabytes(usage));
        report.figure(
            "keylane_of_debezium_ratio",
            per(keylane.changes_per_s, per_s),
        );
        debezium.stop()?;
    }
    Ok(())
}

/// A road that has copied the base rows and was stopped.
pub(crate) fn prepared(keylane: &Path, options: RoadOptions, bed: &Bed) -> Result<Road> {
    let road = Road::new(keylane, bed, options)?;
    let mut both = road.start(Half::Both)?;
    both.await_streaming()?;
    bed.await_equal(DATABASE)?;
    both.stop()?;
    Ok(road)
}

fn prepared_peer(bed: &Bed, report: &mut Report) -> Result<Debezium> {
    let tables = ["public.orders"];
    let options = peer::options(bed, &tables, Connectors::Both, Tuning::Fast, report)?;
    let primer = "update orders set note = note where id = 1";
    let (mut debezium, _) = peer::start_primed(bed, options, primer, 1)?;
    debezium.stop()?;
    Ok(debezium)
}

/// Runs the road until the replica holds the backlog; the rate is that between the first and the last commit there.
pub(crate) fn drain(bed: &Bed, road: &Road, changes: u64) -> Result<Drained> {
    let since_us = bed.now_us()?;
    let mut both = road.start(Half::Both)?;
    both.wait("the backlog to be applied", |both| {
        both.counter("apply", "applied") >= changes
    })?;
    let usage = both.usage();
    bed.await_equal(DATABASE)?;
    both.stop()?;
    Ok(Drained {
        changes_per_s: float(changes) / bed.seconds_of_commits(DATABASE, since_us)?,
        usage,
    })
}
