//! The consumer for any handler: records handled per second at several lengths of work, against a raw client's loop and against what cannot be beaten, min(concurrency, 1 / top share) / work.

use crate::Sizes;
use crate::report::{Report, Result, median, per};
use cell::{Cell, Handled, Place, Whose};
use keylane_parts::{Kafka, PARALLEL_CONSUMER_VERSION};
use keys::Keys;
use task::{Handler, Source};
use topics::{PARTITIONS, VALUE_BYTES};

pub(crate) use task::Task;

pub(crate) mod cell;
pub(crate) mod keys;
mod matrix;
pub(crate) mod member;
mod nap;
pub(crate) mod task;
mod timer;
mod topics;

const CONCURRENCY: u64 = 1_000;
const BACKLOG: u64 = 1_000_000;

/// Work in milliseconds, and how many records of the topic are enough for it.
const CASES: [(u64, u64); 4] = [(0, 1_000_000), (1, 1_000_000), (10, 500_000), (100, 80_000)];

pub(crate) fn run(sizes: &Sizes, report: &mut Report) -> Result<()> {
    let records = sizes.changes.unwrap_or(BACKLOG);
    report.condition("records", records);
    report.condition("partitions", PARTITIONS);
    report.condition("value_bytes", VALUE_BYTES);
    report.condition(
        "order",
        "key; every handler checks that its key's records come in order, one at a time",
    );
    report.condition("commit", "every second, in every case");
    report.condition("process", "each consumer in one of its own");
    let kafka = Kafka::start()?;
    report.condition("kafka", "4.3.0, one KRaft node, -Xmx512m");
    if sizes.peer.is_some() {
        let told = format!("{PARALLEL_CONSUMER_VERSION}, KEY, kafka-clients 4.3.1, -Xmx2g");
        report.condition("parallel_consumer", told);
    }
    let bootstrap = kafka.bootstrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut place = Place::new(&bootstrap, &runtime, records);
    match sizes.matrix {
        true => matrix::run(&mut place, sizes, report),
        false => short(&mut place, sizes, report),
    }
}

/// A backlog of a thousand keys, a thousand at once.
fn short(place: &mut Place<'_>, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let rounds = sizes.rounds.unwrap_or(3);
    report.condition("rounds", rounds);
    report.condition("keys", "1,000 in turn");
    report.condition("concurrency", CONCURRENCY);
    let (mut unworked, mut resident) = (0.0, 0.0_f64);
    for (work_ms, records) in CASES {
        let cell = Cell {
            keys: Keys::Thousand,
            work_ms,
            concurrency: CONCURRENCY,
            source: Source::Backlog,
        };
        let rounds: Vec<Handled> = (0..rounds)
            .map(|_| place.backlog(&cell, records, Whose::Ours(Handler::Task)))
            .collect::<Result<_>>()?;
        let middle = |of: fn(&Handled) -> f64| median(rounds.iter().map(of).collect());
        let rate = middle(|it| it.done.records_per_s());
        let mut figure = |name: &str, value| {
            report.figure(&format!("work_{work_ms}_ms_{name}"), value);
        };
        figure("records_per_s", rate);
        figure("cpu_us_per_record", middle(|it| it.done.cpu_us));
        let top_share = middle(|it| it.top_share);
        if let Some(ideal) = cell.ideal(top_share) {
            figure("of_ideal_ratio", per(rate, ideal));
            let timers = place.timers_rate(&cell, top_share).unwrap_or_default();
            figure("of_bare_sleeps_ratio", per(rate, timers));
        } else {
            unworked = rate;
        }
        if sizes.peer.is_some() {
            let peer = matrix::peers_backlog(place, &cell, records)?.done;
            figure("parallel_consumer_records_per_s", peer.records_per_s());
            figure("parallel_consumer_cpu_us_per_record", peer.cpu_us);
            let peers_resident = peer.resident_peak_mb;
            figure("parallel_consumer_resident_peak_mb", peers_resident);
            figure("parallel_consumer_ratio", per(rate, peer.records_per_s()));
        }
        resident = resident.max(middle(|it| it.done.resident_peak_mb));
    }
    report.figure("resident_peak_mb", resident);
    let raw = Cell {
        keys: Keys::Thousand,
        work_ms: 0,
        concurrency: 1,
        source: Source::Backlog,
    };
    let raw: Vec<Handled> = (0..rounds)
        .map(|_| place.backlog(&raw, u64::MAX, Whose::Ours(Handler::Raw)))
        .collect::<Result<_>>()?;
    let rate = median(raw.iter().map(|it| it.done.records_per_s()).collect());
    report.figure("raw_loop_records_per_s", rate);
    report.figure("work_0_ms_of_raw_loop_ratio", per(unworked, rate));
    Ok(())
}
