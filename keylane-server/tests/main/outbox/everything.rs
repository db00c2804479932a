//! Everything that choreographed sagas go through is killed at random while they are under way: the services, their capturer, who follows the sagas, the database of them all, the broker.

use std::process::{Command, Stdio};
use std::time::Duration;

use keylane_parts::{Kafka, Postgres, PostgresHandle, PostgresVersion, wait_until};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use super::services::{Services, serve};
use super::tracker::{EVENTS, SIGNAL, Tracker};
use crate::bed::{Bed, PATIENCE, left_out};
use crate::running::Running;

/// What tells a process which of the services it is.
const JOB: &str = "KEYLANE_TEST_SERVICE";
/// Sagas that begin before each kill.
const SAGAS_A_KILL: usize = 20;

/// Each part once; three times where there is time for it.
fn kills() -> usize {
    match keylane_parts::slow() {
        true => 15,
        false => 5,
    }
}

/// A service in a process of its own: this program again.
fn process(services: &Services, number: usize) -> Running {
    let bed = &services.beds[number];
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "outbox::everything::a_service_of_its_own"])
        .env(JOB, format!("{number} {} {}", bed.origin_url(), bed.kafka))
        .stdin(Stdio::null());
    Running::start(command, bed.folder.path())
}

#[test]
fn a_service_of_its_own() {
    let Ok(job) = std::env::var(JOB) else { return };
    let words: Vec<&str> = job.split_whitespace().collect();
    let [number, url, kafka] = words[..] else {
        unreachable!("three words: {job}")
    };
    let number = number.parse().expect("a number");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let never = CancellationToken::new();
    let (place, topics) = ((url.to_owned(), kafka), (EVENTS, &[SIGNAL][..]));
    runtime.block_on(serve(number, place, topics, never));
}

#[test]
fn choreographed_sagas_are_exact_while_everything_is_killed() {
    if left_out() {
        return;
    }
    let seed = u64::from(std::process::id());
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut server = Postgres::start(PostgresVersion::V15).expect("PostgreSQL starts");
    let mut kafka = Kafka::start().expect("Kafka starts");
    let handle: &'static PostgresHandle =
        Box::leak(Box::new(PostgresHandle::of(&server).expect("its URL")));
    let bootstrap = kafka.bootstrap();
    let bed = |name| Bed::on(&bootstrap, handle, name);
    let beds = ["all_stock", "all_payment", "all_shipping"].map(bed);
    let services = Services::ready(beds, EVENTS, &[SIGNAL]);
    let mut processes: Vec<Running> = (0..3).map(|it| process(&services, it)).collect();
    let mut road = services.capture();
    let mut tracker = Tracker::start(bed("all_sagas"));
    for kill in 0..kills() {
        let from = 1 + kill * SAGAS_A_KILL;
        let to = from + SAGAS_A_KILL - 1;
        services.place(&format!(
            "select 's' || n from generate_series({from}, {to}) n"
        ));
        std::thread::sleep(Duration::from_millis(chance.random_range(50..800)));
        match kill % 5 {
            0 => {
                road.kill9();
                road = services.beds[0].start(&["--only", "capture"]);
            }
            1 => {
                let number = chance.random_range(0..3);
                processes.remove(number).kill9();
                processes.insert(number, process(&services, number));
            }
            2 => {
                kafka.kill9().expect("killed");
                kafka.restart().expect("it recovers");
            }
            3 => {
                server.kill9().expect("killed");
                server.restart().expect("it recovers");
            }
            _ => tracker.again(),
        }
    }
    let logs = || processes.iter().map(Running::log).collect::<String>() + &road.log();
    assert_ends(&services, &tracker, &logs, seed);
    road.terminate();
}

/// Each step of each saga was done once, and undone once where payment said no; and so it is told.
fn assert_ends(services: &Services, tracker: &Tracker, logs: &dyn Fn() -> String, seed: u64) {
    let all = kills() * SAGAS_A_KILL;
    let no = all / 10;
    let twice = |number: usize| format!("{number}|{number}");
    let (did, undid) = ([all, all - no, all - no], [no, 0, 0]);
    let expect = (did.map(twice).to_vec(), undid.map(twice).to_vec());
    let stand = || {
        let of = |what| services.effects(what, "is not null");
        (of("did"), of("undid"))
    };
    let ended = wait_until("every saga to end", PATIENCE, || Ok(stand() == expect));
    assert!(ended.is_ok(), "seed {seed}: {:?}\n{}", stand(), logs());
    tracker.wait_for(&[("completed", all - no), ("compensated", no), ("open", 0)]);
    assert_eq!(stand(), expect, "seed {seed}: nothing comes afterwards");
}
