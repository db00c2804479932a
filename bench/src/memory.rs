//! Memory of the whole road in one process: a copy of some rows and then full load, and the same with a hundred times as many rows.

use crate::Sizes;
use crate::bed::{Bed, DATABASE};
use crate::load;
use crate::report::{Report, Result, float, per};
use crate::running::{Half, Road, RoadOptions};
use std::path::Path;

const ROWS: u64 = 1_000_000;

pub(crate) fn run(keylane: &Path, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let changes = sizes.changes.unwrap_or(300_000);
    report.condition("changes", changes);
    report.condition("threads", sizes.threads);
    report.condition("consistency", sizes.consistency.to_string());
    let mut peaks = Vec::new();
    let many = sizes.rows.unwrap_or(ROWS).max(100);
    report.condition("rows", many);
    for (rows, name) in [(many / 100, "few"), (many, "many")] {
        let bed = Bed::start(report)?;
        bed.load(&load::base(rows))?;
        let options = RoadOptions::of(sizes);
        let road = Road::new(keylane, &bed, options)?;
        let mut both = road.start(Half::Both)?;
        both.await_streaming()?;
        bed.await_equal(DATABASE)?;
        let copied = float(both.usage().resident_bytes_peak) / 1e6;
        report.figure(&format!("rows_{name}_copied_resident_peak_mb"), copied);
        bed.load(&load::inserts_updates_deletes(rows, changes, 10))?;
        bed.await_equal(DATABASE)?;
        let usage = both.usage();
        let streamed = float(usage.resident_bytes_peak) / 1e6;
        report.figure(&format!("rows_{name}_streamed_resident_peak_mb"), streamed);
        report.figure(
            &format!("rows_{name}_after_resident_mb"),
            float(usage.resident_bytes) / 1e6,
        );
        peaks.push(streamed);
        both.stop()?;
    }
    if let [few, many] = *peaks {
        report.figure("many_of_few_rows_ratio", per(many, few));
    }
    Ok(())
}
