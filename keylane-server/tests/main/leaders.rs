//! A Kafka of three brokers under the road: partitions change their leaders again and again, brokers die, hang and are restarted, and nothing is lost, doubled or
//! reordered. Too few copies in sync are waited for.

use std::sync::Mutex;
use std::time::Instant;

use keylane_parts::{Kafka, KafkaOptions, KafkaPartition};
use serde_json::Value;

use crate::bed::{Bed, left_out};
use crate::chaos::Random;
use crate::check_mends::checks;
use crate::gate::Gate;
use crate::members::{Group, moves};

/// Every topic, Kafka's own among them: groups change their coordinators too.
const ALL: &str = "";
const COPIES: usize = 3;

/// Three brokers for the tests here, for one at a time.
fn on_three_brokers(test: impl FnOnce(&mut Kafka)) {
    on_three_gated_brokers(|kafka, _gates| test(kafka));
}

/// The same, with the gates before them.
pub fn on_three_gated_brokers(test: impl FnOnce(&mut Kafka, &mut [Gate])) {
    static BROKERS: Mutex<Option<(Kafka, Vec<Gate>)>> = Mutex::new(None);
    if left_out() {
        return;
    }
    let mut brokers = BROKERS.lock().unwrap_or_else(|failed| {
        // In whatever state the other test left them.
        let mut brokers = failed.into_inner();
        *brokers = None;
        BROKERS.clear_poison();
        brokers
    });
    // As brokers have it by default: what the road's topics need is for the road to say.
    let (kafka, gates) = brokers.get_or_insert_with(|| {
        let mut gates: Vec<Gate> = (0..3).map(|_| Gate::to_be_led()).collect();
        let ports: Vec<u16> = gates.iter().map(Gate::port).collect();
        let small = KafkaOptions::default().nodes(3).heap_mb_max(256);
        let small = small
            .set("min.insync.replicas", 1)
            // Without a word of its member for so long, a coordinator gives its partitions to others.
            .set("group.consumer.heartbeat.interval.ms", 500)
            .set("group.consumer.session.timeout.ms", 3_000);
        let kafka = Kafka::start_with(small.gated(&ports)).expect("Kafka starts");
        for (id, gate) in (1..).zip(&mut gates) {
            gate.lead_to(&kafka.gated(id).expect("one of three"));
        }
        (kafka, gates)
    });
    test(kafka, gates);
}

/// The topics of this road have three copies and need two, and `keylane check` says so.
fn have_three_copies(bed: &Bed, kafka: &Kafka, in_sync_min: u32) {
    let topics = format!("{}.", bed.name);
    let partitions = kafka.partitions(&topics).expect("Kafka answers");
    // Two tables with eight each, and control.
    assert_eq!(partitions.len(), 17, "{partitions:?}");
    let short = partitions.iter().find(|it| it.copies.len() != COPIES);
    assert_eq!(short, None);
    let all = checks(bed);
    let told: Vec<&Value> = all.iter().filter(|it| it["id"] == "log.in_sync").collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for check in told {
        let is_control = check["subject"]
            .as_str()
            .is_some_and(|it| it.ends_with(".keylane"));
        let needed = if is_control { 2 } else { in_sync_min };
        let found = format!("min.insync.replicas={needed}, {COPIES} copies");
        assert_eq!(
            (&check["ok"], &check["found"]),
            (&true.into(), &found.into())
        );
    }
}

/// What can happen to the brokers.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// All leaders at once, by Kafka's own tools.
    Elect,
    /// SIGKILL to a leader.
    Kill,
    /// A leader hangs for longer than its session.
    Hang,
    /// All are restarted in order, one by one.
    Roll,
    /// Two of three are gone: nothing can be written until they are back.
    KillTwo,
}

impl Move {
    /// Does it to the node `id`, if not to all; whoever is left goes on meanwhile.
    fn make(self, kafka: &mut Kafka, group: &Group, id: u32) {
        let goes_on = |kafka: &Kafka, id| {
            kafka.await_led_by_others(id, ALL).expect("others lead");
            let all: Vec<String> = group.fences().into_iter().map(|(it, _)| it).collect();
            group.await_progress_of_each(&all, &format!("progress without broker {id}"));
        };
        match self {
            Move::Elect => kafka.move_leaders(ALL).expect("leaders are elected"),
            Move::Kill => {
                kafka.kill9_node(id).expect("it is killed");
                goes_on(kafka, id);
            }
            Move::Hang => {
                kafka.halt_node(id).expect("it is halted");
                goes_on(kafka, id);
                kafka.go_on_node(id).expect("it goes on");
            }
            Move::Roll => {
                for id in 1..=3 {
                    kafka.stop_node(id).expect("it stops");
                    goes_on(kafka, id);
                    are_back(kafka);
                }
            }
            Move::KillTwo => {
                kafka.kill9_node(id).expect("it is killed");
                kafka.kill9_node(id % 3 + 1).expect("it is killed");
            }
        }
        are_back(kafka);
    }
}

/// Whoever does not run is started; any one may go then.
fn are_back(kafka: &mut Kafka) {
    kafka.restart().expect("all brokers run");
    kafka.await_in_sync(ALL).expect("all copies are in sync");
}

/// How many partitions have another leader.
fn moved(before: &[KafkaPartition], now: &[KafkaPartition]) -> usize {
    let leader = |it: &KafkaPartition| {
        let before = before
            .iter()
            .find(|old| (&old.topic, old.partition) == (&it.topic, it.partition));
        before.and_then(|old| old.leader)
    };
    now.iter()
        .filter(|it| leader(it).is_some_and(|old| Some(old) != it.leader))
        .count()
}

/// Leaders move under load; each move moves some, and the road goes on after it.
fn leaders_move(name: &'static str, kinds: &[Move], default: usize) {
    on_three_brokers(|kafka| {
        let topics = "partitions: 8, replication_factor: 3";
        let mut group = Group::over(&kafka.bootstrap(), name, topics, "session_timeout: 2s");
        group.join();
        group.join();
        have_three_copies(&group.loaded.bed, kafka, 2);
        kafka.await_in_sync(ALL).expect("all copies are in sync");
        let mut random = Random::new(3);
        let moves = moves(default);
        let mut leaders = 0;
        for (number, what) in (1..=moves).zip(kinds.iter().cycle()) {
            let began = Instant::now();
            let before = kafka.partitions(ALL).expect("Kafka answers");
            let leader = random.pick(&before).leader.expect("all are led");
            eprintln!("leaders: move {number} of {moves}: {what:?} of broker {leader}");
            what.make(kafka, &group, leader);
            let now = moved(&before, &kafka.partitions(ALL).expect("Kafka answers"));
            // In a round of restarts they may all come back to where they were.
            let all = before.len();
            assert!(now == all || !matches!(what, Move::Elect), "{now} of {all}");
            leaders += now;
            group.await_progress(&format!("after move {number} ({what:?})"));
            eprintln!("leaders: {now} moved, after {:?}", began.elapsed());
        }
        eprintln!("leaders: {leaders} changes of a partition's leader in {moves} moves");
        group.end();
    });
}

#[test]
fn leaders_that_move_by_election_death_and_hanging_lose_double_and_reorder_nothing() {
    let kinds = [Move::Kill, Move::Hang, Move::Elect, Move::KillTwo];
    leaders_move("leaders", &kinds, 4);
}

#[test]
fn brokers_that_are_restarted_one_by_one_lose_double_and_reorder_nothing() {
    if keylane_parts::slow() {
        leaders_move("leaders_rolling", &[Move::Roll], 2);
    }
}

#[test]
fn too_few_copies_in_sync_are_waited_for_and_nothing_of_what_waits_is_lost_or_doubled() {
    on_three_brokers(|kafka| {
        let topics =
            "partitions: 8, replication_factor: 3, properties: { min.insync.replicas: \"3\" }";
        let name = "leaders_too_few";
        let group = Group::over(&kafka.bootstrap(), name, topics, "session_timeout: 2s");
        let bed = &group.loaded.bed;
        have_three_copies(bed, kafka, 3);
        kafka.await_in_sync(ALL).expect("all copies are in sync");
        kafka.kill9_node(2).expect("it is killed");
        // The session ends after half a minute, and others are opened in vain.
        bed.wait(
            &group.capture,
            "the status to say that nothing can be written",
            || {
                let status = bed.status();
                let why = status["why"].as_str().unwrap_or_default();
                // There is no other: this one may have lost the group.
                assert!(
                    !why.contains("other processes have all partitions"),
                    "{status}"
                );
                status["state"] == "degraded" && why.contains("KL-PUBLISH-001")
            },
        );
        kafka.restart().expect("it comes back");
        group.await_progress("of what waited");
        group.end();
    });
}
