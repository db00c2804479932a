//! What the formulae are fed with: each input with its unit, its range, what it is when nobody says, and who said it.

use std::collections::BTreeMap;

/// An input of the formulae.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Changes a second over all tables.
    Rate,
    /// What the measured rate is multiplied by.
    Headroom,
    /// Bytes of a record where nothing was measured.
    RecordBytes,
    /// What one partition takes.
    PartitionBytesPerS,
    /// How long one change takes one thread.
    ServiceMs,
    /// Threads of one process.
    Threads,
    /// Processes that share the work.
    Instances,
    /// Processor cores of one process's machine.
    Cores,
    /// Brokers.
    Brokers,
    /// Copies of each partition.
    ReplicationFactor,
    /// The hottest key's share of all changes.
    HotKey,
    /// Whether end-to-end latency matters.
    Latency,
    /// The longest that partitions may have no leader after a broker's crash.
    OutageMs,
    /// The longest time that a consumer may be away.
    AwayHours,
    /// From which share of unwanted records on a table gets a topic of its own.
    ApartShare,
    /// Bytes that a process holds ahead of its threads.
    BufferBytes,
    /// Partitions of every topic, instead of what the formulae say.
    Partitions,
    /// How long a process takes to restart.
    RestartS,
    /// Records of one partition that may wait in a process.
    Pending,
    /// Rows of one write to the database.
    BatchRows,
    /// Columns of a row.
    Columns,
    /// Database connections of one process.
    Pool,
    /// Connections that the database takes.
    ConnectionsMax,
    /// Whether consumers count what they read.
    Counts,
}

/// Who said what an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nobody: a cautious guess.
    Assumed,
    /// The configuration.
    Configured,
    /// It was measured, or a system was asked.
    Measured,
    /// The caller.
    Given,
}

/// What is fixed about an input.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    input: Input,
    /// Its name on the command line and in JSON; the unit stands last.
    pub name: &'static str,
    /// What it is when nobody says; `None`: not known.
    pub assumed: Option<f64>,
    /// The least and the most it may be.
    pub range: (f64, f64),
    /// What it means.
    pub means: &'static str,
}

/// Every input, in the order of [`Input::ALL`].
const TABLE: [Described; 24] = [
    row(
        Input::Rate,
        "rate",
        None,
        (0.0, 1e9),
        "changes a second over all tables; the measured ones are scaled to it",
    ),
    row(
        Input::Headroom,
        "headroom",
        Some(3.0),
        (1.0, 1000.0),
        "peak over mean, and the growth of the next two years: a keyed topic gets no more partitions later",
    ),
    row(
        Input::RecordBytes,
        "record_bytes",
        Some(500.0),
        (1.0, 1e8),
        "bytes of a record where nothing was measured",
    ),
    row(
        Input::PartitionBytesPerS,
        "partition_bytes_per_s",
        Some(10e6),
        (1.0, 1e10),
        "p: what one partition takes; measure it, it depends on batches, copies and acks",
    ),
    row(
        Input::ServiceMs,
        "service_ms",
        Some(1.0),
        (0.0001, 1e7),
        "s: how long one change takes one thread",
    ),
    row(
        Input::Threads,
        "threads",
        Some(4.0),
        (1.0, 100_000.0),
        "threads (keys side by side) of one process",
    ),
    row(
        Input::Instances,
        "instances",
        Some(2.0),
        (1.0, 10_000.0),
        "processes that share the work, at most",
    ),
    row(
        Input::Cores,
        "cores",
        None,
        (1.0, 1024.0),
        "processor cores of one process's machine",
    ),
    row(
        Input::Brokers,
        "brokers",
        Some(3.0),
        (1.0, 1000.0),
        "b: brokers",
    ),
    row(
        Input::ReplicationFactor,
        "replication_factor",
        Some(3.0),
        (1.0, 100.0),
        "r: copies of each partition",
    ),
    row(
        Input::HotKey,
        "hot_key",
        None,
        (0.0, 1.0),
        "h: the hottest key's share of all changes",
    ),
    row(
        Input::Latency,
        "latency",
        Some(1.0),
        (0.0, 1.0),
        "1 if end-to-end latency matters, 0 if only throughput does",
    ),
    row(
        Input::OutageMs,
        "outage_ms",
        Some(5000.0),
        (1.0, 1e9),
        "the longest that partitions may be without a leader after a broker's crash",
    ),
    row(
        Input::AwayHours,
        "away_hours",
        Some(72.0),
        (0.0, 87_600.0),
        "the longest that a consumer may be away",
    ),
    row(
        Input::ApartShare,
        "apart_share",
        Some(0.999),
        (0.5, 1.0),
        "from this share of unwanted records on, a table gets a topic of its own",
    ),
    row(
        Input::BufferBytes,
        "buffer_bytes",
        Some(32.0 * 1024.0 * 1024.0),
        (1.0, 1e13),
        "bytes that a process holds ahead of its threads",
    ),
    row(
        Input::Partitions,
        "partitions",
        None,
        (1.0, 10_000.0),
        "partitions of every topic, instead of what the formulae say",
    ),
    row(
        Input::RestartS,
        "restart_s",
        Some(30.0),
        (0.0, 86_400.0),
        "how long a process takes to restart",
    ),
    row(
        Input::Pending,
        "pending",
        None,
        (0.0, 1e9),
        "records of one partition that may wait in a process",
    ),
    row(
        Input::BatchRows,
        "batch_rows",
        None,
        (1.0, 1e9),
        "rows of one write to the database",
    ),
    row(
        Input::Columns,
        "columns",
        None,
        (1.0, 1600.0),
        "columns of a row",
    ),
    row(
        Input::Pool,
        "pool",
        None,
        (0.0, 1e6),
        "database connections of one process",
    ),
    row(
        Input::ConnectionsMax,
        "connections_max",
        None,
        (0.0, 1e6),
        "connections that the database takes",
    ),
    row(
        Input::Counts,
        "counts",
        None,
        (0.0, 1.0),
        "1 if consumers count or sum what they read, 0 if they keep the last value of each key",
    ),
];

const fn row(
    input: Input,
    name: &'static str,
    assumed: Option<f64>,
    range: (f64, f64),
    means: &'static str,
) -> Described {
    Described {
        input,
        name,
        assumed,
        range,
        means,
    }
}

impl Input {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Input; 24] = [
        Input::Rate,
        Input::Headroom,
        Input::RecordBytes,
        Input::PartitionBytesPerS,
        Input::ServiceMs,
        Input::Threads,
        Input::Instances,
        Input::Cores,
        Input::Brokers,
        Input::ReplicationFactor,
        Input::HotKey,
        Input::Latency,
        Input::OutageMs,
        Input::AwayHours,
        Input::ApartShare,
        Input::BufferBytes,
        Input::Partitions,
        Input::RestartS,
        Input::Pending,
        Input::BatchRows,
        Input::Columns,
        Input::Pool,
        Input::ConnectionsMax,
        Input::Counts,
    ];

    /// What is fixed about it.
    pub fn described(self) -> Described {
        *TABLE
            .iter()
            .find(|row| row.input == self)
            .expect("every input stands in the table")
    }

    /// The input of this name.
    pub fn named(name: &str) -> Option<Input> {
        Input::ALL
            .into_iter()
            .find(|input| input.described().name == name)
    }
}

/// What each input is, and who said so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    said: BTreeMap<Input, (f64, Said)>,
}

impl Inputs {
    /// Sets an input. What is set later counts.
    ///
    /// # Errors
    /// If it is out of its range; the text says which.
    pub fn set(&mut self, input: Input, value: f64, said: Said) -> Result<(), String> {
        let Described { name, range, .. } = input.described();
        if !(range.0..=range.1).contains(&value) {
            return Err(format!(
                "{name} is {value}; it may be {} to {}",
                range.0, range.1
            ));
        }
        self.said.insert(input, (value, said));
        Ok(())
    }

    /// What it is, if it is known or may be assumed.
    pub fn get(&self, input: Input) -> Option<f64> {
        self.known(input).or(input.described().assumed)
    }

    /// What it is, if somebody said so.
    pub fn known(&self, input: Input) -> Option<f64> {
        self.said.get(&input).map(|(value, _)| *value)
    }

    /// What it is, at least 0; only for inputs that may be assumed.
    pub(super) fn sure(&self, input: Input) -> f64 {
        self.get(input).unwrap_or_default()
    }

    /// Who said so.
    pub fn who(&self, input: Input) -> Said {
        self.said
            .get(&input)
            .map_or(Said::Assumed, |(_, said)| *said)
    }

    /// Those that are known or assumed, in order.
    pub fn listed(&self) -> Vec<(Input, f64, Said)> {
        let all = Input::ALL.into_iter();
        all.filter_map(|input| Some((input, self.get(input)?, self.who(input))))
            .collect()
    }
}

/// Reads `name=value,…`.
///
/// # Errors
/// What is wrong with which part.
pub fn parse_inputs(text: &str) -> Result<Vec<(Input, f64)>, String> {
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    parts
        .map(|part| {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("'{part}' is not NAME=VALUE"))?;
            let input = Input::named(name.trim()).ok_or_else(|| {
                let known: Vec<&str> = Input::ALL.iter().map(|it| it.described().name).collect();
                format!(
                    "there is no '{}'; there are {}",
                    name.trim(),
                    known.join(", ")
                )
            })?;
            let value: f64 = value
                .trim()
                .parse()
                .map_err(|_| format!("{}: '{}' is not a number", name.trim(), value.trim()))?;
            Inputs::default().set(input, value, Said::Given)?;
            Ok((input, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_by_name_and_within_its_range() {
        assert_eq!(
            parse_inputs("rate=1200, partitions=12"),
            Ok(vec![(Input::Rate, 1200.0), (Input::Partitions, 12.0)])
        );
        for (text, fault) in [
            ("rate", "not NAME=VALUE"),
            ("rtae=1", "there is no 'rtae'"),
            ("rate=fast", "not a number"),
            ("hot_key=2", "it may be 0 to 1"),
            ("threads=nan", "it may be 1 to"),
        ] {
            let told = parse_inputs(text).expect_err(text);
            assert!(told.contains(fault), "{told}");
        }
    }

    #[test]
    fn what_nobody_says_is_assumed_and_told_as_such() {
        let mut inputs = Inputs::default();
        assert_eq!(inputs.get(Input::Threads), Some(4.0));
        assert_eq!(inputs.who(Input::Threads), Said::Assumed);
        assert_eq!(inputs.get(Input::HotKey), None);
        inputs
            .set(Input::Threads, 32.0, Said::Configured)
            .expect("in range");
        assert_eq!(inputs.known(Input::Threads), Some(32.0));
    }
}
