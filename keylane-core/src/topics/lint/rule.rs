//! The rules: what each is called, how bad a breach is, and why.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lint {
    /// Too few partitions.
    L1,
    /// Too many replicas on a broker.
    L2,
    /// A broker's crash takes too long.
    L3,
    /// A keyed topic is to get another number of partitions.
    L4,
    /// One entity's events in several topics, or by several keys.
    L5,
    /// Writers that put one key into different partitions.
    L6,
    /// Records without a key.
    L7,
    /// A key that is too hot.
    L8,
    /// A group that stops as a whole whenever it changes.
    L9,
    /// A member that is put out while it works.
    L10,
    /// Progress that is told before the work is done.
    L11,
    /// Records that are passed over, or gone, after an absence.
    L12,
    /// Readers that see what was never committed.
    L13,
    /// A compacted topic whose readers count.
    L14,
    /// Batches that do not fit.
    L15,
    /// Fewer database connections than work side by side.
    L16,
    /// Copies that do not outlast a broker.
    L17,
    /// Thousands of quiet topics.
    L18,
    /// Static members that restart slower than their session lasts.
    L19,
    /// Far more partitions than anybody works on.
    L20,
    /// Fetches that bring one partition's records only.
    L21,
    /// A group that keeps no progress.
    L22,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// There is a better way.
    Note,
    /// A risk, or a cost.
    Warning,
    /// Records are lost, doubled or out of order.
    Error,
}

/// What is fixed about a rule.
#[derive(Clone, Copy, Debug)]
pub struct AboutLint {
    lint: Lint,
    /// Its name: `L1`.
    pub id: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// How bad a breach is.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
}

/// Every rule, in the order of [`Lint::ALL`].
const TABLE: [AboutLint; 22] = [
    row(
        Lint::L1,
        "L1",
        "too few partitions",
        Severity::Warning,
        "a partition takes only so much, and each process needs one; a keyed topic gets no more later without moving keys",
    ),
    row(
        Lint::L2,
        "L2",
        "too many replicas on a broker",
        Severity::Warning,
        "each partition costs its broker files, memory and a share of every fetch between brokers: latency grows with them",
    ),
    row(
        Lint::L3,
        "L3",
        "a broker's crash takes too long",
        Severity::Warning,
        "each partition that a crashed broker led is without a leader until another one is chosen, one after another",
    ),
    row(
        Lint::L4,
        "L4",
        "a keyed topic is to get another number of partitions",
        Severity::Error,
        "the partition is the key's hash modulo their number: with another number a key's later records overtake its earlier ones",
    ),
    row(
        Lint::L5,
        "L5",
        "one entity's events in several topics, or by several keys",
        Severity::Warning,
        "there is no order between topics, nor between partitions: a reader may see an item before its order",
    ),
    row(
        Lint::L6,
        "L6",
        "writers that put one key into different partitions",
        Severity::Error,
        "librdkafka's default partitioner (CRC32) and the Java client's (murmur2) choose differently: one key in two partitions has no order",
    ),
    row(
        Lint::L7,
        "L7",
        "records without a key",
        Severity::Warning,
        "a record without a key goes to any partition: nothing orders it against others of its entity",
    ),
    row(
        Lint::L8,
        "L8",
        "a key that is too hot",
        Severity::Warning,
        "one key is worked on by one thread at a time: at h × s × t ≥ 1 it falls behind for ever, whatever the threads and partitions",
    ),
    row(
        Lint::L9,
        "L9",
        "a group that stops as a whole whenever it changes",
        Severity::Note,
        "with an eager assignor every member gives up everything when one comes or goes; brokers of Kafka 4.0 assign by themselves (KIP-848)",
    ),
    row(
        Lint::L10,
        "L10",
        "a member that is put out while it works",
        Severity::Warning,
        "who does not poll within max.poll.interval.ms is taken for dead; its work is done again by another while it is still at it",
    ),
    row(
        Lint::L11,
        "L11",
        "progress that is told before the work is done",
        Severity::Error,
        "offsets are committed by the clock, whether their records are done or not: a crash in between loses them",
    ),
    row(
        Lint::L12,
        "L12",
        "records that are passed over, or gone, after an absence",
        Severity::Error,
        "with auto.offset.reset=latest whatever came while no offset was kept is passed over; what retention takes before it is read is lost",
    ),
    row(
        Lint::L13,
        "L13",
        "readers that see what was never committed",
        Severity::Warning,
        "a reader with read_uncommitted is given records of transactions that are rolled back",
    ),
    row(
        Lint::L14,
        "L14",
        "a compacted topic whose readers count",
        Severity::Error,
        "compaction leaves a key's last record: sums and counts over the others are wrong, and differ from run to run",
    ),
    row(
        Lint::L15,
        "L15",
        "batches that do not fit",
        Severity::Warning,
        "a batch larger than one poll is never full, and a statement with too many parameters is refused",
    ),
    row(
        Lint::L16,
        "L16",
        "fewer database connections than work side by side",
        Severity::Warning,
        "whoever waits for a connection is no faster for being many; beyond max_connections the database refuses",
    ),
    row(
        Lint::L17,
        "L17",
        "copies that do not outlast a broker",
        Severity::Warning,
        "with fewer than three copies, or one in sync being enough, a broker's loss can take what was acknowledged",
    ),
    row(
        Lint::L18,
        "L18",
        "thousands of quiet topics",
        Severity::Warning,
        "each topic costs partitions, leaders and memory, whether anything happens in it or not",
    ),
    row(
        Lint::L19,
        "L19",
        "static members that restart slower than their session lasts",
        Severity::Warning,
        "static membership is to keep partitions in place over a restart; once the session is over they move all the same",
    ),
    row(
        Lint::L20,
        "L20",
        "far more partitions than anybody works on",
        Severity::Note,
        "more partitions than threads that could work on them cost, and bring nothing",
    ),
    row(
        Lint::L21,
        "L21",
        "fetches that bring one partition's records only",
        Severity::Note,
        "a fetch brings thousands of records of one partition in a row: a bounded buffer then holds few keys, and most threads have nothing to do",
    ),
    row(
        Lint::L22,
        "L22",
        "a group that keeps no progress",
        Severity::Error,
        "after a restart everything is read again, or passed over",
    ),
];

const fn row(
    lint: Lint,
    id: &'static str,
    title: &'static str,
    severity: Severity,
    why: &'static str,
) -> AboutLint {
    AboutLint {
        lint,
        id,
        title,
        severity,
        why,
    }
}

impl Lint {
    /// All rules in their order.
    pub const ALL: [Lint; 22] = [
        Lint::L1,
        Lint::L2,
        Lint::L3,
        Lint::L4,
        Lint::L5,
        Lint::L6,
        Lint::L7,
        Lint::L8,
        Lint::L9,
        Lint::L10,
        Lint::L11,
        Lint::L12,
        Lint::L13,
        Lint::L14,
        Lint::L15,
        Lint::L16,
        Lint::L17,
        Lint::L18,
        Lint::L19,
        Lint::L20,
        Lint::L21,
        Lint::L22,
    ];

    /// The rule of this name.
    pub fn named(id: &str) -> Option<Lint> {
        let mut all = Lint::ALL.into_iter();
        all.find(|lint| lint.about().id.eq_ignore_ascii_case(id))
    }

    /// What is fixed about it.
    pub fn about(self) -> AboutLint {
        *TABLE
            .iter()
            .find(|row| row.lint == self)
            .expect("every rule stands in the table")
    }
}
