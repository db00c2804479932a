//! Apply: what waits in a topic goes into PostgreSQL; beside it the same changes from a bare client.

use crate::Sizes;
use crate::bare;
use crate::bed::{Bed, DATABASE, PATIENCE, PEER_DATABASE, PIPELINE};
use crate::load;
use crate::peer::{self, Connectors, Tuning};
use crate::report::{Report, Result, float, median, per};
use crate::road;
use crate::running::{Half, Road, RoadOptions};
use crate::topic::Topics;
use keylane_parts::{Debezium, usage_with_children};
use std::path::Path;
use std::time::Instant;

const BARE_DATABASE: &str = "bare";

#[derive(Default)]
pub(crate) struct Round {
    pub(crate) keylane_per_s: f64,
    pub(crate) whole_s: f64,
    pub(crate) keylane_cpu_us: f64,
    pub(crate) replica_cpu_us: f64,
    pub(crate) rows_per_transaction: f64,
    pub(crate) resident_mb: f64,
    bare_per_s: f64,
    peer_per_s: f64,
    peer_cpu_us: f64,
}

/// How many changes, and how often; told as conditions, with what is done to the rows.
pub(crate) fn conditions(sizes: &Sizes, report: &mut Report) -> (u64, u64) {
    let changes = sizes.changes.unwrap_or(500_000);
    let rounds = sizes.rounds.unwrap_or(3);
    report.condition("changes", changes);
    report.condition("rounds", rounds);
    report.condition("threads", sizes.threads);
    report.condition("consistency", sizes.consistency.to_string());
    report.condition(
        "mix",
        "30 % inserts, 50 % updates, 20 % deletes; 8 partitions",
    );
    (changes, rounds)
}

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let (changes, rounds) = conditions(sizes, report);
    let rounds: Vec<Round> = (0..rounds)
        .map(|_| round(keylane, sizes, changes, report))
        .collect::<Result<_>>()?;
    let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let (keylane_per_s, bare_per_s) = (middle(|r| r.keylane_per_s), middle(|r| r.bare_per_s));
    report.figure("keylane_changes_per_s", keylane_per_s);
    report.figure("keylane_start_to_last_commit_s", middle(|r| r.whole_s));
    report.figure("keylane_cpu_us_per_change", middle(|r| r.keylane_cpu_us));
    report.figure("replica_cpu_us_per_change", middle(|r| r.replica_cpu_us));
    report.figure(
        "changes_per_transaction",
        middle(|r| r.rows_per_transaction),
    );
    report.figure("keylane_resident_peak_mb", middle(|r| r.resident_mb));
    report.figure("bare_changes_per_s", bare_per_s);
    report.figure("keylane_of_bare_ratio", per(keylane_per_s, bare_per_s));
    if sizes.peer.is_some() {
        let peer_per_s = middle(|r| r.peer_per_s);
        report.figure("debezium_changes_per_s", peer_per_s);
        report.figure("debezium_cpu_us_per_change", middle(|r| r.peer_cpu_us));
        report.figure("keylane_of_debezium_ratio", per(keylane_per_s, peer_per_s));
    }
    Ok(())
}

fn round(keylane: &Path, sizes: &Sizes, changes: u64, report: &mut Report) -> Result<Round> {
    let bed = Bed::start(report)?;
    bed.replica.create_database(BARE_DATABASE)?;
    let road = copied(keylane, &bed, RoadOptions::of(sizes), changes)?;
    let table = "create table orders(id bigint primary key, customer int not null, status text not null, total numeric(12,2) not null, note text,
        version int not null)";
    bed.replica.psql(BARE_DATABASE, table)?;
    bed.replica
        .psql(BARE_DATABASE, &load::base(load::base_rows(changes)))?;
    let debezium = match sizes.peer {
        Some(_) => Some(source(&bed, report)?),
        None => None,
    };
    fill(&bed, &road, changes)?;
    let mut round = Round::default();
    through_keylane(&bed, &road, changes, &mut round)?;
    let topics = Topics::of(&bed.kafka.bootstrap(), PIPELINE)?;
    let batches = bare::batches(&topics, 1000)?;
    let threads = usize::try_from(sizes.threads)?;
    bed.replica.psql(DATABASE, "checkpoint")?;
    let took = bare::execute(&bed.replica.url(BARE_DATABASE), batches, threads)?;
    bed.await_equal(BARE_DATABASE)?;
    round.bare_per_s = float(changes) / took.as_secs_f64();
    if let Some((debezium, topics)) = debezium {
        through_debezium(&bed, debezium, &topics, changes, &mut round, report)?;
    }
    eprintln!(
        "  keylane {:.0}/s, bare {:.0}/s, debezium {:.0}/s",
        round.keylane_per_s, round.bare_per_s, round.peer_per_s
    );
    Ok(round)
}

/// A road that has copied the rows that the load begins with, and was stopped.
pub(crate) fn copied(
    keylane: &Path,
    bed: &Bed,
    options: RoadOptions,
    changes: u64,
) -> Result<Road> {
    bed.everywhere(&load::base(load::base_rows(changes)))?;
    // The copy writes them into the road's own database.
    bed.replica.psql(DATABASE, "truncate orders")?;
    road::prepared(keylane, options, bed)
}

/// Changes the rows at the origin, and lets the topic hold the changes.
pub(crate) fn fill(bed: &Bed, road: &Road, changes: u64) -> Result<()> {
    bed.load(&load::inserts_updates_deletes(
        load::base_rows(changes),
        changes,
        10,
    ))?;
    let mut capture = road.start(Half::Capture)?;
    capture.wait("the topic to be filled", |capture| {
        capture.counter("capture", "published") >= changes
    })?;
    capture.stop()
}

/// Applies what the topic holds, in a process of its own.
pub(crate) fn through_keylane(
    bed: &Bed,
    road: &Road,
    changes: u64,
    round: &mut Round,
) -> Result<()> {
    let replica = bed.replica.pid().unwrap_or_default();
    let postmaster = || usage_with_children(replica).unwrap_or_default().cpu_ms;
    bed.replica.psql(DATABASE, "checkpoint")?;
    let since_us = bed.now_us()?;
    let begun = Instant::now();
    let mut apply = road.start(Half::Apply)?;
    apply.wait("every change to be applied", |apply| {
        // Copied rows that the first run had not saved as a whole may be told again.
        apply.counter("apply", "applied") >= changes
    })?;
    // The status file is up to half a second old; the commits say when it really was.
    round.whole_s = begun.elapsed().as_secs_f64();
    let usage = apply.usage();
    round.replica_cpu_us = 1e3 * float(postmaster()) / float(changes);
    let transactions = float(apply.counter("apply", "transactions"));
    round.rows_per_transaction = per(float(apply.counter("apply", "applied")), transactions);
    bed.await_equal(DATABASE)?;
    round.keylane_per_s = float(changes) / bed.seconds_of_commits(DATABASE, since_us)?;
    round.keylane_cpu_us = 1e3 * float(usage.cpu_ms) / float(changes);
    round.resident_mb = float(usage.resident_bytes_peak) / 1e6;
    apply.stop()
}

/// Its source, reading from here on.
fn source(bed: &Bed, report: &mut Report) -> Result<(Debezium, Topics)> {
    let tables = ["public.orders"];
    let options = peer::options(bed, &tables, Connectors::Source, Tuning::Shipped, report)?;
    peer::start_primed(
        bed,
        options,
        "update orders set note = note where id = 1",
        1,
    )
}

fn through_debezium(
    bed: &Bed,
    mut source: Debezium,
    topics: &Topics,
    changes: u64,
    round: &mut Round,
    report: &mut Report,
) -> Result<()> {
    topics.await_all(changes + 1, PATIENCE)?;
    source.stop()?;
    bed.replica.psql(PEER_DATABASE, "checkpoint")?;
    let tables = ["public.orders"];
    let options = peer::options(bed, &tables, Connectors::Sink, Tuning::Fast, report)?;
    let since_us = bed.now_us()?;
    let sink = Debezium::start(options)?;
    bed.await_equal(PEER_DATABASE)?;
    round.peer_per_s = float(changes) / bed.seconds_of_commits(PEER_DATABASE, since_us)?;
    round.peer_cpu_us = 1e3 * float(peer::usage(&sink).cpu_ms) / float(changes);
    Ok(())
}
