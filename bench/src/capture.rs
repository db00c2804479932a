//! Capture: what waits in a slot goes into Kafka; beside it the same range of the log is read to nowhere.

use crate::Sizes;
use crate::bed::{Bed, DATABASE, PATIENCE, PIPELINE};
use crate::load;
use crate::peer::{self, Connectors, Tuning};
use crate::report::{Report, Result, float, median, per};
use crate::running::{Half, Road, RoadOptions};
use crate::topic::Topics;
use keylane_parts::{Debezium, usage_of, usage_with_children};
use std::path::Path;
use std::time::Instant;

const NOWHERE: [&str; 2] = ["nowhere_before", "nowhere_after"];

/// One round's figures.
#[derive(Default)]
struct Round {
    keylane_per_s: f64,
    keylane_cpu_us: f64,
    broker_cpu_us: f64,
    origin_cpu_us: f64,
    until_first_s: f64,
    with_start_per_s: f64,
    nowhere_per_s: f64,
    resident_mb: f64,
    peer_per_s: f64,
    peer_cpu_us: f64,
}

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let changes = sizes.changes.unwrap_or(500_000) / 10 * 10;
    let rounds = sizes.rounds.unwrap_or(3);
    report.condition("changes", changes);
    report.condition("rounds", rounds);
    report.condition("transactions", "60 % in 4 bulk statements, the rest alone");
    let rounds: Vec<Round> = (0..rounds)
        .map(|_| round(keylane, sizes, changes, report))
        .collect::<Result<_>>()?;
    let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let keylane_per_s = middle(|round| round.keylane_per_s);
    let nowhere_per_s = middle(|round| round.nowhere_per_s);
    report.figure("keylane_changes_per_s", keylane_per_s);
    report.figure("keylane_cpu_us_per_change", middle(|r| r.keylane_cpu_us));
    report.figure("broker_cpu_us_per_change", middle(|r| r.broker_cpu_us));
    report.figure("origin_cpu_us_per_change", middle(|r| r.origin_cpu_us));
    report.figure("start_to_first_record_s", middle(|r| r.until_first_s));
    report.figure("keylane_resident_peak_mb", middle(|r| r.resident_mb));
    report.figure("nowhere_changes_per_s", nowhere_per_s);
    // The start of pg_recvlogical, and the decoding before its first change, are in its time: they must be in Keylane's too.
    let with_start_per_s = middle(|r| r.with_start_per_s);
    report.figure("keylane_with_start_changes_per_s", with_start_per_s);
    report.figure(
        "keylane_with_start_of_nowhere_ratio",
        per(with_start_per_s, nowhere_per_s),
    );
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
    let mut debezium = match sizes.peer {
        Some(_) => Some(primed_source(&bed, report)?),
        None => None,
    };
    let options = RoadOptions::of(sizes);
    let road = Road::new(keylane, &bed, options)?;
    let mut capture = road.start(Half::Capture)?;
    capture.await_streaming()?;
    capture.stop()?;
    for slot in NOWHERE {
        bed.load(&format!(
            "select pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ))?;
    }
    let took = bed.load(&load::mixed(changes))?;
    eprintln!("  loaded in {:.1} s", took.as_secs_f64());
    bed.load("checkpoint")?;

    let mut round = Round::default();
    let [before, after] = NOWHERE;
    let nowhere_s = to_nowhere(&bed, before)?;
    through_keylane(&bed, &road, changes, &mut round)?;
    if let Some((debezium, topics)) = &mut debezium {
        through_debezium(debezium, topics, changes, &mut round)?;
    }
    let nowhere_s = (nowhere_s + to_nowhere(&bed, after)?) / 2.0;
    round.nowhere_per_s = float(changes) / nowhere_s;
    eprintln!(
        "  keylane {:.0}/s, nowhere {:.0}/s, debezium {:.0}/s",
        round.keylane_per_s, round.nowhere_per_s, round.peer_per_s
    );
    Ok(round)
}

/// Seconds that PostgreSQL's own reader takes for the slot, thrown away.
fn to_nowhere(bed: &Bed, slot: &str) -> Result<f64> {
    let end = bed.origin.psql(DATABASE, "select pg_current_wal_lsn()")?;
    let publication = format!("publication_names=keylane_{PIPELINE}");
    let begun = Instant::now();
    let status = bed
        .origin
        .client("pg_recvlogical", DATABASE)
        .args([
            "-d",
            DATABASE,
            "--start",
            "--no-loop",
            "-S",
            slot,
            "-f",
            "/dev/null",
        ])
        .args(["-o", "proto_version=1", "-o", &publication])
        .args(["--endpos", end.trim()])
        .status()?;
    let seconds = begun.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("pg_recvlogical ended with {status}").into());
    }
    Ok(seconds)
}

fn through_keylane(bed: &Bed, road: &Road, changes: u64, round: &mut Round) -> Result<()> {
    let topics = Topics::of(&bed.kafka.bootstrap(), PIPELINE)?;
    let broker = bed.kafka.pids().into_iter().next().unwrap_or_default();
    let origin = bed.origin.pid().unwrap_or_default();
    let cpu = |usage: Option<keylane_parts::Usage>| usage.unwrap_or_default().cpu_ms;
    let before = topics.records()?;
    let begun = Instant::now();
    let mut capture = road.start(Half::Capture)?;
    let (first_at, first) = topics.await_records(before + topics.trifle(), PATIENCE)?;
    let at_first = (
        cpu(usage_of(capture.pid())),
        cpu(usage_of(broker)),
        cpu(usage_with_children(origin)),
    );
    let (last_at, last) = topics.await_records(before + changes, PATIENCE)?;
    let usage = capture.usage();
    let carried = float(last - first);
    let us = |after_ms: u64, before_ms: u64| 1e3 * float(after_ms - before_ms) / carried;
    round.keylane_cpu_us = us(usage.cpu_ms, at_first.0);
    round.broker_cpu_us = us(cpu(usage_of(broker)), at_first.1);
    round.origin_cpu_us = us(cpu(usage_with_children(origin)), at_first.2);
    round.keylane_per_s = carried / (last_at - first_at).as_secs_f64();
    round.until_first_s = (first_at - begun).as_secs_f64();
    round.with_start_per_s = float(changes) / (last_at - begun).as_secs_f64();
    capture.wait("every change to be published", |capture| {
        capture.counter("capture", "published") == changes
    })?;
    round.resident_mb = float(capture.usage().resident_bytes_peak) / 1e6;
    capture.stop()
}

fn primed_source(bed: &Bed, report: &mut Report) -> Result<(Debezium, Topics)> {
    let tables = ["public.orders", "public.accounts"];
    let options = peer::options(bed, &tables, Connectors::Source, Tuning::Shipped, report)?;
    let primer = "insert into orders values (-1, 0, '', 0, '', 0); insert into accounts values (-1, 0, 0, '')";
    let (mut debezium, topics) = peer::start_primed(bed, options, primer, 2)?;
    debezium.stop()?;
    bed.load("delete from orders; delete from accounts")?;
    Ok((debezium, topics))
}

fn through_debezium(
    debezium: &mut Debezium,
    topics: &Topics,
    changes: u64,
    round: &mut Round,
) -> Result<()> {
    debezium.restart()?;
    let (first_at, first) = topics.await_records(8, PATIENCE)?;
    let cpu_ms = peer::usage(debezium).cpu_ms;
    // Two of the primer, two of its removal.
    let (last_at, last) = topics.await_records(changes + 4, PATIENCE)?;
    let carried = float(last - first);
    round.peer_cpu_us = 1e3 * float(peer::usage(debezium).cpu_ms - cpu_ms) / carried;
    round.peer_per_s = carried / (last_at - first_at).as_secs_f64();
    Ok(debezium.stop()?)
}
