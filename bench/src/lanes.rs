//! What many lanes cost: apply with 2,048 lanes a partition against 64, in turn, each on parts of its own with the same load.

use crate::Sizes;
use crate::apply::{self, Round};
use crate::bed::Bed;
use crate::report::{Report, Result, median, per};
use crate::running::RoadOptions;
use std::path::Path;

const FEW: u64 = 64;
const MANY: u64 = 2_048;

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let (changes, rounds) = apply::conditions(sizes, report);
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Whoever comes first may find another machine than who comes second.
        let order = match round % 2 {
            0 => [FEW, MANY],
            _ => [MANY, FEW],
        };
        for lanes in order {
            let done = once(keylane, sizes, lanes, changes, report)?;
            eprintln!("  {lanes} lanes: {:.0}/s", done.keylane_per_s);
            match lanes {
                FEW => few.push(done),
                _ => many.push(done),
            }
        }
    }
    let middle = |rounds: &[Round], of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    for (lanes, rounds) in [(FEW, &few), (MANY, &many)] {
        let mut figure = |name: &str, of: fn(&Round) -> f64| {
            report.figure(&format!("lanes_{lanes}_{name}"), middle(rounds, of));
        };
        figure("changes_per_s", |it| it.keylane_per_s);
        figure("start_to_last_commit_s", |it| it.whole_s);
        figure("cpu_us_per_change", |it| it.keylane_cpu_us);
        figure("replica_cpu_us_per_change", |it| it.replica_cpu_us);
        figure("changes_per_transaction", |it| it.rows_per_transaction);
        figure("resident_peak_mb", |it| it.resident_mb);
    }
    let rate: fn(&Round) -> f64 = |it| it.keylane_per_s;
    let ratio = per(middle(&many, rate), middle(&few, rate));
    report.figure("many_of_few_lanes_ratio", ratio);
    Ok(())
}

fn once(
    keylane: &Path,
    sizes: &Sizes,
    lanes: u64,
    changes: u64,
    report: &mut Report,
) -> Result<Round> {
    let bed = Bed::start(report)?;
    let options = RoadOptions {
        lanes,
        ..RoadOptions::of(sizes)
    };
    let road = apply::copied(keylane, &bed, options, changes)?;
    apply::fill(&bed, &road, changes)?;
    let mut round = Round::default();
    apply::through_keylane(&bed, &road, changes, &mut round)?;
    Ok(round)
}
