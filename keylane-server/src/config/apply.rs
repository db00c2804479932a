//! `apply`: how changes are written to the replica.

use std::time::Duration;

use keylane::workers::apply::{Consistency, GroupOptions};
use keylane_core::apply::{THREADS_MAX, Threads};

use super::code::Code;
use super::group;
use super::keys::{Absent, DAY_MS, GIB, KIB, Key, MIB, Takes};
use super::reader::{Block, Read};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "threads",
        takes: Takes::CountOr {
            min: 1,
            max: THREADS_MAX as u64,
            word: "auto",
        },
        absent: Absent::Default("4"),
        means: "Threads that write at the same time, each with a connection of its own. May exceed the partitions: order is kept per lane, not per partition. `auto` finds a number while they work, up to `threads_max`. `keylane threads` sets another while the pipeline runs.",
    },
    Key {
        name: "threads_max",
        takes: Takes::Count {
            min: 1,
            max: THREADS_MAX as u64,
        },
        absent: Absent::Default("32"),
        means: "Threads that `auto` uses at most. The replica must allow that many connections, and three more.",
    },
    Key {
        name: "lanes",
        takes: Takes::PowerOfTwo { min: 1, max: 4096 },
        absent: Absent::Default("64"),
        means: "Lanes of each partition: keys of one lane are applied one after another. Stored with the replica's progress at the first start.",
    },
    Key {
        name: "consistency",
        takes: Takes::Word(&["key", "transaction"]),
        absent: Absent::Default("key"),
        means: "`key`: each key's changes in their order. `transaction`: the origin's transactions whole, committed in its order, so that readers of the replica only see states that the origin had; one process applies, others stand by, and a transaction that cannot be applied stops the pipeline, because nothing is parked. All processes of a pipeline must have the same. Not with a SQLite origin, nor with `from_topics`.",
    },
    Key {
        name: "batch_rows",
        takes: Takes::Count {
            min: 1,
            max: 100_000,
        },
        absent: Absent::Default("1000"),
        means: "Changes of one transaction on the replica at most.",
    },
    Key {
        name: "batch_bytes",
        takes: Takes::Bytes { min: KIB, max: GIB },
        absent: Absent::Default("4MiB"),
        means: "Bytes of one transaction on the replica at most. A single larger change goes alone.",
    },
    Key {
        name: "buffer_bytes",
        takes: Takes::Bytes {
            min: MIB,
            max: 64 * GIB,
        },
        absent: Absent::Default("32MiB"),
        means: "Bytes fetched and not yet applied at most, over all partitions. When it is reached, partitions are paused.",
    },
    Key {
        name: "group",
        takes: Takes::Block(group::KEYS),
        absent: Absent::Means("its defaults"),
        means: "How processes that apply this pipeline share its partitions: a Kafka consumer group. With the embedded log one process applies; the block says nothing there.",
    },
    Key {
        name: "fold",
        takes: Takes::Flag,
        absent: Absent::Default("true"),
        means: "Whether several changes of one row in one transaction are written as one. `false` writes each, for replicas whose triggers must see every change.",
    },
    Key {
        name: "create_tables",
        takes: Takes::Flag,
        absent: Absent::Default("true"),
        means: "Whether a table that the replica lacks is created after the origin's. `false`: its absence is an error.",
    },
    Key {
        name: "foreign_keys",
        takes: Takes::Word(&["enforce", "trust"]),
        absent: Absent::Default("enforce"),
        means: "`enforce`: the replica's foreign keys hold for what is applied, as for everybody. `trust`: the origin has checked them; here they are not, their actions do not take place, and ordinary triggers of PostgreSQL do not fire (`session_replication_role`).",
    },
    Key {
        name: "on_error",
        takes: Takes::Block(ON_ERROR),
        absent: Absent::Means("its defaults"),
        means: "What happens to a change that the replica refuses. A replica that cannot be reached is always waited for.",
    },
    Key {
        name: "parked_keys_max",
        takes: Takes::Count {
            min: 1,
            max: 10_000_000,
        },
        absent: Absent::Default("10000"),
        means: "Parked keys of the pipeline at most; one more stops it.",
    },
    Key {
        name: "missing_rows",
        takes: Takes::Word(&["report", "stop"]),
        absent: Absent::Default("report"),
        means: "What an update or delete does that finds no row: `report` counts and reports it, an update then inserts the row if the change holds all of it. `stop` stops the pipeline before the transaction is committed; while a table is copied, changes may come before their rows, and it only counts.",
    },
];

const ON_ERROR: &[Key] = &[
    Key {
        name: "retry",
        takes: Takes::Count { min: 0, max: 1000 },
        absent: Absent::Default("8"),
        means: "How often it is tried again.",
    },
    Key {
        name: "backoff",
        takes: Takes::Duration {
            min_ms: 1,
            max_ms: DAY_MS,
        },
        absent: Absent::Default("100ms"),
        means: "Wait before the first retry; doubled each time, with jitter.",
    },
    Key {
        name: "backoff_max",
        takes: Takes::Duration {
            min_ms: 1,
            max_ms: DAY_MS,
        },
        absent: Absent::Default("30s"),
        means: "The longest wait between two retries.",
    },
    Key {
        name: "then",
        takes: Takes::Word(&["park", "stop"]),
        absent: Absent::Default("park"),
        means: "After the last retry: `park` sets the change aside with its key's later changes, in order, and goes on (`keylane parked`). `stop` stops the pipeline.",
    },
];

/// What happens after the last retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExhaustedAction {
    /// The change and its key's later ones are set aside, in order.
    Park,
    /// The pipeline stops.
    Stop,
}

/// Whether the replica's foreign keys hold for what is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignKeys {
    /// As for everybody.
    Enforce,
    /// The origin has checked them.
    Trust,
}

/// What happens when an update or delete finds no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingRows {
    /// Counted and reported.
    Report,
    /// The pipeline stops.
    Stop,
}

/// What happens to a change that the replica refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnError {
    /// Retries, 0 to 1,000.
    pub retry: u32,
    /// Before the first retry; doubled each time.
    pub backoff: Duration,
    /// The longest wait; at least `backoff`.
    pub backoff_max: Duration,
    /// After the last retry.
    pub then: ExhaustedAction,
}

/// How changes are written to the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    /// Writing threads.
    pub threads: Threads,
    /// The most that are found by `auto`, 1 to 1,024.
    pub threads_max: u32,
    /// Lanes per partition: a power of two, 1 to 4,096.
    pub lanes: u16,
    /// What readers may rely on.
    pub consistency: Consistency,
    /// Changes per transaction at most, 1 to 100,000.
    pub batch_rows: u32,
    /// Bytes per transaction at most.
    pub batch_bytes: u64,
    /// Bytes fetched and not applied at most; at least `batch_bytes`.
    pub buffer_bytes: u64,
    /// How processes share the partitions.
    pub group: GroupOptions,
    /// Whether changes of one row in one transaction become one.
    pub fold: bool,
    /// Whether missing tables are created.
    pub create_tables: bool,
    /// Whether the replica's foreign keys hold for what is applied.
    pub foreign_keys: ForeignKeys,
    /// What happens to a change that is refused.
    pub on_error: OnError,
    /// Parked keys at most.
    pub parked_keys_max: u32,
    /// What happens when a row is not there.
    pub missing_rows: MissingRows,
}

pub(super) fn read(block: &Block<'_>) -> Read<Apply> {
    let threads = block.count_or_word("threads");
    let threads_max = block.count("threads_max");
    let lanes = block.count("lanes");
    let consistency = block.choice("consistency", &[Consistency::Key, Consistency::Transaction]);
    let batch_rows = block.count("batch_rows");
    let batch_bytes = block.bytes("batch_bytes");
    let buffer_bytes = block.bytes("buffer_bytes");
    let group = block.block("group").and_then(|inner| group::read(&inner));
    let fold = block.flag("fold");
    let create_tables = block.flag("create_tables");
    let foreign_keys = block.choice("foreign_keys", &[ForeignKeys::Enforce, ForeignKeys::Trust]);
    let on_error = block
        .block("on_error")
        .and_then(|inner| read_on_error(&inner));
    let parked_keys_max = block.count("parked_keys_max");
    let missing_rows = block.choice("missing_rows", &[MissingRows::Report, MissingRows::Stop]);
    let apply = Apply {
        threads: threads?.map_or(Threads::Auto, Threads::Number),
        threads_max: threads_max?,
        lanes: lanes?,
        consistency: consistency?,
        batch_rows: batch_rows?,
        batch_bytes: batch_bytes?,
        buffer_bytes: buffer_bytes?,
        group: group?,
        fold: fold?,
        create_tables: create_tables?,
        foreign_keys: foreign_keys?,
        on_error: on_error?,
        parked_keys_max: parked_keys_max?,
        missing_rows: missing_rows?,
    };
    block.not_above(
        ("batch_bytes", apply.batch_bytes),
        ("buffer_bytes", apply.buffer_bytes),
    )?;
    Ok(apply)
}

fn read_on_error(block: &Block<'_>) -> Read<OnError> {
    let retry = block.count("retry");
    let backoff = block.duration("backoff");
    let backoff_max = block.duration("backoff_max");
    let then = block.choice("then", &[ExhaustedAction::Park, ExhaustedAction::Stop]);
    let on_error = OnError {
        retry: retry?,
        backoff: backoff?,
        backoff_max: backoff_max?,
        then: then?,
    };
    if on_error.backoff > on_error.backoff_max {
        return Err(block.report(
            Code::Conflict,
            block.span_of("backoff"),
            format!("{} is longer than 'backoff_max'", block.path_of("backoff")),
            "make backoff_max at least as long as backoff",
        ));
    }
    Ok(on_error)
}
