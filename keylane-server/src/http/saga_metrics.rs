//! Metrics of sagas: how many there are and where they stand, what the orchestrator did, how its participants do.

use keylane::saga::orchestrator::{OrchestratorStats, ParticipantFigures};
use keylane::saga::tracker::TrackerStats;
use keylane::workers::stats::now_us;
use keylane_core::saga::{Count, Figures};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfState {
    style: &'static str,
    definition: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfParticipant {
    participant: String,
}

type ReadTracker = fn(&TrackerStats) -> u64;
type Read = fn(&OrchestratorStats) -> u64;
type ReadParticipant = fn(&ParticipantFigures) -> usize;

const COUNTERS: &[(&str, &str, Read)] = &[
    ("begun", "Sagas that this process began", |it| {
        it.begun.get()
    }),
    ("completed", "Sagas that ended with all effects", |it| {
        it.completed.get()
    }),
    ("compensated", "Sagas that ended with none", |it| {
        it.compensated.get()
    }),
    ("steps_stuck", "Steps that came to need help", |it| {
        it.stuck.get()
    }),
    ("commands_sent", "Commands that went out", |it| {
        it.sent.get()
    }),
    (
        "commands_repeated",
        "Commands that were decided upon again",
        |it| it.resent.get(),
    ),
    (
        "attempts_failed",
        "Attempts that were answered by nothing that says anything",
        |it| it.unclear.get(),
    ),
    (
        "answers_ignored",
        "Answers that changed nothing: late, repeated or meant for another",
        |it| it.ignored.get(),
    ),
    (
        "answers_parked",
        "Answers to sagas that are not known here",
        |it| it.parked.get(),
    ),
    ("decisions", "Decisions that were written", |it| {
        it.decisions.get()
    }),
    (
        "decisions_stale",
        "Decisions that were made again because the saga had changed",
        |it| it.stale.get(),
    ),
    (
        "decisions_fenced",
        "Decisions and answers that were dropped because another process has the shard",
        |it| it.fenced.get(),
    ),
    ("transactions", "Transactions of decisions", |it| {
        it.batches.get()
    }),
];

const TRACKER: &[(&str, &str, ReadTracker)] = &[
    (
        "tracker_events_heard",
        "Events of choreographed sagas that are in the store",
        |it| it.heard.get(),
    ),
    (
        "tracker_records_passed_over",
        "Records that belong to no choreographed saga",
        |it| it.passed_over.get(),
    ),
    (
        "tracker_events_unreadable",
        "Events of sagas that cannot be read",
        |it| it.unreadable.get(),
    ),
    (
        "tracker_transactions",
        "Transactions of what was heard",
        |it| it.batches.get(),
    ),
    (
        "tracker_signals",
        "Aborts and the like that went out to services",
        |it| it.told.get(),
    ),
];

const PARTICIPANTS: &[(&str, &str, ReadParticipant)] = &[
    (
        "participant_waiting",
        "Commands that wait for their turn",
        |it| it.waiting,
    ),
    ("participant_running", "Commands on their way", |it| {
        it.running
    }),
    (
        "participant_left_in_peace",
        "1 if the participant does not answer and is tried now and then only",
        |it| usize::from(it.is_open),
    ),
];

/// As text, without the mark of its end.
pub(super) fn open_metrics(
    figures: Option<&Figures>,
    stats: &OrchestratorStats,
    participants: &[ParticipantFigures],
    tracker: Option<&TrackerStats>,
) -> String {
    let mut registry = Registry::with_prefix("keylane_saga");
    for (name, help, read) in COUNTERS {
        let counter = Counter::<u64>::default();
        counter.inc_by(read(stats));
        registry.register(*name, *help, counter);
    }
    if let Some(tracker) = tracker {
        for (name, help, read) in TRACKER {
            let counter = Counter::<u64>::default();
            counter.inc_by(read(tracker));
            registry.register(*name, *help, counter);
        }
    }
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    gauge(
        &mut registry,
        "shards",
        "Shards that this process drives, of 16",
        stats.shards.get(),
    );
    gauge(
        &mut registry,
        "commands_in_flight",
        "Commands on their way",
        stats.in_flight.get(),
    );
    for (name, help, read) in PARTICIPANTS {
        let family = Family::<OfParticipant, Gauge>::default();
        for figures in participants {
            let of = OfParticipant {
                participant: figures.name.clone(),
            };
            let value = i64::try_from(read(figures)).unwrap_or(i64::MAX);
            family.get_or_create(&of).set(value);
        }
        registry.register(*name, *help, family);
    }
    if let Some(figures) = figures {
        gauge(
            &mut registry,
            "outbox",
            "Commands that are written and have not gone out",
            figures.unsent,
        );
        gauge(
            &mut registry,
            "parked",
            "Answers to sagas that are not known here, kept",
            figures.parked,
        );
        register_counts(&mut registry, &figures.counts);
    }
    let mut text = String::new();
    encode_registry(&mut text, &registry).expect("writing into a string does not fail");
    text
}

fn register_counts(registry: &mut Registry, counts: &[Count]) {
    let (sagas, ages) = (
        Family::<OfState, Gauge>::default(),
        Family::<OfState, Gauge>::default(),
    );
    for count in counts {
        let of = OfState {
            style: count.style.code(),
            definition: count.definition.clone().unwrap_or_default(),
            state: count.state.code(),
        };
        let number = i64::try_from(count.sagas).unwrap_or(i64::MAX);
        sagas.get_or_create(&of).set(number);
        if !count.state.is_end() {
            let age = (now_us() - count.oldest_us).max(0) / 1_000_000;
            ages.get_or_create(&of).set(age);
        }
    }
    registry.register("sagas", "Sagas that have not ended", sagas);
    registry.register_with_unit(
        "unchanged",
        "How long the saga that has not changed for longest has not",
        Unit::Seconds,
        ages,
    );
}
