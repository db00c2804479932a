//! Orchestrated sagas over HTTP and over Kafka: how many end in a second and what each costs, how long one takes at half of that rate, and what waiting ones cost; beside DBOS Transact.
//!
//! A saga counts once its end is in the store. Afterwards every effect is looked for: each once, or none left.

use crate::report::{Report, Result, median, per};
use crate::{Peer, Sizes};
use bed::{Bed, Figures};
use cell::{Cell, Way};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(crate) use participant::Task;

mod bed;
mod cell;
mod client;
mod dbos;
mod load;
mod meter;
pub(crate) mod participant;
mod serving;
mod verify;

const ROUNDS: u64 = 3;
const SECONDS: u64 = 15;
const IN_FLIGHT: u64 = 128;
const WAITING: u64 = 100_000;

/// What a measurement is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) in_flight: u64,
    pub(crate) warm_up: Duration,
    pub(crate) lasts: Duration,
    /// Sagas that wait.
    pub(crate) waiting: u64,
}

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let seconds = sizes.seconds.unwrap_or(SECONDS);
    let terms = Terms {
        in_flight: sizes.in_flight.unwrap_or(IN_FLIGHT),
        warm_up: Duration::from_secs(seconds.div_ceil(5)),
        lasts: Duration::from_secs(seconds),
        waiting: sizes.rows.unwrap_or(WAITING),
    };
    let rounds = sizes.rounds.unwrap_or(ROUNDS);
    report.condition("rounds", rounds);
    report.condition("seconds", seconds);
    report.condition("in_flight", terms.in_flight);
    let is_wanted = |name: &str| sizes.only.as_ref().is_none_or(|only| name.contains(only));
    let cells: Vec<Cell> = Cell::all().filter(|it| is_wanted(&it.name())).collect();
    let dbos = match sizes.peer {
        Some(Peer::Dbos) => Some(dbos::Dbos::build(report)?),
        _ => None,
    };
    let bed = Bed::start(keylane, report)?;
    if let Some(cell) = cells.iter().find(|it| it.way == Way::Kafka) {
        // A broker that has just started is several times as dear as one that has run for a while.
        report.condition("kafka_warmed_up_by", cell.name());
        bed.measure(*cell, &terms)?;
    }
    let mut found: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    for _ in 0..rounds {
        for cell in &cells {
            let figures = bed.measure(*cell, &terms)?;
            found.entry(cell.name()).or_default().push(figures);
        }
        if let Some(dbos) = &dbos {
            let figures = bed.measure_peer(dbos, &terms)?;
            found.entry("dbos".to_owned()).or_default().push(figures);
        }
    }
    for (name, rounds) in &found {
        tell(report, name, rounds);
    }
    for cell in cells.iter().map(|it| it.name()) {
        let rate = |name: &str| middle(found.get(name)?, "sagas_per_s");
        if let (Some(ours), Some(theirs)) = (rate(&cell), rate("dbos"))
            && cell.ends_with("empty")
        {
            report.figure(&format!("{cell}_of_dbos_ratio"), per(ours, theirs));
        }
    }
    if is_wanted("waiting") {
        report.condition("waiting", terms.waiting);
        tell(report, "waiting", &[bed.waiting(&terms)?]);
    }
    Ok(())
}

/// The medians over the rounds, and of the rates the lowest and the highest too.
fn tell(report: &mut Report, name: &str, rounds: &[Figures]) {
    for (figure, _) in rounds.first().into_iter().flatten() {
        report.figure(
            &format!("{name}_{figure}"),
            middle(rounds, figure).unwrap_or(f64::NAN),
        );
        if figure == "sagas_per_s" && rounds.len() > 1 {
            let all = || values(rounds, figure);
            report.figure(
                &format!("{name}_{figure}_min"),
                all().fold(f64::MAX, f64::min),
            );
            report.figure(&format!("{name}_{figure}_max"), all().fold(0.0, f64::max));
        }
    }
}

fn values<'a>(rounds: &'a [Figures], figure: &'a str) -> impl Iterator<Item = f64> + 'a {
    let of = move |round: &'a Figures| round.iter().find(|(name, _)| name == figure);
    rounds.iter().filter_map(of).map(|(_, value)| *value)
}

fn middle(rounds: &[Figures], figure: &str) -> Option<f64> {
    Some(median(values(rounds, figure).collect())).filter(|it| it.is_finite())
}
