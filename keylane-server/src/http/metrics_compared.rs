//! Metrics of comparisons: what the last one of each table came to.

use std::sync::atomic::AtomicU64;

use keylane::sqlite::journal::LastCompared;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTable {
    pipeline: String,
    table: String,
}

type Read = fn(&LastCompared) -> u64;

const GAUGES: &[(&str, &str, Read)] = &[
    (
        "keylane_reconcile_differing_rows",
        "Rows that were proved to differ and are not repaired",
        |last| {
            let proved = last.table.figures.proved();
            proved.saturating_sub(last.table.repaired.0)
        },
    ),
    (
        "keylane_reconcile_repaired_rows",
        "Rows that were repaired and seen again",
        |last| last.table.repaired.0,
    ),
    (
        "keylane_reconcile_unproved_rows",
        "Rows that could not be proved either way: hot, or the road stood still",
        |last| last.table.figures.hot + last.table.figures.unproved,
    ),
    (
        "keylane_reconcile_rows",
        "Rows of the origin that were compared",
        |last| last.table.figures.rows_origin,
    ),
];

pub(super) fn register_compared(registry: &mut Registry, compared: &[LastCompared]) {
    for (name, help, read) in GAUGES {
        let family = Family::<OfTable, Gauge>::default();
        for last in compared {
            let value = i64::try_from(read(last)).unwrap_or(i64::MAX);
            family.get_or_create(&of(last)).set(value);
        }
        registry.register(*name, *help, family);
    }
    let family = Family::<OfTable, Gauge<f64, AtomicU64>>::default();
    for last in compared {
        family.get_or_create(&of(last)).set(last.at_us as f64 / 1e6);
    }
    registry.register_with_unit(
        "keylane_reconcile_begun_timestamp",
        "When the last comparison of the table began or went on, since 1970",
        Unit::Seconds,
        family,
    );
}

fn of(last: &LastCompared) -> OfTable {
    OfTable {
        pipeline: last.pipeline.clone(),
        table: last.table.name.clone(),
    }
}
