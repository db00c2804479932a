//! `capture`: how changes are read from the origin and published.

use std::time::Duration;

use super::keys::{Absent, GIB, KIB, Key, MIB, Takes};
use super::reader::{Block, Read};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "snapshot",
        takes: Takes::Word(&["initial", "never"]),
        absent: Absent::Default("initial"),
        means: "`initial`: rows that exist before capture begins are copied too. `never`: only changes from now on.",
    },
    Key {
        name: "chunk_rows",
        takes: Takes::Count {
            min: 1,
            max: 1_000_000,
        },
        absent: Absent::Default("10000"),
        means: "Rows of one chunk of the snapshot. A crash repeats at most the chunk at hand.",
    },
    Key {
        name: "publish_batch_bytes",
        takes: Takes::Bytes {
            min: KIB,
            max: 64 * MIB,
        },
        absent: Absent::Default("1MiB"),
        means: "Bytes handed to the log at once at most; never more than a quarter of `in_flight_bytes`.",
    },
    Key {
        name: "in_flight_bytes",
        takes: Takes::Bytes {
            min: MIB,
            max: 4 * GIB,
        },
        absent: Absent::Default("32MiB"),
        means: "Bytes that are read and not yet acknowledged by the log at most, whichever log it is. When it is reached, reading waits. A chunk of the snapshot counts as one batch, whatever its size.",
    },
    Key {
        name: "marker_interval",
        takes: Takes::Duration {
            min_ms: 10,
            max_ms: 60_000,
        },
        absent: Absent::Default("100ms"),
        means: "How often each partition learns up to which position it is complete. Waits across partitions, and `settle`, are about this long.",
    },
];

/// Whether rows that exist before capture begins are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Yes, once.
    Initial,
    /// No: only changes from now on.
    Never,
}

/// How changes are read and published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Whether existing rows are copied first.
    pub snapshot: Snapshot,
    /// Rows per snapshot chunk, 1 to 1,000,000.
    pub chunk_rows: u32,
    /// Bytes handed to the log at once at most.
    pub publish_batch_bytes: u64,
    /// Bytes read and not acknowledged at most; at least `publish_batch_bytes`.
    pub in_flight_bytes: u64,
    /// Between two markers of a partition.
    pub marker_interval: Duration,
}

pub(super) fn read(block: &Block<'_>) -> Read<Capture> {
    let snapshot = block.choice("snapshot", &[Snapshot::Initial, Snapshot::Never]);
    let chunk_rows = block.count("chunk_rows");
    let publish_batch_bytes = block.bytes("publish_batch_bytes");
    let in_flight_bytes = block.bytes("in_flight_bytes");
    let marker_interval = block.duration("marker_interval");
    let capture = Capture {
        snapshot: snapshot?,
        chunk_rows: chunk_rows?,
        publish_batch_bytes: publish_batch_bytes?,
        in_flight_bytes: in_flight_bytes?,
        marker_interval: marker_interval?,
    };
    block.not_above(
        ("publish_batch_bytes", capture.publish_batch_bytes),
        ("in_flight_bytes", capture.in_flight_bytes),
    )?;
    Ok(capture)
}
