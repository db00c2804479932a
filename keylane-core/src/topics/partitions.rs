//! How many partitions a topic gets, each bound with its working shown.
//!
//! Sources: Jun Rao, "How to choose the number of topics/partitions in a Kafka cluster?" (2015), for `max(t/p, t/c)`, the bound on partitions for latency, the cost of a
//! broker's crash and of memory; Little's law for threads. His figures for crashes are those of ZooKeeper's time: a bound from above today.
//!
//! `t/c` is left out where threads are not tied to partitions: one process works on as many keys of a partition as it has threads, so `max(t/p, processes)` is
//! enough. What consumers with one thread for each partition would need is told beside it.

use super::figures::{amount, bytes, percent};
use super::inputs::{Input, Inputs};

/// What a topic is asked to carry, as measured: a mean, without headroom.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Changes a second; `None`: not measured.
    pub changes_per_s: Option<f64>,
    /// Bytes of a record.
    pub record_bytes: f64,
}

impl Load {
    /// Changes a second that the topic is to take at its peak, in two years.
    pub fn target_per_s(&self, inputs: &Inputs) -> f64 {
        self.changes_per_s.unwrap_or_default() * inputs.sure(Input::Headroom)
    }
}

/// A number of partitions and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Sized {
    /// How many.
    pub partitions: u32,
    /// What throughput alone asks for.
    pub by_throughput: u32,
    /// The working, a sentence for each bound.
    pub working: Vec<String>,
}

/// The most partitions that a configuration takes.
const PARTITIONS_MAX: f64 = 10_000.0;

/// Sizes a topic of keyed records.
pub fn partitions(load: &Load, inputs: &Inputs) -> Sized {
    let (p, instances) = (
        inputs.sure(Input::PartitionBytesPerS),
        inputs.sure(Input::Instances),
    );
    let target = load.target_per_s(inputs);
    let target_bytes = target * load.record_bytes;
    let by_throughput = whole(target_bytes / p);
    let tied = whole(target * inputs.sure(Input::ServiceMs) / 1000.0);
    let partitions = by_throughput.max(whole(instances));
    let mut working = Vec::new();
    match load.changes_per_s {
        None => working.push("no rate was measured: the processes alone decide".to_owned()),
        Some(mean) => working.push(format!(
            "t/p: {} × {}/s × {} = {}/s ÷ {}/s for a partition → {by_throughput}",
            amount(inputs.sure(Input::Headroom)),
            amount(mean),
            bytes(load.record_bytes),
            bytes(target_bytes),
            bytes(p)
        )),
    }
    working.push(format!(
        "processes: {} share the work → {}; threads are not tied to partitions (one thread for each partition would take t/c = {}/s × {} ms → {tied})",
        amount(instances),
        whole(instances),
        amount(target),
        amount(inputs.sure(Input::ServiceMs))
    ));
    working.push(format!(
        "max({by_throughput}, {}) = {partitions}",
        whole(instances)
    ));
    if let Some(fixed) = inputs.known(Input::Partitions) {
        let fixed = whole(fixed);
        working.push(format!("{fixed} as given, instead of {partitions}"));
        return Sized {
            partitions: fixed,
            by_throughput,
            working,
        };
    }
    Sized {
        partitions,
        by_throughput,
        working,
    }
}

/// The next whole number, from 1 to what a configuration takes.
fn whole(value: f64) -> u32 {
    value.ceil().clamp(1.0, PARTITIONS_MAX) as u32
}

/// The most changes a second that one order allows, whatever the threads: `1 / (h × s)`.
pub fn hot_key_max_per_s(hot_key: f64, service_ms: f64) -> f64 {
    1000.0 / (hot_key * service_ms)
}

/// The share of the hottest of `keys` keys under Zipf's law with exponent 1: `1 / H(keys)`.
pub fn zipf_hottest_share(keys: u32) -> f64 {
    let harmonic: f64 = (1..=keys.max(1)).map(|rank| 1.0 / f64::from(rank)).sum();
    1.0 / harmonic
}

/// Threads that are busy at a rate, by Little's law.
pub fn threads_busy(per_s: f64, service_ms: f64) -> f64 {
    per_s * service_ms / 1000.0
}

/// Replicas that one broker may hold: `100 × b × r` where latency matters, 4,000 at any rate.
pub fn replicas_per_broker_max(brokers: f64, replication_factor: f64, latency: bool) -> f64 {
    const ANY_MAX: f64 = 4000.0;
    match latency {
        true => (100.0 * brokers * replication_factor).min(ANY_MAX),
        false => ANY_MAX,
    }
}

/// How long partitions are without a leader after a broker's crash, beyond its detection: 5 ms for each one it led.
pub fn leaderless_ms(leaders_on_broker: f64) -> f64 {
    const PER_LEADER_MS: f64 = 5.0;
    leaders_on_broker * PER_LEADER_MS
}

/// What a whole pipeline asks of brokers and processes.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Partitions over all topics.
    pub partitions: u64,
    /// Changes a second over all topics, as measured.
    pub changes_per_s: f64,
}

/// A bound on the whole, and whether it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Which.
    pub name: &'static str,
    /// What is asked for, of what there is.
    pub told: String,
    /// The working.
    pub working: String,
    /// Whether it is kept.
    pub kept: bool,
    /// What to do if not.
    pub fix: &'static str,
}

/// The bounds on the whole.
pub fn bounds(demand: &Demand, inputs: &Inputs) -> Vec<Bound> {
    vec![
        replicas(demand, inputs),
        crash(demand, inputs),
        threads(demand, inputs),
        memory(demand, inputs),
    ]
}

fn replicas(demand: &Demand, inputs: &Inputs) -> Bound {
    let b = inputs.sure(Input::Brokers);
    let r = inputs.sure(Input::ReplicationFactor).min(b);
    let latency = inputs.sure(Input::Latency) > 0.0;
    let (held, most) = (
        demand.partitions as f64 * r / b,
        replicas_per_broker_max(b, r, latency),
    );
    let law = match latency {
        true => format!(
            "100 × b × r = 100 × {} × {}, at most 4,000",
            amount(b),
            amount(r)
        ),
        false => "4,000".to_owned(),
    };
    Bound {
        name: "replicas_per_broker",
        told: format!("{} of {}", amount(held), amount(most)),
        working: format!(
            "{} partitions × {} copies ÷ {} brokers = {} for each broker; at most {law} = {}",
            demand.partitions,
            amount(r),
            amount(b),
            amount(held),
            amount(most)
        ),
        kept: held <= most,
        fix: "carry fewer tables, put quiet ones into one topic (topics.topic_of), or add brokers",
    }
}

fn crash(demand: &Demand, inputs: &Inputs) -> Bound {
    let b = inputs.sure(Input::Brokers);
    let leaders = demand.partitions as f64 / b;
    let (takes, most) = (leaderless_ms(leaders), inputs.sure(Input::OutageMs));
    Bound {
        name: "crash_of_a_broker",
        told: format!("{} of {} ms", amount(takes), amount(most)),
        working: format!(
            "{} leaders on a broker × 5 ms = {} ms without a leader after its crash, beyond detection (ZooKeeper's time; KRaft is quicker); at most {} ms",
            amount(leaders),
            amount(takes),
            amount(most)
        ),
        kept: takes <= most,
        fix: "fewer partitions, or more brokers",
    }
}

fn threads(demand: &Demand, inputs: &Inputs) -> Bound {
    let (instances, threads) = (inputs.sure(Input::Instances), inputs.sure(Input::Threads));
    let service_ms = inputs.sure(Input::ServiceMs);
    let target = demand.changes_per_s * inputs.sure(Input::Headroom);
    let busy = threads_busy(target, service_ms);
    Bound {
        name: "threads",
        told: format!("{} busy of {}", amount(busy), amount(instances * threads)),
        working: format!(
            "t × s = {}/s × {} ms = {} threads busy (Little); {} processes × {} threads",
            amount(target),
            amount(service_ms),
            amount(busy),
            amount(instances),
            amount(threads)
        ),
        kept: busy <= instances * threads,
        fix: "raise apply.threads, add processes, or make one change cheaper (larger batches, nearer replica)",
    }
}

/// What a partition wants buffered, so that it is never waited for: librdkafka's and Kafka's own fetch of one partition.
const FETCH_BYTES: f64 = 1024.0 * 1024.0;
/// Below this share, each fetch of a partition is mostly overhead.
const SHARE_BYTES_MIN: f64 = 16.0 * 1024.0;

fn memory(demand: &Demand, inputs: &Inputs) -> Bound {
    let buffer = inputs.sure(Input::BufferBytes);
    // One process alone has all of them, while the others are away.
    let share = buffer / demand.partitions.max(1) as f64;
    Bound {
        name: "memory",
        told: format!("{} for a partition", bytes(share)),
        working: format!(
            "{} ÷ {} partitions = {} for each, of {} that a fetch may bring ({}); at least {}",
            bytes(buffer),
            demand.partitions,
            bytes(share),
            bytes(FETCH_BYTES),
            percent((share / FETCH_BYTES).min(1.0)),
            bytes(SHARE_BYTES_MIN)
        ),
        kept: share >= SHARE_BYTES_MIN,
        fix: "raise apply.buffer_bytes, or have fewer partitions",
    }
}

/// How long a log keeps changes, so that a consumer that was away finds them all, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// Whole hours.
    pub hours: f64,
    /// The working.
    pub working: String,
    /// Whether a consumer that was away catches up at all.
    pub catches_up: bool,
}

/// The longest absence, and the time to catch up after it: `away × t / (C − t)`, with `C` what the processes do in a second.
pub fn retention(demand: &Demand, inputs: &Inputs) -> Retention {
    let away = inputs.sure(Input::AwayHours);
    let capacity = inputs.sure(Input::Instances) * inputs.sure(Input::Threads) * 1000.0
        / inputs.sure(Input::ServiceMs);
    let rate = demand.changes_per_s;
    let catches_up = capacity > rate;
    let again = match catches_up {
        true => away * rate / (capacity - rate),
        // It never does; what can be said is as long again.
        false => away,
    };
    let hours = (away + again).ceil().max(1.0);
    Retention {
        hours,
        working: format!(
            "away {} h + catching up {} h × {}/s ÷ ({}/s − {}/s) = {} h → {} h",
            amount(away),
            amount(away),
            amount(rate),
            amount(capacity),
            amount(rate),
            amount(again),
            amount(hours)
        ),
        catches_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Said;

    fn inputs(given: &[(Input, f64)]) -> Inputs {
        let mut inputs = Inputs::default();
        for (input, value) in given {
            inputs.set(*input, *value, Said::Given).expect("in range");
        }
        inputs
    }

    fn check(changes_per_s: f64, given: &[(Input, f64)], expect: u32) {
        let load = Load {
            changes_per_s: Some(changes_per_s),
            record_bytes: 1000.0,
        };
        assert_eq!(partitions(&load, &inputs(given)).partitions, expect);
    }

    #[test]
    fn partitions_are_the_larger_of_throughput_and_processes() {
        // 3 × 20,000/s × 1 kB = 60 MB/s, 10 MB/s for a partition.
        check(20_000.0, &[], 6);
        check(20_000.0, &[(Input::PartitionBytesPerS, 50e6)], 2);
        check(20_000.0, &[(Input::Instances, 12.0)], 12);
        // Threads count for nothing: 600,000 ms of work a second and still two partitions.
        check(200.0, &[(Input::ServiceMs, 1000.0)], 2);
        check(20_000.0, &[(Input::Partitions, 5.0)], 5);
    }

    #[test]
    fn the_hot_key_bound_is_the_published_one() {
        // h = 5 %, s = 10 ms.
        assert_eq!(hot_key_max_per_s(0.05, 10.0).round(), 2000.0);
        // Zipf(1) over 1,000 keys: H = 7.485, h = 13.4 %, 749/s at 10 ms.
        let share = zipf_hottest_share(1000);
        assert_eq!((share * 1000.0).round(), 134.0);
        assert_eq!(hot_key_max_per_s(share, 10.0).round(), 749.0);
    }

    #[test]
    fn a_broker_leads_as_many_partitions_as_its_crash_may_cost() {
        // 2,000 partitions with two copies on two brokers: 1,000 leaders, 5 s.
        assert_eq!(leaderless_ms(1000.0), 5000.0);
        assert_eq!(replicas_per_broker_max(3.0, 3.0, true), 900.0);
        assert_eq!(replicas_per_broker_max(100.0, 3.0, true), 4000.0);
        assert_eq!(replicas_per_broker_max(3.0, 3.0, false), 4000.0);
    }

    #[test]
    fn what_was_written_while_a_consumer_was_away_is_kept_until_it_has_caught_up() {
        let demand = Demand {
            partitions: 8,
            changes_per_s: 1000.0,
        };
        // 2 processes × 4 threads at 1 ms: 8,000/s; 72 h × 1,000 ÷ 7,000 = 10.3 h.
        let kept = retention(&demand, &inputs(&[]));
        assert_eq!((kept.hours, kept.catches_up), (83.0, true));
        let slow = retention(&demand, &inputs(&[(Input::ServiceMs, 10.0)]));
        assert!(!slow.catches_up);
    }

    #[test]
    fn each_bound_on_the_whole_breaks_where_its_law_says() {
        let broken = |partitions: u64, changes_per_s: f64, given: &[(Input, f64)]| {
            let demand = Demand {
                partitions,
                changes_per_s,
            };
            let bounds = bounds(&demand, &inputs(given)).into_iter();
            let broken = bounds.filter(|bound| !bound.kept).map(|bound| bound.name);
            broken.collect::<Vec<_>>()
        };
        assert!(broken(900, 100.0, &[]).is_empty());
        assert_eq!(broken(901, 100.0, &[]), ["replicas_per_broker"]);
        assert!(broken(901, 100.0, &[(Input::Latency, 0.0)]).is_empty());
        assert_eq!(
            broken(300, 100.0, &[(Input::OutageMs, 400.0)]),
            ["crash_of_a_broker"]
        );
        // 3 × 3,000/s × 1 ms = 9 threads of 8.
        assert_eq!(broken(8, 3000.0, &[]), ["threads"]);
        assert_eq!(
            broken(100, 1.0, &[(Input::BufferBytes, 1024.0 * 1024.0)]),
            ["memory"]
        );
    }
}
