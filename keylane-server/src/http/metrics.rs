//! Metrics as Prometheus reads them: base units, one family for each figure, named after the stage it tells of, labelled by pipeline or channel. What is unknown has no
//! sample.

use keylane::sqlite::journal::LastCompared;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::metrics_compared::register_compared;
use crate::notify::ChannelView;
use crate::status::{PipelineView, State};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    pipeline: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfState {
    pipeline: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfKey {
    pipeline: String,
    topic: String,
    key: String,
}

/// Longer keys are cut in labels.
const KEY_CHARS_MAX: usize = 64;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Channel {
    channel: String,
}

type Read = fn(&PipelineView) -> Option<u64>;
type ReadChannel = fn(&ChannelView) -> u64;

const CHANNEL_COUNTERS: &[(&str, &str, ReadChannel)] = &[
    (
        "keylane_notify_taken_messages",
        "Messages that the channel took",
        |view| view.taken,
    ),
    (
        "keylane_notify_folded_messages",
        "Messages that were folded into others, or dropped after they were refused",
        |view| view.folded,
    ),
];

const CHANNEL_GAUGES: &[(&str, &str, ReadChannel)] = &[
    (
        "keylane_notify_waiting_messages",
        "Messages that wait to be sent",
        |view| view.waiting,
    ),
    (
        "keylane_notify_refused_messages",
        "Messages that the channel refused and that are kept",
        |view| view.refused,
    ),
];

const COUNTERS: &[(&str, &str, Read)] = &[
    (
        "keylane_capture_changes",
        "Changes told by the origin",
        |view| view.captured,
    ),
    (
        "keylane_capture_copied_rows",
        "Rows copied by the snapshot",
        |view| view.snapshot_rows,
    ),
    (
        "keylane_publish_changes",
        "Changes that the log holds durably",
        |view| view.published,
    ),
    (
        "keylane_publish_parked_events",
        "Rows of an outbox that could not be published and were parked there",
        |view| view.events_parked,
    ),
    (
        "keylane_consume_unreadable_records",
        "Records that could not be read",
        |view| view.unreadable,
    ),
    ("keylane_apply_changes", "Changes applied", |view| {
        view.applied
    }),
    (
        "keylane_apply_rows",
        "Rows written to the replica after folding",
        |view| view.rows_written,
    ),
    (
        "keylane_apply_transactions",
        "Transactions committed at the replica",
        |view| view.transactions,
    ),
    (
        "keylane_apply_missing_rows",
        "Updates and deletes that hit no row",
        |view| view.missing_rows,
    ),
    (
        "keylane_apply_retries",
        "Batches rolled back and tried again",
        |view| view.retries,
    ),
    (
        "keylane_replays_skipped",
        "Changes that came again, to either half, and were skipped",
        |view| view.replays_skipped,
    ),
];

const GAUGES: &[(&str, Option<Unit>, &str, Read)] = &[
    (
        "keylane_lag_changes",
        None,
        "Records of the log that the replica lacks, markers included",
        |view| view.lag_changes,
    ),
    (
        "keylane_capture_retained",
        Some(Unit::Bytes),
        "Bytes of its log that the origin keeps for this pipeline",
        |view| view.retained_bytes,
    ),
    (
        "keylane_capture_retained_room",
        Some(Unit::Bytes),
        "Bytes that may come before the origin gives the slot up",
        |view| view.retained_room_bytes,
    ),
    (
        "keylane_capture_retained_changes",
        None,
        "Changes that the origin keeps for this pipeline",
        |view| view.retained_changes,
    ),
    (
        "keylane_publish_in_flight",
        Some(Unit::Bytes),
        "Bytes captured and not durable in the log yet",
        |view| view.in_flight_bytes,
    ),
    (
        "keylane_consume_buffered",
        Some(Unit::Bytes),
        "Bytes fetched and not applied yet",
        |view| view.buffered_bytes,
    ),
    (
        "keylane_apply_partitions",
        None,
        "Partitions that the applier has",
        |view| view.partitions,
    ),
    (
        "keylane_apply_threads",
        None,
        "Workers that apply",
        |view| view.threads,
    ),
    (
        "keylane_apply_busy_threads",
        None,
        "Workers applying at this moment",
        |view| view.busy,
    ),
    (
        "keylane_apply_parked_keys",
        None,
        "Keys whose changes are parked",
        |view| view.parked,
    ),
];

const STATES: [State; 5] = [
    State::CaughtUp,
    State::Streaming,
    State::Snapshotting,
    State::Degraded,
    State::Stopped,
];

/// The metrics of these pipelines, channels and comparisons in OpenMetrics text.
pub fn open_metrics(
    views: &[PipelineView],
    channels: &[ChannelView],
    compared: &[LastCompared],
) -> String {
    let mut registry = Registry::default();
    for (name, help, read) in COUNTERS {
        let family = Family::<Of, Counter>::default();
        for (view, value) in known(views, *read) {
            family.get_or_create(&of(view)).inc_by(value);
        }
        registry.register(*name, *help, family);
    }
    for (name, unit, help, read) in GAUGES {
        let family = Family::<Of, Gauge>::default();
        for (view, value) in known(views, *read) {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            family.get_or_create(&of(view)).set(value);
        }
        match unit {
            Some(unit) => registry.register_with_unit(*name, *help, unit.clone(), family),
            None => registry.register(*name, *help, family),
        }
    }
    register_lag(&mut registry, views);
    register_state(&mut registry, views);
    register_hot_keys(&mut registry, views);
    register_channels(&mut registry, channels);
    register_compared(&mut registry, compared);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing into a string does not fail");
    text
}

fn register_lag(registry: &mut Registry, views: &[PipelineView]) {
    let lag = Family::<Of, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for (view, ms) in known(views, |view| view.lag_ms) {
        lag.get_or_create(&of(view)).set(ms as f64 / 1000.0);
    }
    let help = "How old the oldest change that the replica lacks is";
    registry.register_with_unit("keylane_lag", help, Unit::Seconds, lag);
}

fn register_hot_keys(registry: &mut Registry, views: &[PipelineView]) {
    type Float = Gauge<f64, std::sync::atomic::AtomicU64>;
    let (shares, bounds) = (
        Family::<OfKey, Float>::default(),
        Family::<OfKey, Float>::default(),
    );
    for view in views {
        for hot in &view.hot_keys {
            let of = OfKey {
                pipeline: view.name.clone(),
                topic: hot.topic.clone(),
                key: hot.key.chars().take(KEY_CHARS_MAX).collect(),
            };
            shares.get_or_create(&of).set(hot.share);
            if let Some(most) = hot.changes_per_second_max {
                bounds.get_or_create(&of).set(most);
            }
        }
    }
    registry.register(
        "keylane_apply_hot_key_share",
        "The hottest keys' shares of the changes that came of late",
        shares,
    );
    registry.register(
        "keylane_apply_hot_key_changes_per_second_max",
        "How many changes a second, of all keys together, a hot key allows",
        bounds,
    );
}

fn register_state(registry: &mut Registry, views: &[PipelineView]) {
    let family = Family::<OfState, Gauge>::default();
    for view in views {
        for state in STATES {
            let labels = OfState {
                pipeline: view.name.clone(),
                state: state.word(),
            };
            family
                .get_or_create(&labels)
                .set(i64::from(view.state == state));
        }
    }
    registry.register(
        "keylane_state",
        "1 for the state the pipeline is in, 0 for the others",
        family,
    );
}

fn register_channels(registry: &mut Registry, channels: &[ChannelView]) {
    for (name, help, read) in CHANNEL_COUNTERS {
        let family = Family::<Channel, Counter>::default();
        for view in channels {
            family.get_or_create(&channel(view)).inc_by(read(view));
        }
        registry.register(*name, *help, family);
    }
    for (name, help, read) in CHANNEL_GAUGES {
        let family = Family::<Channel, Gauge>::default();
        for view in channels {
            let value = i64::try_from(read(view)).unwrap_or(i64::MAX);
            family.get_or_create(&channel(view)).set(value);
        }
        registry.register(*name, *help, family);
    }
}

fn channel(view: &ChannelView) -> Channel {
    Channel {
        channel: view.channel.clone(),
    }
}

fn known(views: &[PipelineView], read: Read) -> impl Iterator<Item = (&PipelineView, u64)> {
    views
        .iter()
        .filter_map(move |view| read(view).map(|value| (view, value)))
}

fn of(view: &PipelineView) -> Of {
    Of {
        pipeline: view.name.clone(),
    }
}
