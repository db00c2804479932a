//! A capturer of events that hangs while another takes its work over, and then wakes: what it still has on its way counts for no reader that keeps to the header.

use std::sync::atomic::{AtomicBool, Ordering};

use super::bed::{configure, pipeline, read, table_sql};
use crate::bed::{Bed, left_out, postgres};
use crate::running::Running;

const TOPIC: &str = "outbox_hung.events";
const ROUNDS: usize = 3;

/// A capturer of the same configuration with a state folder of its own.
fn elsewhere(bed: &Bed) -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("keylane.yaml");
    std::fs::copy(bed.config(), &config).expect("a copy");
    let mut command = bed.keylane(&["run", "--only", "capture"]);
    command.current_dir(folder.path());
    let running = Running::start(command, folder.path());
    (folder, running)
}

/// Everything that stands in the outbox now leaves it.
fn await_publication(bed: &Bed, road: &Running, by: &str) {
    let now = bed.origin_sql("select coalesce(max(seq), 0) from keylane_outbox");
    bed.wait(road, &format!("the rows to be published {by}"), || {
        let left = format!("select count(*) from keylane_outbox where seq <= {now}");
        bed.origin_sql(&left) == "0"
    });
}

#[test]
fn events_of_a_capturer_that_hung_and_was_taken_over_count_once() {
    if left_out() {
        return;
    }
    let bed = Bed::bare("outbox_hung");
    let own = pipeline(bed.name, &postgres(&bed.origin_url()), TOPIC);
    configure(&bed, &[own]);
    bed.origin_sql(&table_sql());
    let zombie = bed.start(&["--only", "capture"]);
    bed.wait(&zombie, "the capture to stream", || {
        bed.status()["state"] == "caught_up"
    });
    let done = AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let (asked, done) = (bed.origin_asked(), &done);
        let writer = scope.spawn(move || {
            let mut number = 0_u64;
            while !done.load(Ordering::Relaxed) {
                asked(&format!(
                    "insert into keylane_outbox (topic, partition_key, type, payload) select '{TOPIC}', 'k' || n % 9, 'counted.v1', convert_to(n::text, 'UTF8')
                     from generate_series({number}, {}) n",
                    number + 49
                ));
                number += 50;
            }
            number
        });
        for _ in 0..ROUNDS {
            await_publication(&bed, &zombie, "by the first");
            zombie.halt();
            bed.origin_sql("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'keylane_outbox_hung'");
            let (_folder, successor) = elsewhere(&bed);
            await_publication(&bed, &successor, "by the successor");
            zombie.go_on();
            await_publication(&bed, &successor, "beside the zombie");
            // Whoever stands by takes over.
            successor.kill9();
        }
        await_publication(&bed, &zombie, "by the one who stood by");
        done.store(true, Ordering::Relaxed);
        writer.join().expect("the writer ends")
    });
    bed.wait(&zombie, "the outbox to be empty", || {
        bed.origin_sql("select count(*) from keylane_outbox") == "0"
    });
    zombie.terminate();
    let topic = read(&bed.kafka, TOPIC);
    for key in 0..9 {
        let of_key = topic
            .told
            .iter()
            .filter(|it| it.key == Some(format!("k{key}")));
        let told: Vec<u64> = of_key
            .filter_map(|it| it.value.as_deref()?.parse().ok())
            .collect();
        let expect: Vec<u64> = (0..count).filter(|number| number % 9 == key).collect();
        assert_eq!(told, expect, "k{key}");
    }
    eprintln!(
        "{ROUNDS} hung, {count} events, {} records with a value",
        topic.with_value
    );
}
